"""Octets over one non-blocking socket, plain or with TLS.

Both have the same four calls. None of them blocks: what cannot be done now returns 0 or None, and is tried again when the socket
is ready.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from itertools import islice

from fastscp.blast.plan import TLSKeys
from fastscp.blast.wire import View
from fastscp.errors import UsageError

_READ_OCTETS = 65536
_RECORDS_OCTETS = 65536
_MOST_VIEWS = 512  #: of one sendmsg(2); IOV_MAX is 1024


class Plain:
    """TCP alone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.wants_write = False  #: reading or the handshake waits for room to write

    def handshake(self) -> bool:
        """Go on with the handshake; tell whether it is done. Raises OSError."""
        return True

    def send(self, views: Sequence[View]) -> int:
        """Send what there is room for and return how many octets that were; 0: none. Raises OSError."""
        try:
            return self._sock.sendmsg(views if len(views) <= _MOST_VIEWS else islice(views, _MOST_VIEWS))
        except BlockingIOError:
            return 0

    def receive(self) -> bytes | None:
        """Return what has come, b"" at the end of the stream, None when there is nothing. Raises OSError."""
        try:
            return self._sock.recv(_READ_OCTETS)
        except BlockingIOError:
            return None


class Secure:
    """TLS."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self.wants_write = False

    def handshake(self) -> bool:
        """Go on with the handshake; tell whether it is done. Raises OSError, of which ssl.SSLError is one."""
        self.wants_write = False
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self.wants_write = True
            return False
        return True

    def send(self, views: Sequence[View]) -> int:
        """Send as many of the views as make a few records; the rest is sent by the next calls. Raises OSError."""
        pieces: list[View] = []
        octets = 0
        for view in views:
            if octets >= _RECORDS_OCTETS:
                break
            pieces.append(view)
            octets += len(view)
        try:
            return self._sock.send(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def receive(self) -> bytes | None:
        """Return what has come and is decrypted. Raises OSError."""
        self.wants_write = False
        try:
            return self._sock.recv(_READ_OCTETS)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLWantWriteError:
            self.wants_write = True
            return None
        except ssl.SSLZeroReturnError:
            return b""


Transport = Plain | Secure


def context(keys: TLSKeys) -> ssl.SSLContext:
    """Return the client's context. Raises UsageError for files that cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False  # as DICOM applications are known by their certificates
    made.verify_mode = ssl.CERT_REQUIRED if keys.authorities else ssl.CERT_NONE
    try:
        if keys.certificate is not None:
            made.load_cert_chain(keys.certificate, keys.private_key, password=_no_password)
        for path in keys.authorities:
            if os.path.isdir(path):
                made.load_verify_locations(capath=path)
            else:
                made.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise UsageError(f"keys and certificates of TLS: {error}") from error
    return made


def _no_password() -> str:
    raise ValueError("the private key is protected by a password")
