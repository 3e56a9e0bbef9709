"""What the worker's event loop reads from and writes to: the interface, and a plain socket behind it.

TLS is in ``fastscp.tls.transport``: where it is not used, ssl is not even imported.

Invariants of every transport: it never blocks; ``receive_into`` leaves nothing readable inside unless
``pending`` says so; ``send`` never counts an octet that has not been given to the kernel; every error of the
connection is a ``TransportError`` whose text is fit for one log line.

What it does not do: deadlines (the worker's).
"""

from __future__ import annotations

import enum
import os
import socket
from typing import Protocol

from fastscp.errors import FastscpError
from fastscp.log.text import printable

_HANDSHAKE_RECORD = b"\x16"  #: ContentType of a TLS record (RFC 8446 §5.1); no PDU type of PS3.8 §9.3.1
WOULD_BLOCK = -1


_LEAST_EXPECTED = 32 << 10  #: octets that are worth waiting for together
_MOST_EXPECTED = 256 << 10


class TransportError(FastscpError):
    """The connection is of no use any more; the text says why. Nothing can be sent to the peer."""


class HandshakeState(enum.Enum):
    """What ``Transport.handshake`` waits for."""

    DONE = "done"
    WANTS_READ = "wants read"
    WANTS_WRITE = "wants write"


class Transport(Protocol):
    """A connected, non-blocking octet stream. Every method may raise ``TransportError``."""

    @property
    def connected(self) -> bool:
        """Whether octets of the association can be received and sent: the handshake, if any, is over."""

    def fileno(self) -> int:
        """Descriptor to wait on; the same one until ``close``."""

    def handshake(self) -> HandshakeState:
        """Do what can be done now; call again when the socket is ready for what is returned."""

    def receive_into(self, buffer: memoryview) -> int:
        """Fill ``buffer``; return the number of octets, 0 at the end of the stream, -1 for not now."""

    def send(self, octets: bytes | bytearray | memoryview) -> int:
        """Send from the front of ``octets``; return how many have left, -1 for not now.

        After -1 the next call must begin with the same octets.
        """

    def peek(self) -> int:
        """Return the next octet that has come, WOULD_BLOCK where there is none or nobody can know. Never raises."""

    @property
    def silent(self) -> bool:
        """Whether nothing has come yet: a peer that leaves then has only looked whether we are there."""

    def expect(self, octets: int) -> None:
        """Have the socket report when about so many octets are there, or the end, rather than some; 1: with each."""

    def pending(self) -> int:
        """Not 0 when ``receive_into`` has more to give although the socket may stay silent."""

    @property
    def wants_write(self) -> bool:
        """Whether the transport itself waits for the socket to take octets."""

    def close(self) -> None:
        """Close the connection."""


def looks_like_tls(first_octets: bytes) -> bool:
    """Tell whether a stream begins with a TLS handshake record instead of a PDU.

    One octet is enough: no PDU type has the value of a handshake record (PS3.8 §9.3.1).
    """
    return first_octets[:1] == _HANDSHAKE_RECORD and first_octets[1:2] in {b"", b"\x03"}


class LowWater:
    """The low-water mark of a socket (socket(7), SO_RCVLOWAT), set where that is worth a call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._octets = 1

    def set(self, octets: int) -> None:
        """Have the socket report when so many octets are there, or the end."""
        octets = min(octets, _MOST_EXPECTED) if octets >= _LEAST_EXPECTED else 1
        if octets != self._octets:
            self._octets = octets
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)


class PlainTransport:
    """A TCP socket, as it is."""

    connected = True
    wants_write = False

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._recv_into = sock.recv_into
        self._send = sock.send
        self.silent = True  #: nothing has been received
        self.expect = LowWater(sock).set

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._sock.fileno()

    def handshake(self) -> HandshakeState:
        """There is none."""
        return HandshakeState.DONE

    def receive_into(self, buffer: memoryview) -> int:
        """Fill ``buffer``; 0 at the end of the stream, -1 for not now.

        The first octets tell a TLS client from a broken DICOM one.
        """
        try:
            count = self._recv_into(buffer)
        except BlockingIOError:
            return WOULD_BLOCK
        except OSError as error:
            raise lost(error) from error
        if self.silent and count:
            self.silent = False
            if looks_like_tls(bytes(buffer[: min(count, 2)])):
                raise TransportError("the peer wants TLS, this port is without TLS")
        return count

    def send(self, octets: bytes | bytearray | memoryview) -> int:
        """Send what the kernel takes; -1 for not now."""
        try:
            return self._send(octets)
        except BlockingIOError:
            return WOULD_BLOCK
        except OSError as error:
            raise lost(error) from error

    def peek(self) -> int:
        """Look at the next octet, which stays where it is."""
        try:
            octet = self._sock.recv(1, socket.MSG_PEEK)
        except OSError:
            octet = b""
        return octet[0] if octet else WOULD_BLOCK

    def pending(self) -> int:
        """Nothing is kept here."""
        return 0

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def lost(error: OSError) -> TransportError:
    """Return the error of a connection that the kernel has given up."""
    return TransportError(os.strerror(error.errno) if error.errno else printable(str(error)))
