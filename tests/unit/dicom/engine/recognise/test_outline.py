from __future__ import annotations

import pytest

from fastscp.dicom.engine.recognise.outline import outline
from fastscp.dicom.rewriter import shared_dictionary
from tests.support import datasets as ds

_FILL = ds.explicit(0x00081030, "LO", b"x" * 300)


def _constant(found, at: int, size: int) -> bool:
    return found.mask[at:at + size] == b"\xff" * size


def test_headers_are_structure_and_values_are_not() -> None:
    found = outline(ds.HEAD + _FILL)
    assert found.size == len(ds.HEAD + _FILL)
    assert found.last_header == len(ds.HEAD)
    assert _constant(found, len(ds.HEAD), 8)
    assert not any(found.mask[len(ds.HEAD) + 8:])
    assert found.texts == (found.size - 2,)
    assert [ds.HEAD[start:end] for start, end in found.uids] == [b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.3.4.5\0"]
    assert set(found.top_level) == {0x00080016, 0x00080018, 0x00081030}


def test_a_value_that_is_corrected_must_be_the_same_again() -> None:
    found = outline(ds.HEAD + _FILL + ds.explicit(0x00100020, "LO", b"id    "))
    assert _constant(found, found.size - 6, 6)


@pytest.mark.parametrize(("tag", "value"), [(0x00280103, b"\1\0"), (0x00290010, b"ACME")])
def test_values_that_decide_vrs_must_be_the_same_again(tag: int, value: bytes) -> None:
    fill = ds.implicit(0x00081030, b"x" * 300)
    found = outline(ds.IMPLICIT_HEAD + fill + ds.implicit(tag, value), shared_dictionary())
    assert _constant(found, found.size - len(value), len(value))
    found = outline(ds.HEAD + _FILL + ds.explicit(tag, "LO", value))
    assert not _constant(found, found.size - len(value), len(value)), "in explicit VR they decide nothing"


@pytest.mark.parametrize("delimited", [False, True])
def test_items_are_gone_through(delimited: bool) -> None:
    inside = ds.item(ds.explicit(0x00080050, "SH", b"ab"), delimited=delimited)
    octets = ds.HEAD + _FILL + ds.sequence(0x00400275, inside, delimited=delimited)
    found = outline(octets)
    assert found.size == len(octets)
    assert octets.index(b"ab") in found.texts
    assert 0x00080050 not in found.top_level


def test_the_header_of_what_follows_can_be_added() -> None:
    found = outline(ds.HEAD + _FILL)
    longer = found.with_header(found.size + 12)
    assert longer.size == found.size + 12
    assert longer.last_header == found.size
    assert _constant(longer, found.size, 12)


def test_outline_ends_before_what_is_unusual() -> None:
    good = (ds.HEAD + _FILL)
    found = outline(good + b"\x20\x00\x10\x00??\x04\x00abcd")
    assert found is not None
    assert found.size == len(good)
    assert outline(b"") is None
    assert outline(good[:100]) is None


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    data = (ds.HEAD + _FILL) + (b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 1400
    found = outline(data)
    assert found is not None
    assert found.size == len(ds.HEAD + _FILL)
