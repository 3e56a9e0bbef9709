"""Where a message that the express lane can take waits until it is whole.

Strategy: the connection borrows the receive buffer that the message begins in, and goes on receiving behind that. Where
the rest is long, the socket is asked to report when there is much of it.

Invariant: what is gathered is no longer than the buffer; few connections of a worker have one (``fastscp.worker.intake``).
"""

from __future__ import annotations

from fastscp.worker.intake import Intake

_NOTHING = memoryview(b"")


class Gathering:
    """The message that one connection gathers."""

    __slots__ = ("_begin", "_buffer", "_end", "_intake")

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._buffer = _NOTHING
        self._begin = self._end = 0

    @property
    def active(self) -> bool:
        """Whether there is one."""
        return self._buffer is not _NOTHING

    def hold(self, octets: memoryview, begin: int, missing: int) -> bool:
        """Keep what is there of a message that lacks so many octets, or more; False where it does not fit, or too many gather.

        ``octets`` are at the end of what is in the receive buffer and ``begin`` there, or somewhere else (-1).
        """
        if self.active:
            return self._end < len(self._buffer)
        if len(octets) + missing > len(self._intake.buffer):
            return False
        size = len(octets)
        buffer = self._intake.lend()
        if buffer is None:
            return False
        if begin < 0 or begin + size + missing > len(buffer):
            buffer[:size] = octets
            begin = 0
        self._buffer, self._begin, self._end = buffer, begin, begin + size
        return True

    @property
    def octets(self) -> memoryview:
        """What is there."""
        return self._buffer[self._begin : self._end]

    @property
    def room(self) -> memoryview:
        """Where the next octets go."""
        return self._buffer[self._end :]

    def add(self, count: int) -> memoryview:
        """Take so many octets that were received; return all there are."""
        self._end += count
        return self.octets

    def end(self) -> None:
        """Give the buffer back."""
        if self.active:
            self._intake.take_back(self._buffer)
            self._buffer = _NOTHING
