"""A walk leaves cursor and output as careful steps would, and stops where something has to be decided."""

from __future__ import annotations

import pytest

from fastscp.dicom.engine import walk
from fastscp.dicom.options import OutputOptions
from tests.support import datasets as ds
from tests.support.engine import Bench

_PLAIN = ds.HEAD + ds.explicit(0x00100020, "LO", b"id") + ds.explicit(0x00280010, "US", b"\x10\0")


def test_what_needs_no_thought_is_passed_over() -> None:
    bench = Bench(_PLAIN)
    assert walk.unchanged(bench.plan, bench.cursor, bench.output, 0) == len(_PLAIN)
    assert bench.level.last == 0x00280010
    assert set(bench.cursor.attributes) == {0x00080016, 0x00080018, 0x00100020}
    assert bench.written() == _PLAIN


@pytest.mark.parametrize("stop", [
    ds.explicit(0x00280030, "DS", b"1   "),  # padded
    ds.explicit(0x00280030, "DS", b"1"),  # odd
    ds.explicit(0x00280030, "UI", b"1.2\0\0\0"),
    ds.explicit(0x00280030, "??", b"ab"),
    ds.explicit(0x00280008, "IS", b"1 "),  # out of order
    ds.explicit(0x00290000, "UL", bytes(4)),
    ds.explicit(0x00280030, "DS", b"1\\", 4),  # not there yet
    ds.explicit(0x7FE00010, "OW", b"ab"),
    b"\x28\0\x30\0D",
])
def test_a_walk_stops_in_front_of_everything_else(stop: bytes) -> None:
    bench = Bench(_PLAIN + stop)
    assert walk.unchanged(bench.plan, bench.cursor, bench.output, 0) == len(_PLAIN)
    assert bench.level.last == 0x00280010


def test_sequences_are_closed_with_other_lengths() -> None:
    inside = ds.explicit(0x00080050, "SH", b"ab")
    bench = Bench(ds.sequence(0x00400275, ds.item(inside, delimited=True), delimited=True))
    assert walk.unchanged(bench.plan, bench.cursor, bench.output, 0) == len(bench.output.buf)
    assert bench.cursor.stack == []
    assert bench.written() == ds.sequence(0x00400275, ds.item(inside))


def test_a_walk_that_ends_inside_an_item_leaves_the_cursor_there() -> None:
    inside = ds.explicit(0x00080050, "SH", b"ab")
    bench = Bench(ds.explicit(0x00400275, "SQ", b"", 100) + ds.implicit(0xFFFEE000, b"", 92) + inside)
    walk.unchanged(bench.plan, bench.cursor, bench.output, 0)
    assert [level.end for level in (*bench.cursor.stack, bench.cursor.level)][1:] == [112, 112]
    assert bench.cursor.level.last == 0x00080050
    assert bench.cursor.stack[1].members == 1


def test_an_observed_walk_leaves_sequences_to_the_careful_step() -> None:
    bench = Bench(_PLAIN + ds.sequence(0x00400275, b""), observer=object())
    assert walk.unchanged(bench.plan, bench.cursor, bench.output, 0) == len(_PLAIN)


def test_implicit_vr_is_walked_with_the_dictionary() -> None:
    plain = ds.IMPLICIT_HEAD + ds.implicit(0x00280010, b"\x10\0")
    bench = Bench(plain + ds.implicit(0x00400275, b""), ds.IMPLICIT)
    assert walk.unchanged_implicit(bench.plan, bench.cursor, bench.output, 0) == len(plain)
    assert bench.cursor.attributes[0x00080018] == b"1.2.3.4.5\0"


@pytest.mark.parametrize(("target", "expected"), [
    (ds.BIG, ds.BIG_HEAD + ds.explicit(0x00280010, "US", b"\0\x10", order=">")),
    (ds.IMPLICIT, ds.IMPLICIT_HEAD + ds.implicit(0x00280010, b"\x10\0")),
])
def test_values_are_recoded_on_the_walk(target: str, expected: bytes) -> None:
    plain = ds.HEAD + ds.explicit(0x00280010, "US", b"\x10\0")
    bench = Bench(plain + ds.explicit(0x00280030, "DS", b"1   "), options=OutputOptions(transfer_syntax=target))
    assert walk.recoded(bench.plan, bench.cursor, bench.output, 0) == len(plain)
    assert bench.written(len(plain)) == expected
