"""The directory of objects that could not be stored: each with a report beside it (``NAME`` and ``NAME.json``).

Strategy: two names cannot appear at once, so the report gets its name first, then the object. A note of what is
going on (``.fastscp-<token>-<n>.keep``, which holds NAME) stands beside them until both are there.

Invariants: where there is an object there is its report, and both are complete; what a process leaves that dies in
between is undone by ``fastscp.store.leftovers``.
"""

from __future__ import annotations

import contextlib
import os

from fastscp.errors import StorageError
from fastscp.store import hidden
from fastscp.store.directory import storage_error
from fastscp.store.policy import Sync
from fastscp.store.sink import InstanceSink, OutputDirectory

REPORT_SUFFIX = ".json"


class Quarantine:
    """The directory of one worker process."""

    def __init__(self, path: str, *, durable: bool = False) -> None:
        self.path = path
        self._directory = OutputDirectory(path, Sync.OBJECT if durable else Sync.NONE)

    def create(self, head: bytes) -> InstanceSink:
        """Open the temporary of one object that begins with ``head``; it is on the directory's own file system."""
        return self._directory.create(head)

    def publish(self, sink: InstanceSink, name: str, report: bytes) -> None:
        """Give a complete object its name, and its report.

        Raises StorageError; neither is there then, unless ``sink`` is ``named``, and it is to be discarded.
        """
        note, note_name = self._note(name)
        try:
            reported = self._directory.create(report)
            try:
                self._publish(reported, name + REPORT_SUFFIX)
                self._publish(sink, name)
            except StorageError:
                if reported.named and not sink.named:
                    self._directory.remove(name + REPORT_SUFFIX)
                raise
            finally:
                reported.discard()
        finally:
            self._directory.remove(note_name)
            with contextlib.suppress(OSError):  # whatever it says is of no interest any more
                os.close(note)

    @staticmethod
    def _publish(sink: InstanceSink, name: str) -> None:
        try:
            sink.publish(name, replace=False)
        except FileExistsError as error:
            raise StorageError(f"the name {name} is taken already", path=name) from error

    def _note(self, name: str) -> tuple[int, str]:
        """Note that ``name`` and its report are about to appear; return the note's descriptor, which owns it, and name."""
        try:
            fd, note = self._directory.create_hidden(hidden.NOTE)
            try:
                hidden.write_note(fd, name)
            except OSError:
                self._directory.remove(note)
                os.close(fd)
                raise
        except OSError as error:
            raise storage_error("write a file in", self.path, error) from error
        return fd, note
