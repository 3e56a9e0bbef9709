"""The shapes of headers that a process has met lately, and what it may spend on learning new ones.

The objects of a series have headers of the same shape: the same tags, VRs and lengths at the same offsets,
only the values differ. What the engine would do with such a header follows from its shape, as long as the
values need no correction. So the first header of a shape is recorded (``recorder``) while it is read once more,
and the next ones are compared under a mask that leaves the values out, and written by the record (``shape``).
Nothing is recognised across the cut of a chunk.

perf/rewrite.py shows what a recognised header costs, against one that is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastscp.dicom.engine.cursor import Cursor
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import PendingValue
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.engine.recognise.recorder import learn
from fastscp.dicom.engine.recognise.shape import Shape

_CAPACITY: Final = 32
_FREE_LESSONS: Final = 8
_MISSES_PER_LESSON: Final = 32


class Shapes:
    """The shapes a process has met lately, for one set of output options.

    Learning costs about as much as reading twice; it is paid for by matches: every lesson beyond the first
    few needs a match, or a good number of misses, before it.
    """

    def __init__(self) -> None:
        self._recent: dict[tuple[str, str], list[Shape]] = {}
        self._credit = _FREE_LESSONS
        self._misses = 0

    def begin(self, chunk: bytes, plan: Plan, cursor: Cursor, output: Output, value: PendingValue) -> bytes:
        """Write the header of a data set that is built like one seen before; return what is left to be read."""
        shape = self.find(plan.key, chunk)
        if shape is not None:
            return shape.leap(chunk, cursor, output, value)
        if self.worth_learning():
            learned = learn(plan, chunk)
            if learned is not None:
                self.add(plan.key, learned)
        return chunk

    def find(self, syntaxes: tuple[str, str], buf: bytes) -> Shape | None:
        """Return the shape that ``buf`` begins with, for a pair of transfer syntaxes (in, out)."""
        for index, shape in enumerate(self.recent(syntaxes)):
            if shape.matches(buf):
                self.met(syntaxes, index)
                return shape
        return None

    def recent(self, syntaxes: tuple[str, str]) -> Sequence[Shape]:
        """Return the shapes of a pair of transfer syntaxes (in, out), the one met last first."""
        return self._recent.get(syntaxes, ())

    def met(self, syntaxes: tuple[str, str], index: int) -> None:
        """Take note that this one of the ``recent`` shapes was met."""
        if index:
            recent = self._recent[syntaxes]
            recent.insert(0, recent.pop(index))
        if self._credit < _FREE_LESSONS:
            self._credit += 1

    def worth_learning(self) -> bool:
        """Tell, after a miss, whether to record this header."""
        self._misses += 1
        if self._misses % _MISSES_PER_LESSON == 0 and self._credit < 1:
            self._credit = 1
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def add(self, syntaxes: tuple[str, str], shape: Shape) -> None:
        """Remember a shape; the one unused for longest makes room."""
        recent = self._recent.setdefault(syntaxes, [])
        recent.insert(0, shape)
        del recent[_CAPACITY:]
