"""One readiness loop per process: level-triggered epoll, timers, and a wake-up for signals.

Strategy: a handler per descriptor, called with the epoll mask; timers in a heap, cancelled by flag.
Signal handlers only write an octet (``signal.set_wakeup_fd``); the loop turns it into a call. Calls that can wait
(``soon``) are made after the descriptors of a round, and only for a few milliseconds of it: however many there are,
what becomes ready meanwhile is served in between.
What it does not do: threads, priorities, futures.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT

SOON_S = 0.004  #: of a round that go to calls that can wait; one is made in any case


class Timer:
    """A call to be made at a time of the monotonic clock, unless cancelled before."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the call; the heap drops the entry when its time comes."""
        self.callback = None


class Loop:
    """The readiness loop of one process. Not shared over fork: close it and make another."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._soon: deque[Callable[[], None]] = deque()
        self._stopped = False
        self._wakeup: tuple[int, int] | None = None
        self._signal_handlers: dict[int, Callable[[], None]] = {}
        self.now = time.monotonic()  #: time of the current round, seconds

    def register(self, fd: int, mask: int, handler: Callable[[int], None]) -> None:
        """Call ``handler(mask)`` whenever ``fd`` is ready for what ``mask`` asks."""
        self._epoll.register(fd, mask)
        self._handlers[fd] = handler

    def modify(self, fd: int, mask: int) -> None:
        """Change what is asked of a registered descriptor."""
        self._epoll.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Stop watching ``fd``; call it before closing the descriptor."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def __contains__(self, fd: int) -> bool:
        """Whether ``fd`` is watched."""
        return fd in self._handlers

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once at ``when`` (monotonic seconds) or soon after."""
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, ``delay_s`` seconds from now."""
        return self.call_at(time.monotonic() + delay_s, callback)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back once, not before the next round, in the order of the calls."""
        self._soon.append(callback)

    def on_signal(self, signal_number: int, callback: Callable[[], None]) -> None:
        """Call back from the loop, never from the handler, when the signal arrives."""
        if self._wakeup is None:
            reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._wakeup = reader, writer
            signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
            self.register(reader, IN, self._read_signals)
        self._signal_handlers[signal_number] = callback
        signal.signal(signal_number, _only_wake)

    def _read_signals(self, _mask: int) -> None:
        if self._wakeup is None:
            return
        for number in sorted(set(os.read(self._wakeup[0], 4096))):
            handler = self._signal_handlers.get(number)
            if handler is not None:
                handler()

    def stop(self) -> None:
        """Return from ``run`` after the current round."""
        self._stopped = True

    def run(self) -> None:
        """Serve until ``stop``. Exceptions of handlers end the process: they are bugs."""
        poll = self._epoll.poll
        handlers = self._handlers
        monotonic = time.monotonic
        while not self._stopped:
            wait = self._run_timers()
            waiting = len(self._soon)
            ready = poll(0 if waiting else wait)
            self.now = monotonic()
            for fd, mask in ready:
                handler = handlers.get(fd)  # an earlier handler of this round may have closed it
                if handler is not None:
                    handler(mask)
            if waiting:
                self._run_soon(waiting)

    def _run_soon(self, most: int) -> None:
        """Make as many of the calls that wait as there is time for."""
        end = time.monotonic() + SOON_S
        for _ in range(most):
            self._soon.popleft()()
            if time.monotonic() >= end:
                return

    def _run_timers(self) -> float:
        """Run what is due; return the seconds to the next timer, -1 when there is none.

        What is added meanwhile waits for the next round, due or not: descriptors come in between.
        """
        timers = self._timers
        first_new: int | None = None
        while timers:
            when, order, timer = timers[0]
            if timer.callback is None:
                heapq.heappop(timers)
                continue
            self.now = now = time.monotonic()
            if when > now:
                return 0 if self._stopped else when - now + 0.001
            if first_new is None:
                first_new = next(self._order)
            elif order >= first_new:
                return 0
            heapq.heappop(timers)
            callback, timer.callback = timer.callback, None
            callback()
        return 0 if self._stopped else -1

    def close(self) -> None:
        """Give the descriptors back; signals return to their defaults."""
        for number in self._signal_handlers:
            signal.signal(number, signal.SIG_DFL)
        if self._wakeup is not None:
            signal.set_wakeup_fd(-1)
            for fd in self._wakeup:
                os.close(fd)
            self._wakeup = None
        with contextlib.suppress(ValueError):  # closing a closed epoll object is harmless
            self._epoll.close()


def _only_wake(_number: int, _frame: object) -> None:
    """Leave it to the wake-up descriptor."""
