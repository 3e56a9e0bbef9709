"""How much is taken now: objects are held back while too much waits behind this worker.

Strategy: what waits behind has a bound (hooks that the coordinator has in its state, packets that it has not read). Beyond
it no further C-STORE request is begun; the peers wait for their answers, as they would for a slow disk, and nothing is
refused or lost. Meanwhile little is read at once, because what was read behind a held request is kept.

A connection may borrow the buffer to gather a message in it; few can at once, so that memory stays bounded.

Invariant: whoever waits goes on once, in the next round of the loop; who gave up is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastscp.process.loop import Loop

_HELD_OCTETS: Final = 16384  #: read at once while objects are held back
_MOST_LENT: Final = 4  #: buffers in which connections gather one message each

HOOKS: Final = "hooks"  #: wait for the coordinator
PACKETS: Final = "packets"  #: wait to be read by the coordinator


class Intake:
    """Shared by the connections of one worker. Everything is received into ``buffer``; nothing in it may be kept."""

    __slots__ = ("_lent", "_loop", "_reasons", "_spare", "_waiting", "_whole", "buffer", "held")

    def __init__(self, loop: Loop, octets: int) -> None:
        self._loop = loop
        self._whole = memoryview(bytearray(octets))
        self._reasons: set[str] = set()
        self._waiting: dict[str, Callable[[], None]] = {}
        self.buffer = self._whole
        self.held = False  #: no object is to be begun
        self._lent = 0
        self._spare: list[memoryview] = []

    def hold(self, reason: str) -> None:
        """Hold objects back."""
        self._reasons.add(reason)
        self.held = True
        self.buffer = self._whole[:_HELD_OCTETS]

    def release(self, reason: str) -> None:
        """Let objects in again, unless there is another reason."""
        self._reasons.discard(reason)
        if self._reasons or not self.held:
            return
        self.held = False
        self.buffer = self._whole
        waiting, self._waiting = self._waiting, {}
        for go_on in waiting.values():
            self._loop.soon(go_on)

    def lend(self) -> memoryview | None:
        """Leave the buffer to a connection, and use another one from here on; None where too many have one."""
        if self._lent == _MOST_LENT or self.held:
            return None
        self._lent += 1
        lent = self._whole
        self._whole = self.buffer = self._spare.pop() if self._spare else memoryview(bytearray(len(lent)))
        return lent

    def take_back(self, buffer: memoryview) -> None:
        """Use a buffer again that was lent."""
        self._lent -= 1
        self._spare.append(buffer)

    def wait(self, name: str, go_on: Callable[[], None]) -> None:
        """Call back once objects are let in."""
        self._waiting[name] = go_on

    def forget(self, name: str) -> None:
        """Do not call back ``name`` any more."""
        self._waiting.pop(name, None)
