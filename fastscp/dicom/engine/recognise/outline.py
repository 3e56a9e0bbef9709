"""Where structure and values are in the beginning of a data set, and which values must hold what.

Source: PS3.5 §7.1 (elements), §7.5 (sequences and items)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine import values
from fastscp.dicom.engine.recognise.script import Slice
from fastscp.dicom.engine.resolve import creator_name
from fastscp.dicom.headers import EXPLICIT, IMPLICIT, LENGTH, UNDEFINED
from fastscp.dicom.tags import (
    DELIMITERS,
    ITEM,
    ITEM_END,
    PADDING,
    PIXEL_REPRESENTATION,
    SEQUENCE_END,
    WAVEFORM_BITS_ALLOCATED,
)
from fastscp.dicom.vr import KINDS, KINDS_LITTLE, LONG, LONG_TEXT, PLAIN, SEQUENCE, TEXT, UID

_SMALLEST: Final = 256  #: shorter headers are not worth recognising
_DEEPEST: Final = 64  #: nesting of sequences that is worth recognising
_MOST_ELEMENTS: Final = 1024  #: in sequences as well; a lesson is one step of the reader
_NO_BOUND: Final = 1 << 62
#: Values that decide the VR of others.
_DECIDES_VRS: Final = frozenset({PIXEL_REPRESENTATION, WAVEFORM_BITS_ALLOCATED})

_read_explicit = EXPLICIT[True]
_read_implicit = IMPLICIT[True]
_read_length = LENGTH[True]


class _Unusual(Exception):  # noqa: N818 - no error: what is unusual is left to the reader
    """Leaves a stretch of the data set out of the shape."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Where structure and values are in the first ``size`` octets of a data set."""

    size: int
    mask: bytes  #: FF over what must be the same again, 00 over the rest
    last_header: int  #: where the last element at top level begins
    texts: tuple[int, ...]  #: where the last two octets of each text are
    uids: tuple[Slice, ...]
    top_level: dict[int, Slice]  #: tag to value

    def with_header(self, end: int) -> Outline:
        """Return the outline with the header of the element behind it, which ends at ``end``."""
        return replace(self, size=end, mask=self.mask + b"\xff" * (end - self.size), last_header=self.size)


class _Header(NamedTuple):
    """What the header of an element says; ``start`` is where its value begins."""

    tag: int
    kind: int
    start: int
    length: int


Creators = dict[int, str]  #: private block to its creator, of one item or data set


class _Encoding(Protocol):
    """How elements are read from one encoding in little endian."""

    def header(self, buf: bytes, pos: int, bound: int, creators: Creators) -> _Header:
        """Read an element's header from the octets before ``bound``. Raises _Unusual."""

    def decides(self, tag: int, value: bytes, creators: Creators) -> bool:
        """Tell whether the value decides about other elements, so that it must be the same again."""


class _ExplicitVR:
    """The encoding tells every VR."""

    @staticmethod
    def header(buf: bytes, pos: int, bound: int, creators: Creators) -> _Header:
        del creators
        if pos + 8 > bound:
            raise _Unusual
        group, number, vr, length = _read_explicit(buf, pos)
        kind = KINDS_LITTLE[vr]
        if not kind:
            raise _Unusual
        if kind < LONG:
            return _Header(group << 16 | number, kind, pos + 8, length)
        if pos + 12 > bound:
            raise _Unusual
        return _Header(group << 16 | number, kind, pos + 12, _read_length(buf, pos + 8)[0])

    @staticmethod
    def decides(tag: int, value: bytes, creators: Creators) -> bool:
        del tag, value, creators
        return False


