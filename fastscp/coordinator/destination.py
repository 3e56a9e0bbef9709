"""Where the event stream goes: a file, standard output, a FIFO, a Unix stream socket, or the program that embeds the service.

A file is opened for appending; a FIFO for reading and writing, so that readers may come and go. Standard output
is shared with hooks, so it is not made non-blocking: it gets pieces that a ready pipe takes at once.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from typing import Protocol

STANDARD_OUTPUT = "-"
_STDOUT_PIECE_OCTETS = select.PIPE_BUF
_LINGER_S = 1.0


class Destination(Protocol):
    """What an ``EventLog`` writes to."""

    @property
    def name(self) -> str:
        """What it is called in the log."""

    @property
    def fd(self) -> int:
        """Return -1 while it is not open."""

    @property
    def is_socket(self) -> bool:
        """Whether each opening has a new reader, who knows nothing of a line that was cut."""

    @property
    def is_path(self) -> bool:
        """Whether something else may be there by now, so that a reload opens it anew."""

    @property
    def linger_s(self) -> float:
        """How long it may take nothing, at the end, before what is left is given up."""

    def open(self) -> None:
        """Open it. Raises ``OSError``."""

    def write(self, octets: bytes) -> int:
        """Write what it takes now; return how many octets. Raises ``BlockingIOError`` when none, and ``OSError``."""

    def close(self) -> None:
        """Close it."""


class PathDestination:
    """One destination; what is at its path is found out each time it is opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = f"event log {path}"
        self.is_path = True
        self.linger_s = 0.0
        self.fd = -1  #: -1 while it is not open
        self.is_socket = False  #: each opening has a new reader, who knows nothing of a line that was cut
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Open it. Raises ``OSError``."""
        if self.path == STANDARD_OUTPUT:
            self.fd = 1
            return
        mode = os.stat(self.path).st_mode if os.path.exists(self.path) else 0
        # a listener that ended may have taken its socket with it: a file there would keep the next one out
        self.is_socket = stat.S_ISSOCK(mode) or (self.is_socket and not mode)
        if self.is_socket:
            self._connect()
        elif stat.S_ISFIFO(mode):
            self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            self.fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def write(self, octets: bytes) -> int:
        """Write what it takes now; return how many octets. Raises ``BlockingIOError`` when none, and ``OSError``."""
        if self._socket is not None:
            return self._socket.send(octets)
        if self.path == STANDARD_OUTPUT:
            if not _takes_output(self.fd):
                raise BlockingIOError
            octets = octets[:_STDOUT_PIECE_OCTETS]
        return os.write(self.fd, octets)

    def close(self) -> None:
        """Close it; standard output stays open."""
        if self.path == STANDARD_OUTPUT or self.fd < 0:
            return
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        else:
            os.close(self.fd)
        self.fd = -1

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        self._socket, self.fd = connection, connection.fileno()


class InheritedDestination:
    """A stream socket that this process was started with; each opening has a descriptor of its own for it.

    Its other end reads as fast as it can, so what is left at the end is worth waiting for.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.linger_s = _LINGER_S
        self.is_path = False
        self.is_socket = False  #: the reader is always the same
        self.fd = -1
        self._descriptor = descriptor

    def open(self) -> None:
        """Open it. Raises ``OSError``."""
        self.fd = os.dup(self._descriptor)
        os.set_blocking(self.fd, False)

    def write(self, octets: bytes) -> int:
        """Write what it takes now; return how many octets. Raises ``BlockingIOError`` when none, and ``OSError``."""
        return os.write(self.fd, octets)

    def close(self) -> None:
        """Close it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _takes_output(fd: int) -> bool:
    """Whether a blocking descriptor takes PIPE_BUF octets without blocking (pipe(7))."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
