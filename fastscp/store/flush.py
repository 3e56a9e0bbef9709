"""What has to be on the disk is brought there: files, names in directories, whole file systems.

Invariant: what could not be flushed counts as lost. The kernel forgets what it could not write, so a second attempt that
succeeds would say nothing.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections.abc import Callable
from typing import Final

#: since this version of Linux syncfs(2) tells what could not be written
_TELLS_ERRORS: Final = (5, 8)


def flush_directory(path: str, dir_fd: int | None = None) -> None:
    """Have the names in a directory on the disk. Raises ``OSError``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def flush_existing(directory: str, file: str) -> None:
    """Have a file that is there already, and its name, on the disk. Raises ``OSError``."""
    fd = os.open(f"{directory}/{file}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    flush_directory(directory)


def flush_file_system(fd: int) -> bool:
    """Have everything on the disk that was written to a file system. Raises ``OSError``.

    Returns False, and does nothing, where errors of it would not be told.
    """
    call = _syncfs()
    if call is None:
        return False
    if call(fd):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    """Return the function of the C library, None where there is none that tells errors."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if version is None or (int(version[1]), int(version[2])) < _TELLS_ERRORS:
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int,)
    function.restype = ctypes.c_int
    return function
