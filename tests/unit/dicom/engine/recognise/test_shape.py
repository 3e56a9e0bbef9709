"""A shape matches headers that need no correction, and no others."""

from __future__ import annotations

import pytest

from fastscp.dicom.engine import values
from fastscp.dicom.engine.cursor import Position
from fastscp.dicom.engine.recognise.outline import outline
from fastscp.dicom.engine.recognise.shape import Shape
from tests.support import datasets as ds
from tests.support.engine import Bench
from tests.support.memory import BASE


def _match(vr: str, first: bytes, second: bytes) -> bool:
    """Learn a header with the value ``first``, among others, and tell whether the same with ``second`` is recognised."""
    def header(value: bytes) -> bytes:
        return (ds.HEAD + ds.explicit(0x00081030, "LO", b"x" * 300) + ds.explicit(0x0020000D, vr, value)
                + ds.explicit(0x00200010, "SH", b"id") + ds.explicit(0x00200011, "UI", b"1.2\0"))

    known = header(first)
    found = outline(known)
    assert found is not None
    assert found.size == len(known)
    shape = Shape(known, found, ((0, found.size),), Position(0, 0, -1, 0, 0, 0, signed=False, creators=None), frozenset())
    assert shape.matches(known)
    return shape.matches(header(second))


@pytest.mark.parametrize("last", [b"ab", b"a ", b" a", b"  ", b" \0", b"\0 ", b"\0\0", b"\xa0\xa0", b"\xff\xff", b"\x1f ", b" \x21"])
def test_text_that_would_be_corrected_is_not_recognised(last: bytes) -> None:
    for value in (last, b"word" + last, b"  " + last):
        assert _match("LO", b"y" * len(value), value) == (values.text(value) == value)


def test_uid_that_would_be_corrected_is_not_recognised() -> None:
    for octet in range(256):
        new = bytes([octet])
        for value in (new + b"2.3.4", b"1.2.3" + new + b"45", b"1.2.3.45" + new + b"7", b"1.2.3.4" + new,
                      b"1.2.34" + new + b"\0", b"1" + new, new + b"\0"):
            if _match("UI", b"1" * len(value), value):
                assert values.uid(value) == value


@pytest.mark.parametrize("value", [b"1.2.840.10008.5.1.4.1.1.2\0", b"2.25.32987", b"0.99", b"1\0"])
def test_uids_as_they_should_be_are_recognised(value: bytes) -> None:
    assert _match("UI", b"9" * len(value), value)


def test_a_leap_leaves_everything_as_if_the_header_had_been_read() -> None:
    known = ds.HEAD + ds.explicit(0x00081030, "LO", b"x" * 300)
    position = Position(0x00081030, 8, 0, 4, 0, bits=None, signed=None, creators=None)
    shape = Shape(known, outline(known), (b"group length", (0, len(known))), position, frozenset({0x00080018}), 100_000,
                  value_tag=0x7FE00010, value_offset=360)
    bench = Bench()
    chunk = known.replace(b"1.2.3.4.5", b"5.4.3.2.1")
    assert shape.leap(chunk + b"value", bench.cursor, bench.output, bench.value) == b"value"
    assert bench.cursor.attributes == {0x00080018: b"5.4.3.2.1\0"}
    assert (bench.level.last, bench.level.group_at, bench.level.group_start) == (0x00081030, BASE, BASE + 4)
    assert (bench.value.left, bench.value.tag, bench.value.offset) == (100_000, 0x7FE00010, 360)
    assert bench.output.origin == len(chunk)
    assert bench.written() == b"group length" + chunk
