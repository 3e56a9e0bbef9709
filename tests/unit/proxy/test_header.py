"""Headers of a balancer: whose connection it is, how much of what came is theirs, and what is none."""

from __future__ import annotations

import collections

import pytest

from fastscp.proxy.header import LONGEST_LINE, Header, HeaderError, HeaderReader
from tests.corpus import wire
from tests.support.proxy import SIGNATURE, binary, tlv, version_1, version_2

TLVS = tlv(0x02, b"pacs.example") + tlv(0x20, bytes(70)) + tlv(0x04, bytes(3000))
CLIENT = ("192.0.2.7", 40000)
LONGEST = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(LONGEST_LINE - 2, b".") + b"\r\n"

GOOD = {
    "v1 IPv4": (version_1(), CLIENT),
    "v1 IPv6": (version_1("2001:db8::7", destination="2001:db8::1"), ("2001:db8::7", 40000)),
    "v1 IPv4 in IPv6": (version_1("::ffff:192.0.2.7", destination="::1"), CLIENT),
    "v1 longest addresses": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown with more": (b"PROXY UNKNOWN whatever 1 2 \xff 3\r\n".replace(b"\xff", b"x"), None),
    "v1 longest line": (LONGEST, None),
    "v1 port 0": (version_1(port=0), ("192.0.2.7", 0)),
    "v2 IPv4": (version_2(), CLIENT),
    "v2 IPv6": (version_2("2001:db8::7", destination="2001:db8::1"), ("2001:db8::7", 40000)),
    "v2 IPv4 in IPv6": (version_2("::ffff:192.0.2.7", destination="::1"), CLIENT),
    "v2 TLVs": (version_2(tlvs=TLVS), CLIENT),
    "v2 as long as can be": (version_2(tlvs=bytes(65535 - 12)), CLIENT),
    "v2 datagram": (binary(0x21, 0x12, bytes((192, 0, 2, 7, 1, 1, 1, 1, 0x9C, 0x40, 0, 104))), CLIENT),
    "v2 local": (binary(0x20, 0x00), None),
    "v2 local with what is to be ignored": (binary(0x20, 0xFF, bytes(40)), None),
    "v2 unspecified": (binary(0x21, 0x00, TLVS), None),
    "v2 Unix": (binary(0x21, 0x31, bytes(216)), None),
}

BAD = {
    "a PDU": (wire.RQ, "does not begin"),
    "TLS": (b"\x16\x03\x01\x02\x00", "does not begin"),
    "HTTP": (b"GET / HTTP/1.0\r\n\r\n", "does not begin"),
    "almost v1": (b"PROXX ", "does not begin"),
    "v1 without blank": (b"PROXY\r\n", "does not begin"),
    "v1 in small letters": (b"proxy TCP4", "does not begin"),
    "almost v2": (SIGNATURE[:-1] + b"\r", "does not begin"),
    "v1 without end": (b"PROXY UNKNOWN " + b"." * 200, "within 107"),
    "v1 one too long": (LONGEST[:-2] + b".\r\n", "within 107"),
    "v1 LF": (b"PROXY UNKNOWN\n", "CR LF"),
    "v1 other family": (b"PROXY UDP4 192.0.2.7 1.1.1.1 1 1\r\n", "not in order"),
    "v1 no family": (b"PROXY \r\n", "not in order"),
    "v1 two blanks": (b"PROXY TCP4  192.0.2.7 1.1.1.1 1 1\r\n", "not in order"),
    "v1 blank at the end": (b"PROXY TCP4 192.0.2.7 1.1.1.1 1 1 \r\n", "not in order"),
    "v1 too little": (b"PROXY TCP4 192.0.2.7 1.1.1.1 1\r\n", "not in order"),
    "v1 name": (b"PROXY TCP4 localhost 1.1.1.1 1 1\r\n", "no address"),
    "v1 zeros": (b"PROXY TCP4 192.0.2.007 1.1.1.1 1 1\r\n", "no address"),
    "v1 IPv6 as TCP4": (b"PROXY TCP4 ::1 1.1.1.1 1 1\r\n", "no address"),
    "v1 IPv4 as TCP6": (b"PROXY TCP6 ::1 1.1.1.1 1 1\r\n", "no address"),
    "v1 scope": (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "no address"),
    "v1 port beyond": (version_1(port=65536), "no port"),
    "v1 port with sign": (b"PROXY TCP4 192.0.2.7 1.1.1.1 +1 1\r\n", "no port"),
    "v1 port with zero": (b"PROXY TCP4 192.0.2.7 1.1.1.1 01 1\r\n", "no port"),
    "v1 no port there": (b"PROXY TCP4 192.0.2.7 1.1.1.1 1 x\r\n", "no port"),
    "v1 octets": (b"PROXY TCP4 \xff\xff 1.1.1.1 1 1\r\n", "not ASCII"),
    "v2 version 1": (binary(0x11, 0x11, bytes(12)), "command 11H"),
    "v2 command": (binary(0x22, 0x11, bytes(12)), "command 22H"),
    "v2 family": (binary(0x21, 0x41, bytes(12)), "protocol 41H"),
    "v2 protocol": (binary(0x21, 0x13, bytes(12)), "protocol 13H"),
    "v2 IPv4 too short": (binary(0x21, 0x11, bytes(11)), "11 octets"),
    "v2 IPv6 too short": (binary(0x21, 0x21, bytes(35)), "35 octets"),
    "v2 Unix too short": (binary(0x21, 0x31, bytes(215)), "215 octets"),
}


@pytest.mark.parametrize("size", [1, 2, 5, 16, 100_000])
@pytest.mark.parametrize("name", GOOD)
def test_header_and_nothing_behind_it_is_taken(name, size):
    octets, source = GOOD[name]
    reader, stream = HeaderReader(), octets + wire.RQ
    at = 0
    while reader.header is None:
        assert at < len(octets)
        at += reader.receive(stream[at:at + size])
        assert reader.begun
    assert (at, reader.header) == (len(octets), Header(source))
    assert reader.receive(wire.RQ) == 0


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header(name, size):
    octets, why = BAD[name]
    reader = HeaderReader()
    with pytest.raises(HeaderError, match=why):
        collections.deque((reader.receive(octets[at:at + size]) for at in range(0, len(octets), size)), maxlen=0)
    assert reader.header is None


def test_no_more_is_kept_than_is_of_interest():
    reader = HeaderReader()
    reader.receive(version_2(tlvs=bytes(60_000))[:-1])
    assert reader.header is None
    assert len(reader._kept) == 16 + 216


def test_nothing_is_nothing():
    reader = HeaderReader()
    assert reader.receive(b"") == 0
    assert not reader.begun
