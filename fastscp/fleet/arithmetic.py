"""Times of a fleet: up to when everything is shipped, when a lease is renewed, when it is over. Pure.

No clock of a gateway is compared with that of another. What the database compares are times of its own; a gateway measures
how long ago something was by its monotonic clock, and subtracts that.
"""

from __future__ import annotations

import datetime
from collections import deque
from dataclasses import dataclass
from typing import Final

RENEW_SHARE: Final = 3  #: a lease is renewed when a third of it is over
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 300.0


@dataclass(frozen=True)
class Pulse:
    """At monotonic time ``at`` everything that this gateway had received was in its journal, up to entry ``number``."""

    number: int
    at: float


class Watermark:
    """Up to when everything that was received is shipped."""

    def __init__(self) -> None:
        self._pulses: deque[Pulse] = deque()
        self._reached: float | None = None

    @property
    def reached(self) -> float | None:
        """The time, on the monotonic clock; None before anything is known."""
        return self._reached

    def pulse(self, pulse: Pulse) -> None:
        """Take note of a pulse. Of several with the same entry the last one says most."""
        if self._pulses and self._pulses[-1].number == pulse.number:
            self._pulses.pop()
        self._pulses.append(pulse)

    def shipped(self, number: int) -> None:
        """Take note that the entries up to ``number`` are shipped."""
        while self._pulses and self._pulses[0].number <= number:
            self._reached = self._pulses.popleft().at

    def drained(self) -> None:
        """Take note that nothing waits: the entries of every pulse that has come were there when it came."""
        if self._pulses:
            self._reached = self._pulses[-1].at
            self._pulses.clear()


def in_database_time(at: float, read: datetime.datetime, now: float) -> datetime.datetime:
    """Return a time of the database that is not later than monotonic time ``at``.

    ``read`` is what its clock said between ``at`` and monotonic time ``now``.
    """
    return read - datetime.timedelta(seconds=now - at)


@dataclass
class Lease:
    """A claim on the end of a study, by the monotonic clock of who holds it. ``begun`` is before the database was asked."""

    token: str
    begun: float
    length_s: float

    def is_due(self, now: float) -> bool:
        """Whether it is time to renew it."""
        return now - self.begun >= self.length_s / RENEW_SHARE

    def is_over(self, now: float) -> bool:
        """Whether another gateway may have it."""
        return now - self.begun >= self.length_s


def retry_pause_s(attempts: int) -> float:
    """Return how long after so many failures a hook runs again."""
    return float(min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20)))
