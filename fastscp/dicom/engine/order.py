"""Putting a written data set into ascending tag order (PS3.5 §7.1), as storescp does.

Strategy: data sets out of order are rare, so the engine writes them as they come, and afterwards the
result is read back once, header by header. Elements are only moved as ranges of the file: a plan of ranges
and replaced headers is made, copied to a spool and back. The second of two equal tags is dropped; lengths
of enclosing items and of groups, and padding, are corrected. Values are not looked at.

Memory: a few words per element of the levels that are out of order, at most ``MOST_ELEMENTS`` of them.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.output import padding_octets
from fastscp.dicom.engine.sink import Sink
from fastscp.dicom.headers import IMPLICIT, LENGTH, PACKERS, UNDEFINED, read_explicit
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.tags import DELIMITERS, ITEM, PADDING, PIXEL_DATA
from fastscp.dicom.uids import TransferSyntax
from fastscp.errors import InstanceError, StorageError

MOST_ELEMENTS: Final = 200_000
_BLOCK: Final = 65536
_COPY_OCTETS: Final = 1 << 20

#: Octets to write, or a range (offset, length) of what is in the file.
Piece = bytes | tuple[int, int]


class _Content(NamedTuple):
    """New content of a stretch of the file: where the old one ends, and the new length."""

    pieces: list[Piece]
    end: int
    length: int


class _Element(NamedTuple):
    tag: int
    start: int
    content: _Content


class Sorter:
    """Sorts the data set that a sink holds from ``base`` on."""

    def __init__(self, sink: Sink, base: int, syntax: TransferSyntax, dictionary: Dictionary,
                 options: OutputOptions) -> None:
        little = syntax.little_endian
        self._sink = sink
        self._base = base
        self._dictionary = dictionary
        self._explicit = syntax.explicit_vr
        self._little = little
        self._read_implicit = IMPLICIT[little]
        self._read_length = LENGTH[little]
        _, pack_long, pack_implicit, self._pack_length = PACKERS[little]
        self._padding_header = (pack_long(0xFFFC, 0xFFFC, b"OB", 0, 0) if self._explicit
                                else pack_implicit(0xFFFC, 0xFFFC, 0))[:-4]
        self._options = options
        self._block = b""
        self._block_at = 0
        self._elements = 0

    def run(self, end: int) -> Iterator[bytes]:
        """Sort up to ``end``: empty the sink from ``base`` on and yield what belongs there.

        Raises InstanceError for more elements than can be sorted, StorageError when the spool fails.
        """
        self._block = b""
        content = self._dataset(self._base, end)
        try:
            with self._sink.spool() as spool:
                for octets in self._octets(content.pieces):
                    spool.write(octets)
                spool.seek(0)
                self._sink.truncate(self._base)
                while octets := spool.read(_COPY_OCTETS):
                    yield octets
        except OSError as error:
            raise StorageError(f"cannot use a spool: {error.strerror}", errno=error.errno) from error

    def _octets(self, pieces: list[Piece]) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            offset, left = piece
            while left:
                octets = self._sink.read(offset, min(left, _COPY_OCTETS))
                if not octets:
                    self._fail("what was written cannot be read back")
                yield octets
                offset += len(octets)
                left -= len(octets)

    def _read(self, offset: int) -> bytes:
        """Return the 12 octets at an offset, fewer at the end."""
        at = offset - self._block_at
        if at < 0 or at + 12 > len(self._block):
            self._block = self._sink.read(offset, _BLOCK)
            self._block_at = offset
            at = 0
        header = self._block[at:at + 12]
        if len(header) < 8:
            self._fail("what was written cannot be read back")
        return header

    def _dataset(self, start: int, end: int) -> _Content:
        """Read the elements of the data set or of an item; ``end`` is UNDEFINED for a delimited item."""
        elements: list[_Element] = []
        at = start
        ascending = True
        last = -1
        changed = False
        while end == UNDEFINED or at < end:
            header = self._read(at)
            group, element, _ = self._read_implicit(header)
            tag = group << 16 | element
            if end == UNDEFINED and group == DELIMITERS:
                break
            content = self._element(at, tag, header)
            elements.append(_Element(tag, at, content))
            self._elements += 1
            if self._elements > MOST_ELEMENTS:
                self._fail("too many elements in a data set that is not in order")
            ascending = ascending and tag > last
            changed = changed or len(content.pieces) != 1 or isinstance(content.pieces[0], bytes)
            last = tag
            at = content.end
        self._elements -= len(elements)
        if ascending and not changed:
            return _Content([(start, at - start)] if at > start else [], at, at - start)
        return self._sorted(elements, at, whole=start == self._base)

    def _sorted(self, elements: list[_Element], end: int, *, whole: bool) -> _Content:
        """Put elements in order, keep the first of equals, correct group lengths and padding.

        They are those of the ``whole`` data set, or of an item.
        """
        unique: dict[int, _Element] = {}
        for element in elements:
            unique.setdefault(element.tag, element)
        multiple = self._options.file_padding if whole else self._options.item_padding
        if multiple:
            unique.pop(PADDING, None)
        in_order = [unique[tag] for tag in sorted(unique)]
        if multiple:
            self._pad(in_order, multiple, self._base if whole else 0)
        groups: dict[int, int] = {}
        for element in in_order:
            if element.tag & 0xFFFF:
                group = element.tag >> 16
                groups[group] = groups.get(group, 0) + element.content.length
        pieces: list[Piece] = []
        length = 0
        for element in in_order:
            content = element.content
            if element.tag & 0xFFFF or not self._is_group_length(element.start):
                _join(pieces, content.pieces)
            else:
                header = self._read(element.start)[:8]
                _join(pieces, [header + self._pack_length(groups.get(element.tag >> 16, 0))])
                if content.length > 12:
                    _join(pieces, [(element.start + 12, content.length - 12)])
            length += content.length
        return _Content(pieces, end, length)

    def _is_group_length(self, start: int) -> bool:
        """Tell whether an element (gggg,0000) is one: a sequence stays what it is."""
        header = self._read(start)
        if self._explicit:
            return read_explicit(header, little=self._little).vr == b"UL"
        return bool(self._read_length(header, 4)[0] >= 4)

    def _pad(self, in_order: list[_Element], multiple: int, before: int) -> None:
        """Insert the element that pads the others, with the octets ``before`` them, to a multiple of octets."""
        header = len(self._padding_header) + 4
        octets = padding_octets(before + sum(element.content.length for element in in_order), multiple, header)
        if octets is not None:
            padding = self._padding_header + self._pack_length(octets) + bytes(octets)
            element = _Element(PADDING, 0, _Content([padding], 0, len(padding)))
            bisect.insort(in_order, element, key=lambda other: other.tag)

    def _element(self, at: int, tag: int, header: bytes) -> _Content:
        """Measure one element, and sort what is inside a sequence."""
        if self._explicit:
            _, vr, length, size = read_explicit(header, little=self._little)
            sequence = vr == b"SQ"
        else:
            size = 8
            length = self._read_length(header, 4)[0]
            # a private sequence of defined length is left as it is: its creator is not looked up again
            sequence = length == UNDEFINED or (not tag & 0x10000 and self._dictionary.vr(tag) == "SQ")
        if length == UNDEFINED and tag == PIXEL_DATA and self._explicit and not sequence:
            end = self._fragments_end(at + size)
            return _Content([(at, end - at)], end, end - at)
        if sequence and not self._explicit and length != UNDEFINED:
            found = self._likely_sequence(at, size, length)
            if found is not None:
                return found
            sequence = False
        if not sequence:
            return _Content([(at, size + length)], at + size + length, size + length)
        return self._sequence(at, size, length)

    def _likely_sequence(self, at: int, size: int, length: int) -> _Content | None:
        """Read what the dictionary calls a sequence; None when the data set had another VR for it."""
        elements = self._elements
        try:
            content = self._sequence(at, size, length)
        except InstanceError:
            if self._elements > MOST_ELEMENTS:
                raise
            content = None
        self._elements = elements
        return content if content is not None and content.end == at + size + length else None

    def _sequence(self, at: int, size: int, length: int) -> _Content:
        """Read the items of a sequence."""
        pieces: list[Piece] = []
        start = pos = at + size
        total = 0
        while length == UNDEFINED or pos < start + length:
            header = self._read(pos)
            group, element, item_length = self._read_implicit(header)
            if group << 16 | element != ITEM:
                break
            inside = self._dataset(pos + 8, UNDEFINED if item_length == UNDEFINED else pos + 8 + item_length)
            if item_length == UNDEFINED:
                _join(pieces, [(pos, 8), *inside.pieces, (inside.end, 8)])
                pos = inside.end + 8
                total += inside.length + 16
            else:
                head: Piece = (pos, 8)
                if inside.length != item_length:
                    head = header[:4] + self._pack_length(inside.length)
                _join(pieces, [head, *inside.pieces])
                pos = inside.end
                total += inside.length + 8
        if length == UNDEFINED:
            _join(pieces, [(pos, 8)])
            pos += 8
            total += 8
        whole: list[Piece] = []
        if length in {UNDEFINED, total}:
            whole.append((at, size))
        else:
            whole.append(self._read(at)[:size - 4] + self._pack_length(total))
        _join(whole, pieces)
        return _Content(whole, pos, size + total)

    def _fragments_end(self, at: int) -> int:
        """Return the offset behind the delimiter of encapsulated Pixel Data."""
        while True:
            header = self._read(at)
            group, element, length = self._read_implicit(header)
            at += 8 + int(length)
            if group << 16 | element != ITEM:
                return at

    def _fail(self, message: str) -> NoReturn:
        """Refuse the data set; where the fault was in what was received, nobody knows any more."""
        raise InstanceError(message, status=0xC000)


def _join(pieces: list[Piece], more: list[Piece]) -> None:
    """Append pieces; adjacent ranges become one."""
    for piece in more:
        if pieces and isinstance(piece, tuple):
            last = pieces[-1]
            if isinstance(last, tuple) and last[0] + last[1] == piece[0]:
                pieces[-1] = (last[0], last[1] + piece[1])
                continue
        pieces.append(piece)
