"""The monitor process, which serves the metrics, as the acceptor process has it: one more child that is replaced when it dies.

Strategy: what it shows is in memory that everybody counts in; it is told what a reload has changed, and no more. It ends with its
channel: it accepts nothing more then, and finishes what it has begun.
Invariant: the service never waits for it, and ends without it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable

from fastscp.acceptor.policy import Monitor
from fastscp.process import fdpass
from fastscp.process.heartbeat import Heartbeat

TITLE = "monitor"


class Monitoring:
    """At most one monitor process; none where ``monitor`` is None. ``start_child`` starts one and may raise OSError."""

    def __init__(self, monitor: Monitor | None,
                 start_child: Callable[[Callable[[Heartbeat], int], str, socket.socket], int]) -> None:
        self._monitor = monitor
        self._start_child = start_child
        self._channel: socket.socket | None = None
        self.pid = 0
        self.resting = False  #: a successor has one

    @property
    def missing(self) -> bool:
        """Whether there is to be one, and is none."""
        return self._monitor is not None and not (self.pid or self.resting)

    def start(self) -> None:
        """Start it. Raises OSError."""
        monitor = self._monitor
        if monitor is None or self.pid:
            return
        ours, theirs = fdpass.channel_pair()
        with theirs, monitor.listener.dup() as listener:  # the child closes what is ours
            self.pid = self._start_child(lambda heartbeat: monitor.run(theirs, listener, heartbeat), TITLE, ours)
        self._channel = ours

    def bury(self, pid: int) -> bool:
        """Take note that a child ended; return whether it was this."""
        if pid != self.pid or not pid:
            return False
        self.pid = 0
        self.close()
        return True

    def renew(self) -> None:
        """Tell it what a reload has changed; one that dies meanwhile is followed by one that knows."""
        if self._monitor is not None and self._channel is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                self._channel.send(self._monitor.news())

    def rest(self, *, on: bool) -> None:
        """Leave it to a successor, which listens at the same socket, or no more."""
        self.resting = on
        if on:
            self.close()

    def end(self, *, others_listen: bool) -> None:
        """Have it end, and start none again. Its port is free at once, unless it belongs to a successor, too."""
        self.close()
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            if not others_listen:
                monitor.listener.shutdown(socket.SHUT_RDWR)
            monitor.listener.close()

    def sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        if self._channel is not None:
            yield self._channel
        if self._monitor is not None:
            yield self._monitor.listener

    def close(self) -> None:
        """Close the channel: whoever is at the other end ends."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
