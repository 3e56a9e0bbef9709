"""The index of stored objects, kept while objects are committed: which file an object is in, its size and digest.

Strategy: a database beside the state, written in the rounds of the coordinator and committed with them, so that an object is
in it before it is acknowledged. It follows what the coordinator does to files. ``fastscp.commitment.lookup`` reads it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from fastscp.commitment.lookup import FILE_NAME, SCHEMA
from fastscp.coordinator.engine import Engine
from fastscp.errors import ProcessError
from fastscp.process import packets

#: what is not written although it is told of: the file that was there is another's
_KEPT = "keep"
_ADD = "INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)"
_PUT = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)"


class Index:
    """The index in ``directory``. Raises ``ProcessError`` when it cannot be used."""

    def __init__(self, directory: Path, *, durable: bool, wall: Callable[[], float],
                 engine: Callable[..., Engine] = Engine) -> None:
        self.directory = directory
        self._wall = wall

        def prepare() -> None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

        try:
            prepare()
            self._engine = engine(directory / FILE_NAME, durable=durable, prepare=prepare)
            self._engine.migrate([SCHEMA])
        except (sqlite3.Error, OSError) as error:
            raise ProcessError(f"the index in {directory} cannot be used: {error}") from error

    def stored(self, packet: packets.Stored) -> None:
        """Take in an object; it takes the place of what had its name."""
        self._engine.write(
            _ADD if packet["duplicate"] == _KEPT else _PUT,
            (os.path.abspath(packet["directory"]), packet["file"], packet["sop_instance"], packet["sop_class"], packet["size"],
             packet["sha256"], self._wall()))

    def renamed(self, directory: str, names: Iterable[tuple[str, str]]) -> None:
        """Follow files of a directory to their new names."""
        directory = os.path.abspath(directory)
        for old, new in names:
            if old != new:
                self._engine.write("UPDATE OR REPLACE files SET file = ? WHERE directory = ? AND file = ?", (new, directory, old))

    def moved(self, old: str, new: str) -> None:
        """Follow a directory."""
        self._engine.write("UPDATE OR REPLACE files SET directory = ? WHERE directory = ?",
                           (os.path.abspath(new), os.path.abspath(old)))

    def removed(self, directory: str, file: str) -> None:
        """Forget a file."""
        self._engine.write("DELETE FROM files WHERE directory = ? AND file = ?", (os.path.abspath(directory), file))

    def commit(self) -> None:
        """Make everything since the last call durable. Raises StorageError; it is all kept then, for the next call."""
        self._engine.commit()

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._engine.close()
