"""What processes that died left in directories of this service: found by its name and its lock, and removed.

Nothing of a process that lives is touched, whosever it is: it holds the lock (``fastscp.store.hidden``).
"""

from __future__ import annotations

import contextlib
import os
import stat

from fastscp.store import hidden, noreplace
from fastscp.store.quarantine import REPORT_SUFFIX

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # whatever has such a name must not keep anybody waiting
_PATH_OCTETS = 8192


def tidy(directory: str) -> list[str]:
    """Remove what was left in a directory, and where its notes lead; return what was removed. OSError passes through."""
    removed: list[str] = []
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(fd) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(hidden.PREFIX)]
        for name in sorted(names):
            kind = hidden.kind_of(name)
            if kind is not None:
                removed += _tidy(fd, name, kind)
    finally:
        os.close(fd)
    return removed


def _tidy(fd: int, name: str, kind: str) -> list[str]:
    """Remove one file, if its owner is gone, after what it is a note of."""
    try:
        file = os.open(name, os.O_RDWR | _FLAGS, dir_fd=fd)
    except OSError:  # it went, or is another's: who may not open it does not know whose
        return []
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode) or not hidden.claim_abandoned(file):
            return []
        removed: list[str] = []
        if kind != hidden.TEMPORARY:
            noted = os.fsdecode(os.pread(file, _PATH_OCTETS, 0))
            found = _undo_keeping(fd, noted) if kind == hidden.NOTE else _undo_copy(fd, noted)
            if found is None:
                return []
            removed += found
        return [*removed, *_unlink(fd, name)]
    finally:
        os.close(file)


def _undo_keeping(fd: int, name: str) -> list[str]:
    """Remove the report of an object that never got its own name."""
    name = os.path.basename(name)
    if not name or noreplace.exists(name, fd):
        return []
    return _unlink(fd, name + REPORT_SUFFIX)


def _undo_copy(fd: int, path: str) -> list[str] | None:
    """Remove a copy that was being made in another directory, None when its owner lives.

    Whatever else a note may name is left alone.
    """
    directory, name = os.path.split(path)
    if hidden.kind_of(name) != hidden.TEMPORARY:
        return []
    try:
        other = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | _FLAGS, dir_fd=fd)
    except OSError:
        return []
    try:
        if not noreplace.exists(name, other):
            return []
        return [path for _ in _tidy(other, name, hidden.TEMPORARY)] or None
    except OSError:
        return None
    finally:
        os.close(other)


def _unlink(fd: int, name: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)
        return [name]
    return []
