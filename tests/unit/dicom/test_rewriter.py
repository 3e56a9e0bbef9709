from __future__ import annotations

import io
import tracemalloc
import zlib

import pytest

from fastscp.dicom.filesink import FileSink
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.rewriter import COLLECTED, Rewriter, Shapes, rewrite_data_set
from fastscp.errors import InstanceError, StorageError
from tests.support import datasets as ds
from tests.support.memory import MemorySink, outcome, pieces, rewritten

_ELEMENT = ds.explicit(0x00400007, "LO", b"ab")


def _collected(dataset: bytes, syntax: str, size: int | None = None,
               options: OutputOptions | None = None) -> dict[int, bytes]:
    sink = MemorySink()
    rewriter = Rewriter(syntax, options or OutputOptions(), sink, sink.base)
    rewriter.feed(pieces(dataset, size) if size else [dataset])
    rewriter.finish()
    return rewriter.attributes


@pytest.mark.parametrize("size", [None, 1, 5])
def test_attributes_are_collected_raw_and_from_top_level_only(size: int | None) -> None:
    inside = ds.item(ds.explicit(0x0020000D, "UI", b"9.9\0"), delimited=True)
    dataset = (ds.HEAD + ds.explicit(0x00080060, "CS", b"CT") + ds.sequence(0x00081140, inside, delimited=True)
               + ds.explicit(0x00100010, "PN", b"A^B   ") + ds.explicit(0x0020000D, "UI", b"1.2\0"))
    assert _collected(dataset, ds.EXPLICIT, size) == {
        0x00080016: b"1.2.840.10008.5.1.4.1.1.2\0", 0x00080018: b"1.2.3.4.5\0", 0x00080060: b"CT",
        0x00100010: b"A^B   ", 0x0020000D: b"1.2\0",
    }


@pytest.mark.parametrize(("syntax", "head"), [(ds.IMPLICIT, ds.IMPLICIT_HEAD), (ds.BIG, ds.BIG_HEAD)])
@pytest.mark.parametrize("target", [None, ds.EXPLICIT])
def test_attributes_are_collected_in_every_encoding(syntax: str, head: bytes, target: str | None) -> None:
    attributes = _collected(head, syntax, None, OutputOptions(transfer_syntax=target))
    assert attributes[0x00080018] == b"1.2.3.4.5\0"
    assert set(attributes) <= COLLECTED


def test_bit_preserving_looks_at_nothing() -> None:
    assert _collected(ds.HEAD, ds.EXPLICIT, None, OutputOptions(bit_preserving=True)) == {}
    for junk in (b"", b"junk", ds.HEAD[:21]):
        assert rewritten(junk, ds.EXPLICIT, OutputOptions(bit_preserving=True)) == junk


def test_transfer_syntax_out_is_known_at_construction() -> None:
    for options, expected in (
        (OutputOptions(), ds.IMPLICIT), (OutputOptions(transfer_syntax=ds.BIG), ds.BIG),
        (OutputOptions(transfer_syntax=ds.BIG, bit_preserving=True), ds.IMPLICIT),
    ):
        assert Rewriter(ds.IMPLICIT, options, MemorySink(), 0).transfer_syntax_out == expected


@pytest.mark.parametrize(("content", "tag", "offset"), [
    (ds.explicit(0x00400007, "LO", b"ab", length=20), 0x00400007, 52),
    (_ELEMENT + ds.implicit(0xFFFEE0DD, b""), 0xFFFEE0DD, 62),
    (ds.explicit(0x00081140, "SQ", ds.implicit(0xFFFEE000, ds.explicit(0x00400007, "LO", b"ab", length=20))),
     0x00400007, 72),
    (ds.explicit(0x00081140, "SQ", _ELEMENT), 0x00400007, 64),
    (ds.explicit(0x00420011, "OB", b"", ds.UNDEFINED), 0x00420011, 52),
])
def test_errors_name_tag_and_offset(content: bytes, tag: int, offset: int) -> None:
    for size in (1, 7, 1000):
        with pytest.raises(InstanceError) as raised:
            rewritten(ds.HEAD + content, ds.EXPLICIT, None, pieces(ds.HEAD + content, size))
        assert raised.value.status == 0xC000
        assert raised.value.offset is not None
        if raised.value.tag is not None:
            assert (raised.value.tag, raised.value.offset) == (tag, offset)


def _nested(levels: int) -> bytes:
    content = _ELEMENT
    for _ in range(levels):
        content = ds.sequence(0x00081140, ds.item(content, delimited=True), delimited=True)
    return ds.HEAD + content


