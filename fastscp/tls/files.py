"""Keys, certificates, revocation lists and parameters on their way into an ``ssl.SSLContext``.

PEM files that OpenSSL can read itself are given to it by name. What it cannot take through Python (DER
keys, certificates and lists) is turned into PEM in an anonymous file in memory: nothing is written to disk.
Files that are missing are treated as storescp treats them: fatal for key and certificate, a warning for CA
certificates, revocation lists and DH parameters, none of which is weaker without the file.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastscp.config.network import TLSPolicy
from fastscp.errors import UsageError
from fastscp.log.names import APPLICATION
from fastscp.tls.profiles import SecurityProfile

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_log = logging.getLogger(APPLICATION)

_RECOMMENDED_BITS = 2048
_HASHED = (".0", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9")
_HASH_DIGITS = 8

#: The group ffdhe2048 of RFC 7919 Appendix A.1, used where the operator gives none
_FFDHE2048 = b"""-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


@contextmanager
def _in_memory(octets: bytes) -> Iterator[str]:
    """Yield a path under which OpenSSL can read ``octets``."""
    descriptor = os.memfd_create("fastscp-tls", os.MFD_CLOEXEC)
    try:
        view = memoryview(octets)
        while view:
            view = view[os.write(descriptor, view) :]
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _read(path: str, complaint: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{complaint} '{path}': {error.strerror}") from error


# -- our own key and certificate ------------------------------------------------------------------


def is_encrypted(policy: TLSPolicy) -> bool:
    """Tell whether the private key needs a password. Raises UsageError when it cannot be read."""
    octets = _read(policy.private_key_file, "unable to load private TLS key from")
    if not policy.der:
        return b"ENCRYPTED" in octets
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415 - rarely needed

    try:
        load_der_private_key(octets, None)
    except TypeError:
        return True
    except ValueError:
        return False  # no key at all: said when it is used
    return False


def load_identity(context: ssl.SSLContext, policy: TLSPolicy, profile: SecurityProfile) -> None:
    """Load private key and certificate (with its chain), and hold them against the profile.

    Raises UsageError: unreadable, of another kind, not belonging together, too weak for the profile.
    """
    key = _read(policy.private_key_file, "unable to load private TLS key from")
    certificate = _read(policy.certificate_file, "unable to load certificate from")
    if policy.der:
        key, certificate = _key_from_der(policy, key), _certificate_from_der(policy, certificate)
    if policy.password is None and not policy.der and b"ENCRYPTED" in key:
        raise UsageError(f"private TLS key '{policy.private_key_file}' is encrypted and there is no password")
    try:
        with _in_memory(certificate) as certificate_path, _in_memory(key) as key_path:
            context.load_cert_chain(certificate_path, key_path, password=policy.password or "")
    except ssl.SSLError as error:
        if (error.reason or "").endswith(("_TOO_SMALL", "_TOO_WEAK")):
            _check_certificate(context, policy, profile, certificate)  # says more than OpenSSL
        raise _identity_error(policy, key, certificate, error) from error
    except ValueError as error:  # a password that OpenSSL cannot take
        raise UsageError(f"unable to load private TLS key from '{policy.private_key_file}': {error}") from error
    _check_certificate(context, policy, profile, certificate)


def _identity_error(policy: TLSPolicy, key: bytes, certificate: bytes, error: ssl.SSLError) -> UsageError:
    """Say which of the two files is the trouble; OpenSSL does not."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return UsageError(f"private key '{policy.private_key_file}' and certificate '{policy.certificate_file}' do not match")
    if b"CERTIFICATE-----" not in certificate:
        return UsageError(f"unable to load certificate from '{policy.certificate_file}': no certificate in it")
    if b"PRIVATE KEY-----" not in key:
        return UsageError(f"unable to load private TLS key from '{policy.private_key_file}': no private key in it")
    if b"ENCRYPTED" in key:
        return UsageError(f"unable to load private TLS key from '{policy.private_key_file}': wrong password")
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return UsageError(f"unable to use private TLS key '{policy.private_key_file}' "
                      f"and certificate '{policy.certificate_file}': {reason}")


def _key_from_der(policy: TLSPolicy, octets: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only for DER files

    password = None if policy.password is None else policy.password.encode()
    complaint = f"unable to load private TLS key from '{policy.private_key_file}'"
    try:
        try:
            key = serialization.load_der_private_key(octets, password)
        except TypeError:
            if not password:
                raise
            key = serialization.load_der_private_key(octets, None)  # a password for a key without one is harmless
    except TypeError as error:
        raise UsageError(f"{complaint}: it is encrypted and there is no password") from error
    except ValueError as error:
        raise UsageError(f"{complaint}: not a DER key, or a wrong password") from error
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _certificate_from_der(policy: TLSPolicy, octets: bytes) -> bytes:
    try:
        return ssl.DER_cert_to_PEM_cert(_der_certificate(octets)).encode()
    except ValueError as error:
        raise UsageError(f"unable to load certificate from '{policy.certificate_file}': not a DER certificate") from error


def _der_certificate(octets: bytes) -> bytes:
    """Return ``octets`` if they are one certificate. Raises ValueError."""
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - only for DER files

    load_der_x509_certificate(octets)
    return octets


def _check_certificate(context: ssl.SSLContext, policy: TLSPolicy, profile: SecurityProfile, pem: bytes) -> None:
    """Hold our certificate against the profile (RFC 9325 section 4.5)."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa  # noqa: PLC0415 - slow to import
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - slow to import

    name = policy.certificate_file
    try:
        certificate = load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:  # OpenSSL is less strict about what a certificate is
        _log.warning("certificate '%s' cannot be held against the security profile: %s", name, error)
        return
    if isinstance(key, rsa.RSAPublicKey):
        _check_bits(f"RSA key in certificate '{name}'", key.key_size, profile,
                    least=profile.least_rsa_bits, recommended=_RECOMMENDED_BITS)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        _check_bits(f"ECDSA key in certificate '{name}'", key.key_size, profile,
                    least=profile.least_ec_bits, recommended=224)
    elif isinstance(key, dsa.DSAPublicKey):
        if not profile.takes_dsa:
            raise UsageError(f"DSA certificate '{name}' is not permitted with security profile '{profile.title}'")
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # TLS 1.3 knows no DSA (RFC 8446 §4.2.3)
    _check_hash(certificate, name, profile)


def _check_bits(what: str, bits: int, profile: SecurityProfile, *, least: int, recommended: int) -> None:
    if bits < least:
        raise UsageError(f"{what} has {bits} bits, security profile '{profile.title}' requires {least}")
    if bits < recommended:
        _log.warning("%s has only %d bits, RFC 9325 recommends %d", what, bits, recommended)


def _check_hash(certificate: Certificate, name: str, profile: SecurityProfile) -> None:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or algorithm.digest_size >= 32 or certificate.issuer == certificate.subject:
        return
    if profile.security_level > 0:
        raise UsageError(f"certificate '{name}' is signed with {algorithm.name}, "
                         f"security profile '{profile.title}' requires SHA-256 or better")
    _log.warning("certificate '%s' is signed with %s, RFC 9325 recommends SHA-256 or better", name, algorithm.name)


# -- what peers are verified by -------------------------------------------------------------------


def load_authorities(context: ssl.SSLContext, policy: TLSPolicy) -> None:
    """Load CA certificates from files and directories."""
    for path in policy.ca_files:
        try:
            _load_file(context, path, der=policy.der)
        except (OSError, ValueError) as error:
            _log.warning("unable to load certificate file '%s', ignoring: %s", path, _plain(error))
    for path in policy.ca_directories:
        _load_directory(context, path, der=policy.der)


def load_revocation_lists(context: ssl.SSLContext, policy: TLSPolicy) -> None:
    """Load revocation lists. One that is missing makes the certificates of its issuer unverifiable."""
    for path in policy.crl_files:
        try:
            octets = Path(path).read_bytes()
            if policy.der:
                octets = _list_from_der(octets)
            if b"X509 CRL-----" not in octets:
                raise ValueError("no revocation list in it")  # noqa: TRY301 - answered like OpenSSL's own
            with _in_memory(octets) as memory:
                context.load_verify_locations(cafile=memory)
        except (OSError, ValueError) as error:
            _log.warning("unable to load CRL file '%s', ignoring: %s", path, _plain(error))


def _list_from_der(octets: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - only for DER files
    from cryptography.x509 import load_der_x509_crl  # noqa: PLC0415 - only for DER files

    return load_der_x509_crl(octets).public_bytes(Encoding.PEM)


def _load_file(context: ssl.SSLContext, path: str, *, der: bool) -> None:
    octets = Path(path).read_bytes()
    if der:
        context.load_verify_locations(cadata=_der_certificate(octets))
    elif b"CERTIFICATE-----" not in octets:
        raise ValueError("no certificate in it")
    else:
        context.load_verify_locations(cafile=path)


def _load_directory(context: ssl.SSLContext, path: str, *, der: bool) -> None:
    """Use the certificates (and lists) that openssl-rehash(1) has given their names, as OpenSSL does."""
    try:
        names = [entry.name for entry in os.scandir(path)]
    except OSError as error:
        _log.warning("unable to load certificates from directory '%s', ignoring: %s", path, _plain(error))
        return
    hashed = [name for name in names if len(name) == _HASH_DIGITS + 2 and name.endswith(_HASHED)]
    if not hashed:
        _log.warning("directory '%s' has no certificates under hashed names, see openssl-rehash(1)", path)
    if not der:
        context.load_verify_locations(capath=path)
        return
    for name in sorted(hashed):
        try:
            _load_file(context, f"{path}/{name}", der=True)
        except (OSError, ValueError) as error:
            _log.warning("unable to load certificate file '%s/%s', ignoring: %s", path, name, _plain(error))


# -- parameters -----------------------------------------------------------------------------------


def load_dh_parameters(context: ssl.SSLContext, policy: TLSPolicy, profile: SecurityProfile) -> None:
    """Load the operator's Diffie-Hellman parameters, or our own when there are none that can be used."""
    path = policy.dh_parameters_file
    if path is not None:
        try:
            _check_dh_bits(path, Path(path).read_bytes(), profile)
            context.load_dh_params(path)
        except (OSError, ValueError) as error:
            _log.warning("unable to load temporary DH parameter file '%s', ignoring: %s", path, _plain(error))
        else:
            return
    with _in_memory(_FFDHE2048) as memory:
        context.load_dh_params(memory)


def _check_dh_bits(path: str, octets: bytes, profile: SecurityProfile) -> None:
    """Judge the size of the prime. Raises ValueError for one the profile does not take."""
    from cryptography.hazmat.primitives.serialization import load_pem_parameters  # noqa: PLC0415 - rarely needed

    bits = load_pem_parameters(octets).parameter_numbers().p.bit_length()
    if bits < profile.least_dh_bits:
        raise ValueError(f"{bits} bits, security profile '{profile.title}' requires {profile.least_dh_bits}")
    if bits < _RECOMMENDED_BITS:
        _log.warning("DH parameters in '%s' have only %d bits, RFC 9325 recommends %d", path, bits, _RECOMMENDED_BITS)


def _plain(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
