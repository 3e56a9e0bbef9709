"""With shapes or without them the output is the same, octet for octet."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp.dicom.engine.recognise.shapes import Shapes
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.rewriter import Rewriter
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.rawscu import read_instance

EXPLICIT_LE = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
OPTIONS = {
    "default": OutputOptions(),
    "undefined lengths": OutputOptions(explicit_lengths=False),
    "group lengths": OutputOptions(group_lengths=GroupLengths.CREATE),
    "no group lengths": OutputOptions(group_lengths=GroupLengths.REMOVE),
    "implicit": OutputOptions(transfer_syntax=IMPLICIT_LE),
    "old VRs": OutputOptions(new_vrs=False),
    "explicit": OutputOptions(transfer_syntax=EXPLICIT_LE),
    "big endian": OutputOptions(transfer_syntax="1.2.840.10008.1.2.2"),
    "big endian, old VRs": OutputOptions(transfer_syntax="1.2.840.10008.1.2.2", new_vrs=False, explicit_lengths=False),
    "padding": OutputOptions(file_padding=512, item_padding=64),
}


class Memory:
    """A sink in memory."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def write(self, buffers: object) -> None:
        for buffer in buffers:  # type: ignore[attr-defined]
            self.octets += buffer

    def patch(self, offset: int, octets: bytes) -> None:
        self.octets[offset - 300 : offset - 300 + len(octets)] = octets

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.octets[offset - 300 : offset - 300 + size])

    def truncate(self, size: int) -> None:
        del self.octets[size - 300 :]

    def spool(self) -> object:
        return tempfile.TemporaryFile()


def rewritten(data: bytes, syntax: str, options: OutputOptions, shapes: Shapes | None) -> tuple[bytes | str, dict[int, bytes]]:
    sink = Memory()
    rewriter = Rewriter(syntax, options, sink, 300, shapes=shapes)  # type: ignore[arg-type]
    view = memoryview(data)
    try:
        rewriter.feed([view[start : start + 16378] for start in range(0, len(data), 16378)])
        rewriter.finish()
    except InstanceError as error:
        return str(error), {}
    return bytes(sink.octets), dict(rewriter.attributes)


def explicit_files(files: list[Path]) -> list[tuple[str, str, bytes]]:
    found = []
    for path in files:
        instance = read_instance(path)
        if not instance.transfer_syntax.endswith(("1.2.2", ".1.99")):
            found.append((path.name, instance.transfer_syntax or IMPLICIT_LE, instance.dataset))
    return found


@pytest.mark.parametrize("name", OPTIONS)
def test_real_headers_and_their_mutations(name: str, dicom_files: list[Path]) -> None:
    options = OPTIONS[name]
    generator = random.Random(7)
    files = explicit_files(dicom_files)
    assert len(files) > 40
    recognised = 0
    for _, syntax, data in files:
        here = options if syntax in {EXPLICIT_LE, IMPLICIT_LE} else replace(options, transfer_syntax=None)
        shapes = Shapes()
        for round_number in range(8):
            mutated = bytearray(data)
            for _ in range(round_number * 2):
                at = generator.randrange(min(len(mutated), 4000))
                mutated[at] = generator.choice((0, 32, 32, 65, 255, generator.randrange(256)))
            plain = rewritten(bytes(mutated), syntax, here, None)
            assert rewritten(bytes(mutated), syntax, here, shapes) == plain
            recognised += shapes.find((syntax, here.transfer_syntax or syntax), bytes(mutated[:16378])) is not None
    assert recognised > len(files)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return tag.to_bytes(4, "little")[2:] + tag.to_bytes(4, "little")[:2] + vr + len(value).to_bytes(2, "little") + value


def header(name: bytes = b"A^B ", uid: bytes = b"1.2.3.4\0", fill: bytes = b"x") -> bytes:
    return element(0x00080018, b"UI", uid) + element(0x00100010, b"PN", name) + element(0x00104000, b"LT", fill * 300)


