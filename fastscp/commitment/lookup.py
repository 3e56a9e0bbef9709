"""The index of stored objects, read beside the coordinator, which writes it; and a look at the files themselves.

In WAL mode a reader holds no writer up, and sees what is committed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastscp import jsontext
from fastscp.commitment.verdicts import (
    NO_SUCH_OBJECT_INSTANCE,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    Entry,
)
from fastscp.errors import ProcessError
from fastscp.process.reading import reading
from fastscp.store.flush import flush_directory

FILE_NAME: Final = "index.sqlite3"
SCHEMA: Final = """
CREATE TABLE files (
    directory TEXT NOT NULL, file TEXT NOT NULL, instance TEXT NOT NULL, class TEXT NOT NULL, size INTEGER NOT NULL,
    sha256 TEXT, stored REAL NOT NULL, PRIMARY KEY (directory, file)) WITHOUT ROWID;
CREATE INDEX files_by_instance ON files (instance);
"""
_NO_RESOURCES = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM))


class Lookup:
    """The index in a state directory. Its methods raise ``ProcessError`` where it cannot be read."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE_NAME

    def find(self, sop_instance: str) -> list[Entry]:
        """Return the files of an object."""
        return list(self._entries("SELECT instance, class, directory, file, size, sha256, stored FROM files "
                                  "WHERE instance = ? ORDER BY stored", (sop_instance,)))

    def all(self) -> Iterator[Entry]:
        """Yield every file, in the order in which they were stored."""
        yield from self._entries("SELECT instance, class, directory, file, size, sha256, stored FROM files "
                                 "ORDER BY stored, directory, file", ())

    def _entries(self, query: str, values: tuple[str, ...]) -> Iterator[Entry]:
        if not self._file.exists():
            return
        try:
            with reading(self._file) as connection:
                for instance, sop_class, directory, file, size, sha256, stored in connection.execute(query, values):
                    yield Entry(instance, sop_class, jsontext.meant(directory), jsontext.meant(file), size, sha256, stored)
        except sqlite3.Error as error:
            raise ProcessError(f"{self._file} cannot be read: {error}") from error


def secure(entry: Entry) -> int:
    """Have a file and its name on the disk; return 0, or the reason why it is not committed."""
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return NO_SUCH_OBJECT_INSTANCE
    except OSError as error:
        return _reason(error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
            return PROCESSING_FAILURE
        os.fsync(descriptor)
        flush_directory(entry.directory)
    except OSError as error:
        return _reason(error)
    finally:
        os.close(descriptor)
    return 0


def _reason(error: OSError) -> int:
    return RESOURCE_LIMITATION if error.errno in _NO_RESOURCES else PROCESSING_FAILURE
