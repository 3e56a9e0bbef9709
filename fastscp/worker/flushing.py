"""Objects of one worker that end together are brought to the disk together (``--sync group``).

Strategy: an object that is complete waits for the next round of the loop. All that wait then are flushed by one call, and
each goes on: it gets its name, is reported, and waits again, for one flush of its directory that it shares, too. While a
flush takes its time others arrive; so the groups are as large as the disk is slow. A single object is flushed by itself.

Invariant: nobody is told of success before both flushes of his object succeeded; a flush that failed fails all that
waited for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fastscp.errors import StorageError
from fastscp.process.loop import Loop
from fastscp.store.directory import storage_error
from fastscp.store.flush import flush_directory, flush_file_system

#: called with what went wrong
Then = Callable[[StorageError | None], None]


class Flushable(Protocol):
    """An object that is complete."""

    def descriptor(self) -> int | None:
        """Return the descriptor of its file, None when it was dropped."""

    def flush(self) -> None:
        """Have the file on the disk. Raises StorageError."""


class Group:
    """The objects that wait."""

    def __init__(self, loop: Loop, directory: str) -> None:
        self._loop = loop
        self._directory = directory
        self._files: list[tuple[Flushable, Then]] = []
        self._names: dict[str, list[Then]] = {}  #: by directory
        self._due = False

    def add_file(self, file: Flushable, then: Then) -> None:
        """Call ``then`` when the file is on the disk."""
        self._files.append((file, then))
        self._schedule()

    def add_names(self, directory: str, then: Then) -> None:
        """Call ``then`` when the names in ``directory`` are on the disk."""
        self._names.setdefault(directory, []).append(then)
        self._schedule()

    def _schedule(self) -> None:
        if not self._due:
            self._due = True
            self._loop.soon(self._flush)

    def _flush(self) -> None:
        """Flush what waits, then call back: what that leads to waits for the next round."""
        self._due = False
        files, self._files = self._files, []
        names, self._names = self._names, {}
        results: list[tuple[Then, StorageError | None]] = []
        for directory, waiting in names.items():
            error = self._flush_names(directory)
            results += [(then, error) for then in waiting]
        results += self._flush_files([(file, then) for file, then in files if file.descriptor() is not None])
        for then, error in results:
            then(error)

    @staticmethod
    def _flush_names(directory: str) -> StorageError | None:
        try:
            flush_directory(directory)
        except OSError as error:
            return storage_error("synchronise directory", directory, error)
        return None

    def _flush_files(self, files: list[tuple[Flushable, Then]]) -> list[tuple[Then, StorageError | None]]:
        descriptor = files[0][0].descriptor() if len(files) > 1 else None
        if descriptor is not None:
            try:
                if flush_file_system(descriptor):
                    return [(then, None) for _, then in files]
            except OSError as error:
                failure = storage_error("synchronise files in", self._directory, error)
                return [(then, failure) for _, then in files]
        return [(then, _flush_one(file)) for file, then in files]


def _flush_one(file: Flushable) -> StorageError | None:
    try:
        file.flush()
    except StorageError as error:
        return error
    return None
