"""A transport in the readiness loop: octets to send wait here, and the loop watches for exactly what is wanted.

Invariants: a descriptor is in the loop only while something is wanted of it (a peer that hung up would make it
ready for ever); after ``close`` nothing of it is. What it does not do: decide what is read, or when.
"""

from __future__ import annotations

from collections.abc import Callable

from fastscp.net.transport import HandshakeState, Transport
from fastscp.process.loop import IN, OUT, Loop

_OUTPUT_LIMIT = 1 << 16  #: octets that a peer may leave unread before it is not read any more


class Stream:
    """One connected transport. Every method but ``close`` may raise ``TransportError``."""

    __slots__ = ("_fd", "_interest", "_loop", "_ready", "output", "transport")

    def __init__(self, loop: Loop, transport: Transport, ready: Callable[[int], None]) -> None:
        self.transport = transport
        self.output = bytearray()  #: to be sent, in this order
        self._loop = loop
        self._ready = ready
        self._fd = transport.fileno()
        self._interest = 0

    @property
    def closed(self) -> bool:
        """Whether the connection was given back."""
        return self._fd < 0

    def open(self) -> None:
        """Wait for the first octets."""
        self._watch(IN)

    def handshake(self) -> bool:
        """Take a step of the transport's handshake; True once octets of the association can be read."""
        state = self.transport.handshake()
        if state is HandshakeState.DONE:
            self._watch(IN)
            return True
        self._watch(OUT if state is HandshakeState.WANTS_WRITE else IN)
        return False

    def flush(self) -> None:
        """Send what the transport takes now."""
        output = self.output
        while output:
            sent = self.transport.send(output)
            if sent < 0:
                break
            del output[:sent]

    def update(self, *, reading: bool, besides: int = 0) -> None:
        """Watch for what is wanted from here on: octets of the peer where ``reading``, room for what waits, ``besides``."""
        if self._fd < 0 or not self.transport.connected:
            return
        wanted = IN if reading and len(self.output) <= _OUTPUT_LIMIT else 0
        if self.output or self.transport.wants_write:
            wanted |= OUT
        wanted |= besides
        if wanted != self._interest:
            self._watch(wanted)

    def _watch(self, wanted: int) -> None:
        if wanted == self._interest:
            return
        if not self._interest:
            self._loop.register(self._fd, wanted, self._ready)
        elif not wanted:
            self._loop.unregister(self._fd)
        else:
            self._loop.modify(self._fd, wanted)
        self._interest = wanted

    def close(self) -> None:
        """Leave the loop and close the transport."""
        self._watch(0)
        self._fd = -1
        self.output.clear()
        self.transport.close()
