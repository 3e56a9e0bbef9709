"""Which stretches of a data set are in the file as they came: for whoever may want the rest of it back.

Strategy: large values that nothing is done to are noted when they begin, by ``pending``. Between two looks inside the
same encapsulated Pixel Data everything is as it came, while the distance between input and output stays the same:
the only change there is a fragment of odd length, which gets an octet more.

Invariant: what a passage names is never patched, and stays where it is until the data set is sorted.
"""

from __future__ import annotations

from fastscp.dicom.engine.cursor import FRAGMENTS, Cursor, Level
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import Passage, PendingValue


class Trace:
    """Looks at a reader between two feeds; without one nothing is noted."""

    def __init__(self, cursor: Cursor, output: Output, value: PendingValue) -> None:
        self._cursor = cursor
        self._out = output
        self._value = value
        self._passages: list[Passage] = []
        value.passages = self._passages
        self._level: Level | None = None  #: the Pixel Data in fragments that the last look was in
        self._origin = self._shift = 0

    def take(self) -> list[Passage]:
        """Return the passages that began since the last look, in order; one may reach beyond what came so far."""
        passages = self._passages.copy()
        self._passages.clear()
        out, level = self._out, self._cursor.level
        inside = level.kind == FRAGMENTS and not self._value.padded
        if inside and level is self._level and out.shift == self._shift:
            passages.insert(0, (self._origin, self._origin + self._shift, out.origin - self._origin))
        self._level = level if inside else None
        self._origin, self._shift = out.origin, out.shift
        return passages
