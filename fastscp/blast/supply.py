"""When the next object may be sent.

``Eager`` is a closed loop: as soon as there is an answer. ``Timed`` is an open loop: objects fall due at a rate, whether the peer
keeps up or not, and what falls due while it does not waits and is counted from the time it was planned for. So a peer that stalls
for a second shows as a second, and not as one slow object.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

_MOST_AT_ONCE = 1000  #: objects that fall due in one turn of the loop


class Clock(Protocol):
    """What of the loop is needed."""

    now: float

    def call_at(self, when: float, callback: Callable[[], None]) -> object:
        """Call back once at ``when``."""


class Supply(Protocol):
    """Somebody who says when."""

    ended: bool  #: nothing will be due any more

    def take(self, now: float) -> float | None:
        """Return the planned time of an object that is due; None when there is none."""

    def wait(self, callback: Callable[[], None]) -> None:
        """Call back once something is due, or ``ended``."""

    def close(self) -> None:
        """Let nothing more be due."""

    def stop(self) -> None:
        """Let nothing more be taken."""


class Eager:
    """Everything is due at once."""

    def __init__(self) -> None:
        self.ended = False

    def take(self, now: float) -> float | None:
        """Return ``now``, or None when the run is over."""
        return None if self.ended else now

    def wait(self, callback: Callable[[], None]) -> None:
        """Call back at once: it has ended."""
        callback()

    def close(self) -> None:
        """Let nothing more be due."""
        self.ended = True

    stop = close


class Timed:
    """So many objects a second, rising from none over the ramp."""

    def __init__(self, clock: Clock, rate: float, ramp_s: float, begin: float) -> None:
        self.ended = False
        self._clock, self._rate, self._ramp_s, self._begin = clock, rate, ramp_s, begin
        self._number = 0
        self._due: deque[float] = deque()
        self._waiting: deque[Callable[[], None]] = deque()
        self._closed = False
        clock.call_at(self.planned(0), self._fall_due)

    def planned(self, number: int) -> float:
        """Return when the object of that number is due: the time at which the rate, summed up, has come to it."""
        in_ramp = self._rate * self._ramp_s / 2
        if number < in_ramp:
            return self._begin + math.sqrt(2 * self._ramp_s * number / self._rate)
        return self._begin + self._ramp_s + (number - in_ramp) / self._rate

    def _fall_due(self) -> None:
        if self._closed:
            return
        for _ in range(_MOST_AT_ONCE):
            planned = self.planned(self._number)
            if planned > self._clock.now:
                break
            self._due.append(planned)
            self._number += 1
        self._clock.call_at(self.planned(self._number), self._fall_due)
        while self._due and self._waiting:
            self._waiting.popleft()()

    def take(self, now: float) -> float | None:
        """Return the planned time of the object that has waited longest."""
        del now
        if not self._due:
            return None
        planned = self._due.popleft()
        self.ended = self._closed and not self._due
        return planned

    def wait(self, callback: Callable[[], None]) -> None:
        """Call back once something is due, or ``ended``."""
        self._waiting.append(callback)

    def close(self) -> None:
        """Let nothing more be due; what is due already is still to be had."""
        self._closed = True
        self.ended = not self._due
        while self._waiting:
            self._waiting.popleft()()

    def stop(self) -> None:
        """Let nothing more be taken."""
        self._due.clear()
        self.close()
