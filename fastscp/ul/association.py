"""One association, seen from its acceptor, without any I/O.

Strategy: octets go in as memoryviews of any fragmentation, events come out in order, octets to send are
collected for ``take_output``. The state table decides what every PDU means; P-DATA-TF has its own reader
(``fastscp.ul.data``).

Invariants: no P-DATA-TF is buffered, only headers cut by the end of a read (less than 6 octets) and the
A-ASSOCIATE-RQ (bounded by ``MAX_ASSOCIATE_OCTETS``); a PDV never reaches beyond its PDU; a PDU that cannot
be right is refused at its header, before its body arrives.

Not done here: timers. ``artim_running`` tells the caller to run one and call ``artim_expired``.

Source: PS3.8 §9.2, §9.3
"""

from __future__ import annotations

import struct

from fastscp.errors import FastscpError, PeerError
from fastscp.ul.answers import Answers
from fastscp.ul.data import DataReader
from fastscp.ul.decode import decode_abort
from fastscp.ul.encode import encode_abort, encode_release_rp
from fastscp.ul.events import Aborted, AssociationEvent, Established, Rejected, ReleaseRequested
from fastscp.ul.pdu import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    ABORT_SOURCE_PROVIDER,
    ABORT_SOURCE_USER,
    ASSOCIATE_FIXED_OCTETS,
    FIXED_BODY_OCTETS,
    INVALID_PDU_PARAMETER_VALUE,
    P_DATA_TF,
    PDU_HEADER_OCTETS,
    REASON_NOT_SPECIFIED,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    AAbort,
)
from fastscp.ul.states import ARTIM_AFTER, TRANSITIONS, Action, Artim, Event, State

__all__ = ["Aborted", "Association", "AssociationError", "AssociationEvent", "Established", "Rejected",
           "ReleaseRequested"]

#: Largest A-ASSOCIATE-RQ that is collected. 128 contexts with 64 transfer syntaxes each are 0.3 MB.
MAX_ASSOCIATE_OCTETS = 1 << 20

_PDU = struct.Struct(">BxI")  # PDU type, length

_EVENT_OF = {
    A_ASSOCIATE_RQ: Event.ASSOCIATE_RQ,
    A_ASSOCIATE_AC: Event.ASSOCIATE_AC,
    A_ASSOCIATE_RJ: Event.ASSOCIATE_RJ,
    P_DATA_TF: Event.DATA,
    A_RELEASE_RQ: Event.RELEASE_RQ,
    A_RELEASE_RP: Event.RELEASE_RP,
    A_ABORT: Event.ABORT,
}


class AssociationError(FastscpError):
    """The caller asked for what the state does not allow."""