class _ImplicitVR:
    """The dictionary tells every VR, helped by values that must be the same again."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary

    def header(self, buf: bytes, pos: int, bound: int, creators: Creators) -> _Header:
        if pos + 8 > bound:
            raise _Unusual
        group, number, length = _read_implicit(buf, pos)
        tag = group << 16 | number
        if group & 1:
            vr = self._dictionary.private_vr(tag, creators.get(group << 8 | number >> 8))
        else:
            vr = self._dictionary.vr(tag)
        if length == UNDEFINED and vr != "SQ":
            raise _Unusual
        return _Header(tag, KINDS.get(vr, PLAIN), pos + 8, length)

    @staticmethod
    def decides(tag: int, value: bytes, creators: Creators) -> bool:
        group, number = tag >> 16, tag & 0xFFFF
        if group & 1 and 0x10 <= number <= 0xFF:
            creators.setdefault(group << 8 | number, creator_name(value))
            return True
        return tag in _DECIDES_VRS


class _Tracer:
    """Collects the outline of a data set element by element, at any depth."""

    def __init__(self, buf: bytes, encoding: _Encoding) -> None:
        self.buf = buf
        self.encoding = encoding
        self.mask = bytearray(len(buf))
        self.texts: list[int] = []
        self.uids: list[Slice] = []
        self.depth = 0  #: sequences that are open
        self.elements = 0

    def structure(self, start: int, end: int) -> None:
        self.mask[start:end] = b"\xff" * (end - start)

    def element(self, pos: int, bound: int, creators: Creators) -> tuple[int, int, int]:
        """Take one element; return its tag (0 for a sequence), and begin and end of its value. Raises _Unusual."""
        tag, kind, start, length = self.encoding.header(self.buf, pos, bound, creators)
        self.elements += 1
        if self.elements > _MOST_ELEMENTS or tag == PADDING or tag >> 16 == DELIMITERS:
            raise _Unusual
        self.structure(pos, start)
        if kind == SEQUENCE:
            self.depth += 1
            end = self.sequence(start, _NO_BOUND if length == UNDEFINED else start + length, bound)
            self.depth -= 1
            return 0, start, end
        end = start + length
        if length & 1 or end > bound or (not tag & 0xFFFF and length != 4):
            raise _Unusual
        if length and kind in {TEXT, LONG_TEXT, UID}:
            self.value(kind, start, end)
        if self.encoding.decides(tag, self.buf[start:end], creators):
            self.structure(start, end)
        return tag, start, end

    def value(self, kind: int, start: int, end: int) -> None:
        """Remember what must hold for a text or UID; one that is to be corrected must be the same again."""
        octets = self.buf[start:end]
        if (values.uid if kind == UID else values.text)(octets) != octets:
            self.structure(start, end)
        elif kind == UID:
            self.uids.append((start, end))
        else:
            self.texts.append(end - 2)

    def sequence(self, pos: int, end: int, bound: int) -> int:
        """Take the items of a sequence; return where it ends, behind its delimiter if it has one."""
        if self.depth > _DEEPEST or (end != _NO_BOUND and end > bound):
            raise _Unusual
        limit = min(end, bound)
        while pos != end:
            tag, length = self.item_header(pos, limit)
            if tag == SEQUENCE_END and end == _NO_BOUND:
                return pos + 8
            if tag != ITEM:
                raise _Unusual
            pos = self.item(pos + 8, _NO_BOUND if length == UNDEFINED else pos + 8 + length, limit)
        return pos

    def item(self, pos: int, end: int, bound: int) -> int:
        """Take the elements of an item; return where it ends, behind its delimiter if it has one."""
        if end != _NO_BOUND and end > bound:
            raise _Unusual
        limit = min(end, bound)
        creators: Creators = {}
        while pos != end:
            if end == _NO_BOUND and self.item_header(pos, limit)[0] == ITEM_END:
                return pos + 8
            pos = self.element(pos, limit, creators)[2]
        return pos

    def item_header(self, pos: int, bound: int) -> tuple[int, int]:
        if pos + 8 > bound:
            raise _Unusual
        self.structure(pos, pos + 8)
        group, number, length = _read_implicit(self.buf, pos)
        return group << 16 | number, length


def outline(buf: bytes, dictionary: Dictionary | None = None) -> Outline | None:
    """Return the outline of as many whole top-level elements as ``buf`` begins with; None for too few.

    With a ``dictionary`` the data set is in implicit VR.
    """
    tracer = _Tracer(buf, _ExplicitVR() if dictionary is None else _ImplicitVR(dictionary))
    creators: Creators = {}
    top_level: dict[int, Slice] = {}
    pos = last_header = 0
    texts = uids = 0
    try:
        while pos < len(buf):
            tag, start, end = tracer.element(pos, len(buf), creators)
            top_level[tag] = start, end
            last_header, pos = pos, end
            texts, uids = len(tracer.texts), len(tracer.uids)
    except _Unusual:
        pass  # the outline ends before what is unusual
    if pos < _SMALLEST:
        return None
    return Outline(pos, bytes(tracer.mask[:pos]), last_header, tuple(tracer.texts[:texts]),
                   tuple(tracer.uids[:uids]), top_level)
