"""From a source to a complete temporary: everything that is done to an object before it gets its name.

Strategy: the first octets say what the source is (``recognise``); the data set then goes through a ``Reception`` like
one from the network. What passes it unseen, Pixel Data or all of a data set under ``+B``, is copied in the kernel where
the source is a stretch of a file.

Invariant: whatever goes wrong with a source fails this source and no other.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import time
from dataclasses import dataclass, field
from typing import IO, Any, Final

from fastscp.dicom import uids
from fastscp.dimse.command import C_STORE_RQ, Command
from fastscp.errors import ObjectError, StorageError
from fastscp.ingest import archives
from fastscp.ingest.policy import Placement
from fastscp.ingest.recognise import MEDIA_STORAGE_DIRECTORY, Incomplete, Recognised, recognise
from fastscp.ingest.sink import IngestDirectory, SourcedSink, SourceFile
from fastscp.ingest.sources import Kind, Source
from fastscp.log.names import APPLICATION
from fastscp.process import packets
from fastscp.store.steps import result
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext
from fastscp.worker.quarantine import new_reception
from fastscp.worker.reception import PATIENT_NAME, SPECIFIC_CHARACTER_SET, STUDY_INSTANCE_UID, Reception

_log = logging.getLogger(APPLICATION)

_HEAD_OCTETS: Final = 32768  #: read at first: the header of most objects, all of a short one
_LONG_HEAD_OCTETS: Final = 1 << 21  #: for file meta information with private elements
_PIECE_OCTETS: Final = 1 << 18
_COPIED_OCTETS: Final = 16384  #: what is shorter is faster read and written

READY, FOREIGN, FAILED, SKIPPED, ENDED = "ready", "foreign", "failed", "skipped", "ended"


@dataclass
class Prepared:
    """What became of a source so far. The temporary of one that is ``ready`` waits for its name, or for its refusal."""

    source: Source
    state: str
    reason: str = ""
    status: os.stat_result | None = None  #: of the file that was read
    reception: Reception | None = None
    sink: SourcedSink | None = None
    descriptor: int | None = None  #: of the source, while the object may become another name of it
    started: float = field(default_factory=time.monotonic)

    def facts(self) -> dict[str, Any]:
        """Return what the main process has to know."""
        facts: dict[str, Any] = {"state": self.state, "reason": self.reason}
        if self.status is not None:
            facts |= {"size": self.status.st_size, "mtime": self.status.st_mtime_ns,
                      "identity": [self.status.st_dev, self.status.st_ino]}
        reception = self.reception
        if reception is not None:
            facts |= {"failed": reception.failure is not None, "instance": reception.command.affected_sop_instance_uid,
                      "study": packets.bounded(reception.uid(STUDY_INSTANCE_UID)),
                      "patient": packets.bounded(reception.raw_text(PATIENT_NAME)),
                      "charset": packets.bounded(reception.raw_text(SPECIFIC_CHARACTER_SET)),
                      "inode": self._inode()}
        return facts

    def _inode(self) -> int:
        """Return the number of the file that will have the object's name."""
        if self.reception is None or self.reception.failure is not None or self.sink is None or self.status is None:
            return 0
        return self.status.st_ino if self.sink.is_source else os.fstat(self.sink.fd).st_ino

    def discard(self) -> None:
        """Drop everything."""
        if self.reception is not None:
            self.reception.discard()
        self.close()

    def close(self) -> None:
        """Give the source back."""
        if self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)


