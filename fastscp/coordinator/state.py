"""The durable state in sqlite3.

Strategy: WAL mode, one connection, written by one process. Writes gather in one transaction per round of the
coordinator's loop; nothing is answered to a worker before ``commit``. With ``synchronous=NORMAL`` a commit
survives the death of any process, not a loss of power.

What it does not do: decide anything. Its interface is ``fastscp.study.state.StudyState``, behind which another
engine can take its place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from fastscp.errors import ProcessError
from fastscp.study.state import ObjectRow, Recovered, StudyRow, TaskRow

FORMAT_VERSION = 1
FILE_NAME = "state.sqlite3"

_SCHEMA = """
CREATE TABLE studies (
    number INTEGER PRIMARY KEY, uid TEXT NOT NULL, directory TEXT NOT NULL, opened REAL NOT NULL,
    made INTEGER NOT NULL, ended REAL);
CREATE INDEX studies_by_uid ON studies (uid);
CREATE INDEX studies_by_end ON studies (ended);
CREATE TABLE objects (
    study INTEGER NOT NULL, file TEXT NOT NULL, number INTEGER NOT NULL, latest INTEGER NOT NULL,
    association TEXT NOT NULL, incarnation TEXT NOT NULL, event INTEGER NOT NULL, name TEXT NOT NULL,
    caller BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (study, file)) WITHOUT ROWID;
