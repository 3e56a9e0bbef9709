"""A readiness loop with a clock of its own: nothing happens until a test says so."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from fastscp.process.loop import Timer


class FakeLoop:
    """Stands in for ``fastscp.process.loop.Loop``; ``fire``, ``advance`` and ``send_signal`` are the world."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stopped = False
        self.closed = False
        self.handlers: dict[int, tuple[int, Callable[[int], None]]] = {}
        self.signals: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def register(self, fd: int, mask: int, handler: Callable[[int], None]) -> None:
        assert fd not in self.handlers, "registered twice"
        self.handlers[fd] = mask, handler

    def modify(self, fd: int, mask: int) -> None:
        self.handlers[fd] = mask, self.handlers[fd][1]

    def unregister(self, fd: int) -> None:
        del self.handlers[fd]

    def __contains__(self, fd: int) -> bool:
        return fd in self.handlers

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self.now + delay_s, callback)

    def on_signal(self, signal_number: int, callback: Callable[[], None]) -> None:
        self.signals[signal_number] = callback

    def stop(self) -> None:
        self.stopped = True

    def run(self) -> None:
        """Run what is due now; a test goes on from there."""
        self.advance(0)

    def close(self) -> None:
        self.closed = True

    # -- the world --------------------------------------------------------------------------------

    def watched(self, fd: int) -> int:
        """What is asked of a descriptor, 0 when it is not watched."""
        return self.handlers[fd][0] if fd in self.handlers else 0

    def fire(self, fd: int, mask: int) -> None:
        """Make a descriptor ready for ``mask``, as far as that is asked for."""
        asked, handler = self.handlers[fd]
        assert asked & mask, "nobody waits for that"
        handler(mask)

    def send_signal(self, number: int) -> None:
        self.signals[number]()

    def advance(self, seconds: float) -> None:
        """Let time pass; timers run in order, each at its own time."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            if timer.callback is None:
                continue
            self.now = max(self.now, when)
            callback, timer.callback = timer.callback, None
            callback()
        self.now = end

    @property
    def timers(self) -> int:
        """Timers that would still call somebody."""
        return sum(timer.callback is not None for _, _, timer in self._timers)
