"""Reads the entries that wait in the durable state of a gateway (``fastscp.coordinator.fleet_journal``), beside its writer.

Strategy: a read-only connection for each look, since the file may be made again under the same name. Whatever is seen is committed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from fastscp.errors import ProcessError
from fastscp.process.reading import reading

MOST_ENTRIES: Final = 256  #: of one batch
MOST_OCTETS: Final = 4 << 20


@dataclass(frozen=True)
class Entry:
    """One entry; ``body`` holds paths as JSON does (``fastscp.jsontext``)."""

    number: int
    epoch: str
    kind: str
    body: dict[str, Any]


class JournalReader:
    """The journal in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def after(self, number: int, most: int = MOST_ENTRIES) -> list[Entry]:
        """Return the next entries after that number. Raises ProcessError."""
        entries: list[Entry] = []
        octets = 0
        try:
            with reading(self._file) as connection:
                for row in connection.execute("SELECT number, epoch, kind, body FROM entries WHERE number > ? ORDER BY number LIMIT ?",
                                              (number, most)):
                    octets += len(row[3])
                    if entries and octets > MOST_OCTETS:
                        break
                    entries.append(Entry(row[0], row[1], row[2], orjson.loads(row[3])))
        except sqlite3.Error as error:
            raise ProcessError(f"journal in {self._file} cannot be read: {error}") from error
        return entries
