"""Programs beside the coordinator that were started, and are none: channels that a test speaks through."""

from __future__ import annotations

import socket
from typing import Any

import orjson

from fastscp.process.loop import IN
from tests.support.fakes import FakeLoop


class Process:
    """What was started."""

    def __init__(self) -> None:
        self.waited = 0

    def wait(self, _timeout: float | None = None) -> int:
        self.waited += 1
        return 0

    def poll(self) -> int | None:
        return 0


class Started:
    """What starts programs, and the other ends of their channels; ``refuses``: there is no process to be had."""

    def __init__(self, loop: FakeLoop) -> None:
        self._loop = loop
        self.channels: list[socket.socket] = []
        self.processes: list[Process] = []
        self.refuses = False

    def start(self, channel: socket.socket) -> Any:
        if self.refuses:
            raise BlockingIOError(11, "no process")
        self.channels.append(channel.dup())
        self.channels[-1].setblocking(False)
        self.processes.append(Process())
        return self.processes[-1]

    def heard(self) -> list[Any]:
        """Return what the latest was told, None for the end."""
        found = []
        while True:
            try:
                octets = self.channels[-1].recv(65536)
            except BlockingIOError:
                return found
            found.append(orjson.loads(octets) if octets else None)
            if not octets:
                return found

    def say(self, **packet: Any) -> None:
        self.channels[-1].send(orjson.dumps(packet))
        self.fire()

    def fire(self) -> None:
        for descriptor in list(self._loop.masks):
            self._loop.fire(descriptor, IN)

    def die(self) -> None:
        self.channels[-1].close()
        self.fire()
