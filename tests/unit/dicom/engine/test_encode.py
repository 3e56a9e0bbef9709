"""The writer, element by element, over a buffer that holds one."""

from __future__ import annotations

import pytest

from fastscp.dicom.engine.encode import Writer
from fastscp.dicom.engine.scan import items_reader
from fastscp.dicom.options import OutputOptions
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.engine import Bench, Heard


def _written(tag: int, vr: str, value: bytes, options: OutputOptions | None = None, syntax: str = ds.EXPLICIT) -> bytes:
    octets = ds.explicit(tag, vr, value)
    bench = Bench(octets, syntax, options)
    writer = Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader)
    header = 12 if vr in ds.LONG_VRS else 8
    assert writer.element(0, bench.level, tag, vr, header, len(value)) == len(octets)
    return bench.written()


@pytest.mark.parametrize(("vr", "value", "expected"), [
    ("LO", b"ab", b"ab"), ("LO", b"ab    ", b"ab"), ("LO", b"abc", b"abc\0"), ("UI", b"1.2", b"1.2\0"),
    ("UI", b"1 .2", b"1.2\0"), ("OB", b"abc", b"abc\0"), ("OW", b"abc", b"abc"), ("US", b"ab", b"ab"),
])
def test_values_are_corrected(vr: str, value: bytes, expected: bytes) -> None:
    assert _written(0x00080018, vr, value) == ds.explicit(0x00080018, vr, expected)


@pytest.mark.parametrize(("target", "expected"), [
    (ds.BIG, ds.explicit(0x00280010, "US", b"\0\x10", order=">")),
    (ds.IMPLICIT, ds.implicit(0x00280010, b"\x10\0")),
])
def test_elements_change_their_encoding(target: str, expected: bytes) -> None:
    assert _written(0x00280010, "US", b"\x10\0", OutputOptions(transfer_syntax=target)) == expected


def test_vrs_of_later_years_become_ob() -> None:
    options = OutputOptions(new_vrs=False)
    assert _written(0x00080018, "UT", b"text", options) == ds.explicit(0x00080018, "OB", b"text")


def test_padding_is_left_out() -> None:
    assert _written(0xFFFCFFFC, "OB", bytes(8)) == b""


def test_what_the_caller_wants_is_kept_raw() -> None:
    octets = ds.explicit(0x00100010, "PN", b"A^B   ")
    bench = Bench(octets)
    Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader).element(0, bench.level, 0x00100010, "PN", 8, 6)
    assert bench.cursor.attributes == {0x00100010: b"A^B   "}


def test_a_value_that_is_not_there_yet_is_waited_for() -> None:
    bench = Bench(ds.explicit(0x00100010, "PN", b"A^", 6))
    writer = Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader)
    assert writer.element(0, bench.level, 0x00100010, "PN", 8, 6) == -1
    assert (bench.cursor.need, bench.cursor.header) == (14, 8)
    assert bench.cursor.attributes == {}


def test_a_large_value_is_left_pending_behind_its_header() -> None:
    octets = ds.explicit(0x7FE00010, "OW", b"begin", 100_000)
    bench = Bench(octets)
    writer = Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader)
    assert writer.element(0, bench.level, 0x7FE00010, "OW", 12, 100_000) == 12
    assert bench.value.left == 100_000 - 5
    assert bench.written() == octets


def test_a_large_value_that_is_left_out_is_left_out_to_its_end() -> None:
    bench = Bench(ds.explicit(0xFFFCFFFC, "OB", b"begin", 100_000))
    Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader).element(0, bench.level, 0xFFFCFFFC, "OB", 12, 100_000)
    bench.value.feed(bytes(99_995))
    assert bench.value.left == 0
    assert bench.written() == b""


def test_an_observer_hears_nothing_of_a_swapped_value() -> None:
    heard = Heard()
    bench = Bench(ds.explicit(0x00280010, "US", b"\x10\0"), options=OutputOptions(transfer_syntax=ds.BIG), observer=heard)
    Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader).element(0, bench.level, 0x00280010, "US", 8, 2)
    assert heard.events == [("cut", 0, 8, ds.explicit(0x00280010, "US", b"", 2, order=">")), ("cut", 8, 10, 2)]


def test_an_element_stays_inside_its_item() -> None:
    bench = Bench(ds.explicit(0x00080018, "UI", b"1.2\0"))
    bench.level.end = 10
    with pytest.raises(InstanceError, match="exceeds its item"):
        Writer(bench.plan, bench.cursor, bench.output, bench.value, items_reader).element(0, bench.level, 0x00080018, "UI", 8, 4)
