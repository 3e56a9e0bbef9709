"""Carries out the statements of the durable state in sqlite3, and survives a disk that does not take them.

Strategy: WAL mode, one connection, written by one process. Statements wait in memory until something is read or
committed; they stay there until a commit has succeeded. What fails is rolled back, and the next commit begins with the
first statement again. A transaction stays in memory until its commit (no spill, no temporary files), so reading works
while the disk is full. sqlite3 says little about what failed, so a file beside the database is written to find out.

Invariants: with ``durable`` a commit survives a loss of power, without it the death of any process. A database that
somebody removed is made again, with everything that was in it, before the next commit. What cannot be read ends the
process; the next one begins with what is on disk.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from fastscp import jsontext
from fastscp.errors import ProcessError, StorageError
from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

Connect = Callable[..., sqlite3.Connection]
_FULL: Final = "database or disk is full"
_PROBE: Final = ".probe"
_PROBE_OCTETS: Final = 65536


class Engine:
    """One database in ``file``, or in memory. ``prepare`` makes the directory of the file again.

    Raises sqlite3.Error when it cannot be opened.
    """

    def __init__(self, file: Path | None, *, durable: bool = False, prepare: Callable[[], None] = lambda: None,
                 connect: Connect = sqlite3.connect) -> None:
        self._file = file
        self._durable = durable
        self._prepare = prepare
        self._connect = connect
        self._connection = self._open()
        self._identity = _identity(file)
        self._pending: list[tuple[str, tuple[object, ...]]] = []  #: not committed yet, in order
        self._done = 0  #: so many of them are carried out, in the open transaction

    def _open(self) -> sqlite3.Connection:
        connection = self._connect(self._file or ":memory:", isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
            connection.execute("PRAGMA cache_spill=OFF")
            connection.execute("PRAGMA temp_store=MEMORY")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def migrate(self, migrations: Sequence[str]) -> None:
        """Bring the tables from whatever format they have to this program's. Raises ProcessError for a newer one."""
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            raise ProcessError(f"study state has format {version}, this program knows {len(migrations)}")
        for number, migration in enumerate(migrations[version:], version + 1):
            self._connection.executescript(f"BEGIN; {migration} PRAGMA user_version={number}; COMMIT;")

    def write(self, statement: str, values: tuple[object, ...]) -> None:
        """Carry out a statement before the next read or commit."""
        self._pending.append((statement, values))

    def read(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Return the rows of a query. Raises ProcessError."""
        try:
            self._settle()
            return self._connection.execute(query, values)
        except sqlite3.Error as error:
            self._roll_back()
            raise ProcessError(f"study state cannot be read: {error}") from error

    def commit(self) -> None:
        """Make everything since the last commit durable. Raises StorageError; then it is kept for the next try."""
        pending = self._pending
        if not pending:
            return
        try:
            if self._file is not None:
                self._find_file(self._file)
            if len(pending) == 1 and not self._done:  # commits by itself
                self._run(pending[0][0], [pending[0][1]])
            else:
                self._settle()
                self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._roll_back()
            reason, number = self._reason(error)
            raise StorageError(f"the state in {self._file and self._file.parent} cannot be written: {reason}",
                               errno=number) from error
        pending.clear()
        self._done = 0

    def close(self) -> None:
        """Close; what was not committed is lost."""
        self._connection.close()

    def _settle(self) -> None:
        """Carry out what was written, in a transaction."""
        pending = self._pending
        if self._done == len(pending):
            return
        if not self._done:
            self._connection.execute("BEGIN IMMEDIATE")
        for statement, alike in groupby(pending[self._done:], itemgetter(0)):
            rows = [values for _, values in alike]
            self._run(statement, rows)
            self._done += len(rows)

    def _run(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Carry out a statement with each row of values."""
        while rows:
            left = iter(rows)
            try:
                if len(rows) == 1:  # commits by itself, where it is all there is
                    self._connection.execute(statement, next(left))
                else:
                    self._connection.executemany(statement, left)
            except UnicodeEncodeError:  # a path that is not UTF-8; the rows before it are done
                behind = len(rows) - len(list(left))
                self._connection.execute(statement, tuple(jsontext.safe(value) if isinstance(value, str) else value
                                                          for value in rows[behind - 1]))
                rows = rows[behind:]
            else:
                return

    def _roll_back(self) -> None:
        """Forget what was carried out since the last commit; it stays pending."""
        self._done = 0
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise ProcessError(f"study state cannot be used: {error}") from error

    # -- a disk that changes ----------------------------------------------------------------------

    def _find_file(self, file: Path) -> None:
        """Go on in a new file when somebody removed the one in use. Raises OSError, sqlite3.Error, ProcessError."""
        found = _identity(file)
        if found == self._identity:
            return
        if found is not None:
            raise ProcessError(f"another state has taken the place of the one in {file.parent}")
        self._prepare()
        self._roll_back()
        memory = sqlite3.connect(":memory:")
        self._connection.backup(memory)
        self._connection.close()  # before there is another: it removes files by their names
        self._connection = memory  # if the rest fails, everything is still there
        try:
            replacement = self._copy(memory)
            identity = _identity(file)
        except (sqlite3.Error, OSError):
            for suffix in ("", "-wal", "-shm"):  # what was begun is not another state
                Path(f"{file}{suffix}").unlink(missing_ok=True)
            raise
        memory.close()
        self._connection, self._identity = replacement, identity
        _log.warning("the state in %s was removed by somebody, made again", file.parent)

    def _copy(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """Return a new database in the file with all that is in another. Raises sqlite3.Error."""
        replacement = self._open()
        try:
            memory.backup(replacement)
        except sqlite3.Error:
            replacement.close()
            raise
        return replacement

    def _reason(self, error: Exception) -> tuple[str, int | None]:
        """Say why the disk takes nothing, in the system's words where it has some."""
        if isinstance(error, OSError):
            return os.strerror(error.errno or errno.EIO), error.errno
        try:
            self._try_disk()
        except OSError as found:
            return os.strerror(found.errno or errno.EIO), found.errno
        return (os.strerror(errno.ENOSPC), errno.ENOSPC) if str(error) == _FULL else (str(error), None)

    def _try_disk(self) -> None:
        """Write a file beside the database, and remove it. Raises OSError."""
        if self._file is None:
            return
        probe = self._file.with_name(_PROBE)
        fd = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(bytes(_PROBE_OCTETS))
            while rest:
                rest = rest[os.write(fd, rest):]
            os.fsync(fd)
        finally:
            os.close(fd)
            os.unlink(probe)


def _identity(file: Path | None) -> tuple[Any, ...] | None:
    """Return what tells a file from another of its name, None where there is none. OSError passes through."""
    if file is None:
        return None
    try:
        status = os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
