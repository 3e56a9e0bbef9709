"""Storage commitment on one association: takes requests, and tells results while it is open.

Strategy: an N-ACTION is judged by its form and kept in a file before it is answered; who carries it out is another process. A result
comes back through the coordinator, and leaves as an N-EVENT-REPORT between two messages of the peer.

Invariants: success is answered after the request is kept; one report is under way at a time, and each order to report is answered
once, with the peer's status or none.

Source: PS3.4 §J.3.2, §J.3.3; PS3.7 §10.1.1, §10.1.4
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from fastscp.commitment import requests
from fastscp.commitment.messages import RequestError, encode_result, read_action
from fastscp.commitment.policy import SOP_CLASS, SOP_INSTANCE
from fastscp.dimse import status
from fastscp.dimse.command import Command, encode_event_report_command
from fastscp.dimse.provider import ActionRequest, ReportAnswer
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process.loop import Loop
from fastscp.worker.context import CommitmentContext, ServiceContext
from fastscp.worker.flow import Flow
from fastscp.worker.outcome import Caller

_log = logging.getLogger(APPLICATION)

_IMPLICIT = "1.2.840.10008.1.2"
_REQUEST_COMMITMENT = 1  #: Action Type ID
_BUSY_S = 0.05  #: between two looks whether the peer's message is over


class Speaker(Protocol):
    """The connection (``fastscp.worker.connection``)."""

    name: str
    flow: Flow
    commitment: Committing | None

    def respond(self, context_id: int, command: Command, code: int, comment: str = "") -> None:
        """Queue a response."""


class Committing:
    """The service of one association."""

    def __init__(self, connection: Speaker, context: CommitmentContext, loop: Loop, caller: Caller) -> None:
        self._connection = connection
        self._context = context
        self._loop = loop
        self._caller = caller
        self._presentation: tuple[int, str] | None = None  #: context and transfer syntax of the latest request
        self._waiting: deque[str] = deque()  #: files whose result is to be told
        self._message_id = 0
        self._asked = False  #: the first of them was told, and not answered
        self._looking = False

    def requested(self, item: ActionRequest) -> None:
        """Answer an N-ACTION."""
        command, caller = item.command, self._caller
        try:
            _check(command)
            action = read_action(item.data, explicit=item.context.transfer_syntax != _IMPLICIT)
        except RequestError as error:
            _log.error("%s: request for commitment refused with status %04X: %s", caller, error.status, printable(str(error)))
            self._connection.respond(item.context.id, command, error.status, str(error))
            return
        pending = requests.Pending(action, caller.calling_aet, caller.called_aet, self._connection.name, self._context.wall())
        try:
            if not requests.has_room(self._context.directory, pending):
                _log.error("%s: request for commitment refused with status %04X: too many wait", caller, status.RESOURCE_LIMITATION)
                self._connection.respond(item.context.id, command, status.RESOURCE_LIMITATION, "too many requests wait")
                return
            requests.put(self._context.directory, pending, durable=self._context.durable)
        except OSError as error:
            _log.error("%s: request for commitment cannot be kept: %s", caller, error)
            self._connection.respond(item.context.id, command, status.RESOURCE_LIMITATION, "the request cannot be kept")
            return
        _log.info("Received Commitment Request (MsgID %d, %d objects)", command.message_id, len(action.references))
        self._presentation = item.context.id, item.context.transfer_syntax
        self._connection.respond(item.context.id, command, status.SUCCESS)
        self._context.note({"kind": "commitment_asked", "association": self._connection.name})

    def report(self, file: str) -> None:
        """Tell the result that is in a file, as soon as the peer's message is over."""
        self._waiting.append(file)
        self._go_on()

    def _go_on(self) -> None:
        self._looking = False
        if not self._waiting or self._asked:
            return
        may_speak = self._connection.flow.between_messages
        if may_speak is None or self._presentation is None:
            self.give_back()
        elif may_speak:
            self._send(*self._presentation)
        elif not self._looking:
            self._looking = True
            self._loop.call_later(_BUSY_S, self._go_on)

    def _send(self, context_id: int, transfer_syntax: str) -> None:
        pending = requests.read(self._context.directory / self._waiting[0])
        if pending is None or pending.result is None:
            self._answered(None)
            return
        self._message_id = self._message_id % 0xFFFF + 1
        self._asked = True
        result = pending.result
        self._connection.flow.request(
            context_id, encode_event_report_command(self._message_id, result.event_type, SOP_CLASS, SOP_INSTANCE),
            encode_result(result, explicit=transfer_syntax != _IMPLICIT))

    def answered(self, item: ReportAnswer) -> None:
        """Take the answer to a report."""
        if self._asked and item.command.message_id_being_responded_to == self._message_id:
            self._answered(item.command.status)

    def _answered(self, code: int | None) -> None:
        self._asked = False
        self._context.note({"kind": "commitment_reported", "association": self._connection.name,
                            "file": self._waiting.popleft(), "status": code})
        self._go_on()

    def give_back(self) -> None:
        """Leave what is not told to another association."""
        self._asked = False
        while self._waiting:
            self._context.note({"kind": "commitment_reported", "association": self._connection.name,
                                "file": self._waiting.popleft(), "status": None})


def _check(command: Command) -> None:
    """Check what the command of a request says. Raises RequestError."""
    if command.requested_sop_class_uid != SOP_CLASS:
        raise RequestError("no such SOP class", status.NO_SUCH_SOP_CLASS)
    if command.requested_sop_instance_uid != SOP_INSTANCE:
        raise RequestError("no such SOP instance", status.NO_SUCH_SOP_INSTANCE)
    if command.action_type_id != _REQUEST_COMMITMENT:
        raise RequestError("no such action type", status.NO_SUCH_ACTION)
    if not command.has_data_set:
        raise RequestError("no Action Information")


def _take_request(connection: Speaker, item: ActionRequest) -> None:
    if connection.commitment is not None:
        connection.commitment.requested(item)


def _take_answer(connection: Speaker, item: ReportAnswer) -> None:
    if connection.commitment is not None:
        connection.commitment.answered(item)


#: for a connection
HANDLERS: dict[type, Callable[[Any, Any], None]] = {ActionRequest: _take_request, ReportAnswer: _take_answer}


def on(connection: Speaker, context: ServiceContext, caller: Caller) -> Committing | None:
    """Return the service of a connection, None where objects are not committed."""
    return None if context.commitment is None else Committing(connection, context.commitment, context.loop, caller)
