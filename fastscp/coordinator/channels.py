"""The coordinator's ends of the workers' event channels.

Strategy: a channel is read as far as it goes, within bounds, so that all have their turn; what leaves goes out at
once while the channel takes it, else from a queue as soon as it does. End of file means that the worker died.

What it does not do: look into packets; see ``fastscp.coordinator.sessions``.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fastscp.process.fdpass import PACKET_OCTETS
from fastscp.process.loop import IN, OUT, Loop

#: packets read from one channel before the others get their turn: a few milliseconds
PACKETS_PER_TURN = 64


class Transport(Protocol):
    """What a channel needs of a non-blocking ``SOCK_SEQPACKET`` socket."""

    def fileno(self) -> int:
        """Return the descriptor to be watched."""

    def recv(self, octets: int, /) -> bytes:
        """Return a packet, b"" at the end. Raises ``BlockingIOError`` and ``ConnectionResetError``."""

    def send(self, packet: bytes, /) -> int:
        """Send a packet. Raises ``BlockingIOError``, ``BrokenPipeError`` and ``ConnectionResetError``."""

    def close(self) -> None:
        """Give the descriptor back."""


def adopt(descriptor: int) -> Transport:
    """Return the socket that came as ``descriptor``."""
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


class Channel:
    """One worker's event channel. Owns its transport."""

    def __init__(self, transport: Transport, loop: Loop, *, taken: Callable[[bytes], None],
                 lost: Callable[[], None]) -> None:
        self.open = True
        self._transport = transport
        self._loop = loop
        self._taken = taken
        self._lost = lost
        self._output: deque[bytes] = deque()
        self.blocked = False  #: packets wait until the worker reads
        self.behind = False  #: there was more to read than a turn allows
        loop.register(transport.fileno(), IN, self._ready)

    def send(self, octets: bytes) -> None:
        """Send one packet, now or as soon as the worker reads; to a dead worker nothing is sent."""
        if self.open:
            self._output.append(octets)
            if len(self._output) == 1:
                self._flush()

    def read(self) -> bool:
        """Hand over what is there, within bounds; return whether there may be more."""
        receive = self._transport.recv
        for _ in range(PACKETS_PER_TURN):
            try:
                octets = receive(PACKET_OCTETS)
            except BlockingIOError:
                return False
            except ConnectionResetError:  # in front of the last packets of a worker that died with unread answers
                continue
            if not octets:
                self.leave()
                self._lost()
                return False
            self._taken(octets)
        return True

    def close(self) -> None:
        """Close the transport; the loop is not told."""
        self.open = False
        self._transport.close()

    def leave(self) -> None:
        """Close the transport, and tell the loop."""
        self._loop.unregister(self._transport.fileno())
        self.close()

    def _ready(self, mask: int) -> None:
        if mask & OUT:
            self._flush()
        if mask & ~OUT:
            self.behind = self.read()

    def _flush(self) -> None:
        blocked = False
        while self._output and not blocked:
            try:
                self._transport.send(self._output[0])
            except BlockingIOError:
                blocked = True
            except (BrokenPipeError, ConnectionResetError):
                self._output.clear()  # end of file is read next
            else:
                self._output.popleft()
        if blocked != self.blocked:
            self.blocked = blocked
            self._loop.modify(self._transport.fileno(), IN | OUT if blocked else IN)
