"""Decode A-ASSOCIATE PDUs, A-ASSOCIATE-RJ and A-ABORT from complete bodies.

Every function takes the body of a PDU (without its six header octets) and either consumes all of it or
raises ``PeerError`` with reason 6 (invalid-PDU-parameter value) and the offset counted from the PDU's first
octet. A length is compared with what its container has left before anything is read. Unknown items and
sub-items are skipped, as PS3.8 §9.3.1 asks.

Item:  type (1) reserved (1) length (2, big endian) value (length)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastscp.errors import PeerError
from fastscp.ul.pdu import (
    ABORT_SOURCE_PROVIDER,
    ASSOCIATE_FIXED_OCTETS,
    FIXED_BODY_OCTETS,
    INVALID_PDU_PARAMETER_VALUE,
    PDU_HEADER_OCTETS,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)

_FIXED = struct.Struct(">HH16s16s32s")
_ITEM = struct.Struct(">BxH")
_U32 = struct.Struct(">I")
_FIXED_BODY = struct.Struct(">xBBB")


def invalid(message: str, offset: int) -> PeerError:
    """Return the error for a parameter whose value or length cannot be right."""
    return PeerError(message, source=ABORT_SOURCE_PROVIDER, reason=INVALID_PDU_PARAMETER_VALUE, offset=offset)


def uid_text(octets: bytes) -> str:
    """UID of an item: no padding is allowed there, but NULs and spaces at the end do no harm."""
    # DEVIATION PS3.8 Annex F: trailing NULs and spaces are dropped, for senders that pad to even length.
    return octets.rstrip(b"\0 ").decode("latin-1")


def _items(body: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (type, start of value, end of value) of the items in ``body[start:end]``."""
    offset = start
    while offset < end:
        if end - offset < _ITEM.size:
            raise invalid("item header is cut", offset + PDU_HEADER_OCTETS)
        kind, length = _ITEM.unpack_from(body, offset)
        value = offset + _ITEM.size
        if length > end - value:
            raise invalid(f"item {kind:02X}H is longer than what contains it", offset + PDU_HEADER_OCTETS)
        offset = value + length
        yield kind, value, offset


class _Fields:
    """Reads fixed and length-prefixed fields of one item, never beyond its end."""

    __slots__ = ("body", "end", "offset")

    def __init__(self, body: bytes, start: int, end: int) -> None:
        self.body = body
        self.offset = start
        self.end = end

    def take(self, count: int) -> bytes:
        """Return the next ``count`` octets."""
        start = self.offset
        if count > self.end - start:
            raise invalid("field is longer than its item", start + PDU_HEADER_OCTETS)
        self.offset = start + count
        return self.body[start : self.offset]

    def u8(self) -> int:
        """Return the next octet."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Return the next two octets, big endian."""
        return int.from_bytes(self.take(2), "big")

    def counted(self) -> bytes:
        """Return a field that is preceded by its length in two octets."""
        return self.take(self.u16())

    def rest(self) -> bytes:
        """Return everything up to the end of the item."""
        return self.take(self.end - self.offset)


@dataclass(slots=True)
class _UserInformationParts:
    """User information while its sub-items are met; lists because several items may carry them."""

    maximum_length: int | None = None
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    window: AsynchronousOperationsWindow | None = None
    roles: list[RoleSelection] = field(default_factory=list)
    extended: list[ExtendedNegotiation] = field(default_factory=list)
    common_extended: list[CommonExtendedNegotiation] = field(default_factory=list)
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = None

    def frozen(self) -> UserInformation:
        """Return the value object."""
        return UserInformation(
            maximum_length=self.maximum_length,
            implementation_class_uid=self.implementation_class_uid,
            implementation_version_name=self.implementation_version_name,
            window=self.window,
            roles=tuple(self.roles),
            extended=tuple(self.extended),
            common_extended=tuple(self.common_extended),
            user_identity=self.user_identity,
            user_identity_response=self.user_identity_response,
        )


def _maximum_length(parts: _UserInformationParts, fields: _Fields) -> None:
    if fields.end - fields.offset != _U32.size:
        raise invalid("maximum length sub-item is not 4 octets long", fields.offset + PDU_HEADER_OCTETS)
    parts.maximum_length = int.from_bytes(fields.take(4), "big")


def _implementation_class_uid(parts: _UserInformationParts, fields: _Fields) -> None:
    parts.implementation_class_uid = uid_text(fields.rest())


def _implementation_version_name(parts: _UserInformationParts, fields: _Fields) -> None:
    parts.implementation_version_name = fields.rest().rstrip(b"\0 ").decode("latin-1")


def _window(parts: _UserInformationParts, fields: _Fields) -> None:
    parts.window = AsynchronousOperationsWindow(fields.u16(), fields.u16())


def _role_selection(parts: _UserInformationParts, fields: _Fields) -> None:
    uid = uid_text(fields.counted())
    parts.roles.append(RoleSelection(uid, fields.u8() != 0, fields.u8() != 0))


def _extended(parts: _UserInformationParts, fields: _Fields) -> None:
    parts.extended.append(ExtendedNegotiation(uid_text(fields.counted()), fields.rest()))


