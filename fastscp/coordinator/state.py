"""The durable state in sqlite3.

Strategy: what is kept, as tables and statements; ``fastscp.coordinator.engine`` has them carried out. Writes gather in one
transaction per round of the coordinator's loop; nothing is answered to a worker before ``commit``.

What it does not do: decide anything. Its interface is ``fastscp.study.state.StudyState``, behind which another
engine can take its place.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from fastscp import jsontext
from fastscp.coordinator.engine import Engine
from fastscp.coordinator.formats import MIGRATIONS
from fastscp.errors import ProcessError
from fastscp.study.commands import RECEPTION, SERIES, STUDY
from fastscp.study.state import MOST_FAILED, NEAR, FailedRow, ObjectRow, Recovered, StudyRow, TaskRow

FILE_NAME = "state.sqlite3"
_HOOKS = frozenset({RECEPTION, SERIES, STUDY})

#: objects of forgotten studies that are dropped at once
_ROWS_PER_QUERY: Final = 100
TIDIED_PER_STEP = 256
#: ended studies of which the revision is kept, at most
REVISIONS_KEPT = 200_000


class SqliteState:
    """``StudyState`` in a file of sqlite3, or in memory where nobody could recover it.

    Raises ``ProcessError`` for a file that cannot be used.
    """

    def __init__(self, directory: Path | None, *, wall: Callable[[], float] = time.time,
                 engine: Callable[[Path | None], Engine] = Engine, released: Callable[[], None] = lambda: None) -> None:
        """``released`` is called when the file is closed: another process may use it."""
        self.directory = directory
        self._released = released
        self._wall = wall
        try:
            self._engine = self.engine = engine(directory / FILE_NAME if directory else None)
            self._engine.migrate(MIGRATIONS)
        except sqlite3.Error as error:
            raise ProcessError(f"study state in {directory or 'memory'} cannot be used: {error}") from error
        self._forgotten = deque(row[0] for row in self._read("SELECT study FROM objects EXCEPT SELECT number FROM studies"))

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        self._engine.write(statement, values)

    def _read(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self._engine.read(query, values)

    def recover(self) -> Recovered:
        """Return everything kept."""
        studies = [StudyRow(number, uid, jsontext.meant(directory), opened, bool(made), None, objects)
                   for number, uid, directory, opened, made, objects in self._read(
            "SELECT number, uid, directory, opened, made, "
            "(SELECT count(*) FROM objects WHERE study = studies.number) FROM studies "
            "WHERE ended IS NULL ORDER BY number")]
        tasks = self._tasks()
        events = dict(self._read(
            "SELECT name, max(event) FROM (SELECT name, event FROM incarnations UNION ALL "
            "SELECT incarnation, event FROM objects) GROUP BY name"))
        holders = dict(self._read("SELECT association, study FROM objects JOIN studies ON study = studies.number "
                                  "WHERE ended IS NULL ORDER BY latest"))
        last_study = max(self._maximum("SELECT max(number) FROM studies"),
                         self._maximum("SELECT max(study) FROM objects"))  # not all of a forgotten study may be dropped
        return Recovered(
            studies, tasks, events, holders,
            last_study=max([last_study, *(task.study for task in tasks)]),  # a task may outlive its study's row
            last_task=max(self._maximum("SELECT max(number) FROM tasks"),
                          self._maximum("SELECT max(number) FROM failed")),
            last_object=self._maximum("SELECT max(latest) FROM objects"))

    def _tasks(self) -> list[TaskRow]:
        """Return every task; of hooks that have to wait long the bodies stay where they are."""
        tasks: list[TaskRow] = []
        for number, study, kind, body in self._read("SELECT number, study, kind, body FROM tasks ORDER BY number"):
            near = kind not in _HOOKS or len(tasks) < NEAR
            tasks.append(TaskRow(number, study, kind, body if near else b""))
        return tasks

    def _maximum(self, query: str) -> int:
        return int(self._read(query).fetchone()[0] or 0)

    def open_study(self, row: StudyRow) -> None:
        """Keep an opened (or opened again) study."""
        self._write("INSERT OR REPLACE INTO studies VALUES (?, ?, ?, ?, ?, NULL)",
                    (row.number, row.uid, row.directory, row.opened, row.made))

    def forget_study(self, number: int) -> None:
        """Drop a study; ``tidy`` drops its objects."""
        self._write("DELETE FROM studies WHERE number = ?", (number,))
        self._forgotten.append(number)

    def tidy(self) -> bool:
        """Drop some of what belongs to nothing any more; return whether there is more of it."""
        if self._forgotten:
            study = self._forgotten[0]
            some = "study = ? AND file IN (SELECT file FROM objects WHERE study = ? ORDER BY file LIMIT ?)"
            self._forget_objects(some, (study, study, TIDIED_PER_STEP))
            if self._read("SELECT 1 FROM objects WHERE study = ? LIMIT 1", (study,)).fetchone() is None:
                self._forgotten.popleft()
        return bool(self._forgotten)

    def _forget_objects(self, which: str, values: tuple[object, ...]) -> None:
        """Drop objects; the highest event of each worker stays known."""
        self._write(
            f"INSERT INTO incarnations SELECT incarnation, max(event) FROM objects WHERE {which} "  # noqa: S608 - no text of anybody
            "GROUP BY incarnation ON CONFLICT (name) DO UPDATE SET event = max(event, excluded.event)", values)
        self._write(f"DELETE FROM objects WHERE {which}", values)  # noqa: S608

    def end_study(self, number: int, when: float) -> None:
        """Keep an ended study, for late objects."""
        self._write("UPDATE studies SET ended = ? WHERE number = ?", (when, number))

    def ended_study(self, uid: str) -> StudyRow | None:
        """Return the most recently ended study of that UID."""
        row = self._read(
            "SELECT number, uid, directory, opened, made, ended, "
            "(SELECT count(*) FROM objects WHERE study = studies.number) FROM studies "
            "WHERE uid = ? AND ended IS NOT NULL ORDER BY ended DESC LIMIT 1", (uid,)).fetchone()
        return None if row is None else StudyRow(row[0], row[1], jsontext.meant(row[2]), *row[3:])

    def forget_ended(self, before: float, keep: int) -> None:
        """Drop what ended before that time, and the objects of all but the latest studies, up to ``keep`` objects."""
        for (number,) in self._read("SELECT number FROM studies WHERE ended < ?", (before,)).fetchall():
            self.forget_study(number)
        old = "SELECT uid FROM revisions WHERE ended < ?"
        self._write(f"DELETE FROM remembered WHERE uid IN ({old})", (before,))  # noqa: S608 - no text of anybody
        self._write("DELETE FROM revisions WHERE ended < ?", (before,))
        for uid, number in self._read(
                "SELECT uid, (SELECT max(number) FROM studies WHERE studies.uid = counted.uid AND ended IS NOT NULL) "
                "FROM (SELECT uid, sum((SELECT count(*) FROM remembered WHERE remembered.uid = revisions.uid)) "
                "OVER (ORDER BY ended DESC, uid) AS total FROM revisions) AS counted "
                "WHERE total > ? AND EXISTS (SELECT 1 FROM remembered WHERE remembered.uid = counted.uid)",
                (keep,)).fetchall():
            self._write("DELETE FROM remembered WHERE uid = ?", (uid,))
            if number is not None:
                self.forget_study(number)
        self._write("DELETE FROM revisions WHERE uid IN (SELECT uid FROM revisions ORDER BY ended DESC LIMIT -1 OFFSET ?)",
                    (REVISIONS_KEPT,))

    def revision(self, uid: str) -> int:
        """Return how often the study of that UID ended, 0 for one that never did or was forgotten."""
        return int((self._read("SELECT revision FROM revisions WHERE uid = ?", (uid,)).fetchone() or (0,))[0])

    def set_revision(self, uid: str, revision: int, when: float) -> None:
        """Keep how often a study ended, and that it did now."""
        self._write("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?)", (uid, revision, when))

    def remember(self, uid: str, files: Iterable[tuple[str, str]]) -> None:
        """Keep where files of an ended study are, as (SOP Instance UID, path); the latest one of an instance counts."""
        for instance, path in files:
            self._write("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?)", (uid, instance, path))

    def remembered(self, uid: str) -> dict[str, str]:
        """Return the paths of an ended study's files by SOP Instance UID."""
        return {instance: jsontext.meant(path) for instance, path in self._read(
            "SELECT instance, path FROM remembered WHERE uid = ?", (uid,))}

    def add_object(self, study: int, row: ObjectRow, number: int, incarnation: str, event: int) -> None:
        """Keep an object and the event that told of it; it takes the place of an earlier one of the same name."""
        self._write(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (study, file) DO UPDATE SET "
            "latest = excluded.latest, association = excluded.association, incarnation = excluded.incarnation, "
            "event = excluded.event, name = excluded.name, caller = excluded.caller, body = excluded.body, "
            "changed = max(changed, excluded.changed), arrived = excluded.arrived",
            (study, row.file, number, number, row.association, incarnation, event, row.name, row.caller, row.body,
             row.changed, self._wall()))

    def files(self, study: int, last: int | None = None) -> list[str]:
        """Return the files of a study's objects in order of their first arrival, up to number ``last``."""
        return [file for (file,) in self._read(
            "SELECT file FROM objects WHERE study = ? AND number <= ifnull(?, number) ORDER BY number", (study, last))]

    def objects(self, study: int, files: Iterable[str]) -> list[ObjectRow]:
        """Return the objects of a study that came as ``files``, those that there are."""
        found: dict[str, ObjectRow] = {}
        wanted = list(files)
        for begin in range(0, len(wanted), _ROWS_PER_QUERY):
            some = wanted[begin : begin + _ROWS_PER_QUERY]
            marks = ",".join("?" * len(some))
            for file, name, association, caller, body, changed in self._read(
                    f"SELECT file, name, association, caller, body, changed FROM objects WHERE study = ? AND file IN ({marks})",  # noqa: S608
                    (study, *some)):
                found[file] = ObjectRow(file, name, association, caller, body, bool(changed))
        return [found[file] for file in wanted if file in found]

    def forget_object(self, study: int, file: str) -> None:
        """Drop an object."""
        self._forget_objects("study = ? AND file = ?", (study, file))

    def settle_objects(self, study: int, last: int) -> None:
        """Take note that the objects up to number ``last`` belong to the study's latest end."""
        self._write("UPDATE objects SET changed = 0 WHERE study = ? AND latest <= ?", (study, last))

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

    def task_body(self, number: int) -> bytes:
        """Return the body of a task that is kept."""
        row = self._read("SELECT body FROM tasks WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise ProcessError(f"task {number} is not in the study state")
        return bytes(row[0])

    # -- hooks that failed for good ---------------------------------------------------------------

    def fail_task(self, row: FailedRow) -> None:
        """Keep a hook as failed for good; it is no task any more."""
        task = row.task
        self._write("INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (task.number, task.study, task.kind, task.body, row.study_uid, row.directory, row.command, row.status,
                     row.attempts, row.when))
        self._write("DELETE FROM failed WHERE number <= "
                    "(SELECT number FROM failed ORDER BY number DESC LIMIT 1 OFFSET ?)", (MOST_FAILED,))
        self.finish_task(task.number)

    def retry_failed(self, numbers: Iterable[int] | None) -> list[TaskRow]:
        """Make tasks again of hooks that failed, None of all of them, and return these, in order."""
        rows = [TaskRow(*row) for number in self._failed_numbers(numbers) for row in self._read(
            "SELECT number, study, kind, body FROM failed WHERE number = ?", (number,))]
        for row in rows:
            self.add_task(row)
        self.forget_failed([row.number for row in rows])
        return rows

    def forget_failed(self, numbers: Iterable[int] | None) -> int:
        """Drop hooks that failed, None for all of them; return how many."""
        there = self._failed_numbers(numbers)
        for number in there:
            self._write("DELETE FROM failed WHERE number = ?", (number,))
        return len(there)

    def _failed_numbers(self, numbers: Iterable[int] | None) -> list[int]:
        there = [number for (number,) in self._read("SELECT number FROM failed ORDER BY number")]
        return there if numbers is None else sorted(set(there) & set(numbers))

    # -- what a fleet is told ---------------------------------------------------------------------

    def gateway(self, name: str) -> str:
        """Return the name of this gateway in a fleet: the one that it was given first, for as long as there is this state."""
        row = self._read("SELECT name FROM gateway").fetchone()
        if row is None:
            self._write("INSERT INTO gateway VALUES (?)", (name,))
        return name if row is None else str(row[0])

    def entries_waiting(self) -> tuple[int, int]:
        """Return how many entries are kept, and the highest number."""
        return int(self._read("SELECT count(*) FROM entries").fetchone()[0]), self._maximum("SELECT max(number) FROM entries")

    def add_entry(self, number: int, epoch: str, kind: str, body: bytes) -> None:
        """Keep an entry."""
        self._write("INSERT INTO entries VALUES (?, ?, ?, ?)", (number, epoch, kind, body))

    def drop_entries(self, number: int) -> None:
        """Drop the entries up to that number."""
        self._write("DELETE FROM entries WHERE number <= ?", (number,))

    # -- workers and transactions -----------------------------------------------------------------

    def note_event(self, incarnation: str, event: int) -> None:
        """Keep that this event of a worker, and every one before, was taken over."""
        self._write("INSERT INTO incarnations VALUES (?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET event = max(event, excluded.event)", (incarnation, event))

    def forget_events(self, incarnations: Iterable[str]) -> None:
        """Drop what is kept of workers that are gone."""
        for incarnation in incarnations:
            self._write("DELETE FROM incarnations WHERE name = ?", (incarnation,))

    def commit(self) -> None:
        """Make everything since the last call durable. Raises StorageError; it is all kept then, for the next call."""
        self._engine.commit()

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._engine.close()
            self._released()
