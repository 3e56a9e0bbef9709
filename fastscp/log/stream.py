"""Writes whole messages to a descriptor that other processes write to as well.

A message goes out by one ``write``. To a regular file the kernel keeps such writes apart. A pipe or terminal
does so only up to ``PIPE_BUF`` octets (POSIX.1 ``write``), so there all processes of the service take turns by
a lock they inherit. It is waited for only for a moment: a process that was stopped while it held the lock costs at
the worst a torn line, never the service. A reader that does not read must not stop the service: pipes, terminals and sockets are
written to without blocking, the former two by a description of our own because ``O_NONBLOCK`` would otherwise
be seen by every program that shares the descriptor. A message waits for a reader that is slow, ``_PATIENCE_MS`` in all;
when there was no room in that time, messages are dropped at once and counted, until there is room again (ADR 15).
What is written to a closed descriptor is lost silently: there is no other place to report it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import stat
import time

from fastscp.log.turns import Turns

_PATIENCE_MS = 100.0
_GONE = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ENXIO, errno.ECONNRESET, errno.ENOTCONN)

#: What is written once there is room again; ``%d`` is the number of messages.
NOTICE = b"W: %d log messages were lost\n"


class Stream:
    """One descriptor shared by the processes of the service; made before they are forked."""

    def __init__(self, descriptor: int, notice: bytes = NOTICE) -> None:
        self._descriptor = descriptor
        self._notice = notice
        self._opened: list[int] = []
        self._lock: int | None = None
        self._lost = 0
        self._turns = Turns()
        self._stuck = False
        self._torn = False
        self._patience_ms = 0.0  #: of the message at hand
        self._socket: socket.socket | None = None
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            self._descriptor = -1
            return
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            self._descriptor = self._own_description(descriptor)
        if stat.S_ISSOCK(mode):  # as systemd gives it
            self._socket = socket.socket(fileno=os.dup(descriptor))
        if not stat.S_ISREG(mode):
            self._lock = os.memfd_create("fastscp-log", os.MFD_CLOEXEC)
            self._opened.append(self._lock)

    def close(self) -> None:
        """Close what this stream has opened; the descriptor it was made for is not its own."""
        for descriptor in self._opened:
            os.close(descriptor)
        self._opened.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._descriptor = -1

    def _own_description(self, descriptor: int) -> int:
        """Open what ``descriptor`` refers to once more, non-blocking; fall back to the descriptor itself."""
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            return descriptor
        self._opened.append(own)
        return own

    def write(self, octets: bytes) -> None:
        """Write one message, whole or not at all as far as the kernel allows."""
        if self._descriptor < 0:
            return
        if self._lock is None:
            self._write_all(octets)
            return
        locked = self._turns.take(self._lock)
        try:
            if self._lost:
                line_end = b"\n" if self._torn else b""
                octets = line_end + self._notice % self._lost + octets
            self._write_all(octets)
        finally:
            if locked:
                fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _write_all(self, octets: bytes) -> None:
        view = memoryview(octets)
        self._patience_ms = _PATIENCE_MS
        while view:
            if not self._ready(wait=len(view) < len(octets)):
                self._lost += 1
                self._torn |= len(view) < len(octets)
                return
            try:
                view = view[self._write_some(view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self._give_up(error)
                return
        self._stuck = self._torn = False
        self._lost = 0

    def _write_some(self, view: memoryview) -> int:
        """Write as much as goes at once without blocking; return how much that was."""
        if self._lock is None:
            return os.write(self._descriptor, view)
        piece = view[: select.PIPE_BUF]
        if self._socket is not None:
            return self._socket.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(self._descriptor, piece)

    def _ready(self, *, wait: bool) -> bool:
        """Wait for room. After a wait that timed out, new messages do not wait until there was room again."""
        if self._lock is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        events = poll.poll(0)
        if not events and (wait or not self._stuck) and self._patience_ms > 0:
            began = time.monotonic()
            events = poll.poll(self._patience_ms)
            self._patience_ms -= (time.monotonic() - began) * 1000
        self._stuck = not events
        return bool(events)

    def _give_up(self, error: OSError) -> None:
        """Stop writing when the reader is gone for good; a full disk may get room again."""
        if error.errno in _GONE:
            self._descriptor = -1
        else:
            self._lost += 1
