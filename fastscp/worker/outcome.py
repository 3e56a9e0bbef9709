"""What is told of one association and of what became of its objects: counted, logged, told to the coordinator.

Invariant: every C-STORE-RQ that was decoded gets exactly one outcome. It is stored, or refused with a status, or cut
off without one when its association ended first.

What it does not do: decide. Without an event stream nothing is told to the coordinator but what it needs to know.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fastscp.dicom.uids import SOP_CLASS_NAMES
from fastscp.dimse.command import C_STORE_RQ, Command
from fastscp.dimse.provider import StoreRequest, UnrecognizedRequest
from fastscp.errors import ObjectError, tag_text
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.net.peer import Peer
from fastscp.process import notes, packets
from fastscp.study import event_types, events
from fastscp.ul.pdu import AAssociateRQ, AcceptedContext
from fastscp.worker.context import Reporter
from fastscp.worker.quarantine import quarantined
from fastscp.worker.reception import (
    MODALITY,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Kept,
    Reception,
)

_log = logging.getLogger(APPLICATION)

_SHOWN = 300  #: characters of a reason in a line of the log


@dataclass(slots=True)
class Caller:
    """Who is at the other end; the titles are known once the association was requested."""

    peer: Peer
    calling_aet: str = ""
    called_aet: str = ""
    introduced: bool = False
    sender: str = ""  #: section of the configuration file

    def fields(self) -> event_types.Caller:
        """Return what packets and events say of it."""
        return {"calling_aet": self.calling_aet, "called_aet": self.called_aet, "peer": self.peer.address,
                "peer_host": self.peer.name, "port": self.peer.port, "sender": self.sender}

    def introduce(self, request: AAssociateRQ) -> None:
        """Take the titles from an association request."""
        self.calling_aet, self.called_aet = request.calling_ae_title, request.called_ae_title
        self.introduced = True

    def __str__(self) -> str:
        if not self.introduced:
            return self.peer.name
        return f"{self.peer.name} ({printable(self.calling_aet)} -> {printable(self.called_aet)})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an object is not stored; ``status`` is None when it was cut off."""

    reason: str
    status: int | None = None
    tag: str | None = None
    offset: int | None = None

    end: str = ""  #: what cut off an object that would have been refused for another reason

    @property
    def told(self) -> str:
        """The reason as events give it."""
        return f"{self.reason}; {self.end}" if self.end else self.reason

    def __str__(self) -> str:
        text = self.reason if self.tag is None else f"({self.tag}) {self.reason}"
        if self.offset is not None:
            text += f", offset {self.offset}"
        return f"{text}; {self.end}" if self.end else text


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What is known of an object that is not stored. Without a ``reception`` nobody looked at its data set."""

    context: AcceptedContext
    command: Command
    reception: Reception | None = None
    duration_s: float = 0.0

    def text(self, tag: int) -> str:
        """Return a value of the data set, "" where it is not known."""
        return "" if self.reception is None else packets.bounded(self.reception.text(tag))

    def __str__(self) -> str:
        sop_class, study = self.command.affected_sop_class_uid, self.text(STUDY_INSTANCE_UID)
        name = SOP_CLASS_NAMES.get(sop_class)
        return (f"SOP class {printable(sop_class, _SHOWN) or 'unknown'}" + (f" ({name})" if name else "")
                + f", SOP instance {printable(self.command.affected_sop_instance_uid, _SHOWN) or 'unknown'}"
                + (f", study {printable(study, _SHOWN)}" if study else ""))


@dataclass(slots=True)
class Tally:
    """What ``association.closed`` says."""

    stored: int = 0
    refused: int = 0
    octets: int = 0  #: of the files stored


@dataclass(slots=True)
class Outcomes:
    """Tells of ``association`` and of what became of each object of it.

    ``reporter`` is None where nobody wants to know of objects, ``listener`` where nobody reads events.
    """

    association: str
    caller: Caller
    reporter: Reporter | None
    listener: Reporter | None
    tally: Tally = field(default_factory=Tally)

    # -- the association --------------------------------------------------------------------------

    def opened(self, request: AAssociateRQ) -> None:
        """Tell that the association is established."""
        self.caller.introduce(request)
        if self.reporter is not None:
            host = "" if self.caller.peer.host_follows else self.caller.peer.name  # the coordinator is told it then, too
            self.reporter.opened({"kind": "opened", "association": self.association, **self.caller.fields(),
                                  "peer_host": host, "max_pdu": request.max_pdu_length})

    def rejected(self, request: AAssociateRQ, reason: str) -> None:
        """Tell that the association was rejected."""
        self.caller.introduce(request)
        if self.listener is not None:
            self.listener.note({"kind": "rejected", **self.caller.fields(), "reason": reason})

    def closed(self, how: str) -> None:
        """Tell that the association ended; nothing is told of its objects afterwards."""
        if self.reporter is not None:
            tally = self.tally
            self.reporter.closed(self.association, how, stored=tally.stored, refused=tally.refused, octets=tally.octets)

    # -- its objects ------------------------------------------------------------------------------

    def stored(self, size: int, objects: int = 1) -> None:
        """Count an object that has its name, or several; the service tells of it."""
        self.tally.stored += objects
        self.tally.octets += size

    def refused(self, reception: Reception, duration_s: float) -> None:
        """Tell of an object that is answered with the failure of its reception."""
        if reception.failure is not None:
            self._tell(_Attempt(reception.context, reception.command, reception, duration_s), _verdict(reception.failure))

    def kept(self, reception: Reception, kept: Kept, duration_s: float) -> None:
        """Tell of an object that is kept in the quarantine; it counts as refused."""
        self.tally.refused += 1
        packet = quarantined(reception, kept, self.caller.fields(), self.association, duration_s)
        _log.warning("object of %s cannot be stored, quarantined as %s/%s: %s; %s", self.caller, kept.directory, kept.file,
                     printable(str(_verdict(kept.refusal)), _SHOWN), _Attempt(reception.context, reception.command, reception),
                     extra={"fields": events.object_quarantined(time.time(), packet)})
        if self.listener is not None:
            self.listener.note(packet)

    def cut_off(self, reception: Reception, why: str, duration_s: float) -> None:
        """Tell of an object whose association ended before it was answered."""
        verdict = Verdict(why)
        if reception.failure is not None:
            known = _verdict(reception.failure)
            verdict = replace(known, status=None, end=why)
        self._tell(_Attempt(reception.context, reception.command, reception, duration_s), verdict)

    def not_served(self, request: UnrecognizedRequest) -> None:
        """Tell of a C-STORE-RQ that is answered with a failure without a look at its data set."""
        tag = tag_text(request.offending[0]) if request.offending else None
        self._tell(_Attempt(request.context, request.command), Verdict(request.comment, request.status, tag))

    def not_reached(self, requests: Iterable[StoreRequest | UnrecognizedRequest], why: str) -> None:
        """Tell of each C-STORE-RQ that had arrived, and was not even looked at when its association ended."""
        for request in requests:
            if request.command.field == C_STORE_RQ:
                self._tell(_Attempt(request.context, request.command), Verdict(why))

    def _tell(self, attempt: _Attempt, verdict: Verdict) -> None:
        self.tally.refused += 1
        packet = self._packet(attempt, verdict)
        answer = "cut off" if verdict.status is None else f"refused with status {verdict.status:04X}"
        _log.error("object of %s %s: %s; %s", self.caller, answer, printable(str(verdict), _SHOWN), attempt,
                   extra={"fields": events.object_refused(time.time(), packet)})
        if self.listener is not None:
            self.listener.note(packet)

    def _packet(self, attempt: _Attempt, verdict: Verdict) -> notes.Refused:
        command = attempt.command
        return {
            "kind": "refused", "association": self.association, **self.caller.fields(),
            "directory": None, "file": None,
            "sop_class": packets.bounded(command.affected_sop_class_uid),
            "sop_instance": packets.bounded(command.affected_sop_instance_uid),
            "study": attempt.text(STUDY_INSTANCE_UID), "series": attempt.text(SERIES_INSTANCE_UID),
            "modality": attempt.text(MODALITY), "transfer_syntax": attempt.context.transfer_syntax,
            "duration_s": round(attempt.duration_s, 6), "status": verdict.status, "tag": verdict.tag,
            "offset": verdict.offset,
            "reason": packets.bounded(verdict.told),
        }


def _verdict(failure: ObjectError) -> Verdict:
    tag = None if failure.tag is None else tag_text(failure.tag)
    return Verdict(failure.reason, failure.status, tag, failure.offset)


def error_comment(request: UnrecognizedRequest) -> str:
    """Return the Error Comment of a request that is not served, the tag first as in ``ObjectError.comment``."""
    comment, offending = request.comment, request.offending
    return f"({tag_text(offending[0])}) {comment}" if comment and offending else comment
