"""Gives names without ever taking one that something else has: renameat2(2) with RENAME_NOREPLACE, and link(2)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Callable

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
#: what renameat2(2) says where the kernel or the file system does not have it
_NO_RENAMEAT2 = frozenset({errno.ENOSYS, errno.EINVAL})
#: what link(2) says where the file system cannot, though both names would be on it
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def rename(source: str, target: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    """Rename a file or a directory. Raises ``FileExistsError`` when anything has the name ``target``, and ``OSError``.

    Where renameat2(2) is missing, a look comes before rename(2): what somebody else makes between the two may be
    replaced when it is a file, or an empty directory.
    """
    call = _renameat2()
    if call is not None:
        if not call(_AT_FDCWD if src_dir_fd is None else src_dir_fd, os.fsencode(source),
                    _AT_FDCWD if dst_dir_fd is None else dst_dir_fd, os.fsencode(target), _RENAME_NOREPLACE):
            return
        number = ctypes.get_errno()
        if number not in _NO_RENAMEAT2:
            raise OSError(number, os.strerror(number), source, None, target)
    if exists(target, dst_dir_fd):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def give_name(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int, replace: bool) -> bool:
    """Move a file to its final name; return whether it replaced another.

    Without ``replace`` raises ``FileExistsError`` when there is something of that name. ``OSError`` passes through.
    """
    try:
        os.link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)
    except FileExistsError:
        if not replace:
            raise
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        return True
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if not replace:
            rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return False
        replaced = exists(target, dst_dir_fd)
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        return replaced
    with contextlib.suppress(OSError):  # the file has its name; who tidies up removes the other
        os.unlink(source, dir_fd=src_dir_fd)
    return False


def exists(path: str, dir_fd: int | None = None) -> bool:
    """Tell whether anything has a name. OSError passes through."""
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    """Return the function of the C library, None where that has none."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function
