"""One C-STORE on its way to disk: from the request to a published file, or to a failure status.

Strategy: the data set runs through the rewrite engine into an anonymous temporary. The first failure is
kept, the rest of the data set is then passed over unread, and the answer carries the failure's status.
Nothing here knows of sockets, messages to the coordinator, or time beyond what it is given.
"""

from __future__ import annotations

import datetime
import errno
import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastscp.dicom import uid_value
from fastscp.dicom.filemeta import encode as encode_file_meta
from fastscp.dicom.rewriter import Rewriter, output_transfer_syntax
from fastscp.dicom.uids import file_name_prefix
from fastscp.dimse import status
from fastscp.dimse.command import Command
from fastscp.errors import InstanceError, ObjectError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.store.comparing import digest_of
from fastscp.store.directory import storage_error
from fastscp.store.existing import Existing
from fastscp.store.flush import flush_existing
from fastscp.store.policy import Sync
from fastscp.store.sink import InstanceSink
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext
from fastscp.worker.publication import Publication, Published
from fastscp.worker.standing import attributes_of

_log = logging.getLogger(APPLICATION)

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
MODALITY = 0x00080060
PATIENT_NAME = 0x00100010
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

_T = TypeVar("_T")


@dataclass(frozen=True)
class Kept:
    """Where an object is that could not be stored."""

    directory: str
    file: str
    size: int  #: octets of the file
    refusal: InstanceError  #: why it could not be stored


