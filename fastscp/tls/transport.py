"""TLS as a transport: the server side over a non-blocking socket.

Strategy: OpenSSL works on two memory BIOs, so that one recv(2) brings many records, the socket stays ours (a
failed handshake cannot close it behind the loop's back), and OpenSSL never decides which readiness to wait
for.

Invariants: those of ``fastscp.net.transport``. ``send`` reports octets when their ciphertext has left, so a
caller that has nothing to send never has to wait for writability once the handshake is done.

What it does not do: contexts and certificates (``fastscp.tls.context``), renegotiation (refused by the context).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import sys

from fastscp.log.names import NETWORK
from fastscp.log.text import printable
from fastscp.net.transport import WOULD_BLOCK, HandshakeState, LowWater, TransportError, looks_like_tls, lost

_log = logging.getLogger(NETWORK)

#: Ciphertext taken by one recv(2): four records. The memory BIO of a connection does not grow beyond it.
_CIPHERTEXT_OCTETS = 1 << 16
_PLAINTEXT_OCTETS = 1 << 16  #: encrypted at once
_RECORD_OCTETS = 5 + (1 << 14) + 2048  #: the longest one (RFC 5246 §6.2.3)
_A_ASSOCIATE_RQ = 0x01

#: OpenSSL's reasons for which we have plainer words
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer has no certificate",
    "NO_SHARED_CIPHER": "no ciphersuite in common",
    "UNSUPPORTED_PROTOCOL": "the peer's TLS version is not accepted",
    "VERSION_TOO_LOW": "the peer's TLS version is not accepted",
    "INAPPROPRIATE_FALLBACK": "the peer fell back to an older TLS version",
    "CALLBACK_FAILED": "the peer asked for another server name",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no signature algorithm in common",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "no signature algorithm in common",
    "NO_SUITABLE_KEY_SHARE": "no key exchange group in common",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer finds our certificate expired",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer does not accept our TLS version",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer refused the handshake",
}


class TLSTransport:
    """The server side of TLS over a TCP socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, expected_sni: str | None = None) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._expected_sni = expected_sni
        self._ciphertext = memoryview(b"")  #: taken out of the outgoing BIO, not yet taken by the kernel
        self._unacknowledged = 0  #: plaintext octets in ``_ciphertext``, not yet reported by ``send``
        self._first_octets = b""
        self._drained = True  #: no complete record waits in the incoming BIO
        self._ended = False
        self._failure: TransportError | None = None  #: to be told behind what had come before
        self._low_water = LowWater(sock)
        self.connected = False  #: the handshake is over

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._sock.fileno()

    @property
    def silent(self) -> bool:
        """Whether nothing has come yet."""
        return not self._first_octets

    @property
    def wants_write(self) -> bool:
        """Whether ciphertext waits that no ``send`` will be called for."""
        return not self._unacknowledged and bool(self._ciphertext)

    # -- handshake --------------------------------------------------------------------------------

    def handshake(self) -> HandshakeState:
        """Take one step: read once, let OpenSSL work, send its answer."""
        if not self._flush():
            return HandshakeState.WANTS_WRITE
        try:
            octets = self._sock.recv(_CIPHERTEXT_OCTETS)
        except BlockingIOError:
            return HandshakeState.WANTS_READ
        except OSError as error:
            raise lost(error) from error
        if not octets:
            raise TransportError("closed during the TLS handshake")
        if len(self._first_octets) < 2:
            self._first_octets += octets[:2]
        self._incoming.write(octets)
        try:
            self._work_on_handshake()
        except ssl.SSLWantReadError:
            return HandshakeState.WANTS_READ if self._flush() else HandshakeState.WANTS_WRITE
        except ssl.SSLError as error:
            raise self._failed(error) from error
        self.connected = True
        self._drained = not self._incoming.pending  # the first PDU may have come with the last flight
        self._flush()
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("TLS handshake complete: %s", self.describe())
        return HandshakeState.DONE

    def describe(self) -> str:
        """Return version, ciphersuite and the subject of the peer's certificate, for the log."""
        cipher = self._tls.cipher()
        certificate = self._tls.getpeercert()
        text = f"{self._tls.version()}, {cipher[0] if cipher else 'no ciphersuite'}"
        if not certificate:
            return f"{text}, no verified peer certificate"
        subject = ", ".join("=".join(map(str, pair)) for part in certificate.get("subject", ()) for pair in part)
        return printable(f"{text}, peer certificate {subject or '(no subject)'}")

    def _work_on_handshake(self) -> None:
        """Let OpenSSL work. A server name that is not ASCII is refused, but Python would print a traceback."""
        if self._expected_sni is None:
            self._tls.do_handshake()
            return
        hook, sys.unraisablehook = sys.unraisablehook, _pass_over_bad_names
        try:
            self._tls.do_handshake()
        finally:
            sys.unraisablehook = hook

    def _failed(self, error: ssl.SSLError) -> TransportError:
        """Send the alert, as far as it goes, and say what went wrong."""
        reason = explain(error)
        with contextlib.suppress(TransportError):  # the handshake's own failure is what counts
            self._flush()
        if not looks_like_tls(self._first_octets):
            what = "DICOM" if self._first_octets[0] == _A_ASSOCIATE_RQ else "something else"
            return TransportError(f"the peer speaks {what} without TLS, this port is for TLS")
        if error.reason == "CALLBACK_FAILED" and self._expected_sni is not None:
            reason += f" than {self._expected_sni}"
        return TransportError(f"TLS handshake failed: {reason}")

    # -- data -------------------------------------------------------------------------------------

    def receive_into(self, buffer: memoryview) -> int:
        """Fill ``buffer`` with plaintext; 0 at the end of the stream, -1 for not now."""
        if self._failure is not None:
            raise self._failure
        total, size, more = 0, len(buffer), True
        try:
            while total < size and not self._ended and self._failure is None:
                if self._drained:
                    if not more or (total and size - total < _CIPHERTEXT_OCTETS):
                        break
                    more = self._receive(buffer[total:])
                total += self._decrypt(buffer[total:])
        except BlockingIOError:
            pass
        except OSError as error:
            self._failure = lost(error)
        if total or self._ended:
            return total
        if self._failure is not None:
            raise self._failure
        return WOULD_BLOCK

    def _receive(self, room: memoryview) -> bool:
        """Give OpenSSL what has come; tell whether more may be there. OSError passes through."""
        most = min(len(room), _CIPHERTEXT_OCTETS)
        count = self._sock.recv_into(room, most)
        if count:
            self._incoming.write(room[:count])
        else:
            self._incoming.write_eof()
        return count == most

    def _decrypt(self, buffer: memoryview) -> int:
        """Decrypt all complete records that fit; return the octets."""
        read = self._tls.read
        size = len(buffer)
        total = 0
        self._drained = False
        try:
            while total < size:
                count = read(size - total, buffer[total:])
                if not count:
                    self._ended = True
                    break
                total += count  # type: ignore[operator]  # with a buffer it returns a number
        except ssl.SSLWantReadError:
            self._drained = True
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            # An end without close_notify is none to worry about: a release or abort ends an association.
            self._ended = True
        except ssl.SSLError as error:
            self._failure = TransportError(f"TLS: {explain(error)}")
        return total

    def send(self, octets: bytes | bytearray | memoryview) -> int:
        """Encrypt and send from the front of ``octets``; -1 for not now, then repeat the same octets."""
        if not self._unacknowledged:
            if not self._flush():
                return WOULD_BLOCK
            with memoryview(octets) as view, view[:_PLAINTEXT_OCTETS] as part:
                try:
                    self._unacknowledged = self._tls.write(part)
                except ssl.SSLError as error:
                    raise TransportError(f"TLS: {explain(error)}") from error
        if not self._flush():
            return WOULD_BLOCK
        count, self._unacknowledged = self._unacknowledged, 0
        return count

    def _flush(self) -> bool:
        """Send what OpenSSL has produced; whether all of it has left."""
        while self._ciphertext or self._outgoing.pending:
            if not self._ciphertext:
                self._ciphertext = memoryview(self._outgoing.read())
            try:
                count = self._sock.send(self._ciphertext)
            except BlockingIOError:
                return False
            except OSError as error:
                raise lost(error) from error
            self._ciphertext = self._ciphertext[count:]
        return True

    @staticmethod
    def peek() -> int:
        """Not know: what has come is encrypted."""
        return WOULD_BLOCK

    def expect(self, octets: int) -> None:
        """Wait for that many: encrypted they are more, less what OpenSSL may have of a record already."""
        self._low_water.set(octets - _RECORD_OCTETS)

    def pending(self) -> int:
        """Octets (or an end of the stream) that wait inside."""
        if self._ended or self._failure is not None:
            return 1
        return 0 if self._drained else self._tls.pending() + self._incoming.pending

    def close(self) -> None:
        """Say close_notify (or why not), as far as the peer still listens, and close the socket."""
        with contextlib.suppress(TransportError):  # the socket is closed whether or not this could be sent
            self._say_goodbye()
        self._sock.close()

    def _say_goodbye(self) -> None:
        if self.connected:
            # the peer's own close_notify is not waited for; after an error there is an alert to send instead
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        self._flush()


def _pass_over_bad_names(unraisable: sys.UnraisableHookArgs) -> None:
    if not isinstance(unraisable.exc_value, UnicodeDecodeError):
        sys.__unraisablehook__(unraisable)


def explain(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason in words fit for a log line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not accepted: {error.verify_message}"
    reason = error.reason or ""
    if reason in _REASONS:
        return _REASONS[reason]
    return printable(reason.replace("_", " ").lower() or str(error))
