"""The coordinator's part in storage commitment: the process that carries out requests, and the way from it to a worker.

Strategy: the process (``fastscp.commitment.program``) is started when a worker says that there is a request, or when there are
some from before; a look now and then finds what nobody has said. What it wants to have told on an association goes to the
worker that has it; the answer comes back the same way. It ends with its channel, so with this process.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from fastscp.commitment import requests
from fastscp.coordinator.index import Index
from fastscp.log.names import APPLICATION
from fastscp.process import fdpass, notes
from fastscp.process.loop import IN, Loop

_log = logging.getLogger(APPLICATION)

LOOK_S = 5.0
_END_S = 5.0  #: it gets to end by itself

Start = Callable[[socket.socket], "subprocess.Popen[bytes]"]


def start_program(channel: socket.socket, module: str = "fastscp.commitment.program") -> subprocess.Popen[bytes]:
    """Start the process. Raises OSError."""
    descriptor = channel.fileno()
    return subprocess.Popen([sys.executable, "-m", module, str(descriptor)], pass_fds=(descriptor,),  # noqa: S603 - our own program
                            stdin=subprocess.DEVNULL, start_new_session=True,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


class Committing:
    """The requests beside the ``index``. ``begin`` is what the process is told first.

    ``report`` has the worker of an association tell a result, in the round that ``changed`` asks for, and returns whether there is one.
    """

    def __init__(self, loop: Loop, index: Index, begin: Mapping[str, Any], start: Start = start_program) -> None:
        self.index = index
        self.changed: Callable[[], None] = lambda: None  #: a worker is to be told something
        self.report: Callable[[str, str], bool] = lambda _association, _file: False
        self._loop = loop
        self._directory = index.directory / requests.DIRECTORY
        self._begin = dict(begin)
        self._start = start
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def begin(self) -> None:
        """Look for requests, now and again and again."""
        if self._ended:
            return
        if self._channel is None and requests.waiting(self._directory):
            self._launch()
        self._loop.call_later(LOOK_S, self.begin)

    def heard(self, note: notes.Note | notes.Missed) -> bool:
        """Take what a worker tells, if it is about commitment."""
        if note["kind"] == "commitment_reported":
            self._tell({"kind": "reported", "file": note["file"], "status": note["status"]})
        elif note["kind"] != "commitment_asked":
            return False
        elif self._channel is None and not self._ended:
            self._launch()
        else:
            self._tell({"kind": "look"})
        return True

    def _launch(self) -> None:
        self._reap()
        ours, theirs = fdpass.channel_pair()
        theirs.setblocking(True)
        try:
            self._process = self._start(theirs)
        except OSError as error:
            _log.error("cannot start the process for storage commitment: %s; trying again", error)
            ours.close()
            return
        finally:
            theirs.close()
        self._channel = ours
        self._loop.register(ours.fileno(), IN, lambda _mask: self._ready())
        self._tell(self._begin)

    def _tell(self, packet: Mapping[str, Any]) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(orjson.dumps(packet))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            _log.debug("the process for storage commitment does not listen")

    def _ready(self) -> None:
        if self._channel is None:
            return
        try:
            octets = self._channel.recv(fdpass.PACKET_OCTETS)
        except BlockingIOError:
            return
        except ConnectionResetError:
            octets = b""
        if not octets:
            self._forget()
            return
        packet = orjson.loads(octets)
        if self.report(packet["association"], packet["file"]):
            self.changed()
        else:
            self._tell({"kind": "reported", "file": packet["file"], "status": None})

    def _forget(self) -> None:
        if self._channel is not None:
            self._loop.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End, and close the index."""
        self.end()
        self.index.close()

    def end(self) -> None:
        """End the process: what it has not done is for the next."""
        self._ended = True
        self._forget()
        if self._process is not None:
            self._process.terminate()
        self._reap()
