"""What is in the durable state, read beside the coordinator, whether one runs or not.

Strategy: a read-only connection for the length of one answer; in WAL mode a reader holds no writer up. State of older
formats is read as far as it goes.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastscp.coordinator import requests
from fastscp.coordinator.formats import FORMAT_VERSION
from fastscp.coordinator.state import FILE_NAME
from fastscp.coordinator.state_directory import LOCK_NAME
from fastscp.errors import ProcessError
from fastscp.process.reading import reading

_FIRST_FORMAT = 3  #: that has failed hooks, and the times of objects


@dataclass(frozen=True)
class FailedHook:
    """A hook that failed for good, the newest facts about it, and what was asked to be done with it."""

    number: int
    hook: str
    study_uid: str
    directory: str
    command: str
    status: int
    attempts: int
    failed: float  #: seconds since the epoch
    requested: str | None = None


@dataclass(frozen=True)
class OpenStudy:
    """A study whose end has not come; ``since`` and ``last`` are seconds since the epoch, of its objects."""

    study_uid: str
    directory: str
    objects: int
    since: float
    last: float | None


class Inspection:
    """The state in one directory. Its methods raise ``ProcessError`` where it cannot be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def in_use(self) -> bool:
        """Whether a service uses the state."""
        try:
            lock = os.open(self._directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ProcessError(f"{self._directory}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def failed(self) -> list[FailedHook]:
        """Return the hooks that failed for good, without those that are to be forgotten."""
        asked: dict[int, str] = {}
        found = [FailedHook(*row) for row in self._rows(
            "SELECT number, kind, study_uid, directory, command, status, attempts, failed FROM failed ORDER BY number")]
        for request in requests.waiting(self._directory):
            asked.update(dict.fromkeys(request.numbers or [hook.number for hook in found], request.kind))
        return [replace(hook, requested=asked.get(hook.number)) for hook in found
                if asked.get(hook.number) != requests.FORGET]

    def open_studies(self) -> list[OpenStudy]:
        """Return the studies that are open."""
        return [OpenStudy(*row) for row in self._rows(
            "SELECT uid, directory, (SELECT count(*) FROM objects WHERE study = studies.number), opened, "
            "nullif((SELECT max(arrived) FROM objects WHERE study = studies.number), 0) "
            "FROM studies WHERE ended IS NULL ORDER BY opened, number")]

    def ask(self, kind: str, numbers: Iterable[int]) -> None:
        """Ask the service that uses the state, now or at its next start, to retry hooks or to forget them."""
        try:
            requests.put(self._directory, kind, numbers)
        except OSError as error:
            raise ProcessError(f"{self._directory}: {error.strerror}") from error

    def _rows(self, query: str) -> list[Any]:
        """Return what a query finds: nothing where no state was kept, or by a version that kept no such thing."""
        path = self._directory / FILE_NAME
        try:
            if not path.exists():
                return []
            with reading(path) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > FORMAT_VERSION:
                    raise ProcessError(f"{path} has format {version}, this program knows {FORMAT_VERSION}")
                return connection.execute(query).fetchall() if version >= _FIRST_FORMAT else []
        except (sqlite3.Error, OSError) as error:
            raise ProcessError(f"{path} cannot be read: {error}") from error
