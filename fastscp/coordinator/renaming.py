"""Carries out renames without ever overwriting a file, so that doing it twice changes nothing.

Strategy: link to the new name, then unlink the old one; a file system without links gets a rename that
replaces nothing. Whatever a crash interrupted is recognised by what is there.
"""

from __future__ import annotations

import contextlib
import enum
import os

from fastscp.coordinator.beneath import opened
from fastscp.errors import StorageError
from fastscp.store.noreplace import NO_LINKS, exists
from fastscp.store.noreplace import rename as rename_file


class Outcome(enum.Enum):
    """What became of one rename."""

    DONE = "done"
    TAKEN = "taken"  #: another file has the new name
    MISSING = "missing"  #: neither name is there


class Renames:
    """Renames files of one directory, which is opened once and stays open until the block is left."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._opened = contextlib.ExitStack()
        self._fd = -1
        self._error: OSError | None = None

    def __enter__(self) -> Renames:  # noqa: PYI034 - the typing of Python 3.10 has no Self
        try:
            self._fd = self._opened.enter_context(opened(self._directory))
        except OSError as error:
            self._error = error
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def rename(self, old: str, new: str) -> Outcome:
        """Rename ``old`` to ``new``. Raises ``StorageError``."""
        try:
            if self._error is not None:
                raise self._error
            return _rename(self._fd, old, new)
        except FileNotFoundError:
            return Outcome.MISSING
        except OSError as error:
            source = f"{self._directory}/{old}"
            raise StorageError(f"cannot rename {source} to {new}: {error.strerror}", errno=error.errno, path=source) from error


def _rename(fd: int, old: str, new: str) -> Outcome:
    try:
        os.link(old, new, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
    except FileExistsError:
        if not _same_file(old, new, fd):
            return Outcome.TAKEN if exists(old, fd) else Outcome.DONE
    except FileNotFoundError:
        return Outcome.DONE if exists(new, fd) else Outcome.MISSING
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            rename_file(old, new, src_dir_fd=fd, dst_dir_fd=fd)
        except FileExistsError:
            return Outcome.TAKEN
        return Outcome.DONE
    try:
        os.unlink(old, dir_fd=fd)
    except FileNotFoundError:  # somebody else did
        return Outcome.DONE
    except OSError:  # the new name goes, so that the file is there once
        os.unlink(new, dir_fd=fd)
        raise
    return Outcome.DONE


def _same_file(first: str, second: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(first, dir_fd=fd, follow_symlinks=False),
                                os.stat(second, dir_fd=fd, follow_symlinks=False))
    except FileNotFoundError:
        return False
