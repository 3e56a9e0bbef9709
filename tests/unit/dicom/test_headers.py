from __future__ import annotations

import struct

import pytest

from fastscp.dicom import headers
from tests.support import datasets as ds


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("vr", "octets"), [("UI", 8), ("US", 8), ("SQ", 12), ("UR", 12), ("OV", 12), ("??", 8)])
def test_explicit_headers_are_read_in_both_byte_orders(order: str, vr: str, octets: int) -> None:
    element = ds.explicit(0x00080018, vr, b"12345678", order=order)
    header = headers.read_explicit(b"??" + element, 2, little=order == "<")
    assert header == (0x00080018, vr.encode(), 8, octets)


def test_long_vrs_are_those_of_the_standard() -> None:
    assert {vr.decode() for vr in headers.LONG_VRS} == set(ds.LONG_VRS)


def test_a_short_header_needs_no_more_than_itself() -> None:
    assert headers.read_explicit(ds.explicit(0x00280010, "US", b"")).octets == 8
    with pytest.raises(struct.error):
        headers.read_explicit(ds.explicit(0x7FE00010, "OW", b"")[:8])


@pytest.mark.parametrize("little", [True, False])
def test_what_is_packed_can_be_read(little: bool) -> None:
    short, long, implicit, length = headers.PACKERS[little]
    assert headers.read_explicit(short(8, 0x18, b"UI", 4), little=little) == (0x00080018, b"UI", 4, 8)
    assert headers.read_explicit(long(8, 0x18, b"UT", 0, 70_000), little=little) == (0x00080018, b"UT", 70_000, 12)
    assert headers.IMPLICIT[little](implicit(0xFFFE, 0xE000, 12)) == (0xFFFE, 0xE000, 12)
    assert headers.LENGTH[little](length(1 << 20)) == (1 << 20,)
