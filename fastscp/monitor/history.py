"""The last minutes, for the plots of the live pages: one point every few seconds, a fixed number of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from fastscp.metrics import table
from fastscp.monitor.totals import Totals

STEP_S = 2.0
POINTS = 150  #: five minutes


@dataclass(frozen=True)
class Point:
    """What happened in one step; rates are per second."""

    time: float  #: seconds since 1970
    objects: float
    octets: float
    associations: float  #: open at the end of it
    failures: float


class History:
    """The last points."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._last: tuple[float, float, float, float] | None = None

    def __iter__(self) -> Iterator[Point]:
        """Yield the points, the oldest first."""
        return iter(self._points)

    def look(self, totals: Totals, now: float) -> None:
        """Add the step that has just ended."""
        stored, failed = outcomes(totals)
        octets = totals.sum(table.OBJECT_BYTES)
        if self._last is not None:
            then, objects_then, octets_then, failed_then = self._last
            seconds = max(0.001, now - then)
            self._points.append(Point(now, (stored - objects_then) / seconds, (octets - octets_then) / seconds,
                                      totals.of(table.ASSOCIATIONS_OPEN), (failed - failed_then) / seconds))
        self._last = now, stored, octets, failed


def outcomes(totals: Totals) -> tuple[float, float]:
    """Return how many objects were stored, and how many were not: success and warnings are stored (PS3.7 Annex C)."""
    stored = failed = 0.0
    for (_, _, status, _), cells in totals.values[table.OBJECTS].items():
        if status == "0000" or status.startswith("B"):
            stored += cells[0]
        else:
            failed += cells[0]
    return stored, failed
