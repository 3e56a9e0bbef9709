"""What an ingest has done, kept in the state directory so that the next one can go on where it was cut off.

Strategy: a SQLite database in WAL mode. Sources are entered when their outcome is certain, many in one transaction.
Before a group of objects is published its *intents* are committed: which file each object is going to be (its inode),
where, and under which number the coordinator will be told. Whoever finds intents at its start looks for those files;
one that is there was published, and only the telling may be missing. The coordinator knows repeats by their number.

The report is written in front of each commit, and its length is part of it; so both always say the same.

Invariants: a source is entered only after its object is published and, where studies are tracked, in the coordinator's
state. One ingest at a time uses a journal: a lock, which every process of it holds until it is gone.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fastscp import jsontext
from fastscp.errors import ProcessError, UsageError

FILE_NAME: Final = "ingest.sqlite"
LOCK_NAME: Final = "ingest.lock"
_SCHEMA: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (path BLOB NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    result TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL, member BLOB NOT NULL, PRIMARY KEY (path, number)) WITHOUT ROWID;
CREATE TABLE intents (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""
_PATIENCE_S: Final = 60.0
_STEP_S: Final = 0.02
#: results after which a source is not read again
FINAL: Final = frozenset({"stored", "quarantined", "not-dicom", "skipped", "archive"})


class Entry(NamedTuple):
    """The outcome of one source."""

    path: bytes
    number: int
    size: int
    mtime: int
    result: str
    target: str = ""
    reason: str = ""
    member: bytes = b""


class Intent(NamedTuple):
    """An object that is about to be published; ``inode`` is the number of its file, ``event`` that of its telling."""

    path: str  #: as Latin-1 text
    number: int
    directory: str
    inode: int
    event: int
    instance: str


class Lock:
    """The right to use a journal, from here to the end of the last process that inherits it. Raises ProcessError."""

    def __init__(self, directory: Path, *, patience_s: float = _PATIENCE_S, pause: Callable[[float], None] = time.sleep) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProcessError(f"state directory {directory} cannot be used: {error.strerror}") from error
        for _ in range(1 + round(patience_s / _STEP_S)):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pause(_STEP_S)
            else:
                return
        os.close(self._descriptor)
        raise ProcessError(f"state directory {directory} is in use by another ingest")

    def close(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


class Journal:
    """The journal in one state directory. Raises ProcessError where it cannot be used, UsageError where it is another's."""

    def __init__(self, directory: Path, output_directory: str, *, resume: bool, incarnation: str) -> None:
        file = directory / FILE_NAME
        try:
            if not resume:
                for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
                    (directory / name).unlink(missing_ok=True)
            self.resumed = file.exists()
            self._connection = sqlite3.connect(file, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            if not self._connection.execute("PRAGMA user_version").fetchone()[0]:
                self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version=1; COMMIT;")
                self.resumed = False
        except (OSError, sqlite3.Error) as error:
            raise ProcessError(f"journal {file} cannot be used: {error}") from error
        self._pending: list[Entry] = []
        self._over: list[int] = []
        self._intended: tuple[int, bytes] | None = None
        self._set_facts(output_directory, incarnation)
        self._events = int(self.fact("events") or 0)  #: the number of the last one that may have been told
        self._last_group = int(self._connection.execute("SELECT COALESCE(MAX(number), 0) FROM intents").fetchone()[0])

    def _set_facts(self, output_directory: str, incarnation: str) -> None:
        where = os.fsencode(os.path.abspath(output_directory)).decode("latin-1")
        if self.resumed and self.fact("output") != where:
            raise UsageError("--resume: the journal in the state directory is that of another output directory", 2)
        if not self.resumed:
            with self._transaction():
                self._set("output", where)
                self._set("incarnation", incarnation)

    @property
    def events(self) -> int:
        """The highest number under which the coordinator may have been told of an object."""
        return self._events

    def fact(self, name: str) -> str:
        """Return what is kept under a name, "" when nothing is."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _transaction(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    # -- what was done ----------------------------------------------------------------------------

    def done(self, path: str, number: int) -> str | None:
        """Return the target of a source that need not be read again ("" where there is none); None: it has to be."""
        row = self._connection.execute(
            "SELECT size, mtime, result, target FROM sources WHERE path = ? AND number = ?", (os.fsencode(path), number)).fetchone()
        if row is None or row[2] not in FINAL:
            return None
        try:
            status = os.stat(path)
        except OSError:
            return None
        return jsontext.meant(row[3]) if (status.st_size, status.st_mtime_ns) == (row[0], row[1]) else None

    def members_done(self, path: str) -> list[list[int]]:
        """Return the numbers of the members of an archive that need not be read again, as ranges."""
        rows = self._connection.execute(
            "SELECT number, size, mtime, result FROM sources WHERE path = ? AND number >= 0 ORDER BY number", (os.fsencode(path),))
        try:
            status = os.stat(path)
        except OSError:
            return []
        ranges: list[list[int]] = []
        for number, size, mtime, result in rows:
            if result not in FINAL or (size, mtime) != (status.st_size, status.st_mtime_ns):
                continue
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        return ranges

    def entries(self) -> Iterator[Entry]:
        """Yield every source that was entered."""
        rows = self._connection.execute("SELECT path, number, size, mtime, result, target, reason, member FROM sources")
        return (Entry(path, number, size, mtime, result, jsontext.meant(target), jsontext.meant(reason), member)
                for path, number, size, mtime, result, target, reason, member in rows)

    def intents(self) -> list[Intent]:
        """Return what was about to be published when the last run was cut off, in order."""
        rows = self._connection.execute("SELECT body FROM intents ORDER BY number").fetchall()
        return [Intent(*values) for (body,) in rows for values in jsontext.loads(body)]

    # -- what is being done -----------------------------------------------------------------------

    def enter(self, entry: Entry) -> None:
        """Enter the outcome of a source, with the next commit."""
        self._pending.append(entry)

    def over(self, group: int) -> None:
        """Forget a group's intents, with the next commit: each of its objects has been entered."""
        self._over.append(group)

    def intend(self, intents: Iterable[Intent]) -> int:
        """Keep intents, with the next commit; return the number of the group."""
        self._last_group += 1
        intents = list(intents)
        self._events = max((self._events, *(one.event for one in intents)))  # what is told again keeps its number
        self._intended = self._last_group, _packed(intents)
        return self._last_group

    def replace_intents(self, intents: Iterable[Intent]) -> None:
        """Forget all intents of earlier runs but these, at once. Raises ProcessError."""
        try:
            with self._transaction() as connection:
                connection.execute("DELETE FROM intents")
                connection.execute("INSERT INTO intents VALUES (0, ?)", (_packed(intents),))
        except sqlite3.Error as error:
            raise ProcessError(f"journal cannot be written: {error}") from error

    def commit(self, report: tuple[str, int] | None) -> None:
        """Make everything certain; ``report`` is the file, and how long it is when all that is entered stands in it.

        Raises ProcessError.
        """
        try:
            self._commit(report)
        except sqlite3.Error as error:
            raise ProcessError(f"journal cannot be written: {error}") from error

    def _commit(self, report: tuple[str, int] | None) -> None:
        pending, self._pending = self._pending, []
        over, self._over = self._over, []
        intended, self._intended = self._intended, None
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [
                one if one.target.isascii() and one.reason.isascii()
                else one._replace(target=jsontext.safe(one.target), reason=jsontext.safe(one.reason)) for one in pending])
            if over:
                connection.executemany("DELETE FROM intents WHERE number = ?", [(group,) for group in over])
            if intended is not None:
                connection.execute("INSERT INTO intents VALUES (?, ?)", intended)
                self._set("events", str(self._events))
            if report is not None:
                self._set("report", report[0])
                self._set("report-octets", str(report[1]))

    def close(self) -> None:
        """Give the database back; what was not committed is lost."""
        self._connection.close()


def _packed(intents: Iterable[Intent]) -> bytes:
    return jsontext.dumps([list(one) for one in intents])
