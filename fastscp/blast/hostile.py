"""Peers that do harm, beside those that are measured: what they must not do is keep the others from being served.

Each goes through the kinds of harm in turn, one connection after another, as long as the run lasts:

    cut       an association that ends in the middle of an object, without a word
    abort     the same with an A-ABORT
    slow      an object that comes an octet at a time
    silent    a connection, and nothing on it
    garbage   octets that are no PDU
    length    a PDU that says it is 4 GB long
    early     data before an association is requested
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable

from fastscp.blast.kit import Kit
from fastscp.blast.requestor import DEFAULT_PDU
from fastscp.process.loop import IN, OUT
from fastscp.ul.encode import encode_abort
from fastscp.ul.pdu import AAbort

_LASTS_S = 2.0  #: a connection that waits or is slow
_PAUSE_S = 0.02  #: between two connections of one peer
_STEP_S = 0.02  #: between two octets of a slow one
_ANSWER_OCTETS = 65536
_ASSOCIATED = ("cut", "abort", "slow")
KINDS = ("cut", "garbage", "slow", "length", "abort", "early", "silent")


class Hostile:
    """One such peer."""

    def __init__(self, kit: Kit, number: int) -> None:
        self._kit, self._number = kit, number
        self._random = random.Random(number)  # noqa: S311 - garbage
        self._sock: socket.socket | None = None
        self._kind = ""
        self._closed = False

    def begin(self) -> None:
        """Open the next connection."""
        if self._closed:
            return
        loop = self._kit.loop
        self._kind = KINDS[self._number % len(KINDS)]
        self._number += 1
        try:
            self._sock = sock = self._kit.new_socket()
        except OSError:
            self._kit.tally.hostile["no socket"] += 1
            loop.call_later(_PAUSE_S, self.begin)
            return
        if sock.connect_ex(self._kit.address.where) in {0, errno.EINPROGRESS}:
            loop.register(sock.fileno(), OUT, self._connected)
        else:
            self._kit.tally.hostile["not connected"] += 1
            self._leave(registered=False)

    def close(self) -> None:
        """Leave for good."""
        self._closed = True
        if self._sock is not None:
            self._leave()

    def _connected(self, _mask: int) -> None:
        sock = self._sock
        if sock is None:
            return
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._kit.tally.hostile["not connected"] += 1
            self._leave()
            return
        self._kit.tally.hostile[self._kind] += 1
        self._kit.loop.unregister(sock.fileno())
        self._kit.loop.register(sock.fileno(), IN, self._heard)
        self._after(_LASTS_S, self._leave)
        if self._kind in _ASSOCIATED:
            self._send(self._kit.ammunition.request)
        elif self._kind == "garbage":
            self._send(self._random.randbytes(2000))
        elif self._kind == "length":
            self._send(b"\1\0\xff\xff\xff\xff" + bytes(1000))
        elif self._kind == "early":
            self._send(self._message())

    def _message(self) -> bytes:
        views, _ = self._kit.ammunition.message(0, 1, DEFAULT_PDU)
        return b"".join(views[:2])[:_ANSWER_OCTETS]

    def _heard(self, _mask: int) -> None:
        """Go on when the association is there; leave when the peer has had enough."""
        sock = self._sock
        if sock is None:
            return
        try:
            data = sock.recv(_ANSWER_OCTETS)
        except OSError:
            data = b""
        if not data or self._kind not in _ASSOCIATED or data[0] != 2:
            self._leave()
            return
        message = self._message()
        if self._kind == "slow":
            self._drip(message, 0)
            return
        self._send(message[:max(1, len(message) // 2)])
        if self._kind == "abort":
            self._send(encode_abort(AAbort(0, 0)))
        self._leave()

    def _drip(self, message: bytes, at: int) -> None:
        self._send(message[at:at + 1])
        self._after(_STEP_S, lambda: self._drip(message, at + 1))

    def _after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Call something unless this connection is over by then."""
        sock = self._sock
        self._kit.loop.call_later(delay_s, lambda: what() if self._sock is sock and sock is not None else None)

    def _send(self, octets: bytes) -> None:
        """Send what there is room for; what comes of it is the peer's business."""
        if self._sock is not None:
            try:
                self._sock.send(octets)
            except OSError:
                self._leave()

    def _leave(self, *, registered: bool = True) -> None:
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if registered:
            self._kit.loop.unregister(sock.fileno())
        sock.close()
        self._kit.loop.call_later(_PAUSE_S, self.begin)
