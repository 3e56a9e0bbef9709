"""A program that does slow work beside the coordinator: it is started with a channel, hears packets of JSON, and ends with it.

What it does not do: say when the program is started, and what is done with one that does not end (whose it is does).
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from fastscp import jsontext
from fastscp.log.names import APPLICATION
from fastscp.process import fdpass
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(APPLICATION)

Start = Callable[[socket.socket], "subprocess.Popen[bytes]"]


def start_program(channel: socket.socket, *arguments: str, module: str) -> subprocess.Popen[bytes]:
    """Start a module as a program, which gets the number of its channel's descriptor and the arguments. Raises OSError."""
    descriptor = channel.fileno()
    return subprocess.Popen([sys.executable, "-m", module, str(descriptor), *arguments], pass_fds=(descriptor,),  # noqa: S603 - our own program
                            stdin=subprocess.DEVNULL, start_new_session=True,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


class Companion:
    """The program ``what`` and the channel to it. ``heard`` is called with each of its packets, ``lost`` when it has ended."""

    def __init__(self, loop: Loop, start: Start, what: str, *, heard: Callable[[dict[str, Any]], None], lost: Callable[[], None]) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._loop = loop
        self._start = start
        self._what = what
        self._heard = heard
        self._lost = lost
        self._channel: socket.socket | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a channel."""
        return self._channel is not None

    def launch(self, begin: Mapping[str, Any]) -> bool:
        """Start it and tell it what it begins with; False where that is not possible now."""
        ours, theirs = fdpass.channel_pair()
        theirs.setblocking(True)
        try:
            self.process = self._start(theirs)
        except OSError as error:
            _log.error("cannot start the process for %s: %s; trying again", self._what, error)
            ours.close()
            return False
        finally:
            theirs.close()
        self._channel = ours
        self._loop.register(ours.fileno(), IN, self._hear)
        self.tell(begin)
        return True

    def tell(self, packet: Mapping[str, Any]) -> bool:
        """Tell it something; return whether it may hear that."""
        if self._channel is None:
            return False
        try:
            self._channel.send(jsontext.dumps(packet))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            _log.debug("the process for %s does not listen", self._what)
            return False
        return True

    def _hear(self, _mask: int) -> None:
        while self._channel is not None:
            try:
                octets = self._channel.recv(fdpass.PACKET_OCTETS)
            except BlockingIOError:
                return
            except ConnectionResetError:
                octets = b""
            if not octets:
                self._lost()
                return
            self._heard(jsontext.loads(octets))

    def leave(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._loop.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
