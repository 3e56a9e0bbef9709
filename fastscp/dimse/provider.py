"""Messages of one association: fragments in, requests and data out, responses encoded.

Strategy: one call takes all fragments of one read. Data fragments of one data set that follow each other
become one ``DataFragments``; nothing is copied or joined but commands. Requests that cannot be served are
read to the end of their data set and then reported with the status they deserve.

Invariants: items come in the order of the wire; a data set is only ever delivered between its request and
its ``DataEnd``; a message stays on one presentation context; a command is at most ``MAX_COMMAND_OCTETS``.

Source: PS3.7 §7, §8, §9.3; PS3.8 Annex E
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fastscp.dicom.uids import STORAGE_COMMITMENT, VERIFICATION
from fastscp.dimse import status
from fastscp.dimse.command import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
    RESPONSE,
    Command,
    decode_command,
    encode_response_command,
    protocol_error,
)
from fastscp.errors import PeerError
from fastscp.ul.encode import encode_data
from fastscp.ul.events import Fragments
from fastscp.ul.pdu import (
    ABORT_SOURCE_PROVIDER,
    INVALID_PDU_PARAMETER_VALUE,
    AcceptedContext,
)

#: Largest command set that is collected; a C-STORE-RQ has less than 400 octets.
MAX_COMMAND_OCTETS = 1 << 16

#: Largest data set of an N-ACTION that is collected: some 30,000 objects.
MAX_ACTION_OCTETS = 1 << 22

_COMMAND = 1  # message control header: command, else data set
_LAST = 2  # message control header: last fragment
_PDV_OVERHEAD = 6
#: Shortest P-DATA-TF with anything in it, fragments being of even length (PS3.8 Annex E.2).
SHORTEST_DATA = 8
_LONGEST_DATA = 1 << 17  #: for a peer that takes any
_NOT_STORAGE = {VERIFICATION: "Verification", STORAGE_COMMITMENT: "Storage Commitment"}


@dataclass(frozen=True, slots=True)
class EchoRequest:
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""

    context: AcceptedContext
    command: Command


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """C-STORE-RQ (PS3.7 §9.3.1.1); its data set follows, up to a ``DataEnd``."""

    context: AcceptedContext
    command: Command


@dataclass(frozen=True, slots=True)
class UnrecognizedRequest:
    """A request that is not served; its data set, if any, has been passed over. Answer ``status``."""

    context: AcceptedContext
    command: Command
    status: int
    comment: str = ""
    offending: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DataFragments:
    """Consecutive octets of the data set at hand; the views die with the next read."""

    views: list[memoryview]


@dataclass(frozen=True, slots=True)
class DataEnd:
    """The data set of ``command`` is complete."""

    context: AcceptedContext
    command: Command


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """N-ACTION-RQ of storage commitment with its Action Information (PS3.7 §10.1.4.1)."""

    context: AcceptedContext
    command: Command
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """N-EVENT-REPORT-RSP to what we have told; its data set, if any, is passed over (PS3.7 §10.1.1.1)."""

    context: AcceptedContext
    command: Command


Item = ActionRequest | ReportAnswer | EchoRequest | StoreRequest | UnrecognizedRequest | DataFragments | DataEnd


class Provider:
    """Performer of C-ECHO and C-STORE on the accepted presentation contexts of one association.

    ``peer_max_length`` is the longest P-DATA-TF (value of its length field) the peer takes, 0 for any; ``commits``: storage
    commitment is served, too.
    """

    __slots__ = ("_action", "_command", "_commits", "_contexts", "_data_end", "_data_id", "_partial", "_partial_id", "_skipping",
                 "peer_max_length")

    def __init__(self, contexts: Mapping[int, AcceptedContext], peer_max_length: int = 0, *, commits: bool = False) -> None:
        self._contexts = contexts
        self._commits = commits
        self._action: bytearray | None = None  #: Action Information at hand
        self.peer_max_length = peer_max_length
        self._partial = bytearray()  #: fragments of an incomplete command
        self._partial_id = -1  #: context of that command; -1: none is open
        self._data_id = -1  #: context whose data set is expected; -1: a command is
        self._data_end: Item | None = None  #: what is reported when the data set at hand ends
        self._skipping = False  #: the data set at hand is passed over

    @property
    def inside_message(self) -> bool:
        """Whether a message of the peer has begun and is not complete."""
        return self._partial_id >= 0 or self._data_id >= 0

    @property
    def passed_over(self) -> UnrecognizedRequest | None:
        """The request that is not served and whose data set has not ended yet."""
        return self._data_end if isinstance(self._data_end, UnrecognizedRequest) else None

    def receive(self, fragments: Iterable[Fragments]) -> list[Item]:
        """Return what ``fragments`` mean, in order.

        Raises ``PeerError`` with the items before the violation in ``error.items``; no further fragment
        may follow then.
        """
        items: list[Item] = []
        try:
            for context_id, flags, views in fragments:
                if flags & _COMMAND:
                    self._on_command(context_id, flags, views, items)
                    continue
                if context_id != self._data_id:
                    raise self._unexpected_data(context_id)
                if not self._skipping:
                    items.append(DataFragments(views))
                elif self._action is not None:
                    self._collect(self._action, views)
                if flags & _LAST:
                    self._on_data_end(items)
        except PeerError as error:
            error.items = items
            raise
        return items

    def _on_command(self, context_id: int, flags: int, views: list[memoryview], items: list[Item]) -> None:
        if self._data_id >= 0:
            raise protocol_error("command fragment inside a data set")
        if context_id not in self._contexts:
            raise self._no_context(context_id)
        partial = self._partial
        if self._partial_id not in {-1, context_id}:
            raise protocol_error("command goes on in another presentation context")
        if len(partial) + sum(map(len, views)) > MAX_COMMAND_OCTETS:
            raise protocol_error(f"command of more than {MAX_COMMAND_OCTETS} octets")
        if not flags & _LAST:
            self._partial_id = context_id
            partial += b"".join(views)
            return
        command = decode_command(b"".join((partial, *views)))
        partial.clear()
        self._partial_id = -1
        self._on_request(self._contexts[context_id], command, items)

    def _on_request(self, context: AcceptedContext, command: Command, items: list[Item]) -> None:
        """Report a request now, or when its data set has been passed over."""
        item = self._served_besides(context, command) if self._commits else None
        if item is None and command.is_response:
            raise protocol_error(f"response {command.field:04X}H to nothing that was asked")
        item = item or _judge(context, command)
        if isinstance(item, StoreRequest):
            items.append(item)
            self._data_id, self._skipping = context.id, False
            self._data_end = DataEnd(context, command)
        elif command.has_data_set:
            self._data_id, self._skipping = context.id, True
            self._data_end = item
            self._action = bytearray() if isinstance(item, ActionRequest) else None
        elif item is not None:
            items.append(item)

    @staticmethod
    def _served_besides(context: AcceptedContext, command: Command) -> Item | None:
        """Return what a message of storage commitment is."""
        if context.abstract_syntax != STORAGE_COMMITMENT:
            return None
        if command.field == N_ACTION_RQ:
            return ActionRequest(context, command)
        return ReportAnswer(context, command) if command.field == N_EVENT_REPORT_RQ | RESPONSE else None

    def _collect(self, action: bytearray, views: list[memoryview]) -> None:
        if len(action) + sum(map(len, views)) <= MAX_ACTION_OCTETS:
            action += b"".join(views)
            return
        self._action, request = None, self._data_end
        if isinstance(request, ActionRequest):
            self._data_end = UnrecognizedRequest(request.context, request.command, status.RESOURCE_LIMITATION,
                                                 "too many objects in one request")

    def _on_data_end(self, items: list[Item]) -> None:
        item = self._data_end
        if self._action is not None and isinstance(item, ActionRequest):
            item = ActionRequest(item.context, item.command, bytes(self._action))
        self._data_id, self._data_end, self._action = -1, None, None
        if item is not None:
            items.append(item)

    def _unexpected_data(self, context_id: int) -> PeerError:
        if context_id not in self._contexts:
            return self._no_context(context_id)
        if self._data_id < 0:
            return protocol_error("data set fragment without a command that announces it")
        return protocol_error("data set is in another presentation context than its command")

    def _no_context(self, context_id: int) -> PeerError:
        return PeerError(f"PDV with presentation context id {context_id}, which was not accepted",
                         source=ABORT_SOURCE_PROVIDER, reason=INVALID_PDU_PARAMETER_VALUE)

    def encode_response(self, context_id: int, command: Command, code: int, comment: str = "",
                        offending: tuple[int, ...] = ()) -> bytes:
        """Return the response as P-DATA-TF PDUs the peer can take.

        Raises ``PeerError`` when the peer's maximum length is too short for any fragment.
        """
        return self._encode(context_id, _COMMAND, encode_response_command(command, code, comment=comment, offending=offending))

    def encode_request(self, context_id: int, command: bytes, data: bytes) -> bytes:
        """Return a request of ours with its data set, as ``encode_response`` does."""
        return self._encode(context_id, _COMMAND, command) + self._encode(context_id, 0, data)

    def _encode(self, context_id: int, kind: int, octets: bytes) -> bytes:
        limit = self.peer_max_length
        if len(octets) + _PDV_OVERHEAD <= (limit or _LONGEST_DATA):
            return encode_data(context_id, kind | _LAST, octets)
        limit = limit or _LONGEST_DATA
        if limit < SHORTEST_DATA:
            raise protocol_error(f"peer takes P-DATA-TF of at most {limit} octets, which carries no message")
        size = (limit - _PDV_OVERHEAD) & ~1
        last = (len(octets) - 1) // size * size
        parts = [encode_data(context_id, kind, octets[start : start + size])
                 for start in range(0, last, size)]
        parts.append(encode_data(context_id, kind | _LAST, octets[last:]))
        return b"".join(parts)


def _judge(context: AcceptedContext, command: Command) -> Item | None:
    """Return what ``command`` is reported as; None for a C-CANCEL of nothing, which has no response."""
    if command.field == C_STORE_RQ:
        return _judge_store(context, command)
    if command.field == C_ECHO_RQ:
        return EchoRequest(context, command)
    if command.field == C_CANCEL_RQ:
        return None
    return UnrecognizedRequest(context, command, status.UNRECOGNIZED_OPERATION,
                               f"operation {command.field:04X}H is not supported")


def _judge_store(context: AcceptedContext, command: Command) -> Item:
    if context.abstract_syntax in _NOT_STORAGE:
        return UnrecognizedRequest(context, command, status.SOP_CLASS_NOT_SUPPORTED,
                                   f"no C-STORE on the {_NOT_STORAGE[context.abstract_syntax]} SOP Class")
    if not command.has_data_set:
        return UnrecognizedRequest(context, command, status.CANNOT_UNDERSTAND, "C-STORE without a data set",
                                   (COMMAND_DATA_SET_TYPE,))
    for element, uid, name, invalid in (
        (AFFECTED_SOP_CLASS_UID, command.affected_sop_class_uid, "Affected SOP Class UID",
         status.INVALID_ARGUMENT_VALUE),
        (AFFECTED_SOP_INSTANCE_UID, command.affected_sop_instance_uid, "Affected SOP Instance UID",
         status.INVALID_SOP_INSTANCE),
    ):
        if element in command.malformed:
            return UnrecognizedRequest(context, command, invalid, f"{name} is not one UID", (element,))
        if not uid:
            return UnrecognizedRequest(context, command, status.MISSING_ATTRIBUTE, f"{name} is missing",
                                       (element,))
    return StoreRequest(context, command)
