from __future__ import annotations

import pytest

from fastscp.dicom.engine.cursor import FRAGMENTS, ITEM, ITEMS
from fastscp.dicom.engine.groups import Groups
from fastscp.dicom.engine.nesting import Nesting
from fastscp.dicom.options import OutputOptions
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.engine import Bench


def _nesting(bench: Bench) -> Nesting:
    return Nesting(bench.plan, bench.cursor, bench.output, bench.value,
                   Groups(bench.output, bench.cursor, create=bench.plan.create_groups))


_EMPTY = ds.sequence(0x00400275, ds.item(b"", delimited=True), delimited=True)


def _through_the_empty_sequence(bench: Bench) -> bytes:
    nesting = _nesting(bench)
    at = nesting.open(0, bench.level, 0x00400275, "SQ", 12, ds.UNDEFINED)
    assert bench.cursor.level.kind == ITEMS
    at = nesting.delimiter(at, bench.cursor.level, 0xE000, ds.UNDEFINED)
    assert bench.cursor.level.kind == ITEM
    at = nesting.delimiter(at, bench.cursor.level, 0xE00D, 0)
    at = nesting.delimiter(at, bench.cursor.level, 0xE0DD, 0)
    assert at == len(_EMPTY)
    assert bench.cursor.level is bench.level
    return bench.written()


def test_delimiters_become_lengths() -> None:
    assert _through_the_empty_sequence(Bench(_EMPTY)) == ds.sequence(0x00400275, ds.item(b""))


def test_delimiters_stay_when_they_are_wanted() -> None:
    assert _through_the_empty_sequence(Bench(_EMPTY, options=OutputOptions(explicit_lengths=False))) == _EMPTY


def test_lengths_become_delimiters() -> None:
    bench = Bench(ds.sequence(0x00400275, ds.item(b"")), options=OutputOptions(explicit_lengths=False))
    nesting = _nesting(bench)
    at = nesting.open(0, bench.level, 0x00400275, "SQ", 12, 8)
    at = nesting.delimiter(at, bench.cursor.level, 0xE000, 0)
    nesting.close(at, 0)
    nesting.close(at, 0)
    assert bench.written() == _EMPTY


def test_items_of_un_are_in_implicit_vr() -> None:
    bench = Bench(ds.explicit(0x00090010, "UN", b"", ds.UNDEFINED))
    _nesting(bench).open(0, bench.level, 0x00091010, "UN", 12, ds.UNDEFINED)
    assert not bench.cursor.level.explicit
    assert not bench.cursor.level.fast


def test_odd_fragments_are_padded() -> None:
    pixels = ds.explicit(0x7FE00010, "OB", b"", ds.UNDEFINED) + ds.item(b"abc")
    bench = Bench(pixels, ds.JPEG)
    nesting = _nesting(bench)
    at = nesting.open(0, bench.level, 0x7FE00010, "OB", 12, ds.UNDEFINED)
    assert bench.cursor.level.kind == FRAGMENTS
    assert nesting.delimiter(at, bench.cursor.level, 0xE000, 3) == len(pixels)
    assert bench.written() == ds.explicit(0x7FE00010, "OB", b"", ds.UNDEFINED) + ds.item(b"abc\0")


def test_a_fragment_that_is_not_there_yet_is_waited_for() -> None:
    bench = Bench(ds.explicit(0x7FE00010, "OB", b"", ds.UNDEFINED) + ds.item(b"ab")[:9], ds.JPEG)
    nesting = _nesting(bench)
    at = nesting.open(0, bench.level, 0x7FE00010, "OB", 12, ds.UNDEFINED)
    assert nesting.delimiter(at, bench.cursor.level, 0xE000, 2) == -1
    assert (bench.cursor.need, bench.cursor.header) == (10, 8)


def test_items_are_padded_to_a_multiple_of_octets() -> None:
    inside = ds.explicit(0x00080050, "SH", b"ab")
    bench = Bench(inside, options=OutputOptions(item_padding=32))
    bench.level.start = bench.output.size
    _nesting(bench).end(bench.level, len(inside), 32)
    assert bench.written() == inside + ds.explicit(0xFFFCFFFC, "OB", bytes(10))


@pytest.mark.parametrize(("call", "reason"), [
    (lambda nesting, bench: nesting.open(0, bench.level, 0x00080018, "UI", 8, ds.UNDEFINED), "no sequence"),
    (lambda nesting, bench: nesting.open(0, bench.level, 0x7FE00010, "OB", 12, ds.UNDEFINED), "compressed"),
    (lambda nesting, bench: nesting.delimiter(0, bench.level, 0xE0DD, 0), "none belongs"),
    (lambda nesting, bench: nesting.delimiter(0, bench.level, 0xE00D, 0), "none belongs"),
])
def test_what_cannot_be_nested_is_refused(call, reason) -> None:
    bench = Bench(ds.explicit(0x00080018, "UI", b"1.2\0"))
    with pytest.raises(InstanceError, match=reason):
        call(_nesting(bench), bench)


def test_nesting_has_a_limit() -> None:
    bench = Bench(_EMPTY, options=OutputOptions(max_depth=1))
    nesting = _nesting(bench)
    nesting.open(0, bench.level, 0x00400275, "SQ", 12, ds.UNDEFINED)
    nesting.delimiter(12, bench.cursor.level, 0xE000, ds.UNDEFINED)
    with pytest.raises(InstanceError, match="deeper than 1"):
        nesting.open(0, bench.cursor.level, 0x00400275, "SQ", 12, ds.UNDEFINED)
