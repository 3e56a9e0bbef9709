"""The reader finds tokens, however they arrive; a writer that only takes notes stands behind it."""

from __future__ import annotations

import pytest

from fastscp.dicom.engine.scan import Reader, new_reader
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.engine import Bench

_ODD = ds.explicit(0x00100020, "LO", b"abc")  # every walk stops in front of it


class _Notes:
    """Writer and nesting at once: remembers the tokens, takes them as they are."""

    def __init__(self, bench: Bench) -> None:
        self.nesting = self
        self.tokens: list[tuple] = []
        self._bench = bench

    def element(self, pos, level, tag, vr, header, length) -> int:
        if pos + header + length > self._bench.output.octets:
            return self._bench.cursor.want(header + length, header=header)
        self.tokens.append((tag, vr, length))
        return pos + header + length

    def open(self, pos, level, tag, vr, header, length) -> int:
        self.tokens.append(("open", tag, length))
        return pos + header + length

    def delimiter(self, pos, level, element, length) -> int:
        self.tokens.append(("delimiter", element, length))
        return pos + 8

    def end(self, level, pos, multiple) -> None:
        self.tokens.append(("end", multiple))


def _read(octets: bytes, size: int, syntax: str = ds.EXPLICIT) -> list[tuple]:
    bench = Bench(syntax=syntax)
    notes = _Notes(bench)
    reader = Reader(bench.plan, bench.cursor, bench.output, bench.value, notes)
    for start in range(0, len(octets), size):
        reader.feed([octets[start:start + size]])
    reader.finish()
    return notes.tokens


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_tokens_do_not_depend_on_how_the_input_is_cut(size: int) -> None:
    octets = (_ODD + ds.explicit(0x00100030, "ZZ", b"")[:6] + b"\0\0\2\0\0\0ab" + ds.explicit(0x00100040, "z!", b"ab")
              + ds.explicit(0x00100050, "UT", b"abc"))
    assert _read(octets, size) == [
        (0x00100020, "LO", 3), (0x00100030, "", 2), (0x00100040, "", 2), (0x00100050, "UT", 3), ("end", 0)]


@pytest.mark.parametrize("size", [1, 1000])
def test_the_dictionary_tells_vrs_that_the_encoding_does_not(size: int) -> None:
    octets = ds.implicit(0x00100020, b"abc") + ds.implicit(0x00091010, b"??")
    assert _read(octets, size, ds.IMPLICIT) == [(0x00100020, "LO", 3), (0x00091010, "UN", 2), ("end", 0)]


def test_delimiters_are_no_elements() -> None:
    assert _read(ds.implicit(0xFFFEE00D, b""), 8) == [("delimiter", 0xE00D, 0), ("end", 0)]


class _Opening:
    """Knows the first ten octets of every data set."""

    def __init__(self) -> None:
        self.asked = 0

    def begin(self, chunk, plan, cursor, output, value) -> bytes:
        self.asked += 1
        output.leap(10, b"")
        return chunk[10:]


def test_what_is_known_of_the_beginning_is_not_read() -> None:
    bench = Bench()
    notes, opening = _Notes(bench), _Opening()
    reader = Reader(bench.plan, bench.cursor, bench.output, bench.value, notes, opening)
    reader.feed([bytes(10)])
    reader.feed([_ODD])
    reader.finish()
    assert notes.tokens == [(0x00100020, "LO", 3), ("end", 0)]
    assert opening.asked == 1


def test_a_reader_with_a_writer_of_its_own_waits_inside_a_value() -> None:
    bench = Bench()
    reader = new_reader(bench.plan, bench.output)
    reader.feed([ds.HEAD, ds.explicit(0x7FE00010, "OW", b"ab", 100_000)])
    assert reader.value.left == 99_998
    assert reader.settled
    assert not reader.unsettled
    with pytest.raises(InstanceError, match="inside a value"):
        reader.finish()


@pytest.mark.parametrize("octets", [ds.HEAD[:-1], _ODD * 2, ds.explicit(0x00081140, "SQ", b"", ds.UNDEFINED)])
def test_what_is_open_or_out_of_order_is_unsettled(octets: bytes) -> None:
    bench = Bench()
    reader = new_reader(bench.plan, bench.output)
    reader.feed([octets])
    assert reader.unsettled
