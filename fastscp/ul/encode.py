"""Encode PDUs. Nothing here judges: what a value object says is what goes on the wire.

Sub-items of the user information are written in ascending order of their item types.

Source: PS3.8 §9.3, PS3.7 Annex D.3.3
"""

from __future__ import annotations

import struct

from fastscp.ul.pdu import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    P_DATA_TF,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    CommonExtendedNegotiation,
    ContextResult,
    ProposedContext,
    UserIdentity,
    UserInformation,
)

_PDU = struct.Struct(">BxI")
_ITEM = struct.Struct(">BBH")
_DATA = struct.Struct(">BxIIBB")


def encode_pdu(kind: int, body: bytes) -> bytes:
    """Return ``type (1) reserved (1) length (4)`` and the body."""
    return _PDU.pack(kind, len(body)) + body


def _item(kind: int, value: bytes, reserved: int = 0) -> bytes:
    return _ITEM.pack(kind, reserved, len(value)) + value


def _uid(kind: int, uid: str) -> bytes:
    return _item(kind, uid.encode("latin-1"))


def _counted(octets: bytes) -> bytes:
    return len(octets).to_bytes(2, "big") + octets


def _counted_uid(uid: str) -> bytes:
    return _counted(uid.encode("latin-1"))


def _proposed_context(context: ProposedContext) -> bytes:
    syntaxes = b"".join(_uid(0x40, uid) for uid in context.transfer_syntaxes)
    return _item(0x20, bytes((context.id, 0, 0, 0)) + _uid(0x30, context.abstract_syntax) + syntaxes)


def _context_result(context: ContextResult) -> bytes:
    return _item(0x21, bytes((context.id, 0, context.result, 0)) + _uid(0x40, context.transfer_syntax))


def _common_extended(common: CommonExtendedNegotiation) -> bytes:
    related = b"".join(_counted_uid(uid) for uid in common.related_general_sop_class_uids)
    value = _counted_uid(common.sop_class_uid) + _counted_uid(common.service_class_uid) + _counted(related)
    return _item(0x57, value, common.version)


def _user_identity(identity: UserIdentity) -> bytes:
    head = bytes((identity.kind, identity.positive_response_requested))
    return _item(0x58, head + _counted(identity.primary) + _counted(identity.secondary))


def _user_information(user: UserInformation) -> bytes:
    parts = []
    if user.maximum_length is not None:
        parts.append(_item(0x51, user.maximum_length.to_bytes(4, "big")))
    if user.implementation_class_uid:
        parts.append(_uid(0x52, user.implementation_class_uid))
    if user.window is not None:
        window = user.window
        parts.append(_item(0x53, window.invoked.to_bytes(2, "big") + window.performed.to_bytes(2, "big")))
    parts += [
        _item(0x54, _counted_uid(role.sop_class_uid) + bytes((role.scu_role, role.scp_role)))
        for role in user.roles
    ]
    if user.implementation_version_name:
        parts.append(_item(0x55, user.implementation_version_name.encode("latin-1")))
    parts += [_item(0x56, _counted_uid(item.sop_class_uid) + item.information) for item in user.extended]
    parts += [_common_extended(item) for item in user.common_extended]
    if user.user_identity is not None:
        parts.append(_user_identity(user.user_identity))
    if user.user_identity_response is not None:
        parts.append(_item(0x59, _counted(user.user_identity_response)))
    return _item(0x50, b"".join(parts))


def _fixed(pdu: AAssociateRQ | AAssociateAC) -> bytes:
    return b"".join((
        pdu.protocol_version.to_bytes(2, "big"),
        b"\0\0",
        pdu.called_ae_octets,
        pdu.calling_ae_octets,
        pdu.reserved,
        _uid(0x10, pdu.application_context),
    ))


def encode_associate_rq(request: AAssociateRQ) -> bytes:
    """Return the whole A-ASSOCIATE-RQ PDU."""
    contexts = b"".join(map(_proposed_context, request.contexts))
    return encode_pdu(A_ASSOCIATE_RQ, _fixed(request) + contexts + _user_information(request.user_information))


def encode_associate_ac(accept: AAssociateAC) -> bytes:
    """Return the whole A-ASSOCIATE-AC PDU."""
    contexts = b"".join(map(_context_result, accept.contexts))
    return encode_pdu(A_ASSOCIATE_AC, _fixed(accept) + contexts + _user_information(accept.user_information))


def encode_associate_rj(reject: AAssociateRJ) -> bytes:
    """Return the whole A-ASSOCIATE-RJ PDU."""
    return encode_pdu(A_ASSOCIATE_RJ, bytes((0, reject.result, reject.source, reject.reason)))


def encode_release_rq() -> bytes:
    """Return the whole A-RELEASE-RQ PDU."""
    return encode_pdu(A_RELEASE_RQ, bytes(4))


def encode_release_rp() -> bytes:
    """Return the whole A-RELEASE-RP PDU."""
    return encode_pdu(A_RELEASE_RP, bytes(4))


def encode_abort(abort: AAbort) -> bytes:
    """Return the whole A-ABORT PDU."""
    return encode_pdu(A_ABORT, bytes((0, 0, abort.source, abort.reason)))


def encode_data(context_id: int, flags: int, payload: bytes | memoryview) -> bytes:
    """Return a P-DATA-TF PDU with one PDV; ``flags`` bit 0 command, bit 1 last (PS3.8 §9.3.5, Annex E)."""
    size = len(payload)
    return _DATA.pack(P_DATA_TF, size + 6, size + 2, context_id, flags) + bytes(payload)
