"""Children, listeners and channels that are not processes of their own: for tests of those who supervise."""

from __future__ import annotations

import errno
import select
import socket
from dataclasses import dataclass, field
from typing import Any

from fastscp.acceptor.policy import Children, WorkerStart
from fastscp.acceptor.resolver import HostName
from fastscp.process import fdpass, packets
from fastscp.process.loop import IN

UNREAL = 1 << 20  #: descriptors from here on are the fakes'


@dataclass
class Started:
    """What was asked to be started."""

    pid: int
    title: str
    name: str
    closes: list[Any]  #: what the child would close
    exit_code: int | None = None  #: None while it lives


@dataclass
class FakeProcesses:
    """The interface of ``fastscp.process.child.Processes``; what a child runs is run at once, in this process."""

    started: list[Started] = field(default_factory=list)
    killed: list[tuple[int, int]] = field(default_factory=list)
    refusals: int = 0  #: so many further starts fail for want of a process

    def start(self, run, *, title, close, name="process"):
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        child = Started(1000 + len(self.started), title, name, list(close))
        self.started.append(child)
        run()
        return child.pid

    def poll(self, pid):
        return self.by_pid(pid).exit_code

    def wait(self, pid):
        return self.by_pid(pid).exit_code or 0

    def kill(self, pid, signal_number):
        self.killed.append((pid, signal_number))

    def by_pid(self, pid):
        return next(child for child in self.started if child.pid == pid)

    @property
    def titles(self):
        return [child.title for child in self.started]

    def latest(self, title):
        return next(child for child in reversed(self.started) if child.title == title)


class FarEnd:
    """The end of a control channel that a child would have."""

    def __init__(self, control: socket.socket) -> None:
        self.channel = control.dup()
        self.channel.setblocking(False)

    def say(self, kind, **fields):
        self.channel.send(packets.encode({"kind": kind, **fields}))

    def hear(self):
        """Return every packet that has arrived; the descriptors are dropped, ``descriptor`` says there was one."""
        heard = []
        while True:
            try:
                octets, descriptor = fdpass.receive(self.channel)
            except BlockingIOError:
                return heard
            if not octets:
                return [*heard, {"kind": "end of file"}]
            packet = dict(packets.decode_order(octets))
            if descriptor is not None:
                socket.socket(fileno=descriptor).close()
                packet["descriptor"] = True
            heard.append(packet)

    def kinds(self):
        return [packet["kind"] for packet in self.hear()]

    def die(self):
        self.channel.close()


class FakeChildren:
    """Workers and coordinators that keep their end of the channel and do nothing."""

    def __init__(self) -> None:
        self.workers: list[FarEnd] = []
        self.starts: list[WorkerStart] = []
        self.heartbeats: list[Any] = []  #: of everybody, in order
        self.coordinators: list[FarEnd] = []
        self.children = Children(self._worker, self._coordinator)

    def _worker(self, start):
        self.starts.append(start)
        self.heartbeats.append(start.heartbeat)
        self.workers.append(FarEnd(start.control))
        return 0

    def _coordinator(self, control, heartbeat):
        self.heartbeats.append(heartbeat)
        self.coordinators.append(FarEnd(control))
        return 0

    def close(self):
        for end in (*self.workers, *self.coordinators):
            end.channel.close()


class FakeListener:
    """A listening socket; ``queue`` holds what accept(2) returns or raises."""

    def __init__(self, descriptor: int = UNREAL) -> None:
        self.descriptor = descriptor
        self.queue: list[Any] = []

    def fileno(self):
        return self.descriptor

    def accept(self):
        if not self.queue:
            raise BlockingIOError
        outcome = self.queue.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def close(self):
        self.descriptor = -1


class FakeSocket:
    """An accepted connection that nobody sends anything through."""

    def __init__(self, descriptor: int = 0, local=("192.0.2.1", 11112)) -> None:
        self.descriptor = descriptor
        self.local = local
        self.blocking = True

    def fileno(self):
        return self.descriptor

    def setblocking(self, blocking):
        self.blocking = blocking

    def getsockname(self):
        return self.local

    def close(self):
        self.descriptor = -1

    @property
    def closed(self):
        return self.descriptor < 0


def pump(loop) -> None:
    """Let a ``FakeLoop`` handle whatever has arrived on real descriptors, until nothing more comes."""
    while True:
        poller = select.poll()
        for descriptor in loop.masks:
            if descriptor < UNREAL:
                poller.register(descriptor, select.POLLIN)
        ready = poller.poll(0)
        if not ready:
            return
        for descriptor, _ in ready:
            if descriptor in loop:
                loop.fire(descriptor, IN)


class FakeResolver:
    """Knows no name until it is told one."""

    def __init__(self, descriptor: int = UNREAL + 1) -> None:
        self.descriptor = descriptor
        self.known: dict[str, HostName] = {}
        self.asked: list[str] = []
        self.answers: list[tuple[str, HostName]] = []
        self.channel = FakeSocket()
        self.closed = False
        self.hangs = False

    def fileno(self):
        return self.descriptor

    def sockets(self):
        return [self.channel]

    def request(self, address):
        self.asked.append(address)
        return self.known.get(address)

    def answer(self, loop, address, name="", *, confirmed=True):
        """Let the answer to a question arrive."""
        self.answers.append((address, HostName(name, confirmed=confirmed)))
        loop.fire(self.descriptor, IN)

    def give_up(self):
        return self.on_readable() if self.hangs else []

    def on_readable(self):
        answers, self.answers = self.answers, []
        return answers

    def close(self):
        self.closed = True
