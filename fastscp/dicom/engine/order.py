"""Putting a written data set into ascending tag order (PS3.5 §7.1), as storescp does.

Strategy: data sets out of order are rare, so the engine writes them as they come, and afterwards the
result is read back once, header by header. Elements are only moved as ranges of the file: a plan of ranges
and replaced headers is made, copied to a spool and back. The second of two equal tags is dropped; lengths
of enclosing items and of groups, and padding, are corrected. Values are not looked at.

Invariants: everything happens in steps of a few milliseconds, between which ``run`` yields. Memory: five words for
an element of a level that is being read, two for a piece of what was found out of order, at most ``MOST_ELEMENTS`` of
both together. What looks like a sequence is never read beyond its end, and no deeper than the engine reads: so nothing
is read twice, and recursion is bounded.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.arrange import STEP, Arranger, Elements
from fastscp.dicom.engine.pieces import Pieces
from fastscp.dicom.engine.sink import Sink
from fastscp.dicom.headers import IMPLICIT, LENGTH, PACKERS, UNDEFINED, read_explicit
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.tags import DELIMITERS, ITEM, PIXEL_DATA, SEQUENCE_END
from fastscp.dicom.uids import TransferSyntax
from fastscp.errors import InstanceError, StorageError

MOST_ELEMENTS: Final = 400_000
_BLOCK: Final = 65536
_COPY_OCTETS: Final = 1 << 20
_OCTETS_PER_PIECE: Final = _COPY_OCTETS // STEP  #: what a piece costs, beside its octets


class _Broken(Exception):  # noqa: N818 - no error where it was only guessed what is there
    """What should be there is not."""


class _TooDeep(Exception):  # noqa: N818 - as above
    """Deeper than any sequence that was written."""


class _Within(NamedTuple):
    """What is around an element."""

    bound: int  #: it ends at this offset of the file at the latest
    depth: int  #: sequences it is in
    guessed: bool  #: one of them may be something else


_Steps = Generator[None, None, tuple[int, int]]  #: where something ends in the file, and its length when it is sorted


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
        self._pack_length = PACKERS[little][3]
        self._options = options
        self._arranger = Arranger(syntax)
        self._block = b""
        self._block_at = 0
        self._pieces = Pieces()
        self._alive = 0  #: elements of the levels that are being read
        self._steps = 0

    def run(self, end: int) -> Iterator[None]:
        """Sort up to ``end``, and put what is sorted in the place of what is there; yields after each step.

        Raises InstanceError for more elements than can be sorted, StorageError when the spool fails.
        """
        try:
            yield from self._dataset(self._base, end, _Within(end, 0, guessed=False))
        except (_Broken, _TooDeep) as error:
            raise InstanceError("what was written cannot be read back") from error
        try:
            with self._sink.spool() as spool:
                step = 0
                for octets in self._octets():
                    spool.write(octets)
                    step += len(octets) + _OCTETS_PER_PIECE
                    if step >= _COPY_OCTETS:
                        step = 0
                        yield
                spool.seek(0)
                self._sink.truncate(self._base)
                while octets := spool.read(_COPY_OCTETS):
                    self._sink.write([octets])
                    yield
        except OSError as error:
            raise StorageError(f"cannot use a spool: {error.strerror}", errno=error.errno) from error

    def _octets(self) -> Iterator[bytes]:
        pieces = self._pieces
        for index in range(len(pieces)):
            done, length = 0, pieces.length(index)
            while done < length:
                octets = pieces.read(index, done, _COPY_OCTETS, self._sink)
                if not octets:
                    raise InstanceError("what was written cannot be read back")
                yield octets
                done += len(octets)

    # -- reading back -----------------------------------------------------------------------------

    def _read(self, offset: int, bound: int) -> bytes:
        """Return the 12 octets at an offset, fewer at the end; there have to be 8 before ``bound``."""
        at = offset - self._block_at
        if at < 0 or at + 12 > len(self._block):
            self._block = self._sink.read(offset, _BLOCK)
            self._block_at = offset
            at = 0
        header = self._block[at:at + 12]
        if len(header) < 8 or offset + 8 > bound:
            raise _Broken
        return header

    def _pause(self) -> bool:
        """Count something that was read; tell whether a step is over."""
        self._steps += 1
        return not self._steps & STEP

    def _dataset(self, start: int, end: int, within: _Within) -> _Steps:
        """Read the elements of the data set or of an item; ``end`` is UNDEFINED for a delimited item."""
        pieces = self._pieces
        first, barrier = len(pieces), pieces.barrier
        found = Elements()
        at = start
        while end == UNDEFINED or at < end:
            if self._pause():
                yield
            header = self._read(at, within.bound)
            group, element, _ = self._read_implicit(header)
            if end == UNDEFINED and group == DELIMITERS:
                break
            pieces.barrier = index = len(pieces)
            tag = group << 16 | element
            at, length = yield from self._element(at, tag, header, within)
            found.add(tag, index, length, counts=not element and self._is_group_length(header))
            self._alive += 1
            if self._alive + index > MOST_ELEMENTS:
                raise InstanceError("too many elements in a data set that is not in order")
            found.changed = found.changed or len(pieces) != index + 1 or not pieces.is_range(index)
        length = at - start
        if found.ascending and not found.changed:
            pieces.cut(first)
            pieces.barrier = barrier
            if length:
                pieces.add(start, length)
        else:
            options = self._options
            multiple, before = (options.item_padding, 0) if within.depth else (options.file_padding, self._base)
            length = yield from self._arranger.arrange(found, pieces, multiple, before)
            pieces.barrier = barrier
        self._alive -= len(found.tags)
        return at, length

    def _is_group_length(self, header: bytes) -> bool:
        """Tell whether an element (gggg,0000) is one: a sequence stays what it is."""
        if self._explicit:
            return header[4:6] == b"UL"
        return 4 <= int(self._read_length(header, 4)[0]) < UNDEFINED

    def _element(self, at: int, tag: int, header: bytes, within: _Within) -> _Steps:
        """Measure one element, and sort what is inside a sequence."""
        if self._explicit:
            _, vr, length, size = read_explicit(header, little=self._little)
            certain, likely = vr == b"SQ", False
        else:
            size = 8
            length = self._read_length(header, 4)[0]
            certain = length == UNDEFINED
            # a private sequence of defined length is left as it is: its creator is not looked up again
            likely = not tag & 0x10000 and self._dictionary.vr(tag) == "SQ"
        if certain:
            return (yield from self._sequence(at, header[:size], length, within))
        if length == UNDEFINED and tag == PIXEL_DATA:
            end = yield from self._fragments_end(at + size, within.bound)
        else:
            end = at + size + length
        if end > within.bound:
            raise _Broken
        if likely:
            new_length = yield from self._likely_sequence(at, header[:size], length, within)
            if new_length:
                return end, new_length
        self._pieces.add(at, end - at)
        return end, end - at

    def _likely_sequence(self, at: int, header: bytes, length: int, within: _Within) -> Generator[None, None, int]:
        """Read what the dictionary calls a sequence; return 0 when the data set had another VR for it."""
        pieces, alive = self._pieces, self._alive
        mark, barrier = pieces.mark(), pieces.barrier
        try:
            _, new_length = yield from self._sequence(at, header, length, within._replace(guessed=True))
        except _TooDeep:
            if within.guessed:  # the mistake was made further out
                raise
        except _Broken:
            pass
        else:
            return new_length
        pieces.back(mark)
        pieces.barrier = barrier
        self._alive = alive
        return 0

    def _sequence(self, at: int, header: bytes, length: int, within: _Within) -> _Steps:
        """Read the items of a sequence."""
        if within.depth >= self._options.max_depth:
            raise _TooDeep
        pieces = self._pieces
        first, size = len(pieces), len(header)
        pieces.add(at, size)
        pos = start = at + size
        end = within.bound if length == UNDEFINED else start + length
        if end > within.bound:
            raise _Broken
        inside = _Within(end, within.depth + 1, within.guessed)
        total = 0
        while length == UNDEFINED or pos < end:
            if self._pause():
                yield
            head = self._read(pos, end)
            group, element, item_length = self._read_implicit(head)
            tag = group << 16 | element
            pieces.barrier = len(pieces)
            if tag == ITEM:
                pos, octets = yield from self._item(pos, head, item_length, inside)
            elif tag == SEQUENCE_END and length == UNDEFINED:
                octets = 8
                pieces.add(pos, octets)
                pos += octets
            else:
                raise _Broken
            pieces.fold(pieces.barrier, first + 1)
            total += octets
            if tag != ITEM:
                break
        if length not in {UNDEFINED, total}:
            pieces.replace(first, header[:size - 4] + self._pack_length(total))
        pieces.fold(first, first)
        return pos, size + total

    def _item(self, pos: int, header: bytes, length: int, within: _Within) -> _Steps:
        """Read an item."""
        pieces = self._pieces
        index = len(pieces)
        pieces.add(pos, 8)
        pieces.barrier = index + 1
        start = pos + 8
        if length == UNDEFINED:
            end, octets = yield from self._dataset(start, UNDEFINED, within)
            self._read(end, within.bound)  # its delimiter
            pieces.add(end, 8)
            end += 8
            octets += 8
        else:
            end = start + length
            if end > within.bound:
                raise _Broken
            _, octets = yield from self._dataset(start, end, within._replace(bound=end))
            if octets != length:
                pieces.replace(index, header[:4] + self._pack_length(octets))
        pieces.barrier = index
        return end, 8 + octets

    def _fragments_end(self, at: int, bound: int) -> Generator[None, None, int]:
        """Return the offset behind the delimiter of encapsulated Pixel Data."""
        while True:
            if self._pause():
                yield
            group, element, length = self._read_implicit(self._read(at, bound))
            at += 8 + int(length)
            if group << 16 | element != ITEM:
                return at
