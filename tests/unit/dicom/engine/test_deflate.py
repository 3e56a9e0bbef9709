"""Deflated output: patched, sorted and read back whenever that is wanted, deflated as early as possible."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from fastscp.dicom.engine.deflate import Deflation
from fastscp.dicom.options import OutputOptions
from fastscp.errors import StorageError
from tests.support import datasets as ds
from tests.support.memory import BASE, MemorySink, pieces, rewritten

DEFLATED = OutputOptions(transfer_syntax=ds.DEFLATED)
PIXELS = ds.explicit(0x7FE00010, "OW", bytes(range(256)) * 2000)
SEQUENCE = ds.sequence(0x00400275, ds.item(ds.explicit(0x00080050, "SH", b"ab"), delimited=True), delimited=True)


def inflated(sink: MemorySink) -> bytes:
    inflater = zlib.decompressobj(-15)
    octets = inflater.decompress(sink.dataset)
    assert inflater.eof
    assert inflater.unused_data in {b"", b"\0"}
    assert len(sink.dataset) % 2 == 0
    return octets


def exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.mark.parametrize("settle", [False, True])
def test_octets_come_out_as_they_went_in(sink: MemorySink, settle: bool) -> None:
    deflation = Deflation(sink, BASE, 6)
    deflation.write([b"head", memoryview(b"er")])
    if settle:
        exhaust(deflation.settling())
    deflation.write([bytes(3_000_000), b"tail"])
    exhaust(deflation.finishing())
    assert inflated(sink) == b"header" + bytes(3_000_000) + b"tail"


def test_what_is_settled_is_deflated_at_once(sink: MemorySink) -> None:
    deflation = Deflation(sink, BASE, 0)
    deflation.write([bytes(100_000)])
    assert sink.dataset == b""
    exhaust(deflation.settling())
    deflation.write([bytes(100_000)])
    assert len(sink.dataset) > 100_000


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("size", [10, 262_144, 2_000_000])
def test_settled_octets_can_be_patched_read_and_cut_after_all(sink: MemorySink, level: int, size: int) -> None:
    deflation = Deflation(sink, BASE, level)
    content = bytearray(bytes(range(256)) * (size // 256 + 1))[:size]
    deflation.write([bytes(content)])
    exhaust(deflation.settling())
    deflation.write([b"behind"])
    exhaust(deflation.reverting())
    deflation.patch(BASE + 4, b"new")
    content[4:7] = b"new"
    assert deflation.read(BASE, size) == content
    assert not deflation.may_settle  # who is wrong once may be wrong twice
    deflation.truncate(BASE + size)
    deflation.write([b"last"])
    exhaust(deflation.finishing())
    assert inflated(sink) == content + b"last"


def test_a_sink_that_has_lost_octets_is_an_error(sink: MemorySink) -> None:
    deflation = Deflation(sink, BASE, 6)
    exhaust(deflation.settling())
    deflation.write([bytes(1000)])
    sink.read = lambda _offset, _size: b""  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="read back"):
        exhaust(deflation.reverting())


@pytest.mark.parametrize("behind", [
    b"",
    ds.explicit(0x7FE10010, "LO", b"more"),
    SEQUENCE,  # out of order, and with lengths to patch
    ds.explicit(0x7FE10000, "UL", bytes(4)) + ds.explicit(0x7FE10010, "LO", b"more"),
    ds.explicit(0x7FE10010, "UT", b"y" * 70_000 + b"  "),
])
@pytest.mark.parametrize("before", [b"", ds.explicit(0x7FE00000, "UL", bytes(4))])
@pytest.mark.parametrize("size", [1000, 16_384, 1 << 20])
def test_data_sets_with_something_behind_the_pixels(before: bytes, behind: bytes, size: int) -> None:
    dataset = ds.HEAD + SEQUENCE + before + PIXELS + behind
    plain = rewritten(dataset, ds.EXPLICIT)
    deflated = rewritten(dataset, ds.EXPLICIT, DEFLATED, pieces(dataset, size))
    assert zlib.decompressobj(-15).decompress(deflated) == plain
