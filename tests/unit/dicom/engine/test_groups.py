from __future__ import annotations

from fastscp.dicom.engine.groups import Groups
from tests.support import datasets as ds
from tests.support.engine import Bench

_ELEMENT = ds.explicit(0x00080018, "UI", b"1.2\0")


def test_tags_that_do_not_ascend_are_marked() -> None:
    bench = Bench()
    groups = Groups(bench.output, bench.cursor, create=False)
    assert groups.reach(0, bench.level, 0x00080018)
    assert not bench.cursor.disordered
    assert not groups.reach(0, bench.level, 0x00080018), "an element sent twice is out of order as well"
    assert bench.cursor.disordered
    assert bench.level.last == 0x00080018


def test_a_length_is_written_for_every_group_that_begins() -> None:
    bench = Bench(_ELEMENT)
    groups = Groups(bench.output, bench.cursor, create=True)
    groups.reach(0, bench.level, 0x00080018)
    groups.end(bench.level, bench.output.origin + len(_ELEMENT) + bench.output.shift)
    assert bench.written() == ds.explicit(0x00080000, "UL", b"\x0c\0\0\0") + _ELEMENT


def test_an_existing_length_is_corrected_and_keeps_its_surplus() -> None:
    old = ds.explicit(0x00080000, "UL", b"\xff\xff\xff\xffrest")
    bench = Bench(old + _ELEMENT)
    groups = Groups(bench.output, bench.cursor, create=False)
    groups.reach(0, bench.level, 0x00080000)
    assert groups.replace(0, bench.level, "UL", 8, 8) == len(old)
    groups.end(bench.level, bench.output.origin + len(old + _ELEMENT) + bench.output.shift)
    assert bench.written() == ds.explicit(0x00080000, "UL", b"\x0c\0\0\0rest") + _ELEMENT


def test_a_length_of_another_vr_becomes_a_plain_one() -> None:
    bench = Bench(ds.explicit(0x00080000, "OB", b"123456"))
    groups = Groups(bench.output, bench.cursor, create=False)
    groups.reach(0, bench.level, 0x00080000)
    groups.replace(0, bench.level, "OB", 12, 6)
    assert bench.written() == ds.explicit(0x00080000, "UL", bytes(4))
