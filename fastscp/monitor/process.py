"""The monitor process: one loop that serves what all the others count.

Strategy: it reads memory that the others write; none of them is asked or told anything, so nothing here can hold them up. What a
reload changes of it comes by its channel.
It is replaced when it dies or hangs, as a worker is, and is the one process that nobody waits for.

Invariants: it ends at the end of file of its channel, when the acceptor process ends or has left this to another. What it does not do: change anything.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.metrics.board import Board
from fastscp.monitor.disks import Disks, decoded_disks
from fastscp.monitor.history import STEP_S, History
from fastscp.monitor.http import Server
from fastscp.monitor.machine import Machine
from fastscp.monitor.routes import Facts, Routes
from fastscp.monitor.totals import Reader
from fastscp.process.heartbeat import Heartbeat
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(APPLICATION)

ROLE = "monitor"
_NEWS_OCTETS = 1 << 20
_IGNORED_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM)  # it ends with the acceptor process


@dataclass(frozen=True)
class MonitorSettings:
    """What the process is made of."""

    board: Board
    facts: Facts
    disks: Disks
    state_directory: str | None = None


def main(channel: socket.socket, listener: socket.socket, settings: MonitorSettings, heartbeat: Heartbeat | None = None) -> int:
    """Serve until the other end of ``channel`` is closed; return the exit status. Owns both sockets."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    loop = Loop()
    try:
        monitor = Monitor(loop, listener, settings)
    except ProcessError as error:
        _log.error("there are no metrics: %s", error)
        return 1
    if heartbeat is not None:
        heartbeat.beat_in(loop)

    def hear(_mask: int) -> None:
        news = channel.recv(_NEWS_OCTETS)
        if news:
            monitor.use(decoded_disks(news))
            return
        loop.unregister(channel.fileno())
        monitor.server.finish(loop.stop)

    loop.register(channel.fileno(), IN, hear)
    monitor.start()
    loop.run()
    return 0


class Monitor:
    """Looks at the service every few seconds, and serves what it finds. Raises ProcessError where it cannot count."""

    def __init__(self, loop: Loop, listener: socket.socket, settings: MonitorSettings, *,
                 wall: Callable[[], float] = time.time) -> None:
        self._loop = loop
        self._wall = wall
        self._reader = Reader(settings.board)
        self._machine = Machine(settings.board.claim(ROLE), settings.disks, settings.state_directory)
        self._history = History()
        self.routes = Routes(self._reader, self._machine, self._history, settings.facts, wall)
        self.server = Server(loop, listener, self.routes)

    def start(self) -> None:
        """Begin."""
        self.server.start()
        self._look()

    def use(self, disks: Disks) -> None:
        """Look at other disks from now on."""
        self._machine.disks = disks

    def _look(self) -> None:
        self._machine.look(self._reader.processes())
        self._history.look(self.routes.totals(), self._wall())
        if self.server.streams:
            self.server.publish(self.routes.event())
        self._loop.call_later(STEP_S, self._look)
