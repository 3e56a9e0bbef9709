"""What is to be sent and has not left yet; a line that is slow or long is played here.

Without such a line views go out as they come. With a delay each message waits its time first; with a bandwidth so many octets
leave every hundredth of a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fastscp.blast.plan import Line
from fastscp.blast.wire import View

_STEP_S = 0.01
_LEAST_OCTETS = 536  #: that leave at once: a TCP segment that every network takes


class Clock(Protocol):
    """What of the loop is needed."""

    now: float

    def call_at(self, when: float, callback: Callable[[], None]) -> object:
        """Call back once at ``when``."""


class Sending(Protocol):
    """Somebody who sends."""

    def send(self, views: Sequence[View]) -> int:
        """Send what there is room for; return how many octets that were."""


class Outgoing:
    """The queue of one association."""

    def __init__(self, line: Line, clock: Clock, pump: Callable[[], None]) -> None:
        self._line, self._clock, self._pump = line, clock, pump
        self._views: list[View] = []
        self._held: deque[tuple[float, list[View]]] = deque()
        self._next = 0.0  #: when the line has room again
        self._called = False  #: at ``_next`` somebody will

    def put(self, views: list[View]) -> None:
        """Queue a message."""
        if self._line.delay_s:
            due = self._clock.now + self._line.delay_s
            self._held.append((due, views))
            self._clock.call_at(due, self._pump)
        elif self._views:
            self._views += views
        else:
            self._views = views

    def clear(self) -> None:
        """Drop everything."""
        self._views = []
        self._held.clear()

    def flush(self, transport: Sending) -> bool:
        """Send what may leave now; tell whether the socket is full. Raises OSError."""
        now = self._clock.now
        while self._held and self._held[0][0] <= now:
            self._views = [*self._views, *self._held.popleft()[1]]
        if self._line.octets_per_s:
            return self._flush_slowly(transport)
        while self._views:
            sent = transport.send(self._views)
            if not sent:
                return True
            self._drop(sent)
        return False

    def _flush_slowly(self, transport: Sending) -> bool:
        rate, now = self._line.octets_per_s, self._clock.now
        if not self._views:
            return False
        if now >= self._next:
            first = memoryview(self._views[0])[:max(_LEAST_OCTETS, int(rate * _STEP_S))]
            sent = transport.send([first])
            if not sent:
                return True
            self._drop(sent)
            self._next = max(self._next, now - _STEP_S) + sent / rate
        if self._views and not self._called:
            self._called = True
            self._clock.call_at(self._next, self._go_on)
        return False

    def _go_on(self) -> None:
        self._called = False
        self._pump()

    def _drop(self, octets: int) -> None:
        """Take away what was sent."""
        views = self._views
        if len(views) == 1 and len(views[0]) == octets:
            self._views = []
            return
        gone = 0
        for view in views:
            if len(view) > octets:
                break
            octets -= len(view)
            gone += 1
        self._views = views = views[gone:]
        if octets:
            views[0] = memoryview(views[0])[octets:]
