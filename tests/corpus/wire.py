"""What peers send: builders of well-formed messages, and hostile inputs by their names (W.., N..).

Everything is octets of the wire; nothing here knows how fastscp reads them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fastscp.ul.encode import encode_associate_rq, encode_data, encode_release_rq
from fastscp.ul.pdu import AAssociateRQ, ProposedContext, UserInformation

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
INSTANCE = "1.2.3.4.5"

#: ids 1 Verification, 3 CT, 5 MR
CONTEXTS = (
    ProposedContext(1, VERIFICATION, (IMPLICIT,)),
    ProposedContext(3, CT, (IMPLICIT, EXPLICIT)),
    ProposedContext(5, MR, (IMPLICIT,)),
    ProposedContext(7, "1.2.3", (IMPLICIT,)),  # refused: unknown abstract syntax
)

RELEASE_RQ = encode_release_rq()
ABORT = bytes.fromhex("07 00 00000004 0000 02 01")


def associate_request(contexts=CONTEXTS, *, user_information=None, called=b"STORESCP", calling=b"MODALITY", **others):
    """Return an ``AAssociateRQ``."""
    if user_information is None:
        user_information = UserInformation(16384, "1.2.3.4", "TEST_1")
    return AAssociateRQ(called.ljust(16), calling.ljust(16), tuple(contexts), user_information, **others)


RQ = encode_associate_rq(associate_request())


def element(tag, value):
    """Return an element of group 0000 in implicit VR little endian."""
    return struct.pack("<HHI", 0, tag, len(value)) + value


def number(tag, value):
    """Return a US element."""
    return element(tag, struct.pack("<H", value))


def uid(tag, value):
    """Return a UI element padded with NUL."""
    octets = value.encode("latin-1")
    return element(tag, octets + b"\0" * (len(octets) & 1))


def command(*elements):
    """Return a command set with its group length."""
    body = b"".join(elements)
    return element(0, struct.pack("<I", len(body))) + body


def store_elements(message_id=1, sop_class=CT, instance=INSTANCE):
    """Return the elements of a C-STORE-RQ by element number."""
    return {
        0x0002: uid(0x0002, sop_class),
        0x0100: number(0x0100, 0x0001),
        0x0110: number(0x0110, message_id),
        0x0700: number(0x0700, 0),
        0x0800: number(0x0800, 0),
        0x1000: uid(0x1000, instance),
    }


def store_command(message_id=1, sop_class=CT, instance=INSTANCE):
    """Return the command set of a C-STORE-RQ."""
    return command(*store_elements(message_id, sop_class, instance).values())


def echo_command(message_id=1):
    """Return the command set of a C-ECHO-RQ."""
    return command(uid(2, VERIFICATION), number(0x100, 0x30), number(0x110, message_id), number(0x800, 0x101))


def other_command(field, message_id=1, *, data_set=False):
    """Return the command set of any other request."""
    return command(uid(2, CT), number(0x100, field), number(0x110, message_id),
                   number(0x800, 0 if data_set else 0x101))


def pdv(context_id, flags, payload):
    """Return one PDV item."""
    return struct.pack(">IBB", len(payload) + 2, context_id, flags) + payload


def data_pdu(*items):
    """Return a P-DATA-TF of several PDV items."""
    body = b"".join(items)
    return struct.pack(">BxI", 4, len(body)) + body


DATA_SET = struct.pack("<HHI", 8, 0x18, 10) + b"1.2.3.4.5\0" + struct.pack("<HHI", 0x20, 0xD, 2) + b"1\0"

#: a legal session: echo, a store in several fragments, a store with command and data in one PDU, release
SESSION = b"".join((
    RQ,
    encode_data(1, 3, echo_command(1)),
    encode_data(3, 1, store_command(2)[:30]),
    encode_data(3, 3, store_command(2)[30:]),
    encode_data(3, 0, DATA_SET[:9]),
    data_pdu(pdv(3, 0, DATA_SET[9:12]), pdv(3, 2, DATA_SET[12:])),
    data_pdu(pdv(5, 3, store_command(3, MR)), pdv(5, 0, DATA_SET), pdv(5, 2, b"")),
    RELEASE_RQ,
))


@dataclass(frozen=True)
class HostileCase:
    """``octets`` a peer sends, before or after the association is established.

    ``abort`` is (source, reason) of the A-ABORT that answers them; None where the answer is a mere wait.
    """

    name: str
    octets: bytes
    abort: tuple[int, int] | None
    established: bool = False


#: AA-1 before an association exists: the service user aborts without a reason
_EARLY = (0, 0)

HOSTILE = (
    HostileCase("W03-one-octet-held", b"\x01", None),
    HostileCase("W03-five-octets-held", b"\x01\0\0\0\0", None),
    HostileCase("W04-http-get", b"GET / HTTP/1.1\r\n\r\n", _EARLY),
    HostileCase("W05-ssh", b"SSH-2.0-OpenSSH_9.2\r\n", _EARLY),
    HostileCase("W06-client-hello", bytes.fromhex("16 03 01 02 00 01 00 01 FC"), _EARLY),
    HostileCase("W07-length-ffffffff", bytes.fromhex("01 00 FF FF FF FF"), _EARLY),
    HostileCase("W08-a-megabyte-announced-one-octet-sent", bytes.fromhex("01 00 00 0F FF FF 00"), None),
    HostileCase("W09-length-0", bytes.fromhex("01 00 00 00 00 00"), _EARLY),
    HostileCase("W09-length-1", bytes.fromhex("01 00 00 00 00 01"), _EARLY),
    HostileCase("W09-length-67", bytes.fromhex("01 00 00 00 00 43"), _EARLY),
    HostileCase("W10-first-is-data", encode_data(1, 3, echo_command()), _EARLY),
    HostileCase("W10-first-is-release", RELEASE_RQ, _EARLY),
    HostileCase("W10-first-is-accept", b"\x02" + RQ[1:], _EARLY),
    HostileCase("W11-type-00-length-4", bytes(2) + bytes((0, 0, 0, 4)) + bytes(4), (2, 1), established=True),
    HostileCase("W11-type-08-length-0", bytes.fromhex("08 00 00 00 00 00"), (2, 1), established=True),
    HostileCase("W11-type-08-length-0-and-more", bytes.fromhex("08 00 00 00 00 00") + bytes(9), (2, 1), established=True),
    HostileCase("W11-type-ff-length-ffffffff", bytes.fromhex("FF 00 FF FF FF FF"), (2, 1), established=True),
    HostileCase("W13-one-more-than-negotiated", struct.pack(">BxI", 4, 16385), (2, 6), established=True),
    HostileCase("W13-length-ffffffff", bytes.fromhex("04 00 FF FF FF FF"), (2, 6), established=True),
    HostileCase("W14-no-pdv", bytes.fromhex("04 00 00 00 00 00"), (2, 6), established=True),
    HostileCase("W15-pdv-length-1", bytes.fromhex("04 00 00 00 00 05 00 00 00 01 01"), (2, 6), established=True),
    HostileCase("W15-pdv-length-0", bytes.fromhex("04 00 00 00 00 06 00 00 00 00 01 03"), (2, 6), established=True),
    HostileCase("W15-pdv-longer-than-pdu", bytes.fromhex("04 00 00 00 00 08 00 00 00 05 01 03 00 00"), (2, 6),
                established=True),
    HostileCase("W15-pdv-length-ffffffff", bytes.fromhex("04 00 00 00 00 08 FF FF FF FF 01 03 00 00"), (2, 6),
                established=True),
    *(HostileCase(f"W17-{left}-octets-left", data_pdu(pdv(1, 0, b"ab"), bytes(left)), (2, 6), established=True)
      for left in range(1, 6)),
    HostileCase("W25-data-after-release", RELEASE_RQ + encode_data(1, 3, echo_command()), (2, 2), established=True),
    HostileCase("W25-release-twice", RELEASE_RQ * 2, (2, 2), established=True),
    HostileCase("request-on-open-association", RQ, (2, 2), established=True),
    HostileCase("accept-on-open-association", b"\x02" + RQ[1:], (2, 2), established=True),
    HostileCase("reject-on-open-association", bytes.fromhex("03 00 00000004 00 01 01 01"), (2, 2), established=True),
    HostileCase("release-response-unasked", bytes.fromhex("06 00 00000004 00000000"), (2, 2), established=True),
    HostileCase("release-with-a-length-lie", bytes.fromhex("05 00 FFFFFFFF"), (2, 6), established=True),
    HostileCase("abort-with-a-length-lie", bytes.fromhex("07 00 00000003"), (2, 6), established=True),
)


def associate_rq_octets(*items, fixed=None):
    """Return an A-ASSOCIATE-RQ of raw variable items."""
    if fixed is None:
        fixed = b"\0\1\0\0" + b"STORESCP".ljust(16) + b"MODALITY".ljust(16) + bytes(32)
    body = fixed + b"".join(items)
    return struct.pack(">BxI", 1, len(body)) + body


def item(kind, value, length=None):
    """Return an item; ``length`` overrides what its header says."""
    return struct.pack(">BxH", kind, len(value) if length is None else length) + value


_APPLICATION_CONTEXT = item(0x10, b"1.2.840.10008.3.1.1.1")
_CONTEXT = item(0x20, b"\1\0\0\0" + item(0x30, CT.encode()) + item(0x40, IMPLICIT.encode()))


def _with_user(*sub_items, length=None):
    return associate_rq_octets(_APPLICATION_CONTEXT, _CONTEXT, item(0x50, b"".join(sub_items), length))


#: requests whose items lie; each is refused whole
MALFORMED_REQUESTS = {
    "N01-application-context-ffff": associate_rq_octets(item(0x10, b"1.2", 0xFFFF)),
    "N01-presentation-context-ffff": associate_rq_octets(_APPLICATION_CONTEXT, item(0x20, b"\1\0\0\0", 0xFFFF)),
    "N01-abstract-syntax-ffff": associate_rq_octets(
        _APPLICATION_CONTEXT, item(0x20, b"\1\0\0\0" + item(0x30, b"1.2", 0xFFFF))),
    "N01-transfer-syntax-ffff": associate_rq_octets(
        _APPLICATION_CONTEXT, item(0x20, b"\1\0\0\0" + item(0x30, b"1.2") + item(0x40, b"1.2", 0xFFFF))),
    "N01-user-information-ffff": _with_user(item(0x51, bytes(4)), length=0xFFFF),
    "N01-item-header-cut": associate_rq_octets(_APPLICATION_CONTEXT, b"\x20\0\0"),
    "N01-presentation-context-too-short": associate_rq_octets(_APPLICATION_CONTEXT, item(0x20, b"\1\0")),
    "N03-maximum-length-empty": _with_user(item(0x51, b"")),
    "N03-maximum-length-two-octets": _with_user(item(0x51, b"\x40\0")),
    "N03-maximum-length-ffff": _with_user(item(0x51, bytes(4), 0xFFFF)),
    "N04-role-uid-longer-than-item": _with_user(item(0x54, b"\0\x40" + b"1.2\0")),
    "N04-role-without-roles": _with_user(item(0x54, b"\0\3" + b"1.2")),
    "N05-extended-uid-longer-than-item": _with_user(item(0x56, b"\xff\xff1.2")),
    "N05-extended-empty": _with_user(item(0x56, b"")),
    "N05-common-service-class-longer": _with_user(item(0x57, b"\0\0031.2\0\x091.2")),
    "N05-common-related-list-longer": _with_user(item(0x57, b"\0\0031.2\0\0031.2\0\x20\0\0031.2")),
    "N05-common-related-uid-longer": _with_user(item(0x57, b"\0\0031.2\0\0031.2\0\5\0\x091.2")),
    "identity-longer-than-item": _with_user(item(0x58, b"\1\0\0\xffjoe\0\0")),
    "window-too-short": _with_user(item(0x53, b"\0\1")),
}

#: strange, but every length is true: a request that gets an answer
ODD_REQUESTS = {
    "N07-two-user-informations": associate_rq_octets(
        _APPLICATION_CONTEXT, _CONTEXT, item(0x50, item(0x51, b"\0\0\x40\0")), item(0x50, item(0x52, b"1.2.3"))),
    "N07-same-sub-item-1000-times": _with_user(*[item(0x51, b"\0\0\x40\0")] * 1000),
    "N04-role-uid-longer-than-64": _with_user(item(0x54, b"\0\x50" + b"1" * 80 + b"\1\1")),
    "unknown-items": associate_rq_octets(item(0x99, b"?"), _APPLICATION_CONTEXT, _CONTEXT,
                                         item(0x50, item(0x5F, b"??") + item(0x51, b"\0\0\x40\0"))),
    "no-user-information": associate_rq_octets(_APPLICATION_CONTEXT, _CONTEXT),
}
