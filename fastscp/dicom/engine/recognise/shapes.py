"""Headers that are built like one seen before: recognised as a whole, written by a recorded script.

The objects of a series have headers of the same shape: the same tags, VRs and lengths at the same offsets,
only the values differ. What the scanner would do with such a header follows from its shape, as long as the
values need no correction. So the first header of a shape is scanned and recorded, and the next ones are
compared under a mask that leaves the values out, and then written as slices of the input and constants.

Layout of a shape over the first ``size`` octets of a data set in little endian, whatever becomes of it:

    mask      FF over tags, VRs, lengths, items, delimiters and values that must be the same; 00 over the rest
    expected  the octets under the mask
    texts     the last two octets of each text value (two blanks would be corrected)
    uids      each UID (blanks and surplus NULs would be corrected)
    script    what makes the output: slices of the input, slices whose byte order changes, constants

Where a large value follows that is written as it is, the shape includes that value's header.

Invariants: a shape ends between two top-level elements, or behind the header of one; with a shape or without it
the output is the same, octet for octet, or the shape does not match. Nothing is recognised across the cut of a
chunk.

perf/rewrite.py shows what a recognised header costs, against the scan.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine import values
from fastscp.dicom.engine.recognise.corrections import TextEnds, UIDs
from fastscp.dicom.engine.recognise.script import Renderer, Script, Slice
from fastscp.dicom.engine.resolve import PIXEL_REPRESENTATION, WAVEFORM_BITS_ALLOCATED, creator_name
from fastscp.dicom.vr import KINDS, KINDS_LITTLE, LONG, LONG_TEXT, PLAIN, SEQUENCE, TEXT, UID

_SMALLEST: Final = 256  #: shorter headers are not worth recognising
_CAPACITY: Final = 32
_FREE_LESSONS: Final = 8
_MISSES_PER_LESSON: Final = 32
_PROBE_OCTETS: Final = 8
_UNDEFINED: Final = 0xFFFFFFFF
_PADDING: Final = 0xFFFCFFFC
#: Values that decide the VR of others.
_DECIDES_VRS: Final = frozenset({PIXEL_REPRESENTATION, WAVEFORM_BITS_ALLOCATED})
NO_BOUND: Final = 1 << 62

_SHORT = struct.Struct("<HHHH").unpack_from
_LENGTH = struct.Struct("<L").unpack_from
_ITEM = struct.Struct("<HHL").unpack_from


class _Unusual(Exception):  # noqa: N818 - no error: what is unusual is left to the scanner
    """Leaves a stretch of the data set out of the shape."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Where structure and values are in the first ``size`` octets of a data set."""

    size: int
    mask: bytes
    last_header: int
    texts: tuple[int, ...]
    uids: tuple[Slice, ...]
    top_level: dict[int, Slice]

    def with_header(self, end: int) -> Outline:
        """Return the outline with the header of the element behind it, which ends at ``end``."""
        return replace(self, size=end, mask=self.mask + b"\xff" * (end - self.size), last_header=self.size)


