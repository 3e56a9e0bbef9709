"""Whether a stored data set is the one that was sent, but for how it is encoded.

A Storage SCP may write another transfer syntax, calculate lengths anew and put elements in order: storescp's options do. So both
are read into a list of elements, with the path of tags that leads to each, and these lists are compared. Left out are: group
lengths, Data Set Trailing Padding, the lengths of sequences and items, the VR, padding at a value's end (of text and UIDs all of it,
for storescp takes it off and pads anew; of other values one octet), the byte order of numbers, and whether the stream was
deflated. All else has to be the same, octet for octet.
"""

from __future__ import annotations

import array
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from fastscp.blast.elements import IMPLICIT_LITTLE, Element, Encoding, dictionary, elements
from fastscp.dicom import tags, uids
from fastscp.dicom.vr import KINDS, LONG_TEXT, TEXT, UID, WIDTHS
from fastscp.errors import InstanceError, tag_text

_TYPES = {2: "H", 4: "I", 8: "Q"}
_PAD = (0x00, 0x20)
_PADDED = (TEXT, LONG_TEXT, UID)


class Value(NamedTuple):
    """One value, or the begin of an item, which has none."""

    path: tuple[int, ...]
    octets: bytes | memoryview


_END = Value((1 << 32,), b"")  #: behind every tag


def difference(sent: memoryview, sent_syntax: str, found: memoryview, found_syntax: str) -> str:
    """Return where two data sets differ, "" where they do not; a deflated one comes inflated if it was sent, as it is if found."""
    if sent_syntax == found_syntax and sent == found:
        return ""
    try:
        ours = list(values(sent, sent_syntax))
    except InstanceError as error:
        return f"is not the same, and what was sent cannot be read: {error}"
    try:
        theirs = list(values(_inflated(found, found_syntax), found_syntax))
    except InstanceError as error:
        return f"cannot be read: {error}"
    return _first_difference(ours, theirs)


def _first_difference(ours: list[Value], theirs: list[Value]) -> str:
    for mine, other in zip_longest(ours, theirs, fillvalue=_END):
        if other.path < mine.path:
            return f"({_path(other)}) was added"
        if mine.path < other.path:
            return f"({_path(mine)}) is missing"
        if mine.octets != other.octets:
            return f"({_path(mine)}) differs{_where(mine.octets, other.octets)}"
    return ""


def _inflated(data: memoryview, syntax: str) -> memoryview:
    if not uids.transfer_syntax(syntax).deflated:
        return data
    try:
        return memoryview(zlib.decompressobj(-15).decompress(data))
    except zlib.error as error:
        raise InstanceError("cannot be inflated") from error


def _path(value: Value) -> str:
    return ".".join(tag_text(tag) for tag in value.path if tag >> 16)


def _where(mine: bytes | memoryview, other: bytes | memoryview) -> str:
    if len(mine) != len(other):
        return f": {len(other)} octets instead of {len(mine)}"
    at = next((index for index in range(0, len(mine), 4096) if mine[index:index + 4096] != other[index:index + 4096]), 0)
    at = next(index for index in range(at, len(mine)) if mine[index] != other[index])
    return f" at its octet {at}"


def values(data: memoryview, syntax: str) -> Iterator[Value]:
    """Yield everything that matters of a data set, in the order of tags. Raises InstanceError."""
    record = uids.transfer_syntax(syntax)
    yield from _level(data, Encoding.of(record), 0, len(data), ())


def _level(data: memoryview, encoding: Encoding, start: int, end: int, path: tuple[int, ...]) -> Iterator[Value]:
    found = [element for element in elements(data, encoding, start, end)
             if element.tag & 0xFFFF and element.tag != tags.PADDING and element.tag >> 16 != tags.DELIMITERS]
    found.sort(key=lambda element: element.tag)
    for element in found:
        here = (*path, element.tag)
        if _is_sequence(element, encoding):
            inner = IMPLICIT_LITTLE if element.vr == b"UN" else encoding
            for number, item in enumerate(_items(data, inner, element)):
                yield Value((*here, number), b"")
                yield from _level(data, inner, item.start, item.end, (*here, number))
        elif element.undefined:  # encapsulated Pixel Data
            for number, fragment in enumerate(elements(data, encoding, element.start, element.end)):
                yield Value((*here, number), data[fragment.start:fragment.end])
        else:
            yield Value(here, _normal(data[element.start:element.end], element, encoding))


def _items(data: memoryview, encoding: Encoding, element: Element) -> Iterator[Element]:
    return (item for item in elements(data, encoding, element.start, element.end) if item.tag == tags.ITEM)


def _is_sequence(element: Element, encoding: Encoding) -> bool:
    if encoding.explicit and element.vr != b"UN":
        return element.vr == b"SQ"
    return (element.undefined and element.tag != tags.PIXEL_DATA) or dictionary().vr(element.tag) == "SQ"


def _normal(value: memoryview, element: Element, encoding: Encoding) -> memoryview:
    """Return a value in little endian, without the padding octet."""
    if not encoding.little and len(value):
        width = WIDTHS.get(element.vr.decode("latin-1"), 1)
        if width > 1 and len(value) % width == 0:
            numbers = array.array(_TYPES[width], bytes(value))
            numbers.byteswap()
            value = memoryview(numbers.tobytes())
    if not value.nbytes or value[-1] not in _PAD:
        return value
    vr = element.vr.decode("latin-1") if element.vr not in {b"", b"UN"} else dictionary().vr(element.tag)
    if KINDS.get(vr) in _PADDED:
        return value[:len(bytes(value).rstrip(b"\0 "))]
    return value[:-1] if not len(value) & 1 else value
