"""Reads what the object store is to get (``fastscp.coordinator.upload_rows``), beside the coordinator, which writes it.

Strategy: a read-only connection for each look, since the file may be made again under the same name. Whatever is seen is committed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastscp import jsontext
from fastscp.errors import ProcessError
from fastscp.objects.keys import object_key
from fastscp.objects.uploading import Wanted
from fastscp.process.reading import reading
from fastscp.study.naming import of_study_key

MOST_PARTS: Final = 256  #: of one look


@dataclass(frozen=True)
class Waiting:
    """How much the store does not have yet."""

    objects: int
    octets: int


@dataclass(frozen=True)
class Complete:
    """Ends of one study whose objects are all in the store, and these. ``parts`` are their numbers, the last is ``revision``."""

    key: str
    parts: tuple[int, ...]
    revision: int
    objects: tuple[dict[str, Any], ...]


class UploadReader:
    """The journal in a file; keys begin with ``prefix``. Its methods raise ProcessError."""

    def __init__(self, file: Path, prefix: str) -> None:
        self._file = file
        self._prefix = prefix

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with reading(self._file) as connection:
                connection.execute("BEGIN")
                yield connection
        except sqlite3.Error as error:
            raise ProcessError(f"journal in {self._file} cannot be read: {error}") from error

    def wanted(self, after: int, most: int) -> list[Wanted]:
        """Return the next files after that number that are not confirmed."""
        with self._reading() as connection:
            return [Wanted(number, os.path.join(jsontext.meant(directory), jsontext.meant(name)), sha256, size,
                           self._key(key, sha256, jsontext.loads(body)))
                    for number, key, directory, name, sha256, size, body in connection.execute(
                        "SELECT number, key, directory, name, sha256, size, body FROM uploads WHERE confirmed IS NULL AND number > ? "
                        "ORDER BY number LIMIT ?", (after, most))]

    def _key(self, key: str, sha256: str, body: dict[str, Any]) -> str:
        sender, uid = of_study_key(key)
        return object_key(self._prefix, sender, uid, body["series_uid"], body["sop_instance_uid"], sha256)

    def waiting(self) -> Waiting:
        """Return how much waits."""
        with self._reading() as connection:
            return Waiting(*connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM uploads WHERE confirmed IS NULL").fetchone())

    # -- ends of studies --------------------------------------------------------------------------

    def complete(self, after: int, known: Collection[int]) -> tuple[list[Complete], int]:
        """Return studies whose manifest can be written, among ends after that number, but for parts that are ``known`` to have one.

        With them comes where to go on: 0 is the beginning.
        """
        with self._reading() as connection:
            ends = connection.execute("SELECT number, key FROM parts WHERE written IS NULL AND number > ? ORDER BY number LIMIT ?",
                                      (after, MOST_PARTS)).fetchall()
            keys = dict.fromkeys(key for number, key in ends if number not in known)
            found = [one for key in keys if (one := self._complete(connection, key)) is not None]
        return found, ends[-1][0] if len(ends) == MOST_PARTS else 0

    def _complete(self, connection: sqlite3.Connection, key: str) -> Complete | None:
        """Return as many of a study's ends, from the first, as have nothing that waits; None where that is none.

        A file that has given its place to another one is missing in its end: then the end of that other one has to be among them.
        """
        numbers: list[int] = []
        missing, best, revision, last = False, 0, 0, 0
        for number, ended, expected in connection.execute(
                "SELECT number, revision, objects FROM parts WHERE key = ? AND written IS NULL ORDER BY number", (key,)).fetchall():
            there, waits = connection.execute("SELECT count(*), count(*) - count(confirmed) FROM uploads WHERE part = ?",
                                              (number,)).fetchone()
            if waits:
                break
            numbers.append(number)
            missing = missing or there < expected
            last = ended
            if not missing:
                best, revision = len(numbers), ended
        else:
            if missing and not self._is_open(connection, key):
                best, revision = len(numbers), last
        if not best:
            return None
        objects = tuple(self._object(key, sha256, size, jsontext.loads(body)) for number in numbers[:best]
                        for sha256, size, body in connection.execute(
                            "SELECT sha256, size, body FROM uploads WHERE part = ? ORDER BY number", (number,)))
        return Complete(key, tuple(numbers[:best]), revision, objects)

    @staticmethod
    def _is_open(connection: sqlite3.Connection, key: str) -> bool:
        """Whether there are objects of a study that belong to no end yet."""
        return connection.execute("SELECT 1 FROM uploads WHERE part = 0 AND key = ? LIMIT 1", (key,)).fetchone() is not None

    def _object(self, key: str, sha256: str, size: int, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "sha256": sha256, "size": size, "key": self._key(key, sha256, body)}

    # -- in a fleet -------------------------------------------------------------------------------

    def shipped(self, after: int) -> tuple[dict[int, str], int]:
        """Return the key of each end that the fleet's database has everything of, and whose files the store has, by its number.

        With them comes where to go on: 0 is the beginning.
        """
        with self._reading() as connection:
            ends = connection.execute(
                "SELECT number, key, EXISTS (SELECT 1 FROM entries e WHERE e.epoch = p.epoch AND e.number <= p.entry) "
                "OR EXISTS (SELECT 1 FROM uploads u WHERE u.part = p.number AND u.confirmed IS NULL) "
                "FROM parts p WHERE written IS NULL AND number > ? ORDER BY number LIMIT ?", (after, MOST_PARTS)).fetchall()
        return {number: key for number, key, waits in ends if not waits}, ends[-1][0] if len(ends) == MOST_PARTS else 0
