from __future__ import annotations

import pytest

from fastscp.dicom.engine import values


@pytest.mark.parametrize(("value", "expected"), [
    (b"", b""), (b"A ", b"A "), (b"A   ", b"A "), (b"    ", b""), (b"AB", b"AB"), (b"AB  ", b"AB"),
    (b"ABC", b"ABC\0"), (b"AB ", b"AB \0"),
    # DCMTK 3.6.7: what ends in NUL stays; newer versions write "A " and ""
    (b"A\0", b"A\0"), (b"\0\0", b"\0\0"), (b"A \0\0", b"A \0\0"),
])
def test_text_keeps_one_blank_at_most(value: bytes, expected: bytes) -> None:
    assert values.text(value) == expected


@pytest.mark.parametrize(("value", "expected"), [
    (b"1.2.3\0", b"1.2.3\0"), (b"1.2.3", b"1.2.3\0"), (b" 1.2 ", b"1.2\0"), (b"1.2\0\0\0", b"1.2\0"), (b"", b""),
    (b"1. 3 ", b"1.3\0"), (b"\0 \0 ", b""), (b"1\t.\r\n2\v\f", b"1.2\0"),
])
def test_uid_loses_blanks_and_surplus_padding(value: bytes, expected: bytes) -> None:
    assert values.uid(value) == expected


def test_swapped_leaves_an_incomplete_number() -> None:
    assert values.swapped(b"\1\2\3\4\5", 2) == b"\2\1\4\3\5"
    assert values.swapped(b"\1\2\3\4\5\6\7\10", 8) == b"\10\7\6\5\4\3\2\1"


def _filtered(chosen: values.Filter, pieces: list[bytes]) -> bytes:
    out = b"".join(bytes(part) for piece in pieces for part in chosen.feed(piece))
    return out + chosen.finish()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("value", [b"some text   ", b"   ", b"a b  c ", b"abc", b"ab \0", b"  x "])
def test_trimming_in_pieces_is_trimming_at_once(value: bytes, size: int) -> None:
    pieces = [value[start:start + size] for start in range(0, len(value), size)]
    assert _filtered(values.TrimText(odd=bool(len(value) & 1)), pieces) == values.text(value)


@pytest.mark.parametrize("size", [1, 3, 7, 8, 64])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_swapping_in_pieces_is_swapping_at_once(width: int, size: int) -> None:
    value = bytes(range(61))
    pieces = [value[start:start + size] for start in range(0, len(value), size)]
    assert _filtered(values.Swap(width, b"\0"), pieces) == values.swapped(value + b"\0", width)


def test_verbatim_pads_and_drop_drops() -> None:
    assert _filtered(values.Verbatim(b"\0"), [b"ab", b"c"]) == b"abc\0"
    assert _filtered(values.Drop(), [b"ab", b"c"]) == b""
