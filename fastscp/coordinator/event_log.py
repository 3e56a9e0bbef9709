"""Writes the event stream to a file, standard output, a FIFO or a Unix socket, and never blocks.

Strategy: lines wait in a buffer of at most ``LIMIT_OCTETS``; each round of the loop writes what the destination
takes, and the loop watches the destination when it takes no more. When the buffer is full, new events are
counted and dropped, and an ``events.dropped`` event tells how many as soon as there is room.

A file is opened for appending; a FIFO for reading and writing, so that readers may come and go; to a Unix
stream socket is connected again every second after it was lost, beginning with the line that was cut. Standard
output is shared with hooks, so it is not made non-blocking: it gets pieces that a ready pipe takes at once.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson

from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.process.loop import OUT, Loop, Timer
from fastscp.study import events

_log = logging.getLogger(APPLICATION)

LIMIT_OCTETS = 16 * 1024 * 1024
_RETRY_S = 1.0
_PIECE_OCTETS = 262144
_STDOUT_PIECE_OCTETS = select.PIPE_BUF
STANDARD_OUTPUT = "-"


class EventLog:
    """The destination of the event stream."""

    def __init__(self, destination: str, loop: Loop, *, limit_octets: int = LIMIT_OCTETS) -> None:
        self._destination = destination
        self._loop = loop
        self._limit = limit_octets
        self._lines: deque[bytes] = deque()
        self._octets = 0
        self._head_written = 0  #: octets of the first line that were written
        self._dropped = 0
        self._fd = -1
        self._is_socket = False
        self._watching = False
        self._retry: Timer | None = None
        self._complained = False
        try:
            self._open()
        except OSError as error:
            if error.errno not in {errno.ECONNREFUSED, errno.EAGAIN}:
                raise ProcessError(f"event log {destination} cannot be opened: {error.strerror}") from error
            self._lost(error)

    def put(self, event: Mapping[str, Any]) -> None:
        """Take one event; ``flush`` writes it."""
        if self._dropped and self._octets < self._limit // 2:
            dropped, self._dropped = self._dropped, 0
            self._append(events.events_dropped(time.time(), dropped))
        if self._octets >= self._limit:
            self._dropped += 1
            return
        self._append(event)

    def _append(self, event: Mapping[str, Any]) -> None:
        line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self._octets += len(line)

    def flush(self) -> None:
        """Write what the destination takes now."""
        if self._fd < 0 or self._retry is not None:
            return
        try:
            while self._lines:
                if not self._write_some():
                    self._watch(on=True)
                    return
        except OSError as error:
            self._lost(error)
            return
        self._complained = False
        self._watch(on=False)

    def reopen(self) -> None:
        """Open the destination anew, after its file was moved away."""
        if self._destination == STANDARD_OUTPUT:
            return
        self._close()
        try:
            self._open()
        except OSError as error:
            self._lost(error)
        self.flush()

    def close(self) -> None:
        """Write what can be written at once and close."""
        self.flush()
        if self._lines:
            _log.warning("event log %s: %d events were not written", self._destination, len(self._lines))
        self._close()

    # -- writing ----------------------------------------------------------------------------------

    def _write_some(self) -> bool:
        """Write one piece; return False when the destination takes nothing now."""
        piece = self._next_piece()
        try:
            if self._destination == STANDARD_OUTPUT:
                if not _takes_output(self._fd):
                    return False
                written = os.write(self._fd, piece[:_STDOUT_PIECE_OCTETS])
            elif self._is_socket:
                written = self._socket.send(piece)
            else:
                written = os.write(self._fd, piece)
        except BlockingIOError:
            return False
        self._remove(written)
        return True

    def _next_piece(self) -> bytes:
        head = self._lines[0][self._head_written :]
        if len(self._lines) == 1:
            return head
        pieces, size = [head], len(head)
        for index in range(1, len(self._lines)):
            if size >= _PIECE_OCTETS:
                break
            pieces.append(self._lines[index])
            size += len(self._lines[index])
        return b"".join(pieces)

    def _remove(self, written: int) -> None:
        written += self._head_written
        while self._lines and written >= len(self._lines[0]):
            line = self._lines.popleft()
            written -= len(line)
            self._octets -= len(line)
        self._head_written = written

    def _watch(self, *, on: bool) -> None:
        if on != self._watching:
            self._watching = on
            if on:
                self._loop.register(self._fd, OUT, lambda _mask: self.flush())
            else:
                self._loop.unregister(self._fd)

    # -- opening ----------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._destination == STANDARD_OUTPUT:
            self._fd = 1
            return
        mode = os.stat(self._destination).st_mode if os.path.exists(self._destination) else 0
        # a listener that ended may have taken its socket with it: a file there would keep the next one out
        self._is_socket = stat.S_ISSOCK(mode) or (self._is_socket and not mode)
        if self._is_socket:
            self._connect()
        elif stat.S_ISFIFO(mode):
            self._fd = os.open(self._destination, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            self._fd = os.open(self._destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(self._destination)
        except OSError:
            self._socket.close()
            raise
        self._fd = self._socket.fileno()

    def _close(self) -> None:
        if self._fd < 0:
            return
        self._watch(on=False)
        if self._is_socket:
            self._socket.close()
        elif self._destination != STANDARD_OUTPUT:
            os.close(self._fd)
        self._fd = -1

    def _lost(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("event log %s: %s, trying again", self._destination, error.strerror)
        if self._destination == STANDARD_OUTPUT:
            self._watch(on=False)  # a pipe without reader is always ready
        else:
            self._close()
            if self._is_socket:
                self._head_written = 0
        if self._retry is None:
            self._retry = self._loop.call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self._fd < 0:
            try:
                self._open()
            except OSError as error:
                self._lost(error)
                return
        self.flush()


def _takes_output(fd: int) -> bool:
    """Whether a blocking descriptor takes PIPE_BUF octets without blocking (pipe(7))."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
