"""The temporary of an object that comes from a file: what passes unseen is copied in the kernel, or not at all.

Strategy: a ``SourceFile`` says what is being read. While nothing is known to differ, a temporary that may become a link
(``--link``, ``--move``) only notes what is to be copied; when everything was written and all of it is what the source
has at the same place, the source itself gets the object's name, and nothing was copied.

Invariant: whoever looks into the temporary (digest, comparison, publication as a file) finds it complete.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from fastscp.errors import StorageError
from fastscp.ingest import kernel
from fastscp.store.directory import Place, storage_error
from fastscp.store.policy import Sync
from fastscp.store.sink import InstanceSink, OutputDirectory


@dataclass(frozen=True)
class SourceFile:
    """An open file that is read."""

    descriptor: int
    path: str
    status: os.stat_result
    linkable: bool = False  #: the object may become another name of it


class IngestDirectory(OutputDirectory):
    """The output directory of one worker process; ``source`` is what the next temporary is made from."""

    def __init__(self, path: str, sync: Sync = Sync.NONE) -> None:
        super().__init__(path, sync)
        self.source: SourceFile | None = None
        self.created: SourcedSink | None = None  #: the last temporary

    def sink(self, fd: int, hidden: str | None, head: bytes) -> InstanceSink:
        """Return the temporary that was opened."""
        self.created = created = SourcedSink(self, fd, hidden, head, self.source)
        return created


class DryDirectory(IngestDirectory):
    """Where nothing is written: temporaries are in memory, what would be copied is left out."""

    def create(self, head: bytes = b"") -> InstanceSink:
        """Open a temporary that will never have a name."""
        self.created = created = DrySink(self, os.memfd_create("dry-run"), None, head, None)
        return created


class SourcedSink(InstanceSink):
    """The temporary of one instance that is made from ``source``."""

    def __init__(self, directory: IngestDirectory, fd: int, hidden: str | None, head: bytes,
                 source: SourceFile | None) -> None:
        super().__init__(directory, fd, hidden, head)
        self._source = source
        self._same = source is not None and source.linkable
        self._behind = False  #: the file's position is not where the next octet goes
        self._due: list[tuple[int, int, int]] = []  #: offset in the source, in the temporary, octets

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append the buffers; they may be reused when it returns."""
        at = self.size - len(self._head)
        head = self._head
        if self._behind:
            self._seek()
        super().write(buffers)
        if self._same and self._source is not None:
            written = b"".join([head, *buffers])
            self._same = _reads(self._source, at, len(written)) == written

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite ``octets`` at ``offset``, which has been written before."""
        super().patch(offset, octets)
        if self._same and self._source is not None:
            self._same = _reads(self._source, offset, len(octets)) == octets

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before, from ``offset`` of the file."""
        self.fill()
        return super().read(offset, size)

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``; the next write goes there."""
        self.fill()
        self._same = self._behind = False
        super().truncate(size)

    def leave_out(self, octets: int) -> None:
        """Go on writing that many octets further; who leaves a gap fills it."""
        if self._head:
            self.write([])
        self.size += octets
        self._behind = True

    def copy_from(self, source: int, offset: int, octets: int) -> None:
        """Fill the last ``octets``, which were left out, from ``offset`` of an open file, now or when it is needed."""
        at = self.size - octets
        if self._same and offset == at:
            self._due.append((offset, at, octets))
            return
        self.fill()
        self._copy(source, offset, at, octets)

    def fill(self) -> None:
        """Copy what is due: the object will be a file of its own."""
        due, self._due = self._due, []
        self._same = False
        for offset, at, octets in due:
            if self._source is not None:
                self._copy(self._source.descriptor, offset, at, octets)

    def _copy(self, source: int, offset: int, at: int, octets: int) -> None:
        try:
            kernel.copy(source, offset, self._fd, at, octets)
        except OSError as error:
            raise storage_error("copy to a file in", self._directory.path, error) from error

    def _seek(self) -> None:
        self._behind = False
        try:
            os.lseek(self._fd, self.size - len(self._head), os.SEEK_SET)
        except OSError as error:
            raise storage_error("write to a file in", self._directory.path, error) from error

    # -- publication ------------------------------------------------------------------------------

    @property
    def is_source(self) -> bool:
        """Whether all of it is what the source has, and the source may get its name."""
        return self._same and self._source is not None and self.size == self._source.status.st_size

    def complete(self) -> None:
        """Write what is still to be written; a file that cannot be linked gets everything."""
        super().complete()
        if not self.is_source:
            self.fill()

    def flush(self) -> None:
        """Have everything on the disk that was written. Raises StorageError."""
        if not self.is_source or self._source is None:
            super().flush()
            return
        try:
            os.fsync(self._source.descriptor)
        except OSError as error:
            raise storage_error("synchronise", self._source.path, error) from error

    def digesting(self) -> Generator[None, None, str]:
        """Return the SHA-256 of what has been written, in hexadecimal."""
        self.fill()
        return (yield from super().digesting())

    def compare(self, target: str, place: Place | None = None) -> Generator[None, None, bool]:
        """Find out whether ``target`` has the same octets."""
        self.fill()
        return (yield from super().compare(target, place))

    def _give_name(self, target: str, place: Place, *, replace: bool) -> bool:
        if self.is_source and self._source is not None:
            try:
                return self._link_source(self._source, target, place, replace=replace)
            except FileExistsError:
                raise
            except OSError:  # another file system, or a file whose owner does not let others link it
                self.fill()
        return super()._give_name(target, place, replace=replace)

    def _link_source(self, source: SourceFile, target: str, place: Place, *, replace: bool) -> bool:
        """Make the target another name of the source; where it is one already nothing has to be done."""
        directory = self._directory
        try:
            directory.link_descriptor(source.descriptor, target, place.fd)
        except FileExistsError:
            if not replace:
                raise
            there = os.stat(target, dir_fd=place.fd, follow_symlinks=False)
            if not os.path.samestat(there, source.status):  # else a rename would do nothing, and leave both names
                os.rename(directory.hide(source.descriptor), target, src_dir_fd=directory.fd, dst_dir_fd=place.fd)
            return True
        return False


class DrySink(SourcedSink):
    """A temporary in memory, of what the engine writes and no more."""

    def copy_from(self, source: int, offset: int, octets: int) -> None:
        """Leave it out."""


def _reads(source: SourceFile, offset: int, octets: int) -> bytes:
    try:
        return os.pread(source.descriptor, octets, offset)
    except OSError as error:
        raise StorageError(f"cannot read {source.path}: {error.strerror}", errno=error.errno) from error

