"""Random nested data sets in every uncompressed encoding, odd in the ways real ones are."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support import datasets as ds

_TEXT_VRS = ("AE", "CS", "DA", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
_WIDTHS = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "OW": 2, "OF": 4, "OD": 8, "OL": 4}

# in implicit VR the dictionary decides: attributes of every kind of VR
_KNOWN = {
    0x00080008: "CS", 0x00080020: "DA", 0x00080060: "CS", 0x00081030: "LO", 0x00100010: "PN", 0x00180050: "DS",
    0x00200013: "IS", 0x00280002: "US", 0x00280103: "US", 0x00280106: "xs", 0x00281201: "OW", 0x00189098: "FD",
    0x00209157: "UL", 0x00081190: "UR", 0x0040A160: "UT", 0x00080018: "UI", 0x0020000D: "UI", 0x60003000: "OW",
    0x00420011: "OB", 0x00280009: "AT", 0x7FE00010: "OW", 0x00290010: "LO", 0x00291010: "UN",
}
_SEQUENCES = (0x00081140, 0x00400275, 0x00082112, 0x52009230, 0x00321064)

_text = st.binary(max_size=12).map(lambda octets: bytes(33 + octet % 90 for octet in octets))
_padded = st.tuples(_text, st.sampled_from([b"", b" ", b"  ", b"\0", b" \0", b"\0\0", b"    "])).map(b"".join)
_uids = st.sampled_from([b"1.2.3\0", b"1.2.34", b"1.2.840.10008", b" 1.2 ", b"1.2\0\0\0", b"", b"1. 2.3"])


def _value(vr: str) -> st.SearchStrategy[bytes]:
    if vr in _TEXT_VRS:
        return _padded
    if vr == "UI":
        return _uids
    width = {"xs": 2}.get(vr, _WIDTHS.get(vr, 1))
    return st.integers(0, 5).flatmap(lambda count: st.binary(min_size=count * width, max_size=count * width))


@st.composite
def encoded(draw: st.DrawFn, encoding: str, depth: int = 3) -> bytes:
    """Draw the elements of a data set or item; ``encoding`` is explicit, implicit or big."""
    parts: list[tuple[int, bytes]] = []
    tags = draw(st.lists(st.sampled_from(sorted(_KNOWN)), max_size=8, unique=True))
    for number in tags:
        vr = _KNOWN[number]
        if encoding != "implicit" and vr == "xs":
            vr = "US"
        value = draw(_value(vr))
        parts.append((number, _element(encoding, number, vr, value)))
    if depth:
        sequences = draw(st.lists(st.sampled_from(_SEQUENCES), max_size=2, unique=True))
        parts += [(number, draw(_sequence(encoding, number, depth - 1))) for number in sequences]
    if draw(st.booleans()):
        number = draw(st.sampled_from([0x00080000, 0x00100000, 0x00280000]))
        parts.append((number, _element(encoding, number, "UL", b"\1\2\3\4")))
    if draw(st.integers(0, 5)):
        parts.sort()
    if draw(st.integers(0, 7)) == 0:
        parts.append((0xFFFCFFFC, _element(encoding, 0xFFFCFFFC, "OB", b"\0\0\0\0")))
    return b"".join(octets for _, octets in parts)


def _element(encoding: str, number: int, vr: str, value: bytes) -> bytes:
    if encoding == "implicit":
        return ds.implicit(number, value)
    return ds.explicit(number, vr, value, order=">" if encoding == "big" else "<")


@st.composite
def _sequence(draw: st.DrawFn, encoding: str, number: int, depth: int) -> bytes:
    order = ">" if encoding == "big" else "<"
    items = b""
    for _ in range(draw(st.integers(0, 2))):
        content = draw(encoded(encoding, depth))
        items += ds.item(content, delimited=draw(st.booleans()), order=order)
    delimited = draw(st.booleans())
    if encoding == "implicit":
        return ds.implicit_sequence(number, items, delimited=delimited)
    if encoding == "explicit" and draw(st.integers(0, 9)) == 0:
        inside = ds.item(draw(encoded("implicit", 0)), delimited=delimited)
        return ds.explicit(number, "UN", inside + ds.implicit(0xFFFEE0DD, b""), ds.UNDEFINED)
    return ds.sequence(number, items, delimited=delimited, order=order)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a transfer syntax and a data set with SOP class and instance UID."""
    encoding, syntax, head = draw(st.sampled_from([
        ("explicit", ds.EXPLICIT, ds.HEAD), ("implicit", ds.IMPLICIT, ds.IMPLICIT_HEAD),
        ("big", ds.BIG, ds.BIG_HEAD),
    ]))
    return syntax, head + draw(encoded(encoding))


