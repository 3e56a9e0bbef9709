"""Sorting what a sink holds."""

from __future__ import annotations

import pytest

from fastscp.dicom import uids
from fastscp.dicom.engine import order
from fastscp.dicom.engine.order import Sorter
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import shared_dictionary
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.memory import BASE, MemorySink

_A = ds.explicit(0x00080018, "UI", b"1.2\0")
_B = ds.explicit(0x00100020, "LO", b"id")
_C = ds.explicit(0x00280010, "US", b"\x10\0")


def _sorted(dataset: bytes, syntax: str = ds.EXPLICIT, options: OutputOptions | None = None) -> bytes:
    sink = MemorySink()
    sink.write([dataset])
    sorter = Sorter(sink, BASE, uids.transfer_syntax(syntax), shared_dictionary(), options or OutputOptions())
    for _ in sorter.run(BASE + len(dataset)):
        pass
    return sink.dataset


def test_elements_ascend_and_the_first_of_equals_stays() -> None:
    other = ds.explicit(0x00100020, "LO", b"other ")
    assert _sorted(_C + _B + _A + other) == _A + _B + _C
    assert _sorted(_A + _B) == _A + _B


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("delimited", [False, True])
def test_items_are_sorted_inside(order: str, delimited: bool) -> None:
    first, second = (ds.explicit(tag, "SH", b"ab", order=order) for tag in (0x00080100, 0x00080102))

    def nested(*inside: bytes) -> bytes:
        items = ds.item(b"".join(inside), delimited=delimited, order=order)
        if delimited:
            return (ds.explicit(0x00400275, "SQ", items, ds.UNDEFINED, order)
                    + ds.implicit(0xFFFEE0DD, b"", order=order))
        return ds.sequence(0x00400275, items, order=order)

    syntax = ds.EXPLICIT if order == "<" else ds.BIG
    assert _sorted(nested(second, first, second), syntax) == nested(first, second)


def test_implicit_sequences_are_known_by_the_dictionary() -> None:
    first, second = ds.implicit(0x00080100, b"ab"), ds.implicit(0x00080102, b"cd")
    dataset = ds.implicit_sequence(0x00400275, ds.item(second + first))
    assert _sorted(dataset, ds.IMPLICIT) == ds.implicit_sequence(0x00400275, ds.item(first + second))


def test_group_lengths_and_padding_are_corrected() -> None:
    length = ds.explicit(0x00080000, "UL", bytes(4))
    padding = ds.explicit(0xFFFCFFFC, "OB", bytes(4))
    options = OutputOptions(file_padding=64)
    result = _sorted(_B + padding + _A + length, options=options)
    assert result.startswith(ds.explicit(0x00080000, "UL", b"\x0c\0\0\0") + _A + _B)
    assert (BASE + len(result)) % 64 == 0


def test_fragments_move_as_a_whole() -> None:
    pixels = (ds.explicit(0x7FE00010, "OB", b"", ds.UNDEFINED) + ds.item(b"ab") + ds.item(b"cdef")
              + ds.implicit(0xFFFEE0DD, b""))
    assert _sorted(pixels + _A, ds.JPEG) == _A + pixels


def test_the_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MOST_ELEMENTS", 3)
    with pytest.raises(InstanceError, match="too many elements"):
        _sorted(_C + _B + _A + _A)


def test_a_sink_that_lost_its_octets_is_noticed() -> None:
    sink = MemorySink()
    sorter = Sorter(sink, BASE, uids.transfer_syntax(ds.EXPLICIT), shared_dictionary(), OutputOptions())
    with pytest.raises(InstanceError, match="read back"):
        list(sorter.run(BASE + 100))


# -- bounded ---------------------------------------------------------------------------------------


def _steps(dataset: bytes, syntax: str = ds.EXPLICIT) -> int:
    sink = MemorySink()
    sink.write([dataset])
    sorter = Sorter(sink, BASE, uids.transfer_syntax(syntax), shared_dictionary(), OutputOptions())
    return sum(1 for _ in sorter.run(BASE + len(dataset)))


