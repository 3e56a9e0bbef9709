"""A key, a certificate, and what trusts it, for rows with TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.support.pki import Authority


class Identity:
    """What servers are given and what senders trust; RSA, as most certificates in hospitals."""

    def __init__(self, directory: str) -> None:
        authority = Authority.make(Path(directory))
        server = authority.issue("server", "rsa")
        self.options = ("+tls", str(server.key_file()), str(server.certificate_file()), "-ic")
        self.context = ssl.create_default_context(cafile=str(authority.certificate_file()))
        self.context.check_hostname = False
