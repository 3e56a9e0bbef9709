"""DIMSE messages as text for debug logging: the facts storescp prints, in our words.

Texts of the peer are given as they came (Latin-1), line ends included: a list of lines is what the logger
makes printable (``fastscp.log.text.printable_lines``).
"""

from __future__ import annotations

from fastscp.dicom.uids import SOP_CLASS_NAMES, TRANSFER_SYNTAX_NAMES
from fastscp.dimse import status
from fastscp.dimse.command import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    N_ACTION_RQ,
    N_CREATE_RQ,
    N_DELETE_RQ,
    N_EVENT_REPORT_RQ,
    N_GET_RQ,
    N_SET_RQ,
    RESPONSE,
    Command,
)
from fastscp.ul.pdu import AcceptedContext

_FIELDS = {
    C_STORE_RQ: "C-STORE",
    C_GET_RQ: "C-GET",
    C_FIND_RQ: "C-FIND",
    C_MOVE_RQ: "C-MOVE",
    C_ECHO_RQ: "C-ECHO",
    N_EVENT_REPORT_RQ: "N-EVENT-REPORT",
    N_GET_RQ: "N-GET",
    N_SET_RQ: "N-SET",
    N_ACTION_RQ: "N-ACTION",
    N_CREATE_RQ: "N-CREATE",
    N_DELETE_RQ: "N-DELETE",
}
_PRIORITIES = {0: "medium", 1: "high", 2: "low"}


def message_type(field: int) -> str:
    """Return the name of a Command Field, such as ``C-STORE RQ``."""
    if field == C_CANCEL_RQ:
        return "C-CANCEL RQ"
    name = _FIELDS.get(field & ~RESPONSE)
    if name is None:
        return f"Unknown ({field:04x})"
    return f"{name} {'RSP' if field & RESPONSE else 'RQ'}"


def _line(label: str, value: object) -> str:
    return f"{label:<30}: {value}"


def _sop_class(uid: str) -> str:
    if not uid:
        return "none"
    name = SOP_CLASS_NAMES.get(uid)
    return uid if name is None else f"{uid} ({name})"


def command(request: Command, context: AcceptedContext) -> list[str]:
    """Return a request as lines."""
    syntax = TRANSFER_SYNTAX_NAMES.get(context.transfer_syntax, context.transfer_syntax)
    lines = [
        "INCOMING DIMSE MESSAGE",
        _line("Message Type", message_type(request.field)),
        _line("Presentation Context ID", context.id),
        _line("Transfer Syntax", syntax),
        _line("Message ID", request.message_id),
        _line("Affected SOP Class UID", _sop_class(request.affected_sop_class_uid)),
    ]
    if request.affected_sop_instance_uid:
        lines.append(_line("Affected SOP Instance UID", request.affected_sop_instance_uid))
    if request.requested_sop_class_uid:
        lines.append(_line("Requested SOP Class UID", _sop_class(request.requested_sop_class_uid)))
    if request.requested_sop_instance_uid:
        lines.append(_line("Requested SOP Instance UID", request.requested_sop_instance_uid))
    lines.append(_line("Data Set", "present" if request.has_data_set else "none"))
    if request.priority is not None:
        lines.append(_line("Priority", _PRIORITIES.get(request.priority, f"unknown ({request.priority:04x})")))
    if request.move_originator_ae_title:
        lines.append(_line("Move Originator AE Title", request.move_originator_ae_title))
    if request.move_originator_message_id is not None:
        lines.append(_line("Move Originator ID", request.move_originator_message_id))
    return lines


def response(request: Command, code: int) -> list[str]:
    """Return the response to ``request`` as lines."""
    lines = [
        "OUTGOING DIMSE MESSAGE",
        _line("Message Type", message_type(request.field | RESPONSE)),
        _line("Message ID Being Responded To", request.message_id),
        _line("Affected SOP Class UID", _sop_class(request.affected_sop_class_uid)),
    ]
    if request.affected_sop_instance_uid:
        lines.append(_line("Affected SOP Instance UID", request.affected_sop_instance_uid))
    lines += [
        _line("Data Set", "none"),
        _line("DIMSE Status", f"0x{code:04x}: {status.name(code)}"),
    ]
    return lines