def test_sorting_is_many_small_steps() -> None:
    elements = [ds.explicit(0x00280010 + 2 * n, "US", b"ab") for n in range(3000)]
    assert _steps(b"".join(reversed(elements))) > 3 * 3000 // 128  # read, put in order, copied
    assert _steps(_B + ds.explicit(0x7FE00010, "OW", bytes(3 << 20)) + _A) >= 6


def test_empty_items_and_fragments_are_steps_too() -> None:
    items = ds.sequence(0x00400275, ds.item(b"") * 3000)
    assert _steps(items + _A) > 3000 // 128
    fragments = ds.explicit(0x7FE00010, "OB", b"", ds.UNDEFINED) + ds.item(b"") * 3000 + ds.implicit(0xFFFEE0DD, b"")
    assert _steps(fragments + _A, ds.JPEG) > 3000 // 128


@pytest.mark.parametrize("count", [4096, 4097, 9000])
def test_many_elements_are_sorted_and_the_first_of_equals_stays(count: int) -> None:
    tags = [0x00100000 + (n * 7919) % 60_000 + 1 for n in range(count)]
    elements = {tag: ds.explicit(tag, "SH", b"%4d" % n) for n, tag in reversed(list(enumerate(tags)))}
    doubles = b"".join(ds.explicit(tag, "SH", b"no") for tag in tags[:50])
    dataset = b"".join(elements[tag] for tag in tags) + doubles
    assert _sorted(dataset) == b"".join(elements[tag] for tag in sorted(tags))


def test_pieces_of_items_count_as_well_as_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    disordered = ds.item(ds.explicit(0x00080102, "SH", b"ab") + ds.explicit(0x00080100, "SH", b"ab"))
    dataset = ds.sequence(0x00400275, disordered * 100)
    monkeypatch.setattr(order, "MOST_ELEMENTS", 400)
    assert len(_sorted(dataset)) == len(dataset)
    monkeypatch.setattr(order, "MOST_ELEMENTS", 200)
    with pytest.raises(InstanceError, match="too many elements"):
        _sorted(dataset)


def test_items_that_are_in_order_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    item = ds.item(ds.explicit(0x00080100, "SH", b"ab") + ds.explicit(0x00080102, "SH", b"ab"))
    delimited = ds.item(ds.explicit(0x00080100, "SH", b"ab"), delimited=True)
    dataset = ds.sequence(0x00400275, (item + delimited) * 100)
    monkeypatch.setattr(order, "MOST_ELEMENTS", 10)
    assert _sorted(dataset + _A) == _A + dataset


def _implicit_chain(depth: int, inside: bytes) -> bytes:
    for _ in range(depth):
        inside = ds.implicit_sequence(0x00081140, ds.item(inside))
    return inside


def test_what_looks_like_too_deep_a_sequence_is_none() -> None:
    first, second = ds.implicit(0x00080100, b"ab"), ds.implicit(0x00080102, b"cd")
    behind = ds.implicit(0x00080018, b"1.2\0")
    deep = _implicit_chain(65, second + first)
    assert _sorted(deep + behind, ds.IMPLICIT) == behind + deep
    assert _sorted(_implicit_chain(64, second + first), ds.IMPLICIT) == _implicit_chain(64, first + second)
    very_deep = _implicit_chain(5000, b"")
    assert _sorted(very_deep + behind, ds.IMPLICIT) == behind + very_deep


def test_a_guess_never_reads_beyond_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items without a length in values that are none would be read to the end of the data set, each again."""
    false_item = ds.implicit(0x00081140, ds.implicit(0xFFFEE000, b"", ds.UNDEFINED))
    behind = ds.implicit(0x00080018, b"1.2\0")
    dataset = false_item * 40 + behind
    pauses = 0

    def counting(self: Sorter) -> bool:
        nonlocal pauses
        pauses += 1
        return False

    monkeypatch.setattr(Sorter, "_pause", counting)
    assert _sorted(dataset, ds.IMPLICIT) == behind + false_item
    assert pauses < 200


def test_group_lengths_with_surplus_octets_keep_them() -> None:
    length = ds.explicit(0x00080000, "UL", bytes(4) + b"more")
    assert _sorted(_A + length) == ds.explicit(0x00080000, "UL", b"\x0c\0\0\0more") + _A