@pytest.mark.parametrize("other", [
    header(name=b"A   "), header(uid=b"1.2.3.\0\0"), header(uid=b"1.2 .34\0"), header(fill=b" "), header(name=b"A^BC"),
    header() + b"\xff", header()[:-1], header()[:40], header().replace(b"PN", b"LO"), header() + header(),
])
def test_value_that_needs_a_correction_is_never_leapt_over(other: bytes) -> None:
    shapes = Shapes()
    first = rewritten(header(), EXPLICIT_LE, OutputOptions(), shapes)
    assert first == rewritten(header(), EXPLICIT_LE, OutputOptions(), None)
    assert rewritten(other, EXPLICIT_LE, OutputOptions(), shapes) == rewritten(other, EXPLICIT_LE, OutputOptions(), None)


def test_group_length_left_open_by_the_shape_is_closed_by_what_follows() -> None:
    options = OutputOptions(group_lengths=GroupLengths.CREATE)
    shapes = Shapes()
    for pixels in (40_000, 60_000, 80_000):
        data = header() + element(0x7FE00008, b"OF", b"\0\0")[:6] + b"\0\0" + (8).to_bytes(4, "little") + bytes(8) \
            + b"\xe0\x7f\x10\x00OW\0\0" + pixels.to_bytes(4, "little") + bytes(pixels)
        assert rewritten(data, EXPLICIT_LE, options, shapes) == rewritten(data, EXPLICIT_LE, options, None)


def test_lessons_are_paid_for_by_matches() -> None:
    shapes = Shapes()
    lessons = sum(shapes.worth_learning() for _ in range(320))
    assert 8 < lessons <= 8 + 320 // 32


def test_uid_that_is_a_sequence_is_no_attribute_of_the_object() -> None:
    data = header() + b"\x20\x00\x0e\x00SQ\0\0\x08\0\0\0\xfe\xff\x00\xe0\0\0\0\0"
    shapes = Shapes()
    plain = rewritten(data, EXPLICIT_LE, OutputOptions(), None)
    assert 0x0020000E not in plain[1]
    for _ in range(2):
        assert rewritten(data, EXPLICIT_LE, OutputOptions(), shapes) == plain
    assert shapes.find((EXPLICIT_LE, EXPLICIT_LE), data) is not None


@pytest.mark.parametrize("behind", [b"", ds.explicit(0x7FE10010, "LO", b"more"), ds.explicit(0xFFFCFFFC, "OB", bytes(4))])
def test_header_of_a_large_value_belongs_to_the_shape(behind: bytes) -> None:
    dataset = (ds.HEAD + ds.explicit(0x00081030, "LO", b"x" * 300) + ds.explicit(0x7FE00000, "UL", bytes(4))
               + ds.explicit(0x7FE00010, "OW", bytes(70_000)) + behind)
    shapes = Shapes()
    outputs = []
    for number in range(3):
        sink = Memory()
        rewriter = Rewriter(EXPLICIT_LE, OutputOptions(), sink, 0, shapes=None if number == 2 else shapes)
        for start in range(0, len(dataset), 16_000):
            rewriter.feed([memoryview(dataset)[start : start + 16_000]])
        rewriter.finish()
        outputs.append(bytes(sink.octets))
    assert outputs[0] == outputs[1] == outputs[2]
    (shape,) = shapes._recent[EXPLICIT_LE, EXPLICIT_LE]
    assert shape.value_octets == 70_000
    assert shape.size == dataset.index(b"\xe0\x7f\x10\0") + 12
    assert not shape.matches(dataset[: shape.size])
    assert shape.matches(dataset[: shape.size + 1])


@pytest.mark.parametrize("pixels", [
    ds.explicit(0x7FE00008, "OF", bytes(60_000)),  # held as a whole
    ds.explicit(0x7FE00010, "OB", bytes(70_001)),  # padded
    ds.explicit(0x7FE00010, "UT", b"x" * 70_000),  # trimmed
])
def test_header_of_a_value_that_is_no_large_verbatim_one_does_not(pixels: bytes) -> None:
    dataset = ds.HEAD + ds.explicit(0x00081030, "LO", b"x" * 300) + pixels
    shapes = Shapes()
    rewriter = Rewriter(EXPLICIT_LE, OutputOptions(), Memory(), 0, shapes=shapes)
    rewriter.feed([dataset])
    rewriter.finish()
    (shape,) = shapes._recent[EXPLICIT_LE, EXPLICIT_LE]
    assert (shape.value_octets, shape.size) == (0, len(dataset) - len(pixels))
