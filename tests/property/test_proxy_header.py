"""A header of a balancer comes back as it was meant, cut anywhere, and never an octet of what is behind it with it."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from fastscp.proxy.header import LONGEST_LINE, Header, HeaderError, HeaderReader
from tests.support.proxy import SIGNATURE, version_1, version_2

_V4 = st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))
_V6 = st.integers(2**64, 2**128 - 1).map(lambda number: str(ipaddress.IPv6Address(number)))
_PORTS = st.integers(0, 65535)
_LONGEST = 16 + 65535


def read(octets: bytes, sizes: list[int]) -> tuple[int, Header | None]:
    """Show a reader octets in pieces; return how many were taken, and the header."""
    reader, at, turn = HeaderReader(), 0, 0
    while at < len(octets) and reader.header is None:
        size = sizes[turn % len(sizes)]
        taken = reader.receive(octets[at:at + size])
        assert 0 < taken <= size
        at += taken
        turn += 1
    return at, reader.header


_ADDRESSES = st.one_of(st.tuples(_V4, _V4), st.tuples(_V6, _V6))
_HEADERS = st.one_of(
    st.tuples(_ADDRESSES, _PORTS).map(lambda drawn: (version_1(drawn[0][0], drawn[1], drawn[0][1]), drawn[0][0], drawn[1])),
    st.tuples(_ADDRESSES, _PORTS, st.binary(max_size=400)).map(
        lambda drawn: (version_2(drawn[0][0], drawn[1], drawn[0][1], drawn[2]), drawn[0][0], drawn[1])))


@given(_HEADERS, st.binary(), st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_addresses_come_back_and_nothing_behind_them_is_touched(
        drawn: tuple[bytes, str, int], behind: bytes, sizes: list[int]) -> None:
    header, source, port = drawn
    assert read(header + behind, sizes) == (len(header), Header((source, port)))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: b"PROXY " + rest),
                 st.binary(max_size=300).map(lambda rest: SIGNATURE + rest)),
       st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_any_octets_are_a_header_or_an_error_however_they_are_cut(octets: bytes, sizes: list[int]) -> None:
    found = []
    for cut in ([100_000], [1], sizes):
        try:
            found.append(read(octets, cut))
        except HeaderError as error:
            found.append(str(error))
    assert found[0] == found[1] == found[2]
    if isinstance(found[0], tuple):
        limit = LONGEST_LINE if octets[:1] == b"P" else _LONGEST
        assert found[0][0] <= limit
