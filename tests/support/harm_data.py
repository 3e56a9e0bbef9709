"""Data sets that a hostile peer may send behind a well-formed C-STORE-RQ, by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.support import datasets as ds
from tests.support.objects import CT, data_set

#: presentation contexts that the cases refer to: explicit, implicit and deflated little endian, explicit big endian, JPEG
EXPLICIT, IMPLICIT, DEFLATED, BIG, JPEG = 1, 3, 7, 9, 11
CONTEXTS = [(EXPLICIT, CT, [ds.EXPLICIT]), (IMPLICIT, CT, [ds.IMPLICIT]), (DEFLATED, CT, [ds.DEFLATED]), (BIG, CT, [ds.BIG]),
            (JPEG, CT, [ds.JPEG])]


@dataclass(frozen=True)
class Case:
    """A data set for an instance. ``stored``: whether it is; None: either will do, if it is done whole."""

    octets: Callable[[str], bytes]
    stored: bool | None = None
    context: int = EXPLICIT


def _with(*elements: bytes) -> Callable[[str], bytes]:
    """A good data set with something behind it."""
    return lambda uid: data_set(uid, pixels=100) + b"".join(elements)


def _study(value: bytes) -> Callable[[str], bytes]:
    def octets(uid: str) -> bytes:
        good = data_set(uid)
        old = ds.explicit(0x0020000D, "UI", b"1.2.3.4\0")
        assert old in good
        return good.replace(old, ds.explicit(0x0020000D, "UI", value + b"\0" * (len(value) & 1)))
    return octets


def _name(value: bytes) -> Callable[[str], bytes]:
    def octets(uid: str) -> bytes:
        good = data_set(uid)
        old = ds.explicit(0x00100010, "PN", b"TEST^PATIENT")
        assert old in good
        return good.replace(old, ds.explicit(0x00100010, "PN", value + b" " * (len(value) & 1)))
    return octets


def _charset(term: bytes, name: bytes) -> Callable[[str], bytes]:
    def octets(uid: str) -> bytes:
        return ds.explicit(0x00080005, "CS", term + b" " * (len(term) & 1)) + _name(name)(uid)
    return octets


def _deep(levels: int) -> bytes:
    return (ds.explicit(0x7FE10010, "SQ", b"", ds.UNDEFINED) + ds.implicit(0xFFFEE000, b"", ds.UNDEFINED)) * levels


def _closed(levels: int) -> bytes:
    return _deep(levels) + (ds.implicit(0xFFFEE00D, b"") + ds.implicit(0xFFFEE0DD, b"")) * levels


def _fragments(*parts: bytes, end: bytes = ds.implicit(0xFFFEE0DD, b"")) -> Callable[[str], bytes]:
    def octets(uid: str) -> bytes:
        return data_set(uid, pixels=0)[:-12] + ds.explicit(0x7FE00010, "OB", b"", ds.UNDEFINED) + b"".join(parts) + end
    return octets


_ITEM = ds.item(ds.explicit(0x00080100, "SH", b"ABCD"))
_META = ds.explicit(0x00020000, "UL", struct.pack("<L", 0xFFFFFFFF)) + ds.explicit(0x00020010, "UI", b"1.2.840.10008.1.2\0")

DATA_SETS = {
    **{f"S01 study {value[:20]!r}": Case(_study(value)) for value in (
        b"..", b".", b"", b"1" * 200, b"a/b", b"1\n2", b"1;id", b"../../x", b"/etc", b".fastscp", b".fastscp-1-1.tmp", b"$(id)",
        b"1\0002", b"-rf", b"\xff\xfe", b"~", b"1\\2")},
    "S01 no study": Case(lambda uid: data_set(uid).replace(ds.explicit(0x0020000D, "UI", b"1.2.3.4\0"), b"")),
    **{f"S02 name {value[:20]!r}": Case(_name(value), stored=True) for value in (
        b"a/b", b"$(id)", b"'\"`", b"a\nE: forged", b"a\0b", b"\xff" * 8, b"\x1b[2J\x1b]0;x\x07", b"a=b=c=d=e", b"..", b"x" * 60_000)},
    **{f"S03 {levels} levels": Case(_with(_closed(levels)), stored=levels <= 63) for levels in (60, 65, 250, 1100, 9998)},
    **{f"S03 {levels} levels, not closed": Case(_with(_deep(levels)), stored=False) for levels in (1, 65, 1100, 9998)},
    "S04 FFFFFFFE": Case(_with(ds.explicit(0x7FE10010, "OB", bytes(100), 0xFFFFFFFE)), stored=False),
    "S04 3 GB": Case(_with(ds.explicit(0x7FE10010, "OB", bytes(100_000), 0xC0000000)), stored=False),
    "S04 FFFFFFFE in a sequence": Case(_with(ds.explicit(0x7FE10010, "SQ", _ITEM, 0xFFFFFFFE)), stored=False),
    "S06 no item delimiter": Case(_with(ds.explicit(0x7FE10010, "SQ", b"", ds.UNDEFINED), ds.implicit(0xFFFEE000, b"", ds.UNDEFINED),
                                        ds.implicit(0xFFFEE0DD, b""))),
    "S06 no sequence delimiter": Case(_with(ds.explicit(0x7FE10010, "SQ", b"", ds.UNDEFINED), _ITEM), stored=False),
    "S06 stray sequence delimiter": Case(_with(ds.implicit(0xFFFEE0DD, b""), ds.explicit(0x7FE10010, "LO", b"ab"))),
    "S06 stray item delimiter": Case(_with(ds.implicit(0xFFFEE00D, b""), ds.explicit(0x7FE10010, "LO", b"ab"))),
    "S06 stray item": Case(_with(ds.item(b""), ds.explicit(0x7FE10010, "LO", b"ab"))),
    "S06 wrong kind": Case(_with(ds.explicit(0x7FE10010, "SQ", b"", ds.UNDEFINED), ds.implicit(0xFFFEE000, b"", ds.UNDEFINED),
                                 ds.implicit(0xFFFEE00D, b""), ds.implicit(0xFFFEE00D, b""), ds.implicit(0xFFFEE0DD, b""))),
    "S07 item longer than its sequence": Case(_with(ds.explicit(0x7FE10010, "SQ", ds.implicit(0xFFFEE000, bytes(4), 400), 12))),
    "S07 element longer than its item": Case(_with(ds.sequence(0x7FE10010, ds.item(ds.explicit(0x00080100, "SH", b"ab", 900))))),
    "S07 sequence longer than its item": Case(_with(ds.sequence(0x7FE10010, ds.item(ds.explicit(0x00081140, "SQ", _ITEM, 900))))),
    **{f"S08 VR {vr!r}": Case(_with(struct.pack("<HH2sH", 0x7FE1, 0x10, vr, 4), b"abcd")) for vr in (b"Pi", b"  ", b"\0\0", b"lo", b"??", b"\xff\xff")},
    "S10 odd text": Case(_with(ds.explicit(0x7FE10010, "LO", b"abc"), ds.explicit(0x7FE10012, "LO", b"ab"))),
    "S10 odd UI": Case(_with(ds.explicit(0x7FE10010, "UI", b"1.2"), ds.explicit(0x7FE10012, "UI", b"1.2\0"))),
    "S12 implicit in explicit": Case(lambda uid: ds.implicit(0x00080016, ds.uid(CT)) + ds.implicit(0x00080018, ds.uid(uid))),
    "S12 explicit in implicit": Case(data_set, context=IMPLICIT),
    "S12 big in little": Case(lambda uid: ds.explicit(0x00080016, "UI", ds.uid(CT), order=">") + ds.explicit(
        0x00080018, "UI", ds.uid(uid), order=">")),
    "S12 explicit in deflated": Case(data_set, stored=False, context=DEFLATED),
    "S12 noise in deflated": Case(lambda uid: bytes(range(256)) * 40, stored=False, context=DEFLATED),
    "S13 empty": Case(lambda uid: b"", stored=False),
    **{f"S13 {size} octets": Case(lambda uid, size=size: data_set(uid)[:size], stored=False) for size in range(1, 8)},  # type: ignore[misc]
    "S13 only a group length": Case(lambda uid: ds.explicit(0x00080000, "UL", bytes(4)), stored=False),
    "S15 group 0002": Case(lambda uid: _META + data_set(uid)),
    "S15 preamble": Case(lambda uid: bytes(128) + b"DICM" + _META + data_set(uid)),
    "S15 MZ": Case(lambda uid: b"MZ" + bytes(126) + b"DICM" + data_set(uid)),
    "S15 ELF": Case(lambda uid: b"\x7fELF" + bytes(124) + b"DICM" + data_set(uid)),
    "S15 DICM by chance": Case(_name(b"DICM" * 30), stored=True),
    "S16 no final delimiter": Case(_fragments(ds.item(b""), ds.item(bytes(100)), end=b""), stored=False, context=JPEG),
    "S16 fragment of FFFFFFFF": Case(_fragments(ds.item(b""), ds.implicit(0xFFFEE000, bytes(100), ds.UNDEFINED)), context=JPEG),
    "S16 odd fragment": Case(_fragments(ds.item(b""), ds.item(bytes(101))), context=JPEG),
    "S16 no offset table": Case(_fragments(), context=JPEG),
    "S16 fragments": Case(_fragments(ds.item(b""), ds.item(bytes(100))), stored=True, context=JPEG),
    **{f"S19 {term!r}": Case(_charset(term, name), stored=True) for term, name in (
        (b"ISO_IR 999", b"abc^def "), (b"ISO_IR_192", b"\xc3\xa4\xff\xff"), (b"ISO 2022 IR 87\\ISO 2022 IR 13", b"\x1b$B\x1b(Z\x1b"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xff"), (b"\\".join([b"ISO_IR 100"] * 50), b"\xe4\xf6"), (b"\x1b\n", b"abc "))},
    "S20 group lengths lie": Case(lambda uid: ds.explicit(0x00080000, "UL", b"\xff\xff\xff\xff") + data_set(uid), stored=True),
    "S20 group lengths everywhere": Case(
        _with(*[ds.explicit((0x7FE1 + 2 * n) << 16, "UL", b"\1\2\3\4") + ds.explicit((0x7FE1 + 2 * n) << 16 | 0x10, "LO", b"ab")
                for n in range(300)]), stored=True),
}
