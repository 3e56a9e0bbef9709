"""Copies and removes directories, a piece at a time, so that nobody waits for a big one.

The generators yield pauses of 0 seconds between the pieces. A disk may take seconds to synchronise: a thread waits for
it, and the generator yields meanwhile.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator

from fastscp.coordinator import beneath
from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

PIECE_OCTETS = 8 << 20  #: copied and synchronised at a time
ENTRIES_PER_PIECE = 64  #: removed at a time
_STEP_S = 0.002  #: of waiting for the disk


def copy_tree(source: str, target: str) -> Iterator[float]:
    """Copy a directory: what it holds is on the disk when this ends. Raises ``OSError``.

    Files, directories and symbolic links are copied with their modes and times; anything else is left out, and told.
    """
    top = beneath.make(target)
    try:
        for root, directories, files, fd in os.fwalk(source, onerror=_raise):
            into = beneath.descend(top, os.path.relpath(root, source))
            try:
                yield from _copy_entries(root, (*files, *directories), fd, into)
            finally:
                os.close(into)
    finally:
        os.close(top)


def _copy_entries(root: str, names: Iterable[str], fd: int, into: int) -> Iterator[float]:
    """Copy what is in one directory, but for what is in its directories."""
    os.fchmod(into, stat.S_IMODE(os.fstat(fd).st_mode) | stat.S_IRWXU)
    for name in names:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=fd), name, dir_fd=into)
        elif stat.S_ISREG(status.st_mode):
            yield from _copy_file(fd, name, status, into)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, dir_fd=into)
        else:
            _log.warning("%s/%s is neither file nor directory, it is not moved", root, name)
    yield from _flush(os.fsync, into)


def _raise(error: OSError) -> None:
    raise error


def _copy_file(directory: int, name: str, status: os.stat_result, into: int) -> Iterator[float]:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=into)
        try:
            while os.sendfile(out, source, None, PIECE_OCTETS):
                yield from _flush(os.fdatasync, out)
            os.fchmod(out, stat.S_IMODE(status.st_mode))
            os.utime(out, ns=(status.st_atime_ns, status.st_mtime_ns))
            yield from _flush(os.fsync, out)
        finally:
            os.close(out)
    finally:
        os.close(source)


class _Flush(threading.Thread):
    """Waits for the disk."""

    def __init__(self, call: Callable[[int], None], fd: int) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._fd = fd
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            self._call(self._fd)
        except OSError as error:
            self.error = error


def _flush(call: Callable[[int], None], fd: int) -> Iterator[float]:
    flush = _Flush(call, fd)
    flush.start()
    try:
        while flush.is_alive():
            flush.join(_STEP_S)
            yield 0.0
    finally:
        flush.join()  # the descriptor is its own until then
    if flush.error is not None:
        raise flush.error


def synchronise(directory: str) -> Iterator[float]:
    """Have the names in a directory on the disk. Raises ``OSError``."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield from _flush(os.fsync, fd)
    finally:
        os.close(fd)


def remove_tree(path: str) -> Iterator[float]:
    """Remove a directory and what is in it, if it is there. Raises ``OSError``."""
    if os.path.islink(path):
        os.unlink(path)
    if not os.path.lexists(path):
        return
    removed = 0
    for _, directories, files, fd in os.fwalk(path, topdown=False):
        for name in (*files, *directories):
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
            removed += 1
            if not removed % ENTRIES_PER_PIECE:
                yield 0.0
    os.rmdir(path)
