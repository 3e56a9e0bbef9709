"""Finds out whether two files have the same octets, a piece at a time, so that nobody waits for a long one.

The generators yield between two pieces and return the result::

    likeness = yield from compare_files(one, other)

What cannot be read and what is no regular file is like nothing.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import stat
from collections.abc import Generator

PIECE_OCTETS = 1 << 20
# a FIFO that happens to have the name must not keep anybody waiting, nor a link lead elsewhere
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Likeness(enum.Enum):
    """What two paths have in common."""

    DIFFERENT = "different"
    EQUAL = "equal"  #: two files with the same octets
    ONE_FILE = "one file"  #: one file: who removes it under one name may remove it under both


def compare_files(first: str, second: str) -> Generator[None, None, Likeness]:
    """Compare the files at two paths."""
    with contextlib.ExitStack() as stack:
        try:
            one = os.open(first, _FLAGS)
            stack.callback(os.close, one)
            result = yield from compare_with(one, second)
        except OSError:
            return Likeness.DIFFERENT
    return result


def compare_with(descriptor: int, path: str, dir_fd: int | None = None) -> Generator[None, None, Likeness]:
    """Compare an open file with the one at ``path`` (below ``dir_fd``); costs a failing open(2) when there is none."""
    try:
        other = os.open(path, _FLAGS, dir_fd=dir_fd)
    except OSError:
        return Likeness.DIFFERENT
    try:
        one, two = os.fstat(descriptor), os.fstat(other)
        if os.path.samestat(one, two):
            return Likeness.ONE_FILE
        if not (stat.S_ISREG(one.st_mode) and stat.S_ISREG(two.st_mode)) or one.st_size != two.st_size:
            return Likeness.DIFFERENT
        for offset in range(0, one.st_size, PIECE_OCTETS):
            if offset:
                yield
            octets = os.pread(descriptor, PIECE_OCTETS, offset)
            if not octets or octets != os.pread(other, PIECE_OCTETS, offset):
                return Likeness.DIFFERENT
    except OSError:
        return Likeness.DIFFERENT
    finally:
        os.close(other)
    return Likeness.EQUAL


def digest_of(path: str, dir_fd: int | None = None) -> Generator[None, None, str | None]:
    """Return the SHA-256 of the file at ``path``, in hexadecimal; None when it cannot be read."""
    digest = hashlib.sha256()
    try:
        fd = os.open(path, _FLAGS, dir_fd=dir_fd)
    except OSError:
        return None
    try:
        while octets := os.read(fd, PIECE_OCTETS):
            digest.update(octets)
            yield
    except OSError:
        return None
    finally:
        os.close(fd)
    return digest.hexdigest()
