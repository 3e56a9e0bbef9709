"""Encode data sets by hand, right or deliberately wrong."""

from __future__ import annotations

import struct

from tests.support.rawscu import CT_IMAGE

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
LONG_VRS = ("OB", "OW", "OF", "OD", "OL", "OV", "SV", "UV", "UN", "UC", "UR", "UT", "SQ")


def tag(number: int, order: str = "<") -> bytes:
    return struct.pack(order + "HH", number >> 16, number & 0xFFFF)


def explicit(number: int, vr: str, value: bytes, length: int | None = None, order: str = "<") -> bytes:
    """An element in explicit VR; ``length`` lies about the value."""
    count = len(value) if length is None else length
    head = tag(number, order) + vr.encode("latin-1")
    if vr in LONG_VRS:
        return head + b"\0\0" + struct.pack(order + "L", count) + value
    return head + struct.pack(order + "H", count) + value


def implicit(number: int, value: bytes, length: int | None = None, order: str = "<") -> bytes:
    """An element in implicit VR, an item or a delimiter; ``length`` lies about the value."""
    return tag(number, order) + struct.pack(order + "L", len(value) if length is None else length) + value


def item(content: bytes, *, delimited: bool = False, order: str = "<") -> bytes:
    if delimited:
        return implicit(0xFFFEE000, content, UNDEFINED, order) + implicit(0xFFFEE00D, b"", order=order)
    return implicit(0xFFFEE000, content, order=order)


def sequence(number: int, items: bytes, *, delimited: bool = False, order: str = "<") -> bytes:
    """A sequence in explicit VR."""
    if delimited:
        return explicit(number, "SQ", items, UNDEFINED, order) + implicit(0xFFFEE0DD, b"", order=order)
    return explicit(number, "SQ", items, order=order)


def implicit_sequence(number: int, items: bytes, *, delimited: bool = False) -> bytes:
    if delimited:
        return implicit(number, items, UNDEFINED) + implicit(0xFFFEE0DD, b"")
    return implicit(number, items)


def uid(text: str) -> bytes:
    return text.encode("ascii") + b"\0" * (len(text) & 1)


HEAD = explicit(0x00080016, "UI", uid(CT_IMAGE)) + explicit(0x00080018, "UI", uid("1.2.3.4.5"))
IMPLICIT_HEAD = implicit(0x00080016, uid(CT_IMAGE)) + implicit(0x00080018, uid("1.2.3.4.5"))
BIG_HEAD = (explicit(0x00080016, "UI", uid(CT_IMAGE), order=">")
            + explicit(0x00080018, "UI", uid("1.2.3.4.5"), order=">"))
