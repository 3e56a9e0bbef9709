"""Mutated real data sets: only the documented exception, bounded memory, no dependence on fragmentation.

The seed is fixed; FASTSCP_FUZZ_SEED and FASTSCP_FUZZ_RUNS choose others.
"""

from __future__ import annotations

import os
import random
import tracemalloc

import pytest

from fastscp.dicom.rewriter import Rewriter, Shapes
from fastscp.errors import InstanceError
from tests.conftest import real_dicom_files
from tests.fuzz.mutations import mutated
from tests.support import datasets as ds
from tests.support.memory import MemorySink, outcome, pieces
from tests.support.options import OPTION_SETS, output_options
from tests.support.rawscu import IMPLICIT, read_instance

SEED = int(os.environ.get("FASTSCP_FUZZ_SEED", "1"))
RUNS = int(os.environ.get("FASTSCP_FUZZ_RUNS", "4000"))
SLICES = 4
_LARGEST = 20_000


def _sources() -> list[tuple[str, bytes]]:
    sources = []
    for path in real_dicom_files():
        instance = read_instance(path)
        sources.append((instance.transfer_syntax or IMPLICIT, instance.dataset[:_LARGEST]))
    return sources


@pytest.mark.parametrize("part", range(SLICES))
def test_mutated_files_raise_nothing_but_instance_errors(part: int) -> None:
    chance = random.Random(SEED * SLICES + part)
    sources = _sources()
    stored = refused = 0
    for _ in range(RUNS // SLICES):
        syntax, original = chance.choice(sources)
        dataset = mutated(original, chance)
        options = output_options(chance.choice(OPTION_SETS))
        ours = outcome(dataset, syntax, options)
        if isinstance(ours, int):
            refused += 1
            assert ours >> 12 in {0xA, 0xC}
        else:
            stored += 1
        if chance.randrange(4) == 0:
            assert outcome(dataset, syntax, options, chance.randint(1, 50)) == ours
    # mutations that spoil everything, or nothing, would test little
    assert stored > RUNS // SLICES // 20
    assert refused > RUNS // SLICES // 20


@pytest.mark.parametrize("words", ["", "+ti", "-e +g", "-u -g"])
def test_recognised_headers_change_nothing(words: str) -> None:
    chance = random.Random(SEED)
    shapes = Shapes()
    options = output_options(words)
    for syntax, original in _sources():
        for dataset in (original, original, mutated(original, chance), original):
            sink = MemorySink()
            rewriter = Rewriter(syntax, options, sink, sink.base, shapes=shapes)
            try:
                for view in pieces(dataset, 16376):
                    rewriter.feed([view])
                rewriter.finish()
                got: bytes | int = sink.dataset
            except InstanceError as error:
                got = error.status
            assert got == outcome(dataset, syntax, options)


class _Nowhere(MemorySink):
    """Keeps nothing but the size."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def write(self, buffers) -> None:
        self.size += sum(map(len, buffers))

    def patch(self, offset: int, octets: bytes) -> None:
        assert offset >= self.base


def _deep(levels: int) -> bytes:
    return (ds.explicit(0x00081140, "SQ", b"", ds.UNDEFINED) + ds.implicit(0xFFFEE000, b"", ds.UNDEFINED)) * levels


@pytest.mark.parametrize("name", ["declared", "many", "wide", "deep"])
def test_memory_is_bounded_by_a_constant(name: str) -> None:
    element = ds.explicit(0x00081030, "LO", b"abcd")
    fields = {
        # 3 GB are declared: nothing may be allocated for them
        "declared": [ds.HEAD + ds.explicit(0x7FE00010, "OW", b"", 0xC0000000)] + [bytes(65536)] * 300,
        "many": [ds.HEAD + ds.explicit(0x00081140, "SQ", b"", ds.UNDEFINED)]
                + [ds.item(element, delimited=True) * 1000] * 300,
        "wide": [ds.HEAD + ds.explicit(0x00081140, "SQ", b"", 0x7FFFFFFE)] + [ds.item(element) * 1000] * 300,
        "deep": [_deep(2000)],
    }[name]
    sink = _Nowhere()
    rewriter = Rewriter(ds.EXPLICIT, output_options(""), sink, sink.base)
    tracemalloc.start()
    try:
        with pytest.raises(InstanceError) as raised:
            _feed_all(rewriter, fields)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert raised.value.status == 0xC000, "each of them ends too early"
    assert peak < 4 << 20


def _feed_all(rewriter: Rewriter, fields: list[bytes]) -> None:
    for octets in fields:
        rewriter.feed([octets])
    rewriter.finish()
