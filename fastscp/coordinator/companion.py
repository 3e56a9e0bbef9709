"""A program that does slow work beside the coordinator: it is started with a channel, hears packets of JSON, and ends with it.

``Companion`` is one such program; whose it is says when it is started, and what is done with one that does not end. ``Tended`` has it
started again when it ends before its time, after pauses that grow.
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
from fastscp.process.loop import IN, Loop, Timer

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


class Tended:
    """A program that is there until ``end``. ``begin`` is what it is told first, ``lost`` is called when one has ended by itself."""

    FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  #: before it is started again

    def __init__(self, loop: Loop, start: Start, what: str, begin: Mapping[str, Any], *, heard: Callable[[dict[str, Any]], None],
                 lost: Callable[[], None], end_s: float) -> None:
        self._loop = loop
        self._what = what
        self._begin = begin
        self._heard = heard
        self._lost = lost
        self._end_s = end_s  #: it gets to end by itself
        self._companion = Companion(loop, start, what, heard=self._hear, lost=self._lose)
        self._pause_s = self.FIRST_PAUSE_S
        self._timer: Timer | None = None
        self._ended = False

    def launch(self) -> None:
        """Start it, unless it is there."""
        self._timer = None
        if self._ended or self._companion.connected:
            return
        process = self._companion.process
        if process is not None and process.poll() is not None:  # one that has not ended does the same once more, which changes nothing
            self._companion.process = None
        if not self._companion.launch(self._begin):
            self._launch_later()

    def tell(self, packet: Mapping[str, Any]) -> bool:
        """Send it a packet; False where it is not there, or does not listen."""
        return self._companion.tell(packet)

    def replace(self) -> None:
        """Have another one take the place of one that does not listen."""
        if self._companion.connected:
            self._companion.leave()
            self._launch_later()

    def _launch_later(self) -> None:
        if not self._ended and self._timer is None:
            self._timer = self._loop.call_later(self._pause_s, self.launch)
            self._pause_s = min(self.LONGEST_PAUSE_S, 2 * self._pause_s)

    def _hear(self, packet: dict[str, Any]) -> None:
        self._pause_s = self.FIRST_PAUSE_S
        self._heard(packet)

    def _lose(self) -> None:
        if not self._ended:
            _log.error("the process for %s ended, starting another", self._what)
        self._companion.leave()
        self._lost()
        self._launch_later()

    def end(self) -> None:
        """Have it end; one that is busy for too long is left alone."""
        if self._ended:
            return
        self._ended = True
        self._companion.leave()
        process, self._companion.process = self._companion.process, None
        if process is not None:
            try:
                process.wait(self._end_s)
            except subprocess.TimeoutExpired:
                _log.warning("the process for %s is still busy, and is left alone", self._what)
