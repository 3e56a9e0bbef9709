"""A certification authority for tests: keys and certificates that live for a day, made when a test asks."""

from __future__ import annotations

import datetime
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
_NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
_DAY = datetime.timedelta(days=1)


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def make_key(kind="ec"):
    """Make a key: ``ec``, ``ec192``, ``rsa``, ``rsa1024`` or ``dsa``."""
    if kind == "dsa":
        return dsa.generate_private_key(2048)
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    return ec.generate_private_key(ec.SECP192R1() if kind == "ec192" else ec.SECP256R1())


@dataclass
class Identity:
    """A key and its certificate, in files."""

    key: object
    certificate: x509.Certificate
    directory: Path
    stem: str

    def path(self, suffix):
        return self.directory / f"{self.stem}{suffix}"

    def key_file(self, *, encoding=PEM, password=None):
        """Write the key; return the file."""
        protection = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        path = self.path(f"{'-locked' if password else ''}.key.{'pem' if encoding is PEM else 'der'}")
        path.write_bytes(self.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, protection))
        return path

    def certificate_file(self, *, encoding=PEM):
        """Write the certificate; return the file."""
        path = self.path(f".crt.{'pem' if encoding is PEM else 'der'}")
        path.write_bytes(self.certificate.public_bytes(encoding))
        return path


class Authority(Identity):
    """Issues certificates and revocation lists."""

    @classmethod
    def make(cls, directory, common_name="Test CA", issuer=None):
        """Make a root, or an intermediate authority of ``issuer``."""
        directory.mkdir(parents=True, exist_ok=True)
        key = make_key()
        certificate = _build(common_name, key, issuer or (name(common_name), key), authority=True)
        return cls(key, certificate, directory, common_name.replace(" ", "-"))

    def issue(self, common_name, kind="ec", *, algorithm=None, days=1):
        """Make a key and a certificate for it."""
        key = make_key(kind)
        certificate = _build(common_name, key, self, algorithm=algorithm, days=days)
        return Identity(key, certificate, self.directory, common_name.replace(" ", "-"))

    def revocation_list(self, *revoked, encoding=PEM):
        """Write a list of what is revoked; return the file."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(_NOW - _DAY).next_update(_NOW + _DAY)
        for identity in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(identity.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(_NOW - _DAY).build())
        path = self.path(f"-{len(revoked)}.crl.{'pem' if encoding is PEM else 'der'}")
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(encoding))
        return path


def _build(common_name, key, issuer, *, authority=False, algorithm=None, days=1):
    issuer_name, issuer_key = issuer if isinstance(issuer, tuple) else (issuer.certificate.subject, issuer.key)
    builder = x509.CertificateBuilder().subject_name(name(common_name)).issuer_name(issuer_name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(_NOW - 3 * _DAY).not_valid_after(_NOW + days * _DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    # what RFC 5280 demands, for clients that are strict
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if authority:
        usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, digital_signature=True, content_commitment=False,
                              key_encipherment=False, data_encipherment=False, key_agreement=False,
                              encipher_only=False, decipher_only=False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, algorithm or hashes.SHA256())


def hashed_directory(directory, *files):
    """Copy certificates (and lists) into a directory and give them the names OpenSSL looks for."""
    directory.mkdir()
    for file in files:
        (directory / file.name).write_bytes(file.read_bytes())
    subprocess.run(["openssl", "rehash", str(directory)], check=True, capture_output=True)
    return directory
