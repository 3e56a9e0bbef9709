"""The directory of objects that could not be stored: each with a report beside it (``NAME`` and ``NAME.json``).

Strategy: two names cannot appear at once, so the report gets its name first, then the object. A note of what is
going on (``.fastscp-<pid>-<n>.keep``, which holds NAME) stands beside them until both are there.

Invariants: where there is an object there is its report, and both are complete; what a process leaves that dies in
between is undone by ``fastscp.store.leftovers``.
"""

from __future__ import annotations

import os

from fastscp.errors import StorageError
from fastscp.store.directory import storage_error
from fastscp.store.policy import Sync
from fastscp.store.sink import InstanceSink, OutputDirectory

REPORT_SUFFIX = ".json"
NOTE_SUFFIX = ".keep"


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
        note = self._directory.hidden_name().removesuffix(".tmp") + NOTE_SUFFIX
        self._write(note, os.fsencode(name))
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
            self._directory.remove(note)

    @staticmethod
    def _publish(sink: InstanceSink, name: str) -> None:
        try:
            sink.publish(name, replace=False)
        except FileExistsError as error:
            raise StorageError(f"the name {name} is taken already", path=name) from error

    def _write(self, name: str, octets: bytes) -> None:
        try:
            fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self._directory.fd)
            try:
                written = os.write(fd, octets)
            finally:
                os.close(fd)
        except OSError as error:
            self._directory.remove(name)
            raise storage_error("write a file in", self.path, error) from error
        if written != len(octets):
            self._directory.remove(name)
            raise StorageError(f"short write to a file in {self.path}", path=self.path)
