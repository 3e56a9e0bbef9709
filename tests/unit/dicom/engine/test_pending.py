from __future__ import annotations

from fastscp.dicom.engine import values
from tests.support.engine import Bench
from tests.support.memory import BASE


def test_a_value_is_forwarded_piece_by_piece() -> None:
    bench = Bench(b"headval")
    assert bench.value.begin(values.Verbatim(b"\0"), 4, 9, tag=0x7FE00010, pos=0) == 4
    assert (bench.value.left, bench.value.verbatim_left) == (6, 6)
    assert bench.value.untouched is False, "a pad octet is still to be added"
    assert bench.value.feed(b"ue-end") == 6
    assert bench.value.left == 0
    assert bench.written() == b"headvalue-end\0"
    assert (bench.output.origin, bench.output.shift) == (13, BASE + 1)


def test_a_value_written_as_it_is_counts_as_untouched() -> None:
    bench = Bench(b"headv")
    bench.value.begin(values.Verbatim(b""), 4, 100, tag=0x7FE00010, pos=0)
    assert bench.value.untouched


def test_octets_in_the_middle_may_pass_by() -> None:
    bench = Bench()
    bench.value.resume(100, 0x7FE00010, 0)
    assert not bench.value.forward([bytes(10)]), "nothing is known before the first piece"
    bench.value.feed(bytes(10))
    assert bench.value.forward([bytes(20), bytes(20)])
    assert not bench.value.forward([bytes(50)]), "its end has to be looked at"
    bench.value.passed(30)
    assert (bench.value.left, bench.value.verbatim_left) == (20, 20)
    assert (bench.output.origin, bench.output.size) == (80, BASE + 80)


def test_a_text_that_turns_out_shorter_has_its_length_patched() -> None:
    bench = Bench(b"\x20\0\0\x40UT\0\0\x08\0\0\0")
    bench.value.measure(BASE + 12, 8)
    bench.value.begin(values.TrimText(odd=False), 12, 8, tag=0x7FE00010, pos=0)
    assert bench.value.may_shrink
    bench.value.feed(b"text    ")
    assert bench.written(0) == b"\x20\0\0\x40UT\0\0\x04\0\0\0text"


def test_swapped_values_do_not_go_past_the_engine() -> None:
    bench = Bench()
    bench.value.begin(values.Swap(2, b""), 0, 4, tag=0x7FE00010, pos=0)
    bench.value.feed(b"ab")
    assert bench.value.verbatim_left == 0
    bench.value.feed(b"cd")
    assert bench.written(0) == b"badc"
