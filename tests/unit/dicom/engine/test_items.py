"""Values that would be read as sequences when their VR is not written, and sequences that would not."""

from __future__ import annotations

import pytest

from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Rewriter, Shapes
from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.memory import BASE, MemorySink, pieces, rewritten
from tests.support.options import output_options

_ITEM = ds.item(ds.implicit(0x00080100, b"AB"))
_PHILIPS = ds.explicit(0x20050010, "LO", b"Philips MR Imaging DD 001 ")
_SEQUENCE_TAG, _PRIVATE_SEQUENCE_TAG = 0x00120064, 0x20051083
_TI = output_options("+ti")


def _refused(data: bytes, words: str = "+ti", size: int = 1 << 20) -> InstanceError:
    with pytest.raises(InstanceError) as caught:
        rewritten(data, ds.EXPLICIT, output_options(words), pieces(data, size))
    return caught.value


@pytest.mark.parametrize("vr", ["LO", "US", "UT", "OB", "UN", "OW"])
@pytest.mark.parametrize("value", [b"hello ", b"ABCDEFGHIJ", ds.item(ds.implicit(0x00080100, b"ABC")), b"\xfe\xff\0\xe0\x20\0\0\0AB", b"x" * 70_000], ids=len)
def test_value_under_the_tag_of_a_sequence_that_is_none(vr: str, value: bytes) -> None:
    if len(value) > 0xFFFF and vr not in ds.LONG_VRS:
        pytest.skip("a VR of short values")
    data = ds.HEAD + ds.explicit(_SEQUENCE_TAG, vr, value) + ds.explicit(0x00200010, "SH", b"AB")
    error = _refused(data)
    assert (error.status, error.tag, error.offset) == (0xC000, _SEQUENCE_TAG, len(ds.HEAD))
    assert _refused(data, size=7).offset == error.offset
    if not len(value) & 1:
        assert rewritten(data, ds.EXPLICIT) == data, "where VRs are written it is what it is"


def test_value_in_an_item_of_a_sequence() -> None:
    inside = ds.sequence(0x00081140, ds.item(ds.explicit(_SEQUENCE_TAG, "LO", b"hello ")))
    assert _refused(ds.HEAD + inside).tag == _SEQUENCE_TAG


@pytest.mark.parametrize("value", [b"", _ITEM, _ITEM * 2, ds.item(_ITEM[:0]), ds.item(ds.implicit(0x00080100, b"AB"), delimited=True),
                                   ds.item(ds.implicit(0x00282000, b"x" * 70_000))], ids=len)
@pytest.mark.parametrize("vr", ["UN", "OB"])
@pytest.mark.parametrize("size", [11, 1 << 20])
def test_items_are_written_as_they_are(vr: str, value: bytes, size: int) -> None:
    data = ds.HEAD + ds.explicit(_SEQUENCE_TAG, vr, value) + ds.explicit(0x00200010, "SH", b"AB")
    expected = ds.IMPLICIT_HEAD + ds.implicit(_SEQUENCE_TAG, value) + ds.implicit(0x00200010, b"AB")
    assert rewritten(data, ds.EXPLICIT, _TI, pieces(data, size)) == expected
    rewritten(expected, ds.IMPLICIT)


@pytest.mark.parametrize(("value", "refused"), [
    (b"ABCDEFGHIJ", False), (_ITEM, False), (_ITEM[:4] + b"\x20\0\0\0AB", True), (_ITEM + b"AB", True), (b"AB", False),
])
@pytest.mark.parametrize("size", [3, 1 << 20])
def test_private_value_has_the_last_word(value: bytes, refused: bool, size: int) -> None:
    data = ds.HEAD + _PHILIPS + ds.explicit(_PRIVATE_SEQUENCE_TAG, "UN", value) + ds.explicit(0x20070010, "LO", b"AB")
    if refused:
        assert _refused(data, size=size).tag == _PRIVATE_SEQUENCE_TAG
    else:
        rewritten(rewritten(data, ds.EXPLICIT, _TI, pieces(data, size)), ds.IMPLICIT)


def test_private_text_that_begins_like_an_item() -> None:
    data = ds.HEAD + _PHILIPS + ds.explicit(_PRIVATE_SEQUENCE_TAG, "LO", _ITEM[:4] + b"text")
    assert _refused(data).tag == _PRIVATE_SEQUENCE_TAG


def test_nested_no_deeper_than_it_can_be_read() -> None:
    deep = b""
    for _ in range(5):
        deep = ds.item(ds.implicit_sequence(0x00081140, deep))
    data = ds.HEAD + ds.explicit(_SEQUENCE_TAG, "UN", deep)
    rewritten(data, ds.EXPLICIT, OutputOptions(transfer_syntax=ds.IMPLICIT, max_depth=6))
    with pytest.raises(InstanceError):
        rewritten(data, ds.EXPLICIT, OutputOptions(transfer_syntax=ds.IMPLICIT, max_depth=4))


@pytest.mark.parametrize("tag", [0x00081030, 0x00280010, 0x00180000, 0x7FE00010, 0x00290010])
def test_sequence_of_undefined_length_under_another_tag(tag: int) -> None:
    data = ds.HEAD + ds.sequence(tag, ds.item(ds.explicit(0x00080100, "SH", b"AB")))
    assert _refused(data, "+ti -e").tag == tag
    rewritten(rewritten(data, ds.EXPLICIT, _TI), ds.IMPLICIT)


def test_header_whose_fate_depends_on_a_value_is_not_recognised() -> None:
    """The same tags, VRs and lengths, and items the first time only."""
    shapes = Shapes()
    filling = b"".join(ds.explicit(0x00191000 + number, "LO", b"ABCD") for number in range(40))
    for value in (_ITEM, _ITEM, b"x" * len(_ITEM)):
        data = ds.HEAD + ds.explicit(_SEQUENCE_TAG, "UN", value) + filling
        sink = MemorySink()
        rewriter = Rewriter(ds.EXPLICIT, _TI, sink, BASE, shapes=shapes)
        if value == _ITEM:
            rewriter.feed([data])
            rewriter.finish()
        else:
            with pytest.raises(InstanceError):
                rewriter.feed([data])


def test_sorting_leaves_a_sequence_under_the_tag_of_a_group_length_alone() -> None:
    inside = ds.item(ds.explicit(0x00080100, "SH", b"AB"))
    data = ds.HEAD + ds.sequence(0x00180000, inside) + ds.explicit(0x00180010, "LO", b"AB") + ds.explicit(0x00100010, "PN", b"AB")
    expected = ds.HEAD + ds.explicit(0x00100010, "PN", b"AB") + ds.sequence(0x00180000, inside) + ds.explicit(0x00180010, "LO", b"AB")
    assert rewritten(data, ds.EXPLICIT) == expected