def _common_extended(parts: _UserInformationParts, fields: _Fields) -> None:
    # The version of this sub-item is in the octet that is reserved in all others.
    version = fields.body[fields.offset - 3]
    sop_class, service_class = uid_text(fields.counted()), uid_text(fields.counted())
    length = fields.u16()
    related = _Fields(fields.body, fields.offset, fields.offset + len(fields.take(length)))
    uids = []
    while related.offset < related.end:
        uids.append(uid_text(related.counted()))
    parts.common_extended.append(CommonExtendedNegotiation(sop_class, service_class, tuple(uids), version))


def _user_identity(parts: _UserInformationParts, fields: _Fields) -> None:
    kind, requested = fields.u8(), fields.u8() != 0
    parts.user_identity = UserIdentity(kind, requested, fields.counted(), fields.counted())


def _user_identity_response(parts: _UserInformationParts, fields: _Fields) -> None:
    parts.user_identity_response = fields.counted()


_SUB_ITEMS = {
    0x51: _maximum_length,
    0x52: _implementation_class_uid,
    0x53: _window,
    0x54: _role_selection,
    0x55: _implementation_version_name,
    0x56: _extended,
    0x57: _common_extended,
    0x58: _user_identity,
    0x59: _user_identity_response,
}


def _user_information(parts: _UserInformationParts, body: bytes, start: int, end: int) -> None:
    for kind, value, value_end in _items(body, start, end):
        read = _SUB_ITEMS.get(kind)
        if read is not None:
            read(parts, _Fields(body, value, value_end))


def _proposed_context(body: bytes, start: int, end: int) -> ProposedContext:
    """``id (1) reserved (3)`` then one item 30H and any number of 40H."""
    if end - start < 4:
        raise invalid("presentation context item is too short", start + PDU_HEADER_OCTETS)
    abstract_syntax = ""
    transfer_syntaxes = []
    for kind, value, value_end in _items(body, start + 4, end):
        if kind == 0x30:
            abstract_syntax = uid_text(body[value:value_end])
        elif kind == 0x40:
            transfer_syntaxes.append(uid_text(body[value:value_end]))
    return ProposedContext(body[start], abstract_syntax, tuple(transfer_syntaxes))


def _context_result(body: bytes, start: int, end: int) -> ContextResult:
    """``id (1) reserved (1) result (1) reserved (1)`` then one item 40H."""
    if end - start < 4:
        raise invalid("presentation context item is too short", start + PDU_HEADER_OCTETS)
    transfer_syntax = ""
    for kind, value, value_end in _items(body, start + 4, end):
        if kind == 0x40:
            transfer_syntax = uid_text(body[value:value_end])
    return ContextResult(body[start], body[start + 2], transfer_syntax)


def _fixed(body: bytes) -> tuple[int, bytes, bytes, bytes]:
    """``version (2) reserved (2) called (16) calling (16) reserved (32)``."""
    if len(body) < ASSOCIATE_FIXED_OCTETS:
        raise invalid("A-ASSOCIATE PDU is shorter than its fixed part", PDU_HEADER_OCTETS)
    version, _reserved, called, calling, reserved = _FIXED.unpack_from(body)
    return version, called, calling, reserved


def decode_associate_rq(body: bytes) -> AAssociateRQ:
    """Decode the body of an A-ASSOCIATE-RQ (PS3.8 §9.3.2).

    A second user information item adds to the first; of a repeated single sub-item the last one counts.
    """
    version, called, calling, reserved = _fixed(body)
    application_context = ""
    contexts: list[ProposedContext] = []
    parts = _UserInformationParts()
    for kind, start, end in _items(body, ASSOCIATE_FIXED_OCTETS, len(body)):
        if kind == 0x10:
            application_context = uid_text(body[start:end])
        elif kind == 0x20:
            contexts.append(_proposed_context(body, start, end))
        elif kind == 0x50:
            _user_information(parts, body, start, end)
    return AAssociateRQ(called, calling, tuple(contexts), parts.frozen(), application_context, version, reserved)


def decode_associate_ac(body: bytes) -> AAssociateAC:
    """Decode the body of an A-ASSOCIATE-AC (PS3.8 §9.3.3)."""
    version, called, calling, reserved = _fixed(body)
    application_context = ""
    contexts: list[ContextResult] = []
    parts = _UserInformationParts()
    for kind, start, end in _items(body, ASSOCIATE_FIXED_OCTETS, len(body)):
        if kind == 0x10:
            application_context = uid_text(body[start:end])
        elif kind == 0x21:
            contexts.append(_context_result(body, start, end))
        elif kind == 0x50:
            _user_information(parts, body, start, end)
    return AAssociateAC(called, calling, tuple(contexts), parts.frozen(), application_context, version, reserved)


def decode_associate_rj(body: bytes) -> AAssociateRJ:
    """Decode ``reserved result source reason`` (PS3.8 §9.3.4)."""
    return AAssociateRJ(*_fixed_body(body))


def decode_abort(body: bytes) -> AAbort:
    """Decode ``reserved reserved source reason`` (PS3.8 §9.3.8)."""
    _reserved, source, reason = _fixed_body(body)
    return AAbort(source, reason)


def _fixed_body(body: bytes) -> tuple[int, int, int]:
    if len(body) != FIXED_BODY_OCTETS:
        raise invalid("PDU body is not 4 octets long", PDU_HEADER_OCTETS)
    first, second, third = _FIXED_BODY.unpack(body)
    return first, second, third
