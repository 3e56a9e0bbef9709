"""Carries out renames without ever overwriting a file, so that doing it twice changes nothing.

Strategy: link to the new name, then unlink the old one; a file system without links gets a rename after a look
(this process is the only one that gives such names). Whatever a crash interrupted is recognised by what is there.
Directories, which have no second link, are renamed by renameat2(2) with RENAME_NOREPLACE.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import functools
import os
from collections.abc import Callable

from fastscp.errors import StorageError

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
#: what renameat2(2) says where the kernel or the file system does not have it
_NO_RENAMEAT2 = frozenset({errno.ENOSYS, errno.EINVAL})


class Outcome(enum.Enum):
    """What became of one rename."""

    DONE = "done"
    TAKEN = "taken"  #: another file has the new name
    MISSING = "missing"  #: neither name is there


def rename(directory: str, old: str, new: str) -> Outcome:
    """Rename ``old`` to ``new`` in ``directory``. Raises ``StorageError``."""
    source, target = f"{directory}/{old}", f"{directory}/{new}"
    try:
        try:
            os.link(source, target)
        except FileExistsError:
            if not _same_file(source, target):
                return Outcome.TAKEN if os.path.lexists(source) else Outcome.DONE
        except FileNotFoundError:
            return Outcome.DONE if os.path.lexists(target) else Outcome.MISSING
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _rename_without_links(source, target)
        _unlink(source, target)
    except OSError as error:
        raise StorageError(f"cannot rename {source} to {new}: {error.strerror}", errno=error.errno,
                           path=source) from error
    return Outcome.DONE


def _unlink(source: str, target: str) -> None:
    """Remove the old name; where that cannot be done, the new one goes, so that the file is there once."""
    try:
        os.unlink(source)
    except FileNotFoundError:
        raise
    except OSError:
        os.unlink(target)
        raise


def _rename_without_links(source: str, target: str) -> Outcome:
    if os.path.lexists(target):
        return Outcome.TAKEN
    os.rename(source, target)
    return Outcome.DONE


def _same_file(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except FileNotFoundError:
        return False


def rename_directory(source: str, target: str) -> None:
    """Rename a directory. Raises ``FileExistsError`` when anything has the name ``target``, and ``OSError``.

    Where renameat2(2) is missing, a look comes before rename(2): what somebody else makes between the two may be
    replaced when it is an empty directory, never anything else.
    """
    call = _renameat2()
    if call is not None:
        if not call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
            return
        number = ctypes.get_errno()
        if number not in _NO_RENAMEAT2:
            raise OSError(number, os.strerror(number), source, None, target)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target)


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
