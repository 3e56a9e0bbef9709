"""The program in Python that a service belongs to (``fastscp.embedding``): told when it serves or cannot, and missed when it is gone.

Strategy: a stream socket to it. It is told one line of JSON: ``{"port": 11112}`` or ``{"failed": "why"}``. At the end of
file, that is when it has ended in whatever way, the service drains as at SIGTERM.
Invariant: nobody waits for it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from typing import Protocol

from fastscp.log.names import APPLICATION
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(APPLICATION)


class Acceptor(Protocol):
    """What is wanted of the acceptor process."""

    @property
    def goes_down(self) -> bool:
        """Whether it is to end anyway."""

    def terminate(self) -> None:
        """Drain."""


class Owner:
    """The other end of ``channel``, which is owned from here on."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._port = 0
        self._answered = False
        channel.setblocking(False)

    def listening(self, port: int) -> None:
        """Take note of where the service listens; it is told when there is somebody to serve."""
        self._port = port

    def notify(self, *assignments: str) -> bool:
        """Take what a service manager would be told (sd_notify(3))."""
        if "READY=1" in assignments:
            self._tell({"port": self._port})
        return True

    def failed(self, reason: str) -> None:
        """Say why there is no service."""
        self._tell({"failed": reason})

    def _tell(self, answer: dict[str, object]) -> None:
        if self._answered:
            return
        self._answered = True
        try:
            self._channel.send(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            _log.debug("the program that embeds the service does not listen: %s", error)

    def watch(self, loop: Loop, acceptor: Acceptor) -> None:
        """Have ``acceptor`` drain when the program is gone."""
        def look(_mask: int) -> None:
            if _is_there(self._channel):
                return
            loop.unregister(self._channel.fileno())
            if not acceptor.goes_down:
                _log.info("the program that embeds the service is gone")
                acceptor.terminate()

        loop.register(self._channel.fileno(), IN, look)


def _is_there(channel: socket.socket) -> bool:
    try:
        return bool(channel.recv(4096))
    except BlockingIOError:
        return True
    except OSError:
        return False


def no_successor(_channel: socket.socket) -> int:
    """Refuse to be followed by another program (SIGUSR2): that would not know whom it belongs to."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