class Reception:
    """The receiving side of one C-STORE request."""

    def __init__(self, settings: ReceptionContext, context: AcceptedContext, command: Command,
                 calling_ae_title: str) -> None:
        self.context = context
        self.command = command
        self.prefix = file_name_prefix(command.affected_sop_class_uid)
        self.failure: ObjectError | None = None
        self.unsure: ObjectError | None = None  #: went wrong when the object had its name: neither stored nor refused
        self.status = 0
        self.digest: str | None = None  #: sha256 of the published file, where it is wanted
        self.unchanged = False  #: an earlier file of that name has the same octets (``compare`` found out)
        self._publication: Publication | None = None
        self._stays_out = False  #: an earlier file is kept, nothing is written
        self._attributes: Mapping[int, bytes] = {}  #: of the file that is kept
        self._transfer_syntax_out = ""  #: of the file that is kept
        self._size = 0
        self._settings = settings
        self._sink: InstanceSink | None = None
        self._rewriter: Rewriter | None = None
        self._octets = 0  #: received, where they are limited
        if not settings.store.ignore:
            try:
                self._open(calling_ae_title)
            except ObjectError as error:
                self.fail(error)
            except Exception as error:  # noqa: BLE001 - the boundary of one object
                self._fail_unexpectedly(error)

    def _open(self, calling_ae_title: str) -> None:
        """Create the temporary, with its file meta information first (PS3.10 §7.1)."""
        command, output, room = self.command, self._settings.output, self._settings.room
        self._publication = publication = Publication(self._settings, self.prefix, command.affected_sop_instance_uid)
        if not self._settings.sorted and publication.stays_out():
            self._stays_out = True
            return
        shortage = "" if room is None else room.shortage()
        if shortage:
            raise StorageError(shortage, errno=errno.ENOSPC, path=self._settings.store.output_directory)
        received = self.context.transfer_syntax
        meta = b""
        if output.file_format:
            meta = encode_file_meta(
                command.affected_sop_class_uid.encode("latin-1"),
                command.affected_sop_instance_uid.encode("latin-1"),
                output_transfer_syntax(received, output), calling_ae_title.encode("latin-1"))
        self._sink = sink = self._settings.directory.create(meta)
        self._rewriter = Rewriter(received, output, sink, len(meta), shapes=self._settings.shapes)

    def feed(self, views: Sequence[memoryview | bytes], enough: Callable[[], bool]) -> list[memoryview | bytes]:
        """Take the next fragments of the data set; they may be reused when it returns.

        What is left of them when ``enough`` says so is returned, to be fed again.
        """
        if self._rewriter is None or self.failure is not None:
            return []
        try:
            rest = self._rewriter.feed(views, enough)
            if self._settings.store.max_object_octets:
                self._count(views, rest)
        except ObjectError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - the boundary of one object
            self._fail_unexpectedly(error)
        else:
            return rest
        return []

    @property
    def passes(self) -> int:
        """Octets to come that may be left out and put into the file by somebody else, as they are (``pass_over``)."""
        return 0 if self._rewriter is None or self.failure is not None else self._rewriter.verbatim

    def pass_over(self, octets: int) -> None:
        """Leave room in the file for octets of the data set, no more than ``passes``."""
        if self._rewriter is None or self._sink is None:
            return
        try:
            if self._settings.store.max_object_octets:
                self._count_octets(octets)
            self._sink.leave_out(octets)
            self._rewriter.passed(octets)
        except ObjectError as error:
            self.fail(error)

    def _count(self, views: Sequence[memoryview | bytes], rest: Sequence[memoryview | bytes]) -> None:
        self._count_octets(sum(map(len, views)) - sum(map(len, rest)))

    def _count_octets(self, octets: int) -> None:
        most = self._settings.store.max_object_octets
        self._octets += octets
        if self._octets > most:
            raise StorageError(f"data set of more than {most} octets")

    def finishing(self) -> Generator[None, None, None]:
        """Take note that the data set is complete, and check what can only be checked now."""
        return self._guarded(self._finishing())

    def _finishing(self) -> Generator[None, None, None]:
        if self._rewriter is None or self.failure is not None:
            return
        for _ in self._rewriter.finishing():
            yield
            if self.failure is not None:  # the coordinator has refused it meanwhile
                return
        if self._sink is not None:
            self._sink.complete()
        if not self._settings.output.bit_preserving:
            self._check_identity()

    def _guarded(self, steps: Generator[None, None, _T]) -> Generator[None, None, _T | None]:
        """Let what goes wrong in the steps fail this object, and nothing else."""
        try:
            return (yield from steps)
        except ObjectError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - the boundary of one object
            self._fail_unexpectedly(error)
        return None

    def _fail_unexpectedly(self, error: Exception) -> None:
        """Fail, and log once where the error comes from."""
        _log.error("internal error while an object is received", exc_info=error)
        self.fail(ObjectError("internal error", status=status.PROCESSING_FAILURE))

    def _check_identity(self) -> None:
        """Compare the data set's SOP class and instance with the command's (PS3.4 §B.2.3)."""
        command = self.command
        self._check_uid(SOP_CLASS_UID, command.affected_sop_class_uid)
        self._check_uid(SOP_INSTANCE_UID, command.affected_sop_instance_uid)
        if self._settings.sorted and not self.uid(STUDY_INSTANCE_UID):
            raise InstanceError("data set without Study Instance UID cannot be sorted",
                                status=status.CANNOT_UNDERSTAND, tag=STUDY_INSTANCE_UID)

    def _check_uid(self, tag: int, wanted: str) -> None:
        found = self.uid(tag)
        if found != wanted:
            if self._rewriter is not None and tag not in self._rewriter.attributes:
                raise InstanceError("data set without a UID", status=status.CANNOT_UNDERSTAND, tag=tag)
            raise InstanceError("UIDs of data set and command differ", status=status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, tag=tag)

    @property
    def cleaned_uid(self) -> bool:
        """Whether the file's name is not made of the UID as it is."""
        return self._publication is not None and self._publication.cleaned_uid

    def _collected(self, tag: int) -> bytes:
        attributes = self._attributes if self._rewriter is None else self._rewriter.attributes
        return attributes.get(tag, b"")

    def text(self, tag: int) -> str:
        """Return a collected value as Latin-1 text without padding; "" when it was not met."""
        return self._collected(tag).decode("latin-1").strip("\0 ")

    def uid(self, tag: int) -> str:
        """Return the UID that a collected value means; "" when it was not met."""
        return uid_value.meant(self._collected(tag)).decode("latin-1")

    def raw_text(self, tag: int) -> str:
        """Return a collected value octet for octet."""
        return self._collected(tag).decode("latin-1")

    @property
    def transfer_syntax_out(self) -> str:
        """UID of the transfer syntax of the file."""
        if self._transfer_syntax_out or self._rewriter is None:
            return self._transfer_syntax_out or output_transfer_syntax(self.context.transfer_syntax, self._settings.output)
        return self._rewriter.transfer_syntax_out

    def fail(self, error: ObjectError) -> None:
        """Remember the first failure and drop what was written."""
        if self.failure is not None:
            return
        if self._sink is not None and self._sink.named:
            self.unsure = error
        else:
            self.failure, self.status = error, error.status
        self.discard()

    def keeping(self, caller: Mapping[str, Any]) -> Generator[None, None, Kept | None]:  # noqa: ARG002 - KeepingReception
        """Keep an object that could not be stored, where that is wanted."""
        return None
        yield

    def discard(self) -> None:
        """Drop the temporary (aborted transfer)."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            try:
                sink.discard()
            except StorageError as error:  # logged only: the peer is answered with why it is dropped
                _log.error("%s", printable(str(error)))

    def descriptor(self) -> int | None:
        """Return the descriptor of the temporary, None where there is none (any more)."""
        return None if self._sink is None or self._sink.fd < 0 else self._sink.fd

    def octets_so_far(self) -> int:
        """Return how long the temporary is, or the file that it has become."""
        descriptor = self.descriptor()
        return self._size if descriptor is None else os.fstat(descriptor).st_size

    def flush(self) -> None:
        """Have the temporary on the disk. Raises StorageError."""
        if self._sink is not None:
            self._sink.flush()

    @property
    def size(self) -> int:
        """Octets of the file."""
        return self._size

    def comparing(self, directory: str | None) -> Generator[None, None, None]:
        """Find out whether the object changes anything in ``directory``."""
        return self._guarded(self._comparing(directory))

    def _comparing(self, directory: str | None) -> Generator[None, None, None]:
        if self._sink is not None and self._publication is not None and self.failure is None:
            self.unchanged = yield from self._publication.comparing(self._sink, directory)

    def publishing(self, directory: str | None, now: datetime.datetime) -> Generator[None, None, Published | None]:
        """Give the object its name in ``directory`` (None: the output directory).

        Returns None when there is nothing to publish (``--ignore``) or it fails; ``failure`` tells why.
        """
        return self._guarded(self._publishing(directory, now))

    def _publishing(self, directory: str | None, now: datetime.datetime) -> Generator[None, None, Published | None]:
        sink, publication = self._sink, self._publication
        if publication is None or self.failure is not None:
            return None
        if sink is None:
            if not self._stays_out:
                return None
            published = publication.kept()
        else:
            self._size = sink.size
            if self._settings.digest:
                self.digest = yield from sink.digesting()
            published = yield from publication.publishing(sink, directory, now)
        if not published.written:
            self.discard()
            self._flush_kept(published)
        elif self._settings.room is not None:
            self._settings.room.spend(self._size)
        if published.existing is not None:
            yield from self._describe(published, published.existing)
        return published

    def _flush_kept(self, published: Published) -> None:
        """Have the file that is kept on the disk, where that is promised: nobody knows how it came there."""
        if self._settings.store.sync is not Sync.NONE:
            try:
                flush_existing(published.directory, published.file)
            except OSError as error:
                raise storage_error("synchronise", f"{published.directory}/{published.file}", error) from error

    def _describe(self, published: Published, existing: Existing) -> Generator[None, None, None]:
        """Tell what is told of the object from the file that is kept in its stead."""
        self._size = existing.size
        self._transfer_syntax_out = existing.transfer_syntax_uid or self.transfer_syntax_out
        if self._rewriter is None:
            self._attributes = attributes_of(existing, self.transfer_syntax_out, self._settings.output)
        if self._settings.digest:
            self.digest = yield from digest_of(os.path.join(published.directory, published.file))
