"""Plain stand-ins for what touches the outside: a loop whose clock a test sets.

They keep the rules of the real things where a caller could break them: what is registered twice, or modified and
unregistered without being registered, is an error here too, and a handler only hears what it asked for.
"""

from __future__ import annotations

import heapq
import itertools
import select
from collections.abc import Callable

from fastscp.process.loop import Timer

#: told whether or not anybody asked (epoll_ctl(2))
_ALWAYS_TOLD = select.EPOLLHUP | select.EPOLLERR


class FakeLoop:
    """``fastscp.process.loop.Loop`` without descriptors, signals and time of its own.

    Nothing happens by itself: ``advance`` moves the clock and runs what is due, ``fire`` makes a descriptor
    ready, ``send_signal`` lets a signal arrive.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.stopped = False
        self.closed = False
        self.masks: dict[int, int] = {}  #: what is asked of each watched descriptor
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._signal_handlers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    # -- as the real one --------------------------------------------------------------------------

    def register(self, fd: int, mask: int, handler: Callable[[int], None]) -> None:
        if fd in self._handlers:
            raise FileExistsError(fd)
        self._handlers[fd] = handler
        self.masks[fd] = mask

    def modify(self, fd: int, mask: int) -> None:
        if fd not in self._handlers:
            raise FileNotFoundError(fd)
        self.masks[fd] = mask

    def unregister(self, fd: int) -> None:
        del self._handlers[fd]
        del self.masks[fd]

    def __contains__(self, fd: int) -> bool:
        return fd in self._handlers

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self.now + delay_s, callback)

    def on_signal(self, signal_number: int, callback: Callable[[], None]) -> None:
        self._signal_handlers[signal_number] = callback

    def stop(self) -> None:
        self.stopped = True

    def run(self) -> None:
        """Run what is due and return: a test goes on from there."""
        self.advance(0)

    def close(self) -> None:
        self.closed = True

    # -- what a test makes happen -----------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass: timers run in order, each at its own time, also those that others add."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                self.now = max(self.now, when)
                callback, timer.callback = timer.callback, None
                callback()
        self.now = end

    def fire(self, fd: int, mask: int) -> bool:
        """Make ``fd`` ready for ``mask``; return whether anybody was told, that is, had asked for it."""
        told = mask & (self.masks.get(fd, 0) | _ALWAYS_TOLD)
        if not told or fd not in self._handlers:
            return False
        self._handlers[fd](told)
        return True

    def send_signal(self, signal_number: int) -> bool:
        """Let a signal arrive; return whether anybody was told."""
        handler = self._signal_handlers.get(signal_number)
        if handler is not None:
            handler()
        return handler is not None

    @property
    def next_timer(self) -> float | None:
        """When the next call is to be made, None when none is."""
        return min((when for when, _, timer in self._timers if timer.callback is not None), default=None)