class _Walk:
    """Collects the outline of a data set in explicit VR, element by element, at any depth."""

    def __init__(self, buf: bytes) -> None:
        self.buf = buf
        self.mask = bytearray(len(buf))
        self.texts: list[int] = []
        self.uids: list[Slice] = []
        self.last_header = 0

    def structure(self, start: int, end: int) -> None:
        self.mask[start:end] = b"\xff" * (end - start)

    def element(self, pos: int, bound: int, creators: dict[int, str]) -> tuple[int, int, int]:
        """Take one element; return its tag (0 for a sequence), and begin and end of its value. Raises _Unusual.

        ``creators`` are the private creators of the item or data set so far.
        """
        del creators  # the encoding tells every VR
        buf = self.buf
        if pos + 8 > bound:
            raise _Unusual
        group, number, vr, length = _SHORT(buf, pos)
        kind = KINDS_LITTLE[vr]
        tag = group << 16 | number
        start = pos + 8
        if not kind or tag == _PADDING or group == 0xFFFE:
            raise _Unusual
        if kind in {LONG, LONG_TEXT, SEQUENCE}:
            start = pos + 12
            if start > bound:
                raise _Unusual
            length = _LENGTH(buf, pos + 8)[0]
        self.structure(pos, start)
        return 0 if kind == SEQUENCE else tag, start, self.content(kind, number, start, length, bound)

    def content(self, kind: int, number: int, start: int, length: int, bound: int) -> int:
        """Take what follows a header; return where it ends."""
        if kind == SEQUENCE:
            return self.sequence(start, NO_BOUND if length == _UNDEFINED else start + length, bound)
        end = start + length
        if length & 1 or end > bound or (not number and length != 4):
            raise _Unusual
        if length and kind in {TEXT, LONG_TEXT, UID}:
            self.value(kind, start, end)
        return end

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
        if end != NO_BOUND and end > bound:
            raise _Unusual
        limit = min(end, bound)
        while pos != end:
            group, number, length = self.item_header(pos, limit)
            if group == 0xFFFE and number == 0xE0DD and end == NO_BOUND:
                return pos + 8
            if group != 0xFFFE or number != 0xE000:
                raise _Unusual
            pos = self.item(pos + 8, NO_BOUND if length == _UNDEFINED else pos + 8 + length, limit)
        return pos

    def item(self, pos: int, end: int, bound: int) -> int:
        """Take the elements of an item; return where it ends, behind its delimiter if it has one."""
        if end != NO_BOUND and end > bound:
            raise _Unusual
        limit = min(end, bound)
        creators: dict[int, str] = {}
        while pos != end:
            if end == NO_BOUND:
                group, number, _ = self.item_header(pos, limit)
                if group == 0xFFFE and number == 0xE00D:
                    return pos + 8
            pos = self.element(pos, limit, creators)[2]
        return pos

    def item_header(self, pos: int, bound: int) -> tuple[int, int, int]:
        if pos + 8 > bound:
            raise _Unusual
        self.structure(pos, pos + 8)
        group, number, length = _ITEM(self.buf, pos)
        return group, number, length


class _ImplicitWalk(_Walk):
    """The same for implicit VR: the dictionary tells every VR, helped by values that must be the same again."""

    def __init__(self, buf: bytes, dictionary: Dictionary) -> None:
        super().__init__(buf)
        self.dictionary = dictionary

    def element(self, pos: int, bound: int, creators: dict[int, str]) -> tuple[int, int, int]:
        """Take one element; return its tag (0 for a sequence), and begin and end of its value. Raises _Unusual."""
        if pos + 8 > bound:
            raise _Unusual
        group, number, length = _ITEM(self.buf, pos)
        tag = group << 16 | number
        if tag == _PADDING or group == 0xFFFE:
            raise _Unusual
        self.structure(pos, pos + 8)
        if group & 1:
            vr = self.dictionary.private_vr(tag, creators.get(group << 8 | number >> 8))
        else:
            vr = self.dictionary.vr(tag)
        if length == _UNDEFINED and vr != "SQ":
            raise _Unusual
        start = pos + 8
        kind = KINDS.get(vr, PLAIN)
        end = self.content(kind, number, start, length, bound)
        if group & 1 and 0x10 <= number <= 0xFF:
            creators.setdefault(group << 8 | number, creator_name(self.buf[start:end]))
            self.structure(start, end)
        elif tag in _DECIDES_VRS:
            self.structure(start, end)
        return 0 if kind == SEQUENCE else tag, start, end


