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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastscp.dicom import uid_value
from fastscp.dicom.filemeta import encode as encode_file_meta
from fastscp.dicom.rewrite import Rewriter, output_transfer_syntax
from fastscp.dicom.uids import file_name_prefix
from fastscp.dimse import status
from fastscp.dimse.command import Command
from fastscp.errors import InstanceError, ObjectError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.store import naming
from fastscp.store.existing import media_storage_instance_uid
from fastscp.store.policy import FileNames
from fastscp.store.sink import InstanceSink
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext

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
class Published:
    """Where an instance went."""

    directory: str  #: as the operator wrote it, with the study directory when sorting
    file: str
    replaced: bool
    warning: str = ""  #: why the name is not the one that the UID leads to


_Publication = Generator[None, None, Published]


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
        self.status = 0
        self.digest: str | None = None  #: sha256 of the published file, where it is wanted
        self.cleaned_uid = False  #: the file's name is not made of the UID as it is
        self.unchanged = False  #: an earlier file of that name has the same octets (``compare`` found out)
        self._file_name = ""
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
        command, output, store = self.command, self._settings.output, self._settings.store
        if store.file_names is FileNames.INSTANCE_UID:  # before a single octet is written
            self._file_name = naming.instance_file_name(self.prefix, command.affected_sop_instance_uid,
                                                        store.extension)
            self.cleaned_uid = naming.may_collide(self._file_name) and naming.clean_file_name(
                command.affected_sop_instance_uid) != command.affected_sop_instance_uid
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

    def text(self, tag: int) -> str:
        """Return a collected value as Latin-1 text without padding; "" when it was not met."""
        if self._rewriter is None:
            return ""
        return self._rewriter.attributes.get(tag, b"").decode("latin-1").strip("\0 ")

    def uid(self, tag: int) -> str:
        """Return the UID that a collected value means; "" when it was not met."""
        if self._rewriter is None:
            return ""
        return uid_value.meant(self._rewriter.attributes.get(tag, b"")).decode("latin-1")

    def raw_text(self, tag: int) -> str:
        """Return a collected value octet for octet."""
        if self._rewriter is None:
            return ""
        return self._rewriter.attributes.get(tag, b"").decode("latin-1")

    @property
    def transfer_syntax_out(self) -> str:
        """UID of the transfer syntax that is written."""
        return self._rewriter.transfer_syntax_out if self._rewriter else self.context.transfer_syntax

    def fail(self, error: ObjectError) -> None:
        """Remember the first failure and drop what was written."""
        if self.failure is not None:
            return
        self.failure = error
        self.status = error.status
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

    @property
    def size(self) -> int:
        """Octets of the file."""
        return self._size

    def comparing(self, directory: str | None) -> Generator[None, None, None]:
        """Find out whether the object changes anything in ``directory``."""
        return self._guarded(self._comparing(directory))

    def _comparing(self, directory: str | None) -> Generator[None, None, None]:
        if self._sink is None or not self._file_name:
            return
        shown = self._settings.store.output_directory if directory is None else directory
        name = self._file_name
        if naming.may_collide(name):
            name = self._distinct_name(shown, name)
        self.unchanged = yield from self._sink.compare(self._path(shown, name))

    def publishing(self, directory: str | None, now: datetime.datetime) -> Generator[None, None, Published | None]:
        """Give the object its name in ``directory`` (None: the output directory).

        Returns None when there is nothing to publish (``--ignore``) or it fails; ``failure`` tells why.
        """
        return self._guarded(self._publishing(directory, now))

    def _publishing(self, directory: str | None, now: datetime.datetime) -> Generator[None, None, Published | None]:
        sink = self._sink
        if sink is None or self.failure is not None:
            return None
        self._size = sink.size
        if self._settings.digest:
            self.digest = yield from sink.digesting()
        return (yield from self._publish_surely(sink, directory, now))

    def _publish_surely(self, sink: InstanceSink, directory: str | None, now: datetime.datetime) -> _Publication:
        """Publish, also where somebody took the study's directory away since the coordinator made it."""
        try:
            return (yield from self._publish(sink, directory, now))
        except StorageError as error:
            inside = "" if directory is None else os.path.dirname(self._path(directory, "x"))
            if error.errno != errno.ENOENT or not inside or os.path.isabs(inside):
                raise
            self._settings.directory.make_again(inside)
            _log.info("made subdirectory for study again: %s", directory)
        return (yield from self._publish(sink, directory, now))

    def _publish(self, sink: InstanceSink, directory: str | None, now: datetime.datetime) -> _Publication:
        store = self._settings.store
        shown = store.output_directory if directory is None else directory
        if store.file_names is FileNames.TIME:
            names = naming.time_file_names(self.prefix, store.extension, now)
            return (yield from self._publish_first_free(sink, shown, names))
        if store.file_names is FileNames.UNIQUE:
            names = iter([naming.unique_file_name(self.prefix, store.extension)])
            return (yield from self._publish_first_free(sink, shown, names))
        name = self._file_name
        if naming.may_collide(name):
            return (yield from self._publish_apart(sink, shown, name))
        replaced = yield from sink.publishing(self._path(shown, name), replace=True)
        return Published(shown, name, replaced)

    def _publish_apart(self, sink: InstanceSink, directory: str, name: str) -> _Publication:
        """Keep apart two UIDs that clean up to one name, also when they arrive at once: the first one owns it."""
        uid = self.command.affected_sop_instance_uid
        try:
            yield from sink.publishing(self._path(directory, name), replace=False)
        except FileExistsError:
            own_name = self._distinct_name(directory, name)
        else:
            return Published(directory, name, replaced=False)
        warning = f"file name {name} belongs to another SOP Instance UID than {uid}" if own_name != name else ""
        replaced = yield from sink.publishing(self._path(directory, own_name), replace=True)
        return Published(directory, own_name, replaced, warning)

    def _publish_first_free(self, sink: InstanceSink, directory: str, names: Iterator[str]) -> _Publication:
        for name in names:
            try:
                yield from sink.publishing(self._path(directory, name), replace=False)
            except FileExistsError:
                continue
            return Published(directory, name, replaced=False)
        raise StorageError(f"no free file name left in {directory}", path=directory)

    def _distinct_name(self, directory: str, name: str) -> str:
        """Keep apart two UIDs that clean up to one name: the second gets a suffix made from its UID."""
        uid = self.command.affected_sop_instance_uid
        holder = media_storage_instance_uid(os.path.join(directory, name))
        if holder is None or holder == uid:
            return name
        return naming.distinct_file_name(name, uid)

    def _path(self, directory: str, name: str) -> str:
        """Give the path relative to the output directory where it lies inside, else absolute."""
        output_directory = self._settings.store.output_directory
        if directory == output_directory:
            return name
        inside = directory.removeprefix(output_directory.rstrip("/") + "/")
        return os.path.join(inside if inside != directory else os.path.abspath(directory), name)
