"""Command sets: decode what a requestor sends, encode what a performer answers.

A command set is implicit VR little endian whatever the presentation context says:

    group (2) = 0000  element (2)  length (4)  value (length)

Decoding is tolerant where the message can still be understood: a wrong group length, unknown elements and
elements of other groups are passed over. A length that reaches beyond the command, or a command without
the elements every message needs, is a ``PeerError``: nothing it says can be answered.

Source: PS3.7 §6.3, §9.3, Annex E
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fastscp.dicom import uid_value
from fastscp.errors import PeerError

C_STORE_RQ = 0x0001
C_GET_RQ = 0x0010
C_FIND_RQ = 0x0020
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
N_EVENT_REPORT_RQ = 0x0100
N_GET_RQ = 0x0110
N_SET_RQ = 0x0120
N_ACTION_RQ = 0x0130
N_CREATE_RQ = 0x0140
N_DELETE_RQ = 0x0150
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000  #: bit of the command field that makes it a response

NO_DATA_SET = 0x0101  #: Command Data Set Type when no data set follows; any other value means one does

# Elements of group 0000.
AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ACTION_TYPE_ID = 0x1008
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031

_ERROR_COMMENT_OCTETS = 64  # Error Comment is LO

_HEADER = struct.Struct("<HHI")
_US = struct.Struct("<H")
_RESPONSE_NUMBERS = struct.Struct("<" + 4 * "HHIH")
_GROUP_LENGTH = struct.Struct("<HHII")

# A C-STORE-RQ as nearly every requestor encodes it: all elements that are required, in order, and no others.
_USUAL_BEGIN = struct.Struct("<HHIIHHI")  # group length; header of Affected SOP Class UID
_USUAL_MIDDLE = struct.Struct("<" + 4 * "HHIH" + "HHI")  # numbers; header of Affected SOP Instance UID
_USUAL_TAGS = (COMMAND_FIELD, 2, MESSAGE_ID, 2, PRIORITY, 2, COMMAND_DATA_SET_TYPE, 2, AFFECTED_SOP_INSTANCE_UID)


@dataclass(slots=True)
class Command:
    """A decoded command set. Numbers that are absent or malformed are None, texts are empty.

    ``uid_padding`` tells that a UID had blanks or more behind its end, which the standard does not allow (``-up``).
    ``malformed`` names the elements whose value cannot be right.
    """

    field: int
    message_id: int
    data_set_type: int
    affected_sop_class_uid: str = ""
    affected_sop_instance_uid: str = ""
    requested_sop_class_uid: str = ""
    requested_sop_instance_uid: str = ""
    priority: int | None = None
    status: int | None = None
    message_id_being_responded_to: int | None = None
    move_originator_ae_title: str = ""
    move_originator_message_id: int | None = None
    action_type_id: int | None = None
    uid_padding: bool = False
    malformed: tuple[int, ...] = ()

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self.data_set_type != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        """Whether this is an answer to something."""
        return bool(self.field & RESPONSE)


_NUMBERS = {
    COMMAND_FIELD: "field",
    MESSAGE_ID: "message_id",
    COMMAND_DATA_SET_TYPE: "data_set_type",
    PRIORITY: "priority",
    STATUS: "status",
    MESSAGE_ID_BEING_RESPONDED_TO: "message_id_being_responded_to",
    MOVE_ORIGINATOR_MESSAGE_ID: "move_originator_message_id",
    ACTION_TYPE_ID: "action_type_id",
}
_UIDS = {
    AFFECTED_SOP_CLASS_UID: "affected_sop_class_uid",
    AFFECTED_SOP_INSTANCE_UID: "affected_sop_instance_uid",
    REQUESTED_SOP_CLASS_UID: "requested_sop_class_uid",
    REQUESTED_SOP_INSTANCE_UID: "requested_sop_instance_uid",
}
_UID_OCTETS = 64


def protocol_error(message: str, offset: int | None = None) -> PeerError:
    """Return the error for a message that cannot be served: the service user aborts (PS3.7 §7.3)."""
    return PeerError(message, source=0, reason=0, offset=offset)


def decode_command(octets: bytes | bytearray | memoryview) -> Command:
    """Decode a whole command set.

    Raises ``PeerError`` when the encoding is broken, or when Command Field, Message ID (Message ID Being
    Responded To for a response or a cancel) or Command Data Set Type is absent or not one number.
    """
    whole = bytes(octets)
    return _usual_store_request(whole) or _any_command(whole)


def _any_command(octets: bytes) -> Command:
    values, malformed, padding = _elements(octets)
    field = values.get("field")
    data_set_type = values.get("data_set_type")
    if not isinstance(field, int):
        raise protocol_error("command without Command Field (0000,0100)")
    if not isinstance(data_set_type, int):
        raise protocol_error("command without Command Data Set Type (0000,0800)")
    if not isinstance(values.get("message_id"), int):
        if not (field & RESPONSE or field == C_CANCEL_RQ):
            raise protocol_error("command without Message ID (0000,0110)")
        values["message_id"] = 0
    return Command(**values, uid_padding=padding, malformed=tuple(malformed))  # type: ignore[arg-type]


def _usual_store_request(octets: bytes) -> Command | None:
    """Decode a C-STORE-RQ that is encoded as usual and has nothing wrong with it; None for any other command.

    What it returns is what the general way would.
    """
    size = len(octets)
    if size < _USUAL_BEGIN.size:
        return None
    group_0, element_0, length_0, group_length, group_1, element_1, class_octets = _USUAL_BEGIN.unpack_from(octets)
    middle = _USUAL_BEGIN.size + class_octets
    instance = middle + _USUAL_MIDDLE.size
    if (group_0, element_0, length_0, group_1, element_1) != (0, 0, 4, 0, AFFECTED_SOP_CLASS_UID) or instance > size:
        return None
    (group_2, element_2, length_2, field, group_3, element_3, length_3, message_id,
     group_4, element_4, length_4, priority, group_5, element_5, length_5, data_set_type,
     group_6, element_6, instance_octets) = _USUAL_MIDDLE.unpack_from(octets, middle)
    if (element_2, length_2, element_3, length_3, element_4, length_4, element_5, length_5, element_6) != _USUAL_TAGS or (
            field != C_STORE_RQ or group_2 | group_3 | group_4 | group_5 | group_6
            or instance + instance_octets != size or group_length != size - _GROUP_LENGTH.size):
        return None
    sop_class = octets[_USUAL_BEGIN.size : middle].rstrip(b"\0")
    sop_instance = octets[instance:].rstrip(b"\0")
    for uid in (sop_class, sop_instance):
        if len(uid) > _UID_OCTETS or not uid.replace(b".", b"").isdigit():
            return None
    return Command(field, message_id, data_set_type, sop_class.decode("ascii"), sop_instance.decode("ascii"),
                   priority=priority)


def _elements(octets: bytes) -> tuple[dict[str, int | str], list[int], bool]:
    """Return the known values by their attribute names, the malformed elements, and the padding flag."""
    values: dict[str, int | str] = {}
    malformed: list[int] = []
    padding = False
    offset, end = 0, len(octets)
    while offset < end:
        if end - offset < _HEADER.size:
            raise protocol_error("command is cut inside an element header", offset)
        group, element, length = _HEADER.unpack_from(octets, offset)
        start = offset + _HEADER.size
        if length > end - start:
            raise protocol_error(f"command element ({group:04x},{element:04x}) is longer than the command", offset)
        offset = start + length
        if group:
            continue
        if (name := _NUMBERS.get(element)) is not None:
            if length == _US.size:
                values[name] = _US.unpack_from(octets, start)[0]
            else:
                malformed.append(element)
        elif (name := _UIDS.get(element)) is not None:
            raw = octets[start:offset]
            # DEVIATION PS3.5 §9.1: blanks in a UID are dropped, for senders that pad it like text.
            uid = uid_value.meant(raw)
            padding |= raw.rstrip(b"\0") != uid
            values[name] = uid.decode("latin-1")
            if len(uid) > _UID_OCTETS or b"\\" in uid:
                malformed.append(element)
        elif element == MOVE_ORIGINATOR_AE_TITLE:
            values["move_originator_ae_title"] = octets[start:offset].decode("latin-1").strip("\0 ")
    return values, malformed, padding


def _uid_element(element: int, uid: str) -> bytes:
    """UI value padded with NUL to even length (PS3.5 §9.1)."""
    value = uid.encode("latin-1")
    value += b"\0" * (len(value) & 1)
    return _HEADER.pack(0, element, len(value)) + value


def _comment_element(comment: str) -> bytes:
    value = comment.encode("ascii", "replace").replace(b"\\", b"/")[:_ERROR_COMMENT_OCTETS]
    value += b" " * (len(value) & 1)
    return _HEADER.pack(0, ERROR_COMMENT, len(value)) + value


def encode_event_report_command(message_id: int, event_type: int, sop_class: str, sop_instance: str) -> bytes:
    """Return the command set of an N-EVENT-REPORT-RQ, whose Event Information follows (PS3.7 §10.3.1.1)."""
    body = b"".join((
        _uid_element(AFFECTED_SOP_CLASS_UID, sop_class),
        *(_HEADER.pack(0, element, 2) + _US.pack(value) for element, value in (
            (COMMAND_FIELD, N_EVENT_REPORT_RQ), (MESSAGE_ID, message_id), (COMMAND_DATA_SET_TYPE, 1))),
        _uid_element(AFFECTED_SOP_INSTANCE_UID, sop_instance),
        _HEADER.pack(0, EVENT_TYPE_ID, 2) + _US.pack(event_type)))
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def encode_response_command(command: Command, status: int, *, comment: str = "",
                            offending: tuple[int, ...] = ()) -> bytes:
    """Return the command set that answers ``command``, without a data set.

    The affected UIDs repeat the request's. ``comment`` goes into Error Comment (at most 64 ASCII
    characters), ``offending`` (tags, group << 16 | element) into Offending Element; both only matter with
    a failure. (PS3.7 §9.3.1.2, §9.3.5.2, Annex C)
    """
    sop_class = command.affected_sop_class_uid or command.requested_sop_class_uid
    sop_instance = command.affected_sop_instance_uid or command.requested_sop_instance_uid
    parts = [_uid_element(AFFECTED_SOP_CLASS_UID, sop_class)] if sop_class else []
    parts.append(_RESPONSE_NUMBERS.pack(
        0, COMMAND_FIELD, 2, command.field | RESPONSE,
        0, MESSAGE_ID_BEING_RESPONDED_TO, 2, command.message_id,
        0, COMMAND_DATA_SET_TYPE, 2, NO_DATA_SET,
        0, STATUS, 2, status))
    if offending:
        tags = b"".join(_US.pack(tag >> 16) + _US.pack(tag & 0xFFFF) for tag in offending)
        parts.append(_HEADER.pack(0, OFFENDING_ELEMENT, len(tags)) + tags)
    if comment:
        parts.append(_comment_element(comment))
    if sop_instance:
        parts.append(_uid_element(AFFECTED_SOP_INSTANCE_UID, sop_instance))
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body
