"""What a worker has for the coordinator and the channel has not taken yet.

Strategy: packets leave in the order in which they are put. Those that wait travel together, as many as fit into one packet
of the channel, a line each (``fastscp.process.packets``). Notes for the event stream go in between; a bounded number of
them waits, what comes behind them is dropped, counted, and that is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from fastscp.process import packets
from fastscp.process.fdpass import PACKET_OCTETS

MOST_NOTES = 1000  #: that wait; what comes behind them is dropped and counted
MOST_PACKETS = 1000  #: that wait before no further object is begun
_NOTE = -1


class Channel(Protocol):
    """A non-blocking ``SOCK_SEQPACKET`` socket."""

    def send(self, packet: bytes, /) -> int:
        """Send a packet. Raises ``BlockingIOError``, ``BrokenPipeError`` and ``ConnectionResetError``."""


class Outgoing:
    """The queue in front of the channel."""

    def __init__(self, sent: Callable[[int], None], on_full: Callable[[bool], None]) -> None:
        """``sent`` is called with the number of an event that left, ``on_full`` when too much waits, and when it does no more."""
        self._sent = sent
        self._on_full = on_full
        self._full = False  #: too many packets wait
        self._queue: deque[tuple[bytes, int]] = deque()  #: octets; event number, 0 or _NOTE
        self._notes = 0  #: in the queue
        self._missed = 0  #: notes dropped behind them

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, octets: bytes, event: int = 0) -> None:
        """Send an encoded packet behind the others; ``event`` is the number of the event that it tells of."""
        self._queue.append((octets, event))

    def note(self, octets: bytes) -> bool:
        """Send a note, also over the next channel; False where too many wait."""
        if self._notes >= MOST_NOTES:
            self._missed += 1
            return False
        self._notes += 1
        self._queue.append((octets, _NOTE))
        return True

    def begin_again(self) -> list[tuple[bytes, int]]:
        """Empty it for another channel; return the notes that wait, which come last (``end_again``)."""
        notes = [entry for entry in self._queue if entry[1] == _NOTE]
        self._queue.clear()
        return notes

    def end_again(self, notes: list[tuple[bytes, int]]) -> None:
        """Put back what ``begin_again`` returned."""
        self._queue.extend(notes)

    def send(self, channel: Channel) -> bool:
        """Send what the channel takes; False where nobody reads it any more."""
        queue = self._queue
        while queue:
            octets, count = self._next()
            try:
                channel.send(octets)
            except BlockingIOError:
                break
            except (BrokenPipeError, ConnectionResetError):
                return False
            for _ in range(count):
                _, number = queue.popleft()
                if number == _NOTE:
                    self._note_sent()
                elif number:
                    self._sent(number)
        if len(queue) > MOST_PACKETS or self._full:
            self._look(len(queue))
        return True

    def _next(self) -> tuple[bytes, int]:
        """Return what is sent next, as one packet, and how many packets are in it."""
        first = self._queue[0][0]
        if len(self._queue) == 1:
            return first, 1
        together, size = [first], len(first)
        for octets, _ in islice(self._queue, 1, None):
            size += 1 + len(octets)
            if size > PACKET_OCTETS:
                break
            together.append(octets)
        return b"\n".join(together), len(together)

    def _look(self, waiting: int) -> None:
        """Tell when too many packets wait, and when half as many do."""
        if self._full != (waiting > (MOST_PACKETS // 2 if self._full else MOST_PACKETS)):
            self._full = not self._full
            self._on_full(self._full)

    def _note_sent(self) -> None:
        self._notes -= 1
        if not self._notes and self._missed:
            missed, self._missed = self._missed, 0
            self.put(packets.encode({"kind": "missed", "count": missed}))