def outline(buf: bytes, dictionary: Dictionary | None = None) -> Outline | None:
    """Return the outline of as many whole top-level elements as ``buf`` begins with; None for too few.

    With a ``dictionary`` the data set is in implicit VR.
    """
    walk = _Walk(buf) if dictionary is None else _ImplicitWalk(buf, dictionary)
    creators: dict[int, str] = {}
    top_level: dict[int, Slice] = {}
    pos = last_header = 0
    texts = uids = 0
    try:
        while pos < len(buf):
            tag, start, end = walk.element(pos, len(buf), creators)
            top_level[tag] = start, end
            last_header, pos = pos, end
            texts, uids = len(walk.texts), len(walk.uids)
    except (_Unusual, RecursionError):
        pass  # the shape ends before what is unusual
    if pos < _SMALLEST:
        return None
    return Outline(pos, bytes(walk.mask[:pos]), last_header, tuple(walk.texts[:texts]),
                   tuple(walk.uids[:uids]), top_level)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the scanner stands behind a shape; offsets of the output count from its begin."""

    last: int  #: highest tag so far
    group: int  #: group of the last element
    group_at: int  #: output offset of the open group length's value, -1 for none
    group_start: int
    group_value: int
    bits: int | None  #: what later elements of the data set depend on, in implicit VR
    signed: bool | None
    creators: dict[int, str] | None


class Shape:
    """One recorded header.

    ``value_octets`` is the length of the large value whose header ends the shape, 0 when there is none: the
    shape ends between two elements then.
    """

    __slots__ = ("_expected", "_mask", "_probe", "_probe_end", "_probe_start", "_texts", "_uids", "collected",
                 "position", "render", "size", "value_octets")

    def __init__(self, buf: bytes, found: Outline, script: Script, position: Position,
                 wanted: frozenset[int], value_octets: int = 0) -> None:
        self.size = found.size
        self.value_octets = value_octets
        self.render = Renderer(script).render
        self.position = position
        self.collected = {tag: where for tag, where in found.top_level.items() if tag in wanted}
        self._mask = int.from_bytes(found.mask, "little")
        self._expected = int.from_bytes(buf[: found.size], "little") & self._mask
        self._probe_start, self._probe_end = found.last_header, found.last_header + _PROBE_OCTETS
        self._probe = buf[self._probe_start : self._probe_end]
        self._texts = TextEnds(found.texts)
        self._uids = UIDs(found.uids)

    def matches(self, buf: bytes) -> bool:
        """Tell whether ``buf`` begins with this shape and none of its values needs a correction."""
        if buf[self._probe_start : self._probe_end] != self._probe or len(buf) < self.size:
            return False
        if self.value_octets and len(buf) == self.size:
            return False  # a header that nothing follows may mean something else
        number = int.from_bytes(buf[: self.size], "little")
        if number & self._mask != self._expected:
            return False
        return not self._texts.padded(number) and self._uids.clean(buf, number)


class Shapes:
    """The shapes a process has met lately, for one set of output options.

    Learning costs about as much as scanning twice; it is paid for by matches: every lesson beyond the first
    few needs a match, or a good number of misses, before it.
    """

    def __init__(self) -> None:
        self._recent: dict[tuple[str, str], list[Shape]] = {}
        self._credit = _FREE_LESSONS
        self._misses = 0

    def find(self, syntaxes: tuple[str, str], buf: bytes) -> Shape | None:
        """Return the shape that ``buf`` begins with, for a pair of transfer syntaxes (in, out)."""
        recent = self._recent.get(syntaxes)
        if recent is None:
            return None
        for index, shape in enumerate(recent):
            if shape.matches(buf):
                if index:
                    del recent[index]
                    recent.insert(0, shape)
                if self._credit < _FREE_LESSONS:
                    self._credit += 1
                return shape
        return None

    def worth_learning(self) -> bool:
        """Tell, after a miss, whether to record this header."""
        self._misses += 1
        if self._misses % _MISSES_PER_LESSON == 0 and self._credit < 1:
            self._credit = 1
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def add(self, syntaxes: tuple[str, str], shape: Shape) -> None:
        """Remember a shape; the one unused for longest makes room."""
        recent = self._recent.setdefault(syntaxes, [])
        recent.insert(0, shape)
        del recent[_CAPACITY:]