@pytest.mark.parametrize("explicit", [True, False])
def test_nesting_is_limited(explicit: bool) -> None:
    options = OutputOptions(explicit_lengths=explicit)
    assert isinstance(outcome(_nested(64), ds.EXPLICIT, options), bytes)
    with pytest.raises(InstanceError, match="nested deeper than 64"):
        rewritten(_nested(65), ds.EXPLICIT, options)
    with pytest.raises(InstanceError, match="nested deeper than 3"):
        rewritten(_nested(4), ds.EXPLICIT, OutputOptions(explicit_lengths=explicit, max_depth=3))


@pytest.mark.parametrize("size", [100, 65536, 1 << 20])
def test_large_values_stream_in_both_byte_orders(size: int) -> None:
    value = bytes(range(256)) * 2000
    dataset = ds.HEAD + ds.explicit(0x7FE00010, "OW", value) + ds.explicit(0x7FE10010, "LO", b"end ")
    big = rewritten(dataset, ds.EXPLICIT, OutputOptions(transfer_syntax=ds.BIG), pieces(dataset, size))
    assert bytes(reversed(value[:2])) + bytes(reversed(value[2:4])) in big
    assert rewritten(big, ds.BIG, OutputOptions(transfer_syntax=ds.EXPLICIT), pieces(big, size)) == dataset


@pytest.mark.parametrize("length", [100_000, 100_001])
def test_large_text_is_trimmed_and_its_length_corrected(length: int) -> None:
    value = b"x" * 90_000 + b" " * (length - 90_000)
    dataset = ds.HEAD + ds.explicit(0x0040A160, "UT", value) + ds.explicit(0x0040A161, "LO", b"ab")
    expected = b"x" * 90_000 if length == 100_000 else value + b"\0"
    wanted = ds.HEAD + ds.explicit(0x0040A160, "UT", expected) + ds.explicit(0x0040A161, "LO", b"ab")
    for size in (1000, 65536, 200_000):
        assert rewritten(dataset, ds.EXPLICIT, None, pieces(dataset, size)) == wanted


def test_text_too_long_for_its_vr_becomes_un() -> None:
    dataset = ds.IMPLICIT_HEAD + ds.implicit(0x00081030, b"x" * 66_000)
    out = rewritten(dataset, ds.IMPLICIT, OutputOptions(transfer_syntax=ds.EXPLICIT))
    assert out == ds.HEAD + ds.explicit(0x00081030, "UN", b"x" * 66_000)


def test_sorting_moves_large_values_and_drops_the_second_of_two() -> None:
    pixels = ds.explicit(0x7FE00010, "OW", bytes(300_000))
    group = ds.explicit(0x00080000, "UL", b"\0\0\0\0")
    dataset = ds.HEAD + pixels + _ELEMENT + group + ds.explicit(0x00400007, "LO", b"zz") + pixels
    length = ds.explicit(0x00080000, "UL", len(ds.HEAD).to_bytes(4, "little"))
    assert rewritten(dataset, ds.EXPLICIT, None, pieces(dataset, 16384)) == length + ds.HEAD + _ELEMENT + pixels


def test_sorting_inside_items_corrects_enclosing_lengths() -> None:
    disordered = ds.explicit(0x00400017, "LO", b"ab") + _ELEMENT + ds.explicit(0x00400017, "LO", b"cd")
    in_order = _ELEMENT + ds.explicit(0x00400017, "LO", b"ab")
    for delimited in (True, False):
        dataset = ds.HEAD + ds.sequence(0x00400275, ds.item(disordered, delimited=delimited), delimited=delimited)
        for explicit in (True, False):
            wanted = ds.HEAD + ds.sequence(0x00400275, ds.item(in_order, delimited=not explicit),
                                           delimited=not explicit)
            assert rewritten(dataset, ds.EXPLICIT, OutputOptions(explicit_lengths=explicit)) == wanted


def test_sorting_leaves_values_that_look_like_items_alone() -> None:
    inside = ds.item(ds.implicit(0x00400017, b"ab") + ds.implicit(0x00400007, b"cd"))
    value = ds.implicit(0x00420011, inside)
    sequence = ds.implicit_sequence(0x00400275, inside)
    dataset = ds.IMPLICIT_HEAD + value + sequence
    in_order = ds.item(ds.implicit(0x00400007, b"cd") + ds.implicit(0x00400017, b"ab"))
    assert rewritten(dataset, ds.IMPLICIT) == ds.IMPLICIT_HEAD + ds.implicit_sequence(0x00400275, in_order) + value


