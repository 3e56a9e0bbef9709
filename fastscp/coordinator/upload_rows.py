"""What an object store is to get, as rows of the durable state: written in the transaction of the change that they tell.

``uploads``  each file that is to be in the store: where it is now, and once it is confirmed which file that was
``parts``    each end of a study here, with the files that belong to it (``uploads.part``), until nothing is to be done for it
``away``     objects whose file was removed because the store has them: what comes again is recognised by its digest

Invariants: there is one row for each place, so a file that took the place of another takes its row; a row that is confirmed keeps
its part then, without a place. Numbers are never given twice, so what is told of a row that is gone concerns no other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fastscp import jsontext
from fastscp.coordinator.engine import Engine

#: rows that are dropped at once
ROWS_PER_STEP: Final = 64


@dataclasses.dataclass(frozen=True)
class Part:
    """An end of a study here. ``written``: since when, in seconds since the epoch, whoever needs its manifest has it."""

    number: int
    study: int
    key: str
    directory: str
    written: float | None


@dataclasses.dataclass(frozen=True)
class Local:
    """A file that the store has. ``identity`` is that of the file that was read."""

    number: int
    key: str
    directory: str | None
    name: str
    sha256: str
    identity: str
    instance: str


class UploadRows:
    """The rows, in the ``engine`` of the state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- files ------------------------------------------------------------------------------------

    def stored(self, key: str, directory: str, name: str, sha256: str, size: int, body: bytes) -> None:
        """Keep a file; one that is known with these octets stays as it is, another one gives up its place."""
        self._engine.write("UPDATE uploads SET directory = NULL WHERE directory = ? AND name = ? AND sha256 <> ? "
                           "AND confirmed IS NOT NULL", (directory, name, sha256))
        self._engine.write(
            "INSERT OR REPLACE INTO uploads (key, directory, name, sha256, size, body) SELECT ?, ?, ?, ?, ?, ? "
            "WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE directory = ? AND name = ? AND sha256 = ?)",
            (key, directory, name, sha256, size, body, directory, name, sha256))

    def renamed(self, directory: str, names: Iterable[tuple[str, str]]) -> None:
        """Follow files of a directory to their new names."""
        for old, new in names:
            if old != new:
                self._engine.write("UPDATE OR REPLACE uploads SET name = ? WHERE directory = ? AND name = ?", (new, directory, old))

    def moved(self, old: str, new: str) -> None:
        """Follow a directory."""
        self._engine.write("UPDATE OR REPLACE uploads SET directory = ? WHERE directory = ?", (new, old))

    def repeated(self, directory: str, name: str, kept: tuple[str, str] | None) -> None:
        """Take note that a file was removed because its octets are in another; None: the store alone has them."""
        if kept is not None:
            self._engine.write("UPDATE OR IGNORE uploads SET directory = ?, name = ? WHERE directory = ? AND name = ?",
                               (*kept, directory, name))
        self._engine.write("DELETE FROM uploads WHERE directory = ? AND name = ?", (directory, name))

    def confirm(self, number: int, identity: str) -> dict[str, Any] | None:
        """Take note that the store has a file; return what is known of that, None when it is not wanted any more."""
        row = self._engine.read("SELECT key, sha256, body FROM uploads WHERE number = ? AND confirmed IS NULL", (number,)).fetchone()
        if row is None:
            return None
        self._engine.write("UPDATE uploads SET confirmed = ? WHERE number = ?", (identity, number))
        return {"key": row[0], "sha256": row[1], **jsontext.loads(row[2])}

    def waiting_in(self, directory: str) -> Iterator[str]:
        """Yield the names of the files of a directory that the store is still to get."""
        for (name,) in self._engine.read("SELECT name FROM uploads WHERE directory = ? AND confirmed IS NULL", (jsontext.safe(directory),)):
            yield jsontext.meant(name)

    # -- ends of studies --------------------------------------------------------------------------

    def add_to_part(self, part: int, directory: str, names: Iterable[str]) -> None:
        """Take note which files belong to an end."""
        for name in names:
            self._engine.write("UPDATE uploads SET part = ? WHERE directory = ? AND name = ?", (part, directory, name))

    def end(self, part: int, study: int, key: str, revision: int, directory: str, *, epoch: str = "", entry: int = 0) -> None:
        """Keep an end whose files were told. ``entry`` is the last one of the fleet's journal that concerns it."""
        self._engine.write(
            "INSERT OR REPLACE INTO parts SELECT ?, ?, ?, ?, ?, (SELECT count(*) FROM uploads WHERE part = ?), ?, ?, NULL",
            (part, study, key, revision, directory, part, epoch, entry))

    def written(self, part: int, when: float) -> None:
        """Take note that an end needs no manifest any more."""
        self._engine.write("UPDATE parts SET written = ? WHERE number = ? AND written IS NULL", (when, part))

    def due_parts(self, before: float, after: int, most: int) -> list[Part]:
        """Return some ends whose manifest was written before a time, behind that number."""
        return self._parts("written <= ? AND number > ? ORDER BY number LIMIT ?", (before, after, most))

    def parts_in(self, directory: str) -> list[Part]:
        """Return every end in a directory."""
        return self._parts("directory = ?", (jsontext.safe(directory),))

    def _parts(self, which: str, values: tuple[object, ...]) -> list[Part]:
        return [Part(number, study, key, jsontext.meant(directory), written) for number, study, key, directory, written in
                self._engine.read(f"SELECT number, study, key, directory, written FROM parts WHERE {which}", values)]  # noqa: S608 - no text of anybody

    def last_part(self) -> int:
        """Return the highest number of an end, 0 where there is none."""
        return int(self._engine.read("SELECT max(ifnull((SELECT max(number) FROM parts), 0), ifnull((SELECT max(part) FROM uploads), 0))"
                                     ).fetchone()[0])

    def failed_hooks(self) -> set[int]:
        """Return the studies that have a hook which failed for good, and may be run again."""
        return {study for (study,) in self._engine.read("SELECT DISTINCT study FROM failed")}

    def locals(self, part: int) -> list[Local]:
        """Return some files of an end that the store has."""
        return [Local(number, key, None if directory is None else jsontext.meant(directory), jsontext.meant(name), sha256, identity,
                      jsontext.loads(body)["sop_instance_uid"])
                for number, key, directory, name, sha256, identity, body in self._engine.read(
                    "SELECT number, key, directory, name, sha256, confirmed, body FROM uploads WHERE part = ? "
                    "AND confirmed IS NOT NULL ORDER BY number LIMIT ?", (part, ROWS_PER_STEP))]

    def forget(self, number: int) -> None:
        """Drop a file that the store has."""
        self._engine.write("DELETE FROM uploads WHERE number = ?", (number,))

    def forget_part(self, number: int) -> None:
        """Drop an end whose files are dropped."""
        self._engine.write("DELETE FROM parts WHERE number = ?", (number,))

    # -- what only the store has --------------------------------------------------------------------

    def gone(self, local: Local, when: float) -> None:
        """Keep that the store alone has an object."""
        self._engine.write("INSERT OR REPLACE INTO away VALUES (?, ?, ?, ?)", (local.key, local.instance, local.sha256, when))

    def is_away(self, key: str, instance: str, sha256: str) -> bool:
        """Whether only the store has an object with these octets."""
        return self._engine.read("SELECT 1 FROM away WHERE key = ? AND instance = ? AND sha256 = ?",
                                 (key, instance, sha256)).fetchone() is not None

    def forget_away(self, before: float) -> None:
        """Drop what was removed before a time."""
        self._engine.write("DELETE FROM away WHERE since < ?", (before,))