class Association:
    """The acceptor's side of one association. ``state`` starts as Sta2: the transport is connected."""

    __slots__ = ("_answers", "_body", "_body_left", "_carry", "_data", "_output", "_pdu_type", "artim_running",
                 "left", "state")

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._data = DataReader(answers.policy.max_pdu_length)
        self.state = State.IDLE
        self.artim_running = False
        self.left = 0  #: octets at the end of what ``receive`` got that it has not taken yet
        self._output: list[bytes] = []
        self._carry = bytearray()  #: the begin of a header cut by the end of a read
        self._pdu_type = 0  #: type of the PDU whose body is being collected
        self._body = bytearray()
        self._body_left = 0
        self._step(Event.TRANSPORT_INDICATION)

    @property
    def finished(self) -> bool:
        """Whether the caller shall close the transport, once the output is sent (Sta1)."""
        return self.state is State.IDLE

    @property
    def over(self) -> bool:
        """Whether nothing that the peer still sends counts (Sta13, Sta1)."""
        return self.state is State.AWAITING_CLOSE or self.state is State.IDLE

    @property
    def inside_pdu(self) -> bool:
        """Whether a PDU of the peer has begun and is not complete."""
        return bool(self._carry or self._body_left) or self._data.inside_pdu

    # -- what the caller does ---------------------------------------------------------------------

    def take_output(self) -> bytes:
        """Return and forget the octets to send."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def release(self) -> None:
        """Queue the A-RELEASE-RP for a ``ReleaseRequested`` (AR-4).

        When the peer has aborted or broken the protocol behind its request, nothing is left to answer.
        """
        if self.over:
            return
        self._step(Event.RELEASE_RESPONSE)
        self._output.append(encode_release_rp())

    def abort(self, source: int = ABORT_SOURCE_USER, reason: int = REASON_NOT_SPECIFIED) -> None:
        """Queue an A-ABORT (AA-1); without an association to abort nothing is sent."""
        if (self.state, Event.ABORT_REQUEST) in TRANSITIONS:
            self._step(Event.ABORT_REQUEST)
            self._output.append(encode_abort(AAbort(source, reason)))

    def transport_closed(self) -> None:
        """Note that the peer closed the connection."""
        if self.state is not State.IDLE:
            self._step(Event.TRANSPORT_CLOSED)

    def artim_expired(self) -> None:
        """Note that the ARTIM timer ran out; the transport is to be closed (AA-2)."""
        if self.artim_running:
            self._step(Event.ARTIM_EXPIRED)

    def receive(self, data: memoryview) -> list[AssociationEvent]:
        """Take octets of the peer and return what they mean.

        Of a great many small PDUs it takes only some: while there are octets ``left``, they come next. ``data`` stays
        the caller's; views of it in the result are valid until its next use. Raises ``PeerError`` with the events
        before the violation in ``error.events``; the A-ABORT is queued then.
        """
        events: list[AssociationEvent] = []
        self.left = 0
        try:
            self._receive(data, events)
        except PeerError as error:
            error.events = events
            raise
        return events

    # -- framing ----------------------------------------------------------------------------------

    def _receive(self, data: memoryview, events: list[AssociationEvent]) -> None:
        offset, end = 0, len(data)
        while offset < end:
            state = self.state
            if state is State.ESTABLISHED and not self._body_left:
                offset = self._receive_data(data, offset, end, events)
                if offset < end and self._data.other is None:
                    self.left = end - offset
                    return
            elif self.over:
                # DEVIATION PS3.8 Table 9-10 Sta13: what follows our last word is dropped undecoded. After
                # a violation no PDU boundary is known any more; the peer's close or ARTIM ends it.
                return
            elif self._body_left:
                offset = self._collect(data, offset, end, events)
            else:
                offset = self._header(data, offset, end)

    def _receive_data(self, data: memoryview, offset: int, end: int, events: list[AssociationEvent]) -> int:
        reader = self._data
        try:
            offset = reader.receive(data, offset, end, events)
        except PeerError as error:
            raise self._violation(Event.INVALID_PDU, str(error), error.reason) from error
        if reader.other is not None:
            self._begin(*reader.other)
        return offset

    def _header(self, data: memoryview, offset: int, end: int) -> int:
        """Collect a PDU header octet by octet if need be; return the offset behind what was used."""
        carry = self._carry
        taken = min(PDU_HEADER_OCTETS - len(carry), end - offset)
        carry += data[offset : offset + taken]
        if len(carry) == PDU_HEADER_OCTETS:
            kind, length = _PDU.unpack(carry)
            carry.clear()
            self._begin(kind, length)
        return offset + taken

    def _begin(self, kind: int, length: int) -> None:
        """Judge a PDU header of any type but P-DATA-TF in Sta6, and prepare for the body."""
        event = _EVENT_OF.get(kind)
        if event is None:
            raise self._violation(Event.INVALID_PDU, f"PDU of unknown type {kind:02X}H", UNRECOGNIZED_PDU)
        action, _ = TRANSITIONS[self.state, event]
        if action in {Action.AA_1, Action.AA_8}:
            raise self._violation(event, f"unexpected PDU of type {kind:02X}H in {self.state.name}", UNEXPECTED_PDU)
        if kind == A_ASSOCIATE_RQ:
            bad = not ASSOCIATE_FIXED_OCTETS <= length <= MAX_ASSOCIATE_OCTETS
        else:
            bad = length != FIXED_BODY_OCTETS
        if bad:
            raise self._violation(Event.INVALID_PDU, f"PDU of type {kind:02X}H cannot have {length} octets",
                                  INVALID_PDU_PARAMETER_VALUE)
        self._pdu_type = kind
        self._body_left = length

    def _collect(self, data: memoryview, offset: int, end: int, events: list[AssociationEvent]) -> int:
        taken = min(self._body_left, end - offset)
        self._body += data[offset : offset + taken]
        self._body_left -= taken
        if not self._body_left:
            body = bytes(self._body)
            self._body = bytearray()  # gives the memory of a big A-ASSOCIATE-RQ back
            self._complete(self._pdu_type, body, events)
        return offset + taken

    def _complete(self, kind: int, body: bytes, events: list[AssociationEvent]) -> None:
        if kind == A_ASSOCIATE_RQ:
            self._associate(body, events)
        elif kind == A_RELEASE_RQ:
            self._step(Event.RELEASE_RQ)
            events.append(ReleaseRequested())
        else:  # A_ABORT: the table lets no other type come this far
            abort = decode_abort(body)
            self._step(Event.ABORT)
            events.append(Aborted(abort.source, abort.reason))

    def _associate(self, body: bytes, events: list[AssociationEvent]) -> None:
        try:
            answer = self._answers.to(body)
        except PeerError as error:
            raise self._violation(Event.INVALID_PDU, str(error), error.reason, error.offset) from error
        self._step(Event.ASSOCIATE_RQ)
        self._step(Event.ACCEPT if isinstance(answer.event, Established) else Event.REJECT)
        self._output.append(answer.octets)
        events.append(answer.event)

    # -- state ------------------------------------------------------------------------------------

    def _violation(self, event: Event, message: str, reason: int, offset: int | None = None) -> PeerError:
        """Queue the A-ABORT of the table for ``event`` and return the error to raise."""
        action, _ = TRANSITIONS[self.state, event]
        self._step(event)
        if action is Action.AA_1:  # PS3.8 Table 9-8: before an association the source is the service-user
            source, reason = ABORT_SOURCE_USER, REASON_NOT_SPECIFIED
        else:
            source = ABORT_SOURCE_PROVIDER
        self._output.append(encode_abort(AAbort(source, reason)))
        return PeerError(message, source=source, reason=reason, offset=offset)

    def _step(self, event: Event) -> None:
        entry = TRANSITIONS.get((self.state, event))
        if entry is None:
            raise AssociationError(f"{event.name} cannot happen in {self.state.name}")
        action, self.state = entry
        artim = ARTIM_AFTER.get(action)
        if artim is not None:
            self.artim_running = artim is Artim.START
