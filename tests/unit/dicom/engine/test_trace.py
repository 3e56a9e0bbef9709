"""What is said to be in the file as it came is there, octet for octet."""

from __future__ import annotations

import pytest

from fastscp.dicom.rewriter import Rewriter
from tests.support import datasets as ds
from tests.support.memory import BASE, MemorySink, pieces
from tests.support.options import output_options


def _octets(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def _traced(data: bytes, syntax: str, size: int, words: str = "") -> int:
    """Check every passage; return how many octets of the input they cover."""
    sink = MemorySink()
    rewriter = Rewriter(syntax, output_options(words), sink, BASE)
    trace = rewriter.trace()
    assert trace is not None
    passages = []
    for view in pieces(data, size):
        rewriter.feed([view])
        passages += trace.take()
    rewriter.finish()
    covered: set[int] = set()
    for begin, offset, octets in passages:
        assert bytes(sink.content[offset:offset + octets]) == data[begin:begin + octets]
        covered.update(range(begin, begin + octets))
    return len(covered)


def _image(fragments: list[int]) -> bytes:
    items = b"".join(ds.item(_octets(size)) for size in (0, *fragments))
    return ds.HEAD + ds.explicit(0x7FE00010, "OB", items + ds.implicit(0xFFFEE0DD, b""), ds.UNDEFINED)


@pytest.mark.parametrize("size", [1000, 5000, 20_000, 1 << 20])
@pytest.mark.parametrize("fragments", [[300] * 90, [301] * 90, [300, 301, 303] * 30, [70_001, 300, 70_000], [70_000] * 3,
                                       [70_001] * 3, [301, 301, 70_001, 299, 3], [300] * 5 + [70_001, 300]])
def test_fragments_of_every_kind(fragments: list[int], size: int) -> None:
    _traced(_image(fragments), ds.JPEG, size)


def test_small_fragments_are_not_copied() -> None:
    data = _image([300] * 900)
    assert _traced(data, ds.JPEG, 5000) > len(data) - 15_000


@pytest.mark.parametrize("size", [4000, 1 << 20])
@pytest.mark.parametrize("words", ["", "+te", "+ti", "-e", "+g"])
def test_large_value_is_not_copied(words: str, size: int) -> None:
    data = ds.HEAD + ds.explicit(0x7FE00010, "OW", _octets(300_000))
    assert _traced(data, ds.EXPLICIT, size, words) == 300_000


@pytest.mark.parametrize(("vr", "words"), [("UT", ""), ("OW", "+tb")])
def test_value_that_is_changed_is_no_passage(vr: str, words: str) -> None:
    assert _traced(ds.HEAD + ds.explicit(0x0040A160, vr, _octets(300_000)), ds.EXPLICIT, 4000, words) == 0


def test_pixel_data_after_pixel_data() -> None:
    """Two looks inside Pixel Data, but not the same; a group length in between is corrected."""
    inner = ds.explicit(0x7FE00010, "OB", ds.item(b"") + ds.item(_octets(3000)) + ds.implicit(0xFFFEE0DD, b""), ds.UNDEFINED)
    icons = ds.sequence(0x00880200, b"".join(ds.item(ds.explicit(0x00080000, "UL", b"\xff\xff\0\0") + ds.explicit(0x00080008, "CS", b"AB") + inner,
                                                     delimited=True) for _ in range(8)), delimited=True)
    _traced(ds.HEAD + icons, ds.JPEG, 3000, "-e")


@pytest.mark.parametrize(("syntax", "words"), [(ds.DEFLATED, ""), (ds.EXPLICIT, "+td"), (ds.EXPLICIT, "+B")])
def test_nothing_is_traced_where_nothing_is_written_as_it_comes_or_nothing_is_read(syntax: str, words: str) -> None:
    assert Rewriter(syntax, output_options(words), MemorySink(), BASE).trace() is None
