"""What a worker has told the coordinator and answered already, in a file, until the coordinator has it in its state.

An object whose event is in the journal is as safe as one in the state: whoever comes after both processes reads it. So
the answer to its sender waits for a write into a file, and not for another process.

Layout: one packet a line (``fastscp.process.packets``), ``stored`` ones in the order of their events, each behind the
``opened`` packet of its association. The name of the file is the worker's incarnation. Its writer holds a lock on it
(flock(2)), so that everybody sees whether that is still alive.

Invariants: a line that is not whole was never relied upon; the file is emptied only when the state has all of its
events; it never grows beyond ``MOST_OCTETS``.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

DIRECTORY = "journals"  #: in the state directory
MOST_OCTETS = 4 << 20  #: some 5,000 objects; beyond them answers wait for the coordinator
EMPTIED_AT = 64 << 10  #: octets from which it is worth a call


class Journal:
    """The writing end: one worker's. The file is made with the first packet."""

    def __init__(self, directory: Path, incarnation: str) -> None:
        self._path = directory / incarnation
        self._fd: int | None = None
        self._size = 0
        self._opened: set[str] = set()  #: associations that the file says of who they are
        self._given_up = False

    def keep(self, association: str, opened: bytes, stored: bytes) -> bool:
        """Keep an event of an association; False where the caller has to wait for the coordinator."""
        line = stored + b"\n" if association in self._opened else opened + b"\n" + stored + b"\n"
        if self._size + len(line) > MOST_OCTETS or self._given_up:
            return False
        fd = self._open() if self._fd is None else self._fd
        if fd is None or not self._write(fd, line):
            return False
        self._opened.add(association)
        return True

    def _open(self) -> int | None:
        try:
            begun = self._path.with_name(f".{self._path.name}")  # has its name when it is locked
            self._fd = fd = os.open(begun, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begun.rename(self._path)
        except OSError as error:
            self._give_up(error)
        return self._fd

    def _write(self, fd: int, line: bytes) -> bool:
        try:
            written = os.write(fd, line)
            if written == len(line):
                self._size += written
                return True
            os.ftruncate(fd, self._size)
        except OSError as error:
            self._give_up(error)
        return False

    def _give_up(self, error: OSError) -> None:
        """Have every answer wait for the coordinator from here on, which tells what is wrong with its directory."""
        _log.warning("journal %s cannot be written: %s", self._path, error.strerror)
        self._given_up = True
        self.close()

    def settled(self) -> None:
        """Take note that the state has every event; see that the file is still where it will be looked for."""
        if self._fd is None or self._size < EMPTIED_AT:
            return
        try:
            os.ftruncate(self._fd, 0)
            lost = not os.fstat(self._fd).st_nlink
        except OSError as error:
            self._give_up(error)
            return
        self._size = 0
        self._opened.clear()
        if lost:  # with the directory; another one is made
            self._drop()

    def close(self, *, settled: bool = False) -> None:
        """Close the file, and remove it where the state has every event."""
        if self._fd is not None and settled:
            with contextlib.suppress(OSError):  # whoever reads it finds events that are known
                self._path.unlink()
        self._drop()

    def _drop(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._size = None, 0
        self._opened.clear()


class Journals:
    """The reading end: the journals in a directory, of workers that are alive and of others."""

    def __init__(self, directory: Path | None) -> None:
        """None: there are none."""
        self._directory = directory

    def make(self) -> None:
        """Make the directory. Raises OSError."""
        if self._directory is not None:
            self._directory.mkdir(mode=0o700, exist_ok=True)

    def incarnations(self) -> list[str]:
        """Return the workers that have one, or died when they made it."""
        if self._directory is None:
            return []
        try:
            return sorted(entry.name for entry in self._directory.iterdir())
        except FileNotFoundError:
            return []

    def read(self, incarnation: str) -> Iterator[bytes]:
        """Return the packets in a worker's journal, none where there is no journal. Raises OSError."""
        if self._directory is None:
            return
        try:
            octets = (self._directory / incarnation).read_bytes()
        except FileNotFoundError:
            return
        *lines, _torn = octets.split(b"\n")
        yield from lines

    def remove(self, incarnation: str) -> None:
        """Remove the journal of a worker that is gone; the caller has made durable what was in it."""
        if self._directory is None:
            return
        path = self._directory / incarnation
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return  # it is alive, and was not heard of for another reason
        finally:
            os.close(fd)