@pytest.mark.parametrize("value", [b"AB", b"ABCD", b"ABCDEFGH"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_private_attribute_is_a_sequence_only_with_items(value: bytes, size: int) -> None:
    creator = ds.implicit(0x00290010, b"SPI-P-Private_ICS Release 1 ")
    dataset = ds.IMPLICIT_HEAD + creator + ds.implicit(0x0029101E, value)
    to_explicit = OutputOptions(transfer_syntax=ds.EXPLICIT)
    written = rewritten(dataset, ds.IMPLICIT, to_explicit, pieces(dataset, size))
    assert written.endswith(ds.explicit(0x0029101E, "UN", value))
    items = ds.IMPLICIT_HEAD + creator + ds.implicit(0x0029101E, ds.item(ds.implicit(0x00100010, b"AB")))
    written = rewritten(items, ds.IMPLICIT, to_explicit, pieces(items, size))
    assert written.endswith(ds.sequence(0x0029101E, ds.item(ds.explicit(0x00100010, "PN", b"AB"))))


@pytest.mark.parametrize("present", [1, 3, 4])
def test_private_sequence_that_is_cut_is_refused(present: int) -> None:
    creator = ds.implicit(0x00290010, b"SPI-P-Private_ICS Release 1 ")
    dataset = ds.IMPLICIT_HEAD + creator + ds.implicit(0x0029101E, b"ABCDEFGH"[:present], 8)
    with pytest.raises(InstanceError):
        rewritten(dataset, ds.IMPLICIT)


def test_padding_counts_after_sorting() -> None:
    dataset = ds.HEAD + ds.explicit(0x00400017, "LO", b"ab") + _ELEMENT + _ELEMENT
    out = rewritten(dataset, ds.EXPLICIT, OutputOptions(file_padding=128), base=340)
    assert (340 + len(out)) % 128 == 0
    assert out.startswith(ds.HEAD + _ELEMENT + ds.explicit(0x00400017, "LO", b"ab") + b"\xfc\xff\xfc\xffOB")


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("pixels", [500_000, 1_500_000])
def test_deflated_output_inflates_to_what_it_would_have_been(level: int, pixels: int) -> None:
    dataset = _nested(3) + ds.explicit(0x7FE00010, "OW", bytes(pixels))
    options = OutputOptions(transfer_syntax=ds.DEFLATED, compression_level=level)
    deflated = rewritten(dataset, ds.EXPLICIT, options)
    assert len(deflated) % 2 == 0
    plain = rewritten(dataset, ds.EXPLICIT)
    assert zlib.decompressobj(-15).decompress(deflated) == plain
    assert rewritten(deflated, ds.DEFLATED, OutputOptions(transfer_syntax=ds.EXPLICIT)) == plain
    assert rewritten(deflated, ds.DEFLATED, OutputOptions(transfer_syntax=ds.EXPLICIT), pieces(deflated, 1)) == plain


def test_a_deflate_bomb_needs_no_memory() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = deflater.compress(ds.HEAD + ds.explicit(0x7FE00010, "OW", b"", 100_000_000))
    bomb = head + b"".join(deflater.compress(bytes(1_000_000)) for _ in range(100)) + deflater.flush()
    sink = _Counting()
    rewriter = Rewriter(ds.DEFLATED, OutputOptions(transfer_syntax=ds.EXPLICIT), sink, sink.base)
    tracemalloc.start()
    try:
        rewriter.feed([bomb])
        rewriter.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sink.size > 100_000_000
    assert peak < 4 << 20


@pytest.mark.parametrize(("creator", "groups"), [(b"A" * 5_000, 20), (b"SIEMENS CSA HEADER", 400)])
def test_private_creators_do_not_pile_up(creator: bytes, groups: int) -> None:
    sink = _Counting()
    rewriter = Rewriter(ds.IMPLICIT, OutputOptions(transfer_syntax=ds.EXPLICIT), sink, sink.base)
    rewriter.feed([ds.IMPLICIT_HEAD + ds.implicit(0x00090010, b"loads the private dictionary")])
    tracemalloc.start()
    try:
        for group in range(0x11, 0x11 + 2 * groups, 2):
            for element in range(0x10, 0x100):
                rewriter.feed([ds.implicit(group << 16 | element, creator)])
        rewriter.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sink.size > groups * 240 * len(creator)
    assert peak < 2 << 20


class _Counting(MemorySink):
    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def write(self, buffers) -> None:
        self.size += sum(map(len, buffers))


def test_what_is_not_deflated_is_refused() -> None:
    with pytest.raises(InstanceError, match="deflated data set"):
        rewritten(b"\xff" * 100, ds.DEFLATED)


class _FullSpool(MemorySink):
    def spool(self):
        class Full(io.BytesIO):
            def writelines(self, lines) -> None:
                raise OSError(28, "No space left on device")

            def write(self, octets) -> int:
                raise OSError(28, "No space left on device")
        return Full()


def test_a_full_disk_under_a_spool_is_a_storage_error() -> None:
    for dataset, options in (
        (ds.HEAD + b"".join(ds.explicit(tag, "UT", bytes(65_000)) for tag in range(0x00280010, 0x00280030)),
         OutputOptions(transfer_syntax=ds.DEFLATED)),
        (ds.HEAD + _ELEMENT + ds.explicit(0x00100010, "PN", b"ab"), OutputOptions()),
    ):
        sink = _FullSpool()
        rewriter = Rewriter(ds.EXPLICIT, options, sink, sink.base)
        with pytest.raises(StorageError, match="No space left") as raised:
            _finish(rewriter, dataset)
        assert raised.value.errno == 28


def _finish(rewriter: Rewriter, dataset: bytes) -> None:
    rewriter.feed([dataset])
    rewriter.finish()


def test_rewrite_over_files() -> None:
    target = io.BytesIO()
    target.write(b"meta")
    rewriter = rewrite_data_set(pieces(_nested(2), 7), FileSink(target), OutputOptions(group_lengths=GroupLengths.CREATE),
                       transfer_syntax_uid=ds.EXPLICIT, base=4)
    assert rewriter.attributes[0x00080018] == b"1.2.3.4.5\0"
    expected = rewritten(_nested(2), ds.EXPLICIT, OutputOptions(group_lengths=GroupLengths.CREATE))
    assert target.getvalue() == b"meta" + expected


def test_unknown_numbers_are_little_endian_when_they_get_their_vr() -> None:
    dataset = ds.BIG_HEAD + ds.explicit(0x00280100, "UN", b"\x10\0", order=">")
    big = rewritten(dataset, ds.BIG, OutputOptions(convert_un=True))
    assert big == ds.BIG_HEAD + ds.explicit(0x00280100, "US", b"\0\x10", order=">")
    little = rewritten(dataset, ds.BIG, OutputOptions(convert_un=True, transfer_syntax=ds.EXPLICIT))
    assert little == ds.HEAD + ds.explicit(0x00280100, "US", b"\x10\0")


def test_worked_example_of_the_documentation() -> None:
    modality = ds.explicit(0x00080060, "CS", b"CT")
    pixels = ds.explicit(0x7FE00010, "OW", bytes(10), 100_000)
    octets = modality + ds.explicit(0x00100010, "PN", b"A^B   ") + pixels
    assert len(octets) == 46
    sink = MemorySink(400)
    rewriter = Rewriter(ds.EXPLICIT, OutputOptions(), sink, 400, shapes=Shapes())
    rewriter.feed([octets])
    assert sink.dataset == modality + ds.explicit(0x00100010, "PN", b"A^B ") + pixels
    assert len(sink.dataset) == 44


@pytest.mark.parametrize(("content", "tag", "offset"), [
    (ds.explicit(0x00100010, "PN", b"Doe", length=40), 0x00100010, 52),
    (ds.explicit(0x7FE00010, "OW", b"", length=40), 0x7FE00010, 52),
    (_ELEMENT + ds.explicit(0x7FE00010, "OW", bytes(100_000), length=200_000), 0x7FE00010, 52 + len(_ELEMENT)),
    (ds.explicit(0xFFFCFFFC, "OB", bytes(100_000), length=200_000), 0xFFFCFFFC, 52),
    (ds.explicit(0x00420011, "OB", bytes(70_000)) + ds.explicit(0x7FE00010, "OW", bytes(100_000), length=200_000),
     0x7FE00010, 52 + 12 + 70_000),
    (ds.explicit(0x00081140, "SQ", ds.implicit(0xFFFEE000, _ELEMENT), length=500), 0x00081140, 52 + 12 + 8 + len(_ELEMENT)),
])
def test_data_set_that_ends_too_early_names_what_it_ended_in(content: bytes, tag: int, offset: int) -> None:
    """Whether its header was read or recognised, and however it was cut."""
    shapes = Shapes()
    whole = ds.HEAD + ds.explicit(0x7FE00010, "OW", bytes(200_000))
    for _ in range(3):
        _feed(whole, shapes, len(whole))
    for size in (1000, 40_000, 1 << 20):
        with pytest.raises(InstanceError, match="data set ends inside") as raised:
            _feed(ds.HEAD + content, shapes, size)
        assert (raised.value.tag, raised.value.offset) == (tag, offset)


def test_recognised_header_knows_whose_value_follows() -> None:
    shapes = Shapes()
    header = ds.HEAD + ds.explicit(0x00081030, "LO", b"x" * 300)
    whole = header + ds.explicit(0x7FE00010, "OW", bytes(200_000))
    for _ in range(3):
        _feed(whole, shapes, len(whole))
    with pytest.raises(InstanceError) as raised:
        _feed(whole[:-1], shapes, len(whole))
    assert (raised.value.tag, raised.value.offset) == (0x7FE00010, len(header))


def _feed(dataset: bytes, shapes: Shapes, size: int) -> None:
    rewriter = Rewriter(ds.EXPLICIT, OutputOptions(), MemorySink(), 0, shapes=shapes)
    for piece in pieces(dataset, size):
        rewriter.feed([piece])
    rewriter.finish()
