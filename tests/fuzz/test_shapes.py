"""Streams of similar objects through one ``Shapes``, as a worker has: recognising headers changes nothing.

Values are changed without changing the shape and otherwise, objects are cut off anywhere, and the first chunk ends
anywhere. The seed is fixed; FASTSCP_FUZZ_SEED chooses another.
"""

from __future__ import annotations

import os
import random

import pytest

from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Rewriter, Shapes
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.memory import MemorySink
from tests.support.options import output_options

SEED = int(os.environ.get("FASTSCP_FUZZ_SEED", "1"))
ROUNDS = 150
_TAILS = (b"  ", b"\0\0", b" \0", b"\0 ", b"a ", b"a\0", b"ab", b"\t\n")

#: attributes whose values decide about others, in implicit VR, and some of every kind
_ELEMENTS = (
    (0x0008001A, "UI", b"1.2.840.10"), (0x00080020, "DA", b"20200102"), (0x00081030, "LO", b"abcd" * 9),
    (0x00090010, "LO", b"SIEMENS CSA HEADER"), (0x00091008, "CS", b"IMAGE NUM 4 "), (0x00100010, "PN", b"A^B "),
    (0x00104000, "LT", b"x" * 200), (0x00189073, "FD", b"abcdefgh"), (0x00189074, "AT", b"abcd"),
    (0x0020000D, "UI", b"1.2.840.1\0"), (0x0020000E, "UI", b"1.2.840.12"),
    (0x00280100, "US", b"\x10\0"), (0x00280103, "US", b"\1\0"), (0x00280106, "SS", b"ab"),
    (0x00281101, "US", b"abcdef"), (0x00281201, "OW", b"abcdefgh"), (0x00291010, "OB", b"1234"),
)


def _dataset(chance: random.Random, *, implicit: bool) -> bytes:
    """Encode a header with some values changed, a nested item and a group length among them."""
    def element(tag: int, vr: str, value: bytes) -> bytes:
        return ds.implicit(tag, value) if implicit else ds.explicit(tag, vr, value)

    parts = [ds.IMPLICIT_HEAD if implicit else ds.HEAD]
    for tag, vr, value in _ELEMENTS:
        changed = value
        if chance.random() < 0.1:
            changed = value[:-2] + chance.choice(_TAILS)
        elif chance.random() < 0.03:
            changed = value + chance.choice(_TAILS)
        parts.append(element(tag, vr, changed))
    inner = element(0x00080050, "SH", b"ab" + chance.choice(_TAILS)) + element(0x00280103, "US", b"\0\0")
    items = ds.item(inner, delimited=chance.random() < 0.1)
    parts.append(ds.implicit_sequence(0x00400275, items) if implicit else ds.sequence(0x00400275, items))
    parts.insert(4, element(0x00090000, "UL", b"\1\2\3\4"))
    if chance.random() < 0.1:
        place = chance.randrange(1, len(parts))
        parts.insert(place, parts.pop(chance.randrange(1, len(parts))))
    parts.append(element(0x7FE00010, "OW", bytes(chance.choice((10, 50_000, 100_000, 100_000, 100_001)))))
    if chance.random() < 0.2:
        parts.append(element(0x7FE10010, "LO", b"behind"))
    return b"".join(parts)


def _run(dataset: bytes, syntax: str, options: OutputOptions, shapes: Shapes | None,
         first: int) -> tuple[bytes | int, dict[int, bytes]]:
    sink = MemorySink()
    rewriter = Rewriter(syntax, options, sink, sink.base, shapes=shapes)
    try:
        for start, end in ((0, first), (first, first + 7), (first + 7, len(dataset))):
            rewriter.feed([memoryview(dataset)[start:end]])
        rewriter.finish()
    except InstanceError as error:
        return error.status, {}
    return sink.dataset, dict(rewriter.attributes)


@pytest.mark.parametrize("words", ["", "-e", "+g", "-g", "-u", "-F", "+te", "+ti", "-e +g", "+ti -g", "+ti +g -e", "+te -u",
                                   "+tb", "+tb -g -e", "+tb +g", "+tb -u", "+p 512 64", "-e +p 100 10", "+tb +g +p 128 4"])
def test_streams_of_similar_objects(words: str) -> None:
    chance = random.Random(SEED)
    options = output_options(words)
    shapes = Shapes()
    for _ in range(ROUNDS):
        implicit = chance.random() < 0.5
        dataset = _dataset(chance, implicit=implicit)
        if chance.random() < 0.2:
            dataset = dataset[:chance.randrange(1, len(dataset))]
        syntax = ds.IMPLICIT if implicit else ds.EXPLICIT
        first = chance.choice((16376, 16376, len(dataset) - min(100_000, len(dataset) - 1), chance.randrange(1, len(dataset) + 1), chance.randrange(1, 1000)))
        plain = _run(dataset, syntax, options, None, len(dataset))
        assert _run(dataset, syntax, options, shapes, first) == plain
        assert _run(dataset, syntax, options, None, first) == plain
    for syntax in (ds.IMPLICIT, ds.EXPLICIT):
        assert shapes._recent[syntax, options.transfer_syntax or syntax], "no header was ever learned"


@pytest.mark.parametrize("words", ["", "+ti -e", "+te +g", "+tb", "+p 64 16"])
@pytest.mark.parametrize("syntax", [ds.EXPLICIT, ds.IMPLICIT])
def test_object_cut_off_at_every_position(words: str, syntax: str) -> None:
    dataset = _dataset(random.Random(SEED), implicit=syntax == ds.IMPLICIT)[:700]
    options = output_options(words)
    shapes = Shapes()
    for _ in range(2):
        _run(dataset, syntax, options, shapes, len(dataset))
    for size in range(1, len(dataset)):
        plain = _run(dataset[:size], syntax, options, None, size)
        assert _run(dataset[:size], syntax, options, shapes, size) == plain
        assert _run(dataset[:size], syntax, options, None, size // 2) == plain
