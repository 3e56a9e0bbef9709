"""Sorting what a sink holds."""

from __future__ import annotations

import pytest

from fastscp.dicom import uids
from fastscp.dicom.engine import order
from fastscp.dicom.engine.order import Sorter
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewrite import shared_dictionary
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
    for piece in sorter.run(BASE + len(dataset)):
        sink.write([piece])
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
