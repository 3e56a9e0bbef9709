"""Reading a data set just far enough: where its elements are, whatever the transfer syntax.

Strategy: a generator for the elements of one level; what it does not understand it refuses with an InstanceError. Nothing
is copied, and nothing is decoded.

Source: PS3.5 §7.1 and §7.5
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from fastscp.dicom import tags
from fastscp.dicom.dictionary import Dictionary, load
from fastscp.dicom.headers import EXPLICIT, IMPLICIT, LENGTH, LONG_VRS, UNDEFINED
from fastscp.dicom.uids import TransferSyntax
from fastscp.errors import InstanceError

_DEEPEST = 64


class Element(NamedTuple):
    """One element, item or fragment; ``vr`` is empty where the encoding does not say it."""

    tag: int
    vr: bytes
    start: int  #: of the value
    end: int  #: of the value
    undefined: bool  #: its length is; then a delimiter follows behind ``end``


class Encoding(NamedTuple):
    """How a level is encoded."""

    explicit: bool
    little: bool

    @classmethod
    def of(cls, syntax: TransferSyntax) -> Encoding:
        """Return the one of a transfer syntax."""
        return cls(syntax.explicit_vr, syntax.little_endian)


IMPLICIT_LITTLE = Encoding(explicit=False, little=True)


@functools.cache
def dictionary() -> Dictionary:
    """Return the data dictionary, which takes some time to read."""
    return load()


def elements(data: memoryview, encoding: Encoding, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """Yield what stands between ``start`` and ``end``, or up to a delimiter. Raises InstanceError."""
    end = len(data) if end is None else end
    while start < end:
        element = header(data, encoding, start, end)
        if element.undefined:
            inner = IMPLICIT_LITTLE if element.vr == b"UN" else encoding
            stop = _behind(data, inner, element.start, end, tags.ITEM_END if element.tag == tags.ITEM else tags.SEQUENCE_END, 0)
            yield element._replace(end=stop - 8)
            start = stop
        else:
            yield element
            start = element.end


def header(data: memoryview, encoding: Encoding, at: int, end: int) -> Element:
    """Read one header. Raises InstanceError."""
    if end - at < 8:
        raise InstanceError("the data set ends inside an element header", offset=at)
    group, element, length = IMPLICIT[encoding.little](data, at)
    tag = group << 16 | element
    vr = b""
    start = at + 8
    if encoding.explicit and group != tags.DELIMITERS:
        vr = bytes(data[at + 4:at + 6])
        if vr in LONG_VRS:
            if end - at < 12:
                raise InstanceError("the data set ends inside an element header", tag=tag, offset=at)
            (length,), start = LENGTH[encoding.little](data, at + 8), at + 12
        else:
            length = EXPLICIT[encoding.little](data, at)[3]
    if length == UNDEFINED:
        return Element(tag, vr, start, start, undefined=True)
    if length > end - start:
        raise InstanceError("the data set ends inside a value", tag=tag, offset=at)
    return Element(tag, vr, start, start + length, undefined=False)


def _behind(data: memoryview, encoding: Encoding, at: int, end: int, delimiter: int, depth: int) -> int:
    """Return where the octet behind ``delimiter`` is."""
    if depth > _DEEPEST:
        raise InstanceError("sequences are nested too deeply", offset=at)
    while True:
        element = header(data, encoding, at, end)
        if element.tag == delimiter:
            return element.end
        if not element.undefined:
            at = element.end
            continue
        inner = IMPLICIT_LITTLE if element.vr == b"UN" else encoding
        closing = tags.ITEM_END if element.tag == tags.ITEM else tags.SEQUENCE_END
        at = _behind(data, inner, element.start, end, closing, depth + 1)
