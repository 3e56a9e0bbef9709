"""A key and a certificate for rows with TLS."""

from __future__ import annotations

from pathlib import Path

from tests.support.pki import Authority


class Identity:
    """What servers are given; RSA, as most certificates in hospitals. Senders do not ask who they are."""

    def __init__(self, directory: str) -> None:
        authority = Authority.make(Path(directory))
        server = authority.issue("server", "rsa")
        self.options = ("+tls", str(server.key_file()), str(server.certificate_file()), "-ic")