CREATE TABLE tasks (number INTEGER PRIMARY KEY, study INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE incarnations (name TEXT PRIMARY KEY, event INTEGER NOT NULL) WITHOUT ROWID;
"""


class SqliteState:
    """``StudyState`` in a file of sqlite3, or in memory where nobody could recover it.

    Raises ``ProcessError`` for a file that cannot be used.
    """

    def __init__(self, directory: Path | None) -> None:
        try:
            self._connection = sqlite3.connect(directory / FILE_NAME if directory else ":memory:", isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._make_tables()
        except sqlite3.Error as error:
            raise ProcessError(f"study state in {directory or 'memory'} cannot be used: {error}") from error
        self._execute = self._connection.execute
        self._writes: list[tuple[str, tuple[object, ...]]] = []  #: not given to sqlite yet
        self._in_transaction = False

    def _make_tables(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={FORMAT_VERSION}; COMMIT;")
        elif version != FORMAT_VERSION:
            raise ProcessError(f"study state has format {version}, this program knows {FORMAT_VERSION}")

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        self._writes.append((statement, values))

    def _settle(self) -> None:
        """Carry out what was written, before something is read."""
        if not self._writes:
            return
        writes, self._writes = self._writes, []
        try:
            if not self._in_transaction:
                self._execute("BEGIN IMMEDIATE")
                self._in_transaction = True
            for statement, values in writes:
                self._execute(statement, values)
        except sqlite3.Error as error:
            raise ProcessError(f"study state cannot be written: {error}") from error

    def _read(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        self._settle()
        return self._execute(query, values)

    def recover(self) -> Recovered:
        """Return everything kept."""
        studies = [StudyRow(number, uid, directory, opened, bool(made), None, objects)
                   for number, uid, directory, opened, made, objects in self._read(
            "SELECT number, uid, directory, opened, made, "
            "(SELECT count(*) FROM objects WHERE study = studies.number) FROM studies "
            "WHERE ended IS NULL ORDER BY number")]
        tasks = [TaskRow(*row) for row in self._read("SELECT number, study, kind, body FROM tasks ORDER BY number")]
        events = dict(self._read(
            "SELECT name, max(event) FROM (SELECT name, event FROM incarnations UNION ALL "
            "SELECT incarnation, event FROM objects) GROUP BY name"))
        holders = dict(self._read("SELECT association, study FROM objects ORDER BY latest"))
        last_study = self._maximum("SELECT max(number) FROM studies")
        return Recovered(
            studies, tasks, events, holders,
            last_study=max([last_study, *(task.study for task in tasks)]),  # a task may outlive its study's row
            last_task=self._maximum("SELECT max(number) FROM tasks"),
            last_object=self._maximum("SELECT max(latest) FROM objects"))

    def _maximum(self, query: str) -> int:
        return int(self._read(query).fetchone()[0] or 0)

    def open_study(self, row: StudyRow) -> None:
        """Keep an opened (or opened again) study."""
        self._write("INSERT OR REPLACE INTO studies VALUES (?, ?, ?, ?, ?, NULL)",
                    (row.number, row.uid, row.directory, row.opened, row.made))

    def forget_study(self, number: int) -> None:
        """Drop a study and its objects."""
        self._write(
            "INSERT INTO incarnations SELECT incarnation, max(event) FROM objects WHERE study = ? GROUP BY incarnation "
            "ON CONFLICT (name) DO UPDATE SET event = max(event, excluded.event)", (number,))
        self._write("DELETE FROM studies WHERE number = ?", (number,))
        self._write("DELETE FROM objects WHERE study = ?", (number,))

    def end_study(self, number: int, when: float) -> None:
        """Keep an ended study, for late objects."""
        self._write("UPDATE studies SET ended = ? WHERE number = ?", (when, number))

    def ended_study(self, uid: str) -> StudyRow | None:
        """Return the most recently ended study of that UID."""
        row = self._read(
            "SELECT number, uid, directory, opened, made, ended, "
            "(SELECT count(*) FROM objects WHERE study = studies.number) FROM studies "
            "WHERE uid = ? AND ended IS NOT NULL ORDER BY ended DESC LIMIT 1", (uid,)).fetchone()
        return None if row is None else StudyRow(*row)

    def forget_ended(self, before: float) -> None:
        """Drop what ended before that time."""
        for (number,) in self._read("SELECT number FROM studies WHERE ended < ?", (before,)).fetchall():
            self.forget_study(number)

    def add_object(self, study: int, row: ObjectRow, number: int, incarnation: str, event: int) -> None:
        """Keep an object and the event that told of it; it takes the place of an earlier one of the same name."""
        self._write(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (study, file) DO UPDATE SET "
            "latest = excluded.latest, association = excluded.association, incarnation = excluded.incarnation, "
            "event = excluded.event, name = excluded.name, caller = excluded.caller, body = excluded.body",
            (study, row.file, number, number, row.association, incarnation, event, row.name, row.caller, row.body))

    def objects(self, study: int) -> list[ObjectRow]:
        """Return the objects of a study in order of their first arrival."""
        return [ObjectRow(*row) for row in self._read(
            "SELECT file, name, association, caller, body FROM objects WHERE study = ? ORDER BY number", (study,))]

    def last_caller(self, study: int) -> bytes | None:
        """Return the ``opened`` packet of the association of the most recent object."""
        row = self._read("SELECT caller FROM objects WHERE study = ? ORDER BY latest DESC LIMIT 1",
                            (study,)).fetchone()
        return None if row is None else bytes(row[0])

    def name_objects(self, study: int, names: Iterable[tuple[str, str]]) -> None:
        """Keep new names of files, given as (file, name)."""
        for file, name in names:
            self._write("UPDATE objects SET name = ? WHERE study = ? AND file = ?", (name, study, file))

    def add_task(self, row: TaskRow) -> None:
        """Keep a task until ``finish_task``; an existing one gets the new body."""
        self._write("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?)", (row.number, row.study, row.kind, row.body))

    def finish_task(self, number: int) -> None:
        """Drop a task that was carried out."""
        self._write("DELETE FROM tasks WHERE number = ?", (number,))

    def forget_events(self, incarnations: Iterable[str]) -> None:
        """Drop what is kept of workers that are gone."""
        for incarnation in incarnations:
            self._write("DELETE FROM incarnations WHERE name = ?", (incarnation,))

    def commit(self) -> None:
        """Make everything since the last call durable."""
        try:
            if len(self._writes) == 1 and not self._in_transaction:  # commits by itself
                statement, values = self._writes.pop()
                self._execute(statement, values)
                return
            self._settle()
            if self._in_transaction:
                self._execute("COMMIT")
        except sqlite3.Error as error:
            raise ProcessError(f"study state cannot be written: {error}") from error
        self._in_transaction = False

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._connection.close()
