"""Receiving with ``--quarantine``: what cannot be stored is kept as it was received.

Strategy: while an object is received well, what came of it can be had back: from its temporary where it was written
as it came, from a copy where it was not (``fastscp.store.received``). With the first failure a file in the quarantine
is begun: what comes from then on goes there at once, behind a gap that is filled step by step.

Invariant: an object that cannot be kept is refused, with the status of a failed file system.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import orjson

from fastscp import jsontext
from fastscp.dicom.filemeta import encode as encode_file_meta
from fastscp.dicom.rewriter import Trace
from fastscp.dimse.command import Command
from fastscp.errors import InstanceError, ObjectError, StorageError
from fastscp.process import notes, packets
from fastscp.store import naming
from fastscp.store.quarantine import Quarantine
from fastscp.store.received import Received
from fastscp.store.sink import InstanceSink
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext
from fastscp.worker.reception import MODALITY, SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, Kept, Reception

KEPT: Final = 0xB007  #: Warning: data set does not match SOP class (PS3.4 Table B.2-1)
REPORT_SCHEMA: Final = 1


def new_reception(settings: ReceptionContext, context: AcceptedContext, command: Command,
                  calling_ae_title: str) -> Reception:
    """Open the reception of one C-STORE request."""
    if settings.quarantine is None:
        return Reception(settings, context, command, calling_ae_title)
    return KeepingReception(settings, context, command, calling_ae_title, settings.quarantine)


class KeepingReception(Reception):
    """A reception whose object is kept when it cannot be stored."""

    def __init__(self, settings: ReceptionContext, context: AcceptedContext, command: Command, calling_ae_title: str,
                 quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._calling_ae_title = calling_ae_title
        self._received: Received | None = None  #: None: there is nothing to be kept (any more)
        self._trace: Trace | None = None
        self._target: InstanceSink | None = None  #: the file in the quarantine
        self._steps: Iterator[int] = iter(())  #: what is missing in it
        super().__init__(settings, context, command, calling_ae_title)

    def _open(self, calling_ae_title: str) -> None:
        super()._open(calling_ae_title)
        if self._sink is not None and self._rewriter is not None:
            self._received = Received(self._sink)
            self._trace = self._rewriter.trace()
            self._rewriter.before_sorting = self._received.securing

    @property
    def passes(self) -> int:
        """None: what is received has to be had back."""
        return 0

    def feed(self, views: Sequence[memoryview | bytes], enough: Callable[[], bool]) -> list[memoryview | bytes]:
        """Take the next fragments of the data set; they may be reused when it returns."""
        rest = super().feed(views, enough)
        received = self._received
        if received is None:
            return rest
        try:
            if self.failure is None:
                received.take(_taken(views, rest), () if self._trace is None else self._trace.take())
            elif self._target is None:
                received.take_unwritten(views)
                self._begin(received)
            else:
                self._target.write(views)
                next(self._steps, None)
        except StorageError as error:
            self._lose(error)
        except Exception as error:  # noqa: BLE001 - the boundary of one object
            self._fail_unexpectedly(error)
        return rest

    def fail(self, error: ObjectError) -> None:
        """Remember the first failure; what was written is needed for what is kept."""
        if self.failure is None and self._received is not None and isinstance(error, InstanceError):
            self.failure, self.status = error, error.status
        else:
            super().fail(error)

    def discard(self) -> None:
        """Drop everything."""
        self._received = None
        self._steps = iter(())
        target, self._target = self._target, None
        super().discard()
        if target is not None:
            target.discard()

    def keeping(self, caller: Mapping[str, Any]) -> Generator[None, None, Kept | None]:
        """Give the object that could not be stored its name in the quarantine; None when it is refused."""
        return self._guarded(self._keeping(caller))

    def _keeping(self, caller: Mapping[str, Any]) -> Generator[None, None, Kept | None]:
        received, refusal = self._received, self.failure
        if received is None or not isinstance(refusal, InstanceError):
            return None
        try:
            target = self._target or self._begin(received)
            for _ in self._steps:
                yield
            name = naming.unique_file_name(self.prefix, self._settings.store.extension)
            kept = Kept(self._quarantine.path, name, target.size, refusal)
            self._quarantine.publish(target, name, self._report(kept, caller))
        except StorageError as error:
            self._lose(error)
            return None
        self.discard()
        self.status = KEPT
        return kept

    def _begin(self, received: Received) -> InstanceSink:
        """Open the file in the quarantine, with room for what came so far."""
        command = self.command
        head = encode_file_meta(
            command.affected_sop_class_uid.encode("latin-1"), command.affected_sop_instance_uid.encode("latin-1"),
            self.context.transfer_syntax, self._calling_ae_title.encode("latin-1"))
        self._target = target = self._quarantine.create(head)
        target.leave_out(received.octets)
        self._steps = received.copy_to(target, len(head))
        return target

    def _fail_unexpectedly(self, error: Exception) -> None:
        """Fail, and keep nothing: whatever the first failure was, the object is in an unknown state."""
        self._received = None
        super()._fail_unexpectedly(error)
        self.discard()

    def _lose(self, error: StorageError) -> None:
        """Refuse the object after all, unless it is in the quarantine already."""
        if self._target is not None and self._target.named:
            self.unsure = error
        else:
            self.failure, self.status = error, error.status
        self.discard()

    def _report(self, kept: Kept, caller: Mapping[str, Any]) -> bytes:
        """Encode the file beside the object; its names are those of the event."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
        return jsontext.dumps({
            "schema": REPORT_SCHEMA, "time": now.replace("+00:00", "Z"), **caller, "file": kept.file, "size": kept.size,
            **{_REPORTED.get(name, name): value for name, value in described(self, kept.refusal).items()},
        }, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _taken(views: Sequence[memoryview | bytes], rest: Sequence[memoryview | bytes]) -> Sequence[memoryview | bytes]:
    """Return what was taken of the views, of which the ``rest`` is left."""
    if not rest:
        return views
    left = sum(map(len, views)) - sum(map(len, rest))
    taken = []
    for view in views:
        taken.append(view[:left])
        left -= len(taken[-1])
    return taken


#: packet fields that have longer names in reports and events
_REPORTED: Final = {
    "sop_class": "sop_class_uid", "sop_instance": "sop_instance_uid", "study": "study_uid", "series": "series_uid",
    "transfer_syntax": "transfer_syntax_uid",
}


def described(reception: Reception, refusal: InstanceError) -> dict[str, Any]:
    """Return which object could not be stored, and why."""
    command = reception.command
    return {
        "sop_class": command.affected_sop_class_uid, "sop_instance": command.affected_sop_instance_uid,
        "study": packets.bounded(reception.uid(STUDY_INSTANCE_UID)),
        "series": packets.bounded(reception.uid(SERIES_INSTANCE_UID)),
        "modality": packets.bounded(reception.text(MODALITY)), "transfer_syntax": reception.context.transfer_syntax,
        "status": refusal.status,
        "tag": None if refusal.tag is None else f"{refusal.tag >> 16:04X},{refusal.tag & 0xFFFF:04X}",
        "offset": refusal.offset, "reason": refusal.args[0],
    }


def quarantined(reception: Reception, kept: Kept, caller: Mapping[str, Any], association: str,
                duration_s: float) -> notes.Quarantined:
    """Return the packet that tells the event stream of a kept object."""
    return cast("notes.Quarantined", {
        "kind": "quarantined", "association": association, **caller, "directory": kept.directory, "file": kept.file,
        "size": kept.size, "duration_s": round(duration_s, 6), **described(reception, kept.refusal),
    })
