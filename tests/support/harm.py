"""What hostile peers put on the wire, by name: first octets, negotiation, violations, requests.

Tables of octets; who sends them, and what has to be true afterwards, is up to the tests and to the soak.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.support.hostile import (
    A_ABORT,
    APPLICATION_CONTEXT,
    CT_ITEM,
    ECHO,
    RELEASE_RQ,
    USER_INFORMATION,
    context_item,
    element,
    item,
    pdu,
    request,
    store_message,
)
from tests.support.objects import CT, EXPLICIT_LE, data_set
from tests.support.rawscu import associate_rq, c_store_rq, command_set, p_data, pdv

FIRST_OCTETS = {
    "W01 nothing": b"",
    "W03 one octet of a header": b"\x01",
    "W03 two octets": b"\x01\x00",
    "W03 five octets": b"\x01\x00\x00\x00\x00",
    "W04 HTTP": b"GET / HTTP/1.1\r\nHost: scanner\r\n\r\n",
    "W05 SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "W06 ClientHello": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "W06 one octet of a ClientHello": b"\x16",
    "W07 four gigabytes": bytes.fromhex("0100ffffffff"),
    "W08 slow": bytes.fromhex("010000000fff00"),
    "W09 length 0": bytes.fromhex("010000000000"),
    "W09 length 1": bytes.fromhex("01000000000100"),
    "W09 length 67": pdu(1, bytes(67)),
    "W10 P-DATA": p_data(pdv(1, 3, c_store_rq(CT, "1.2"))),
    "W10 A-RELEASE-RQ": RELEASE_RQ,
    "W10 A-RELEASE-RP": bytes.fromhex("06000000000400000000"),
    "W10 A-ASSOCIATE-AC": pdu(2, bytes(200)),
    "W10 A-ASSOCIATE-RJ": bytes.fromhex("03000000000400010101"),
    "W10 A-ABORT": A_ABORT,
    "unknown PDU": pdu(0x99, bytes(20)),
    "NULs": bytes(4096),
    "N01 application context too long": request(item(0x10, b"1.2", 0xFFFF)),
    "N01 context too long": request(APPLICATION_CONTEXT + item(0x20, bytes(4), 0xFFFF)),
    "N01 abstract syntax too long": request(APPLICATION_CONTEXT + item(0x20, b"\1\0\0\0" + item(0x30, b"1.2", 0xFFFF))),
    "N01 transfer syntax too long": request(
        APPLICATION_CONTEXT + item(0x20, b"\1\0\0\0" + item(0x30, CT.encode()) + item(0x40, b"1", 0xFFFF))),
    "N01 user information too long": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, b"", 0xFFFF)),
    "N03 maximum length empty": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, bytes.fromhex("51000000"))),
    "N03 maximum length short": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, bytes.fromhex("510000024000"))),
    "N03 maximum length long": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, bytes.fromhex("5100ffff"))),
    "N04 role UID too long": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, item(0x54, b"\x00\x40" + b"1.2" + b"\1\1"))),
    "N05 extended negotiation": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, item(0x56, b"\xff\xff1.2"))),
    "N05 common extended": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, item(0x57, b"\0\3" b"1.2" b"\0\1" b"1" b"\xff\xff"))),
    "user identity too long": request(APPLICATION_CONTEXT + CT_ITEM + item(0x50, item(0x58, b"\2\1\xff\xffname"))),
    "N13 version 0": request(version=0),
    "N13 version FFFE": request(version=0xFFFE),
    "N13 application context": request(item(0x10, b"1.2.840.10008.3.1.1.2") + CT_ITEM + USER_INFORMATION),
    "no items": request(b""),
    "cut item": request(APPLICATION_CONTEXT + b"\x20\0"),
}

ACCEPTED_REQUESTS = {
    "N07 two user informations": APPLICATION_CONTEXT + CT_ITEM + USER_INFORMATION * 2,
    "N07 a sub-item a thousand times": APPLICATION_CONTEXT + CT_ITEM + item(0x50, item(0x51, b"\0\0\x40\0") * 1000),
    "N07 roles a thousand times": APPLICATION_CONTEXT + CT_ITEM + item(0x50, item(0x54, b"\0\3" b"1.2" b"\1\1") * 1000),
    "N09 no context": APPLICATION_CONTEXT + USER_INFORMATION,
    "N09 128 contexts": APPLICATION_CONTEXT + USER_INFORMATION + b"".join(
        context_item(number, CT.encode(), [EXPLICIT_LE.encode()]) for number in range(1, 256, 2)),
    "N09 256 contexts": APPLICATION_CONTEXT + USER_INFORMATION + b"".join(
        context_item(number, CT.encode(), [EXPLICIT_LE.encode()]) for number in range(256)),
    "N09 the same id 1000 times": APPLICATION_CONTEXT + USER_INFORMATION + CT_ITEM * 1000,
    "N09 no transfer syntax": APPLICATION_CONTEXT + context_item(1, CT.encode(), []) + USER_INFORMATION,
    "N09 no abstract syntax": APPLICATION_CONTEXT + item(0x20, b"\1\0\0\0") + USER_INFORMATION,
    "N09 the same transfer syntax 1000 times": APPLICATION_CONTEXT + USER_INFORMATION + context_item(
        1, CT.encode(), [EXPLICIT_LE.encode()] * 1000),
    "N09 application context as transfer syntax": APPLICATION_CONTEXT + USER_INFORMATION + context_item(
        1, CT.encode(), [b"1.2.840.10008.3.1.1.1"]),
    "UIDs of hostile octets": APPLICATION_CONTEXT + USER_INFORMATION + context_item(
        1, b"\x1b[31m\n\0\xff" * 500, [b"\x1b]0;x\x07\n" * 500]) + CT_ITEM,
    "10,000 transfer syntaxes": APPLICATION_CONTEXT + USER_INFORMATION + b"".join(
        context_item(1, CT.encode(), [b""] * 16000) for _ in range(10)) + CT_ITEM,
    "hostile names": APPLICATION_CONTEXT + CT_ITEM + item(
        0x50, item(0x51, b"\0\0\x40\0") + item(0x52, b"\n\x1b[2J") + item(0x55, b"E: forged\nline\x9b31m")
        + item(0x58, b"\2\1\0\5us\ner\0\4\x1bpw!") + item(0x56, b"\0\4" b"1\n.2" + bytes(1000))
        + item(0x57, b"\0\2" b"1\n" b"\0\2" b"2\n" b"\0\0") + item(0x54, b"\0\2" b"1\x1b" b"\1\1")),
}

TITLES = (b" " * 16, bytes(16), b"\xff" * 16, b"../secret/VICTIM", b"`id`", b"$(id)", b'";id;"', b"\x1b[31m\x1b[2J",
          b"a\nE: forged", b"\\\\..\\x", b"\x9b31m\x85")


def p(body: bytes, length: int | None = None) -> bytes:
    return pdu(4, body, length)


GOOD_COMMAND = c_store_rq(CT, "1.2.3")
ELEMENTS = {
    0x0002: (CT + "\0").encode() if len(CT) & 1 else CT.encode(), 0x0100: b"\1\0", 0x0110: b"\7\0", 0x0700: b"\0\0",
    0x0800: b"\1\0", 0x1000: b"1.2.3\0",
}


def command_with(changes: dict[int, bytes | None]) -> bytes:
    """Return a C-STORE-RQ with elements changed or (None) left out."""
    return command_set([(number, value) for number, value in sorted((ELEMENTS | changes).items()) if value is not None])


OPEN = p_data(pdv(1, 3, GOOD_COMMAND)) + p_data(pdv(1, 0, data_set("1.2.3")[:100]))

VIOLATIONS = {
    "W11 type 00": pdu(0, bytes(4)),
    "W11 type 08": pdu(8, b""),
    "W11 type FF": pdu(0xFF, b"", 0xFFFFFFFF),
    **{f"W11 type {kind:02X}, length {length:X}": pdu(kind, bytes(4), length) for kind in (0, 8, 0xFF) for length in (0, 4, 0xFFFFFFFF)},
    "W13 P-DATA too long": p(b"", 16384 + 1),
    "W13 P-DATA of 4 GB": p(b"", 0xFFFFFFFF),
    "W14 P-DATA of nothing": p(b""),
    "P-DATA of 5": p(bytes(5)),
    "W15 PDV length 0": p(bytes.fromhex("000000000103")),
    "W15 PDV length 1": p(bytes.fromhex("0000000101")),
    "PDV longer than the PDU": p(bytes.fromhex("ffffffff0103")),
    "PDV longer by one": p(struct.pack(">LBB", 13, 1, 3) + bytes(10)),
    **{f"W17 {rest} octets left": p(pdv(1, 3, GOOD_COMMAND) + bytes(rest)) for rest in (1, 2, 3, 4, 5)},
    **{f"W18 context {number}": p_data(pdv(number, 3, GOOD_COMMAND)) for number in (0, 2, 99, 255)},
    "W18 a context that was refused": p_data(pdv(13, 3, GOOD_COMMAND)),
    "W20 data in another context": p_data(pdv(1, 3, GOOD_COMMAND)) + p_data(pdv(3, 2, data_set("1.2.3"))),
    "command goes on in another context": p_data(pdv(1, 1, GOOD_COMMAND[:20])) + p_data(pdv(3, 3, GOOD_COMMAND[20:])),
    "command inside a data set": OPEN + p_data(pdv(1, 3, GOOD_COMMAND)),
    "data without a command": p_data(pdv(1, 2, data_set("1.2.3"))),
    "A-ASSOCIATE-RQ again": associate_rq([(1, CT, [EXPLICIT_LE])]),
    "A-ASSOCIATE-RQ in a data set": OPEN + associate_rq([(1, CT, [EXPLICIT_LE])]),
    "A-ASSOCIATE-AC": pdu(2, bytes(100)),
    "A-RELEASE-RP": bytes.fromhex("06000000000400000000"),
    "A-RELEASE-RQ too long": pdu(5, bytes(5)),
    "A-ABORT too long": pdu(7, bytes(500)),
    "command of 64 KB": b"".join(p_data(pdv(1, 1, bytes(16000))) for _ in range(5)),
    "endless command": p_data(*[pdv(1, 1, b"") for _ in range(2000)]) + pdu(8, b""),
    "D01 cut command": p_data(pdv(1, 3, GOOD_COMMAND[:-3])),
    "D01 cut header": p_data(pdv(1, 3, GOOD_COMMAND[:17])),
    "D02 negative length": p_data(pdv(1, 3, element(0x0002, b"1.2", 0x81000000 - 1))),
    "D03 no command field": p_data(pdv(1, 3, command_with({0x0100: None}))),
    "D03 no message id": p_data(pdv(1, 3, command_with({0x0110: None}))),
    "D03 no data set type": p_data(pdv(1, 3, command_with({0x0800: None}))),
    **{f"D03 {number:04x} twice": p_data(pdv(1, 3, command_with({number: ELEMENTS[number] * 2})))
       for number in (0x0100, 0x0110, 0x0800)},
    **{f"D03 {number:04x} empty": p_data(pdv(1, 3, command_with({number: b""}))) for number in (0x0100, 0x0110, 0x0800)},
    "D05 response": p_data(pdv(1, 3, command_with({0x0100: b"\1\x80"}))),
    "D06 explicit VR": p_data(pdv(1, 3, b"\0\0\0\0UL\4\0\x40\0\0\0\0\0\2\0UI\4\0" b"1.2\0")),
    "empty command": p_data(pdv(1, 3, b"")),
    "W27 stalled data set": OPEN,
    "stalled command": p_data(pdv(1, 1, GOOD_COMMAND[:20])),
    "stalled PDU header": b"\4\0\0",
    "stalled PDV header": b"\4\0\0\0\0\x40\0\0",
    "W25 data after A-RELEASE-RQ": RELEASE_RQ + store_message("1.2.3"),
    "W25 A-RELEASE-RQ a hundred times": RELEASE_RQ * 100,
    "W25 data after A-ABORT": A_ABORT + store_message("1.2.3"),
    "W23 A-RELEASE-RQ in a data set": OPEN + RELEASE_RQ,
}

REFUSED = {
    "D03 no SOP class": command_with({0x0002: None}),
    "D03 no SOP instance": command_with({0x1000: None}),
    "D03 two SOP classes": command_with({0x0002: b"1.2\\1.3\0"}),
    "D03 two SOP instances": command_with({0x1000: b"1.2\\1.3\0"}),
    "D03 empty SOP class": command_with({0x0002: b""}),
    "D03 empty SOP instance": command_with({0x1000: b""}),
    "D05 FFFF": command_with({0x0100: b"\xff\x7f"}),
    "D05 C-FIND": command_with({0x0100: b"\x20\0"}),
    "D05 N-CREATE": command_with({0x0100: b"\x40\1"}),
    **{f"D07 {uid!r}": command_with({0x1000: uid}) for uid in (
        b"1" * 65 + b"\0", b"1." * 127 + b"\0\0", b"1." * 5000)},
}


def _command(octets: bytes, context: int = 1) -> Callable[[str], bytes]:
    """A command, and the data set it announces."""
    return lambda uid: p_data(pdv(context, 3, octets)) + p_data(pdv(context, 2, data_set(uid)))


#: instance -> a request with its data set; refused, or the association is aborted, or it is stored
COMMANDS: dict[str, Callable[[str], bytes]] = {
    **{name: _command(octets) for name, octets in REFUSED.items()},
    "D05 C-CANCEL": lambda uid: p_data(pdv(1, 3, command_set([(0x0100, b"\xff\x0f"), (0x0120, b"\1\0"), (0x0800, b"\1\1")]))) + ECHO,
    "D05 C-STORE on the Verification context": lambda uid: p_data(pdv(5, 3, c_store_rq("1.2.840.10008.1.1", uid))) + p_data(
        pdv(5, 2, data_set(uid))),
    "D05 C-STORE of a CT on the Verification context": lambda uid: p_data(pdv(5, 3, c_store_rq(CT, uid))) + p_data(pdv(5, 2, data_set(uid))),
    "D06 elements of group 0008": lambda uid: p_data(pdv(1, 3, c_store_rq(CT, uid) + b"\x08\0\x18\0\4\0\0\0" b"1.2\0")) + p_data(
        pdv(1, 2, data_set(uid))),
    "D06 no group length": lambda uid: p_data(pdv(1, 3, c_store_rq(CT, uid)[12:])) + p_data(pdv(1, 2, data_set(uid))),
}
