"""The coordinator's ends of the workers' event channels.

Strategy: a channel is read as far as it goes, within bounds, so that all have their turn; what leaves goes out at
once while the channel takes it, else from a queue as soon as it does. End of file means that the worker died.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from fastscp.process.fdpass import PACKET_OCTETS
from fastscp.process.loop import IN, OUT, Loop

#: packets read from one channel before the others get their turn
_PACKETS_PER_ROUND = 256


class Channel:
    """One worker's event channel, and what the worker told over it. Owns its socket."""

    def __init__(self, descriptor: int, name: str, key: int, loop: Loop, *,
                 taken: Callable[[Channel, bytes], None], lost: Callable[[Channel], None]) -> None:
        self.key = key
        self.incarnation = name
        self.highest_event = 0  #: taken over
        self.associations: dict[str, tuple[dict[str, Any], bytes]] = {}  #: ``opened`` packets
        self.requests: set[int] = set()  #: transfers under way
        self.open = True
        self._loop = loop
        self._taken = taken
        self._lost = lost
        self._output: deque[bytes] = deque()
        self._blocked = False
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        loop.register(descriptor, IN, self._ready)

    def send(self, octets: bytes) -> None:
        """Send one packet, now or as soon as the worker reads; to a dead worker nothing is sent."""
        if self.open:
            self._output.append(octets)
            if len(self._output) == 1:
                self._flush()

    def read(self) -> bool:
        """Hand over what is there, within bounds; return whether there may be more."""
        receive = self._socket.recv
        for _ in range(_PACKETS_PER_ROUND):
            try:
                octets = receive(PACKET_OCTETS)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                octets = b""
            if not octets:
                self._loop.unregister(self._socket.fileno())
                self.close()
                self._lost(self)
                return False
            self._taken(self, octets)
        return True

    def close(self) -> None:
        """Close the socket; the loop is not told."""
        self.open = False
        self._socket.close()

    def _ready(self, mask: int) -> None:
        if mask & OUT:
            self._flush()
        if mask & ~OUT:
            self.read()

    def _flush(self) -> None:
        blocked = False
        while self._output and not blocked:
            try:
                self._socket.send(self._output[0])
            except BlockingIOError:
                blocked = True
            except (BrokenPipeError, ConnectionResetError):
                self._output.clear()  # end of file is read next
            else:
                self._output.popleft()
        if blocked != self._blocked:
            self._blocked = blocked
            self._loop.modify(self._socket.fileno(), IN | OUT if blocked else IN)