class Preparer:
    """Prepares the objects of one worker process."""

    def __init__(self, context: ReceptionContext, directory: IngestDirectory, calling_aet: str, placement: Placement) -> None:
        self._context = context
        self._directory = directory
        self._calling_aet = calling_aet
        self._links = placement is not Placement.COPY
        self._zips = archives.ZipMembers()
        self._message_id = 0

    def prepare(self, source: Source) -> Prepared:
        """Read a source."""
        if source.kind is Kind.PROBLEM:
            return Prepared(source, FAILED, source.note)
        if source.kind is Kind.SKIPPED:
            return Prepared(source, SKIPPED, source.note)
        if source.kind is Kind.END:
            return Prepared(source, ENDED, status=_stat(source.path))
        try:
            descriptor = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                                 | (0 if source.linked or source.number >= 0 else os.O_NOFOLLOW))
        except OSError as error:
            return Prepared(source, FAILED, f"cannot be read: {error.strerror}")
        try:
            prepared = self._opened(source, descriptor, os.fstat(descriptor))
        except (OSError, archives.ArchiveError) as error:
            prepared = Prepared(source, FAILED, _unreadable(error))
        except Exception as error:  # noqa: BLE001 - the boundary of one object
            _log.error("internal error while %s is read", source, exc_info=error)
            prepared = Prepared(source, FAILED, "internal error")
        if prepared.sink is not None and prepared.sink.is_source:
            prepared.descriptor = descriptor
        else:
            os.close(descriptor)
        return prepared

    def member(self, source: Source, octets: IO[bytes], status: os.stat_result) -> Prepared:
        """Read a member of an archive that is read as a stream. Raises ArchiveError where the archive ends."""
        return self._streamed(source, octets, status)

    def _opened(self, source: Source, descriptor: int, status: os.stat_result) -> Prepared:
        if not stat.S_ISREG(status.st_mode):
            return Prepared(source, SKIPPED, "not a regular file")
        if source.kind is Kind.ZIPPED:
            with self._zips.open(source) as octets:
                return self._streamed(source, octets, status)
        begins, size = (source.offset, source.size) if source.kind is Kind.REGION else (0, status.st_size)
        head = os.pread(descriptor, min(size, _HEAD_OCTETS), begins)
        try:
            found = recognise(head, complete=len(head) >= size)
        except Incomplete:
            head = os.pread(descriptor, min(size, _LONG_HEAD_OCTETS), begins)
            found = recognise(head, complete=True)
        refused = self._refused(source, found, status)
        if refused is not None or found is None:
            return refused or Prepared(source, FOREIGN)
        stretch = _Stretch(descriptor, begins, size, head)
        self._directory.source = SourceFile(descriptor, source.path, status, self._links and source.kind is Kind.FILE)
        return self._received(source, found, stretch, status)

    def _refused(self, source: Source, found: Recognised | None, status: os.stat_result) -> Prepared | None:
        """Return what becomes of a source that cannot be an object; None when it may be one."""
        if found is None:
            return Prepared(source, FOREIGN, "not DICOM", status)
        output = self._context.output
        if found.sop_class == MEDIA_STORAGE_DIRECTORY:
            return Prepared(source, SKIPPED, "a DICOMDIR", status)
        if not found.sop_class or not found.sop_instance:
            return Prepared(source, FAILED, "no SOP Class UID" if not found.sop_class else "no SOP Instance UID", status)
        if (output.transfer_syntax is not None and not output.bit_preserving
                and uids.transfer_syntax(found.transfer_syntax).encapsulated):
            name = uids.transfer_syntax(found.transfer_syntax).name
            return Prepared(source, FAILED, f"transfer syntax {name} cannot be converted", status)
        return None

    def _reception(self, found: Recognised) -> Reception:
        self._message_id = self._message_id % 0xFFFF + 1
        command = Command(C_STORE_RQ, self._message_id, 1, found.sop_class, found.sop_instance)
        return new_reception(self._context, AcceptedContext(1, found.sop_class, found.transfer_syntax), command,
                             self._calling_aet)

    def _received(self, source: Source, found: Recognised, stretch: _Stretch, status: os.stat_result) -> Prepared:
        """Let the data set go through a reception."""
        self._directory.created = None
        reception = self._reception(found)
        sink = self._directory.created
        prepared = Prepared(source, READY, status=status, reception=reception, sink=sink)
        try:
            stretch.feed(reception, sink, found.offset)
            result(reception.finishing())
            if sink is not None and reception.failure is None:
                sink.complete()
        except ObjectError as error:
            reception.fail(error)
        return prepared

    def _streamed(self, source: Source, octets: IO[bytes], status: os.stat_result) -> Prepared:
        head = _read(octets, _HEAD_OCTETS)
        complete = len(head) < _HEAD_OCTETS
        try:
            found = recognise(head, complete=complete)
        except Incomplete:
            head += _read(octets, _LONG_HEAD_OCTETS)
            found = recognise(head, complete=True)
        refused = self._refused(source, found, status)
        if refused is not None or found is None:
            return refused or Prepared(source, FOREIGN)
        self._directory.source = None
        self._directory.created = None
        reception = self._reception(found)
        prepared = Prepared(source, READY, status=status, reception=reception, sink=self._directory.created)
        try:
            reception.feed([head[found.offset:]], _never)
            while piece := _read(octets, _PIECE_OCTETS):
                reception.feed([piece], _never)
            result(reception.finishing())
            if prepared.sink is not None and reception.failure is None:
                prepared.sink.complete()
        except ObjectError as error:
            reception.fail(error)
        except BaseException:
            prepared.discard()
            raise
        return prepared


class _Stretch:
    """Octets of an open file; ``head`` are the first of them."""

    def __init__(self, descriptor: int, begins: int, size: int, head: bytes) -> None:
        self._descriptor = descriptor
        self._begins = begins
        self._size = size
        self._head = head

    def feed(self, reception: Reception, sink: SourcedSink | None, at: int) -> None:
        """Give a reception what there is from ``at`` on. Raises StorageError."""
        size, head = self._size, memoryview(self._head)
        whole = len(head) >= size
        while at < size and reception.failure is None:
            passes = min(reception.passes, size - at)
            if passes >= _COPIED_OCTETS and not whole and sink is not None:
                reception.pass_over(passes)
                if reception.failure is None:
                    sink.copy_from(self._descriptor, self._begins + at, passes)
                at += passes
                continue
            piece = head[at:] if at < len(head) else memoryview(self._read(at))
            reception.feed([piece], _never)
            at += len(piece)

    def _read(self, at: int) -> bytes:
        try:
            piece = os.pread(self._descriptor, min(_PIECE_OCTETS, self._size - at), self._begins + at)
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", errno=error.errno) from error
        if not piece:
            raise StorageError("the file is shorter than it was")
        return piece


def _read(octets: IO[bytes], most: int) -> bytes:
    """Read as much as there is, up to ``most``. Raises ArchiveError."""
    try:
        buffer = io.BytesIO()
        while most > 0 and (piece := octets.read(most)):
            buffer.write(piece)
            most -= len(piece)
        return buffer.getvalue()
    except archives.DAMAGE as error:
        raise archives.ArchiveError(archives.damage(error)) from error


def _unreadable(error: Exception) -> str:
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _never() -> bool:
    return False
