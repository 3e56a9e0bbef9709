from __future__ import annotations

import zlib

import pytest

from fastscp.blast.compare import difference
from tests.support import datasets as ds

UNCHANGED = ""
SQ, LO, OW = 0x00081140, 0x00080070, 0x7FE00010
END = ds.implicit(0xFFFEE0DD, b"")


def compared(sent: bytes, found: bytes, sent_syntax: str = ds.EXPLICIT, found_syntax: str = ds.EXPLICIT) -> str:
    return difference(memoryview(sent), sent_syntax, memoryview(found), found_syntax)


def lo(text: bytes) -> bytes:
    return ds.explicit(LO, "LO", text)


INNER = ds.explicit(0x00081150, "UI", b"1.2\0")
IMPLICIT_INNER = ds.implicit(0x00081150, b"1.2\0")
FRAGMENTS = ds.implicit(0xFFFEE000, b"") + ds.implicit(0xFFFEE000, b"abcd")


@pytest.mark.parametrize(("sent", "found", "found_syntax"), [
    (lo(b"ab"), lo(b"ab"), ds.EXPLICIT),
    (lo(b"ab"), ds.implicit(LO, b"ab"), ds.IMPLICIT),  # another transfer syntax
    (lo(b"a"), lo(b"a "), ds.EXPLICIT), (lo(b"abc   "), lo(b"abc "), ds.EXPLICIT),  # padding
    (lo(b"ab"), ds.explicit(0x00080000, "UL", b"\x0a\0\0\0") + lo(b"ab"), ds.EXPLICIT),  # group length
    (lo(b"ab") + ds.explicit(0xFFFCFFFC, "OB", b"\0\0"), lo(b"ab"), ds.EXPLICIT),  # trailing padding
    (ds.sequence(SQ, ds.item(INNER)), ds.sequence(SQ, ds.item(INNER, delimited=True), delimited=True), ds.EXPLICIT),
    (ds.sequence(SQ, ds.item(INNER, delimited=True)), ds.implicit_sequence(SQ, ds.item(IMPLICIT_INNER)), ds.IMPLICIT),
    (ds.explicit(0x00091010, "UN", ds.item(IMPLICIT_INNER), ds.UNDEFINED) + END, ds.sequence(0x00091010, ds.item(INNER)), ds.EXPLICIT),
    (ds.explicit(0x00280010, "US", b"\1\2") + ds.explicit(OW, "OW", b"\1\2\3\4"),
     ds.explicit(0x00280010, "US", b"\2\1", order=">") + ds.explicit(OW, "OW", b"\2\1\4\3", order=">"), ds.BIG),
    (lo(b"ab") + ds.HEAD, ds.HEAD + lo(b"ab"), ds.EXPLICIT),  # order
    (ds.explicit(0x00280010, "US", b"\1\0"), ds.explicit(0x00280010, "UN", b"\1\0"), ds.EXPLICIT)])
def test_what_an_encoding_may_change_is_no_difference(sent: bytes, found: bytes, found_syntax: str) -> None:
    assert compared(sent, found, found_syntax=found_syntax) == UNCHANGED
    assert compared(found, sent, found_syntax, ds.EXPLICIT) == UNCHANGED


def test_deflated_it_is_the_same() -> None:
    compressor = zlib.compressobj(wbits=-15)
    deflated = compressor.compress(lo(b"ab")) + compressor.flush()
    assert compared(lo(b"ab"), deflated, found_syntax=ds.DEFLATED) == UNCHANGED
    assert compared(lo(b"ac"), deflated, found_syntax=ds.DEFLATED) == "(0008,0070) differs at its octet 1"
    assert compared(lo(b"ac"), b"\xff" * 9, found_syntax=ds.DEFLATED) == "cannot be read: cannot be inflated"


@pytest.mark.parametrize(("sent", "found", "said"), [
    (lo(b"ab"), lo(b"ac"), "(0008,0070) differs at its octet 1"), (lo(b"ab"), lo(b"abcd"), "(0008,0070) differs: 4 octets instead of 2"),
    (lo(b"ab"), b"", "(0008,0070) is missing"), (b"", lo(b"ab"), "(0008,0070) was added"),
    (ds.HEAD + lo(b"ab"), lo(b"ab"), "(0008,0016) is missing"), (lo(b"ab"), ds.HEAD + lo(b"ab"), "(0008,0016) was added"),
    (ds.sequence(SQ, ds.item(INNER)), ds.sequence(SQ, ds.item(INNER) * 2), "(0008,1140) was added"),
    (ds.sequence(SQ, ds.item(INNER)), ds.sequence(SQ, b""), "(0008,1140) is missing"),
    (ds.sequence(SQ, ds.item(INNER)), ds.sequence(SQ, ds.item(INNER.replace(b"1.2", b"1.3"))), "(0008,1140.0008,1150) differs at its octet 2"),
    (ds.explicit(OW, "OW", bytes(9000)), ds.explicit(OW, "OW", bytes(5000) + b"\1" + bytes(3999)), "(7FE0,0010) differs at its octet 5000"),
    (ds.explicit(OW, "OB", FRAGMENTS, ds.UNDEFINED) + END, ds.explicit(OW, "OB", FRAGMENTS.replace(b"abcd", b"abce"), ds.UNDEFINED) + END,
     "(7FE0,0010) differs at its octet 3"),
    (lo(b"ab"), lo(b"ab")[:-1], "cannot be read: (0008,0070) the data set ends inside a value, offset 0"),
    (lo(b"ab")[:-1], lo(b"ab"), "is not the same, and what was sent cannot be read: (0008,0070) the data set ends inside a value, offset 0")])
def test_anything_else_is_named(sent: bytes, found: bytes, said: str) -> None:
    assert compared(sent, found) == said
