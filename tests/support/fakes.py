"""Plain stand-ins for what touches the outside: loop, packet sockets, processes, destinations, event sinks.

They keep the rules of the real things where a caller could break them: what is registered twice, or modified and
unregistered without being registered, is an error here too, and a handler only hears what it asked for.
"""

from __future__ import annotations

import array
import heapq
import itertools
import json
import select
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

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
        self._soon: deque[Callable[[], None]] = deque()

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

    def soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

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

    def next_round(self) -> int:
        """Make the calls that waited for this round, not those that are added meanwhile; return how many there were."""
        self.now += 1e-6
        waiting = len(self._soon)
        for _ in range(waiting):
            self._soon.popleft()()
        return waiting

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

    def watched(self, fd: int) -> int:
        """Return what is asked of a descriptor, 0 when it is not watched."""
        return self.masks.get(fd, 0)

    @property
    def timers(self) -> int:
        """How many calls are to be made."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    @property
    def next_timer(self) -> float | None:
        """When the next call is to be made, None when none is."""
        return min((when for when, _, timer in self._timers if timer.callback is not None), default=None)


class FakeSocket:
    """A ``SOCK_SEQPACKET`` socket: a test puts in what is received and looks at what was sent.

    ``room`` is how many packets it takes before it blocks, None for any number; ``journal``, when given, gets an
    entry for each packet sent.
    """

    _numbers = itertools.count(1001)

    def __init__(self, journal: list[Any] | None = None) -> None:
        self.fd = next(self._numbers)
        self.room: int | None = None
        self.dead = False  #: the other end is gone
        self.closed = False
        self.sent: list[dict[str, Any]] = []
        self._journal = journal
        self._received: deque[tuple[bytes, int | None]] = deque()

    # -- as the real one --------------------------------------------------------------------------

    def fileno(self) -> int:
        return self.fd

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def recv(self, _octets: int) -> bytes:
        return self._next()[0]

    def recvmsg(self, _octets: int, _control: int, _flags: int) -> tuple[bytes, list[Any], int, None]:
        octets, descriptor = self._next()
        ancillary = []
        if descriptor is not None:
            ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes()))
        return octets, ancillary, 0, None

    def _next(self) -> tuple[bytes, int | None]:
        assert not self.closed, "read after close"
        if self._received:
            return self._received.popleft()
        if self.dead:
            return b"", None
        raise BlockingIOError

    def send(self, packet: bytes) -> int:
        assert not self.closed, "written after close"
        if self.dead:
            raise BrokenPipeError
        if self.room is not None:
            if not self.room:
                raise BlockingIOError
            self.room -= 1
        told = json.loads(packet)
        self.sent.append(told)
        if self._journal is not None:
            self._journal.append(told)
        return len(packet)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True

    # -- what a test makes happen -----------------------------------------------------------------

    def put(self, packet: Mapping[str, Any] | bytes, descriptor: int | None = None) -> None:
        """Let a packet arrive."""
        octets = packet if isinstance(packet, bytes) else json.dumps(packet).encode()
        self._received.append((octets, descriptor))

    def take_sent(self) -> list[dict[str, Any]]:
        """Return what was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent


class FakeProcesses:
    """Processes that end when a test says so."""

    def __init__(self) -> None:
        self.spawned: dict[int, tuple[list[str], dict[str, str]]] = {}  #: all, by number, in order
        self.signals: list[tuple[int, int]] = []
        self.refuse: Exception | None = None  #: raised instead of starting
        self.refusals: dict[int, Exception] = {}  #: the same, for the n-th call only
        self.calls = 0
        self._running: set[int] = set()
        self._statuses: dict[int, int] = {}
        self._numbers = itertools.count(501)

    def spawn(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        self.calls += 1
        refuse = self.refusals.get(self.calls, self.refuse)
        if refuse is not None:
            raise refuse
        pid = next(self._numbers)
        self.spawned[pid] = arguments, dict(variables)
        self._running.add(pid)
        return pid

    def reap(self, pid: int) -> int | None:
        if pid in self._statuses:
            return self._statuses.pop(pid)
        if pid not in self._running:
            raise ChildProcessError(pid)
        return None

    def has_ended(self, pid: int) -> bool:
        return pid in self._statuses

    def signal_group(self, pid: int, number: signal.Signals) -> None:
        assert pid in self._running or pid in self._statuses, "the number may be another process's"
        self.signals.append((pid, number))

    def end(self, pid: int, status: int = 0) -> None:
        """Let a process end; SIGCHLD is for the test to send."""
        self._running.remove(pid)
        self._statuses[pid] = status

    @property
    def running(self) -> list[int]:
        return sorted(self._running)


class FakeDestination:
    """A destination of events that takes ``room`` octets before it blocks (None: any number)."""

    def __init__(self, *, is_socket: bool = False) -> None:
        self.name = "event log fake"
        self.fd = -1
        self.is_socket = is_socket
        self.is_path = True
        self.linger_s = 0.0
        self.room: int | None = None
        self.refuse: OSError | None = None  #: raised by ``open`` and ``write``
        self.written: list[bytes] = []  #: by opening
        self.tries = 0

    def open(self) -> None:
        assert self.fd < 0, "opened twice"
        if self.refuse is not None:
            raise self.refuse
        self.fd = 77
        self.written.append(b"")

    def write(self, octets: bytes) -> int:
        assert self.fd >= 0
        self.tries += 1
        if self.refuse is not None:
            raise self.refuse
        taken = octets if self.room is None else octets[: self.room]
        if not taken:
            raise BlockingIOError
        if self.room is not None:
            self.room -= len(taken)
        self.written[-1] += taken
        return len(taken)

    def close(self) -> None:
        self.fd = -1


class FakeSink:
    """Keeps the events it gets."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]


class TickingClock:
    """A clock that goes on by ``step_s`` whenever somebody looks at it."""

    def __init__(self, step_s: float = 1.0) -> None:
        self.now = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
