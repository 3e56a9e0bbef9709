"""Builds the ``ssl.SSLContext`` of the service from its policy.

Strategy: ``prepare`` does once, while the terminal and the privileges of the start are there, what cannot
be repeated: the password is asked for, the random generator seeded. ``build_context`` can be called again
at any time (reload) and reads every file anew; it never prompts.

Sessions are not resumed in TLS 1.3 (no tickets are sent, so nothing follows the handshake unasked), and
renegotiation is refused: reading never has to write.
"""

from __future__ import annotations

import getpass
import logging
import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fastscp.config.network import PeerVerification, TLSPolicy
from fastscp.errors import UsageError
from fastscp.log.names import APPLICATION
from fastscp.tls.files import (
    is_encrypted,
    load_authorities,
    load_dh_parameters,
    load_identity,
    load_revocation_lists,
)
from fastscp.tls.profiles import find_profile, select_suites

_log = logging.getLogger(APPLICATION)

_SEED_OCTETS = 1024  #: what a seed file holds, as OpenSSL writes it
_MOST_SEED_OCTETS = 1 << 20
_VERIFY_MODES = {
    PeerVerification.REQUIRE: ssl.CERT_REQUIRED,
    PeerVerification.VERIFY: ssl.CERT_OPTIONAL,
    PeerVerification.IGNORE: ssl.CERT_NONE,
}


def prepare(policy: TLSPolicy) -> TLSPolicy:
    """Seed the random generator and ask for the password, where they are wanted; return the complete policy.

    Raises UsageError when the key cannot be read or there is no terminal to ask at.
    """
    if policy.seed_file is not None:
        _read_seed(policy.seed_file)
    if policy.write_seed_file is not None:
        _write_seed(policy.write_seed_file)
    if policy.password is not None or not is_encrypted(policy):
        return policy
    try:
        return replace(policy, password=getpass.getpass(f"Enter pass phrase for {policy.private_key_file}: "))
    except EOFError:
        raise UsageError(f"no password for private TLS key '{policy.private_key_file}'") from None


def build_context(policy: TLSPolicy) -> ssl.SSLContext:
    """Return a server context for ``policy``. Raises UsageError for what cannot be used."""
    profile = find_profile(policy.profile)
    suites = select_suites(profile, policy.ciphers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = profile.minimum
    context.maximum_version = profile.maximum
    names = [suite.openssl_name for suite in suites]
    context.set_ciphers(":".join([*names, f"@SECLEVEL={profile.security_level}"]))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols(["dicom"])
    load_identity(context, policy, profile)
    load_dh_parameters(context, policy, profile)
    load_authorities(context, policy)
    load_revocation_lists(context, policy)
    _set_verification(context, policy)
    if policy.expected_sni is not None:
        context.sni_callback = _sni_check(policy.expected_sni)
    return context


def _set_verification(context: ssl.SSLContext, policy: TLSPolicy) -> None:
    context.check_hostname = False
    context.verify_mode = _VERIFY_MODES[policy.verification]
    if policy.crl_check_all:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    elif policy.crl_check or policy.crl_files:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if policy.verification is PeerVerification.REQUIRE and not (policy.ca_directories or context.cert_store_stats()["x509_ca"]):
        _log.warning("peer certificates are required, but there is no CA certificate to verify them by")


def _sni_check(expected: str) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]:
    """Return the callback that refuses clients which ask for another server; those that ask for none may pass."""
    wanted = expected.rstrip(".").lower()

    def check(_connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        if name is None or name.rstrip(".").lower() == wanted:
            return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    return check


# -- random generator -----------------------------------------------------------------------------


def _read_seed(path: str) -> None:
    """Mix a file into the random generator. It is counted as no entropy: OpenSSL seeds itself."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            # a device never ends
            size = _MOST_SEED_OCTETS if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else _SEED_OCTETS
            ssl.RAND_add(file.read(size) or b"", 0.0)
    except OSError as error:
        _log.warning("unable to read random seed file '%s', ignoring: %s", path, error.strerror)


def _write_seed(path: str) -> None:
    """Write a seed for the next start, readable for the owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, ssl.RAND_bytes(_SEED_OCTETS))
        finally:
            os.close(descriptor)
    except OSError as error:
        _log.warning("unable to write random seed file '%s', ignoring: %s", path, error.strerror)
