"""The one time limit that is in force for a connection.

Strategy: a limit that is put off, as with every read, only changes a number; the timer that is in the loop already
looks at the number when it fires, and waits for the rest. Only a limit that comes nearer costs a new timer.
"""

from __future__ import annotations

from collections.abc import Callable

from fastscp.process.loop import Loop, Timer

_NEVER = float("inf")


class Deadline:
    """Calls ``expired`` once the time that was set last is over. Times are seconds of the loop's clock."""

    __slots__ = ("_expired", "_loop", "_timer", "_when")

    def __init__(self, loop: Loop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._when = _NEVER
        self._timer: Timer | None = None

    def set(self, delay_s: float | None) -> None:
        """Expire ``delay_s`` from the begin of this round of the loop, or never (None)."""
        if delay_s is None:
            self._when = _NEVER
            return
        self._when = when = self._loop.now + delay_s
        timer = self._timer
        if timer is None or timer.when > when:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(when, self._fired)

    def cancel(self) -> None:
        """Never expire, and leave nothing in the loop."""
        self._when = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        self._timer = None
        if self._when == _NEVER:
            return
        if self._when > self._loop.now:
            self._timer = self._loop.call_at(self._when, self._fired)
            return
        self._expired()
