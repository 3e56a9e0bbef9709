from __future__ import annotations

import pytest

from fastscp.dicom.engine.output import padding_octets
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.engine import Bench, Heard
from tests.support.memory import BASE, MemorySink


def test_untouched_input_is_forwarded_as_it_is() -> None:
    bench = Bench(b"0123456789")
    assert bench.written() == b"0123456789"


def test_cuts_replace_insert_and_leave_out() -> None:
    output = (bench := Bench(b"0123456789")).output
    output.cut(2, 4, b"two")
    output.cut(5, 5, b"-")
    output.cut(8, 9, b"")
    assert output.shift == BASE + 1 + 1 - 1
    assert bench.written() == b"01two4-5679"


def test_lengths_are_patched_in_the_batch_and_in_the_sink() -> None:
    output = (bench := Bench(b"01234567")).output
    sink = MemorySink()
    output.patch(BASE + 2, b"xy")
    output.seal(8)
    output.write(sink)
    assert sink.dataset == b"01xy4567"
    output.origin += 8
    output.take(b"89")
    output.patch(BASE, b"!")
    output.seal(2)
    output.write(sink)
    assert sink.dataset == b"!1xy456789"
    assert output.size == BASE + 10
    assert bench.written() == b"", "nothing is written twice"


def test_an_observer_hears_of_cuts_in_input_offsets_and_of_patches() -> None:
    output = Bench(b"0123456789", observer=(heard := Heard())).output
    output.origin = 100
    output.cut(0, 2, b"new")
    output.swap(4, 8, 2)
    output.patch(BASE + 1, b"!")
    assert heard.events == [("cut", 100, 102, b"new"), ("cut", 104, 108, 2), ("patch", BASE + 1, b"!")]


def test_what_is_left_is_behind_the_position() -> None:
    output = (bench := Bench(b"0123456789")).output
    assert output.leave(4) == b"456789"
    assert (output.origin, output.buf) == (4, b"")
    assert bench.written() == b"0123"


def test_a_leap_writes_other_octets_than_it_takes() -> None:
    output = Bench().output
    assert output.leap(10, b"other") == BASE
    assert (output.origin, output.shift, output.size) == (10, BASE - 5, BASE + 5)


def test_headers_follow_the_encoding() -> None:
    assert Bench(syntax=ds.EXPLICIT).output.header(8, 0x18, b"UI", 4) == b"\x08\0\x18\0UI\x04\0"
    assert Bench(syntax=ds.BIG).output.header(8, 0x18, b"UT", 4) == b"\0\x08\0\x18UT\0\0\0\0\0\x04"
    assert Bench(syntax=ds.IMPLICIT).output.header(8, 0x18, b"UI", 4) == b"\x08\0\x18\0\x04\0\0\0"


def test_values_too_long_for_their_vr_become_un() -> None:
    output = Bench().output
    assert output.header(8, 0x18, b"LO", 70_000)[4:6] == b"UN"
    assert not output.keeps_vr(b"LO", 70_000)
    assert output.keeps_vr(b"UT", 70_000)


def test_errors_name_the_offset_in_the_data_set() -> None:
    output = Bench(b"01234").output
    output.origin = 1000
    with pytest.raises(InstanceError) as raised:
        output.refuse("no", 3, 0x00080018, 0xA700)
    assert (raised.value.offset, raised.value.tag, raised.value.status) == (1003, 0x00080018, 0xA700)


def test_lengths_that_mean_undefined_are_refused() -> None:
    with pytest.raises(InstanceError, match="too long"):
        Bench().output.length_octets(0xFFFFFFFF)


@pytest.mark.parametrize(("length", "expected"), [(0, None), (512, None), (500, 0), (499, 1), (501, 511)])
def test_padding_fills_up(length: int, expected: int | None) -> None:
    assert padding_octets(length, 512, 12) == expected
