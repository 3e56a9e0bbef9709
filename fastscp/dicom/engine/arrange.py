"""The elements of one level in the order they ought to have: ascending, each tag once, lengths and padding right.

Source: PS3.5 §7.1 (order), §7.2 (group length); PS3.10 §7.2 (padding)
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Generator, Iterable, Iterator
from typing import Final

from fastscp.dicom.engine.output import padding_octets
from fastscp.dicom.engine.pieces import Pieces
from fastscp.dicom.headers import PACKERS
from fastscp.dicom.tags import PADDING
from fastscp.dicom.uids import TransferSyntax

STEP: Final = 127  #: elements or pieces of one step, a number of ones in binary
_RUN: Final = 4096  #: tags that are sorted in one step
_INDEX_BITS: Final = 24


class Elements:
    """The elements of a level so far: their tags, their first pieces, and their lengths when they are sorted."""

    __slots__ = ("ascending", "changed", "counts", "firsts", "lengths", "tags")

    def __init__(self) -> None:
        self.tags = array("q")
        self.firsts = array("q")
        self.lengths = array("q")
        self.counts = bytearray()  #: whether it is a group length
        self.ascending = True
        self.changed = False  #: something inside is not as it is in the file

    def add(self, tag: int, first: int, length: int, *, counts: bool) -> None:
        """Take the next element."""
        tags = self.tags
        if tags and tag <= tags[-1]:
            self.ascending = False
        tags.append(tag)
        self.firsts.append(first)
        self.lengths.append(length)
        self.counts.append(counts)


class Arranger:
    """Arranges the elements of levels in one encoding."""

    def __init__(self, syntax: TransferSyntax) -> None:
        self._explicit = syntax.explicit_vr
        self._pack_short, self._pack_long, self._pack_implicit, self._pack_length = PACKERS[syntax.little_endian]

    def arrange(self, found: Elements, pieces: Pieces, multiple: int, before: int) -> Generator[None, None, int]:
        """Put the last pieces, those of ``found``, in order; return how many octets they are now. Yields after each step.

        They are padded with what is ``before`` them to a ``multiple`` of octets, if that is not 0.
        """
        in_order, length, groups = yield from self._choose(found, multiple)
        padding = padding_octets(before + length, multiple, len(self._padding(0))) if multiple else None
        tags, lengths, firsts = found.tags, found.lengths, found.firsts
        first, target = firsts[0] if firsts else len(pieces), pieces.apart()
        firsts.append(len(pieces))
        for step, index in enumerate(in_order):
            if not step & STEP:
                yield
            tag = tags[index]
            if padding is not None and tag > PADDING:
                length += self._pad(target, padding)
                padding = None
            if not found.counts[index]:
                pieces.move(firsts[index], firsts[index + 1], target)
                continue
            target.add_octets(self._group_length(tag >> 16, lengths[index] - 8, groups.get(tag >> 16, 0)))
            if lengths[index] > 12:  # surplus octets stay
                target.add(pieces.offset(firsts[index]) + 12, lengths[index] - 12)
        if padding is not None:
            length += self._pad(target, padding)
        pieces.put(first, target)
        return length

    @staticmethod
    def _choose(found: Elements, multiple: int) -> Generator[None, None, tuple[array[int], int, dict[int, int]]]:
        """Find the order of the elements, without those that are dropped, and the length of all and of each group."""
        tags, lengths = found.tags, found.lengths
        order: Iterable[int] = range(len(tags))
        if not found.ascending:
            runs = []
            for at in range(0, len(tags), _RUN):
                runs.append(array("q", sorted(tags[index] << _INDEX_BITS | index
                                              for index in range(at, min(at + _RUN, len(tags))))))
                yield
            order = _first_of_equals(runs)
        in_order = array("q")
        length = 0
        groups: dict[int, int] = {}
        for index in order:
            if not len(in_order) & STEP:
                yield
            tag = tags[index]
            if multiple and tag == PADDING:
                continue
            in_order.append(index)
            length += lengths[index]
            if tag & 0xFFFF:
                groups[tag >> 16] = groups.get(tag >> 16, 0) + lengths[index]
        return in_order, length, groups

    def _group_length(self, group: int, octets: int, value: int) -> bytes:
        """Encode a group length, of which the value has ``octets``."""
        header = self._pack_short(group, 0, b"UL", octets) if self._explicit else self._pack_implicit(group, 0, octets)
        return header + self._pack_length(value)

    def _padding(self, octets: int) -> bytes:
        """Encode the header of the element that pads the others."""
        if self._explicit:
            return self._pack_long(0xFFFC, 0xFFFC, b"OB", 0, octets)
        return self._pack_implicit(0xFFFC, 0xFFFC, octets)

    def _pad(self, target: Pieces, octets: int) -> int:
        """Append the element that pads the others; return its length."""
        header = self._padding(octets)
        target.add_octets(header)
        if octets:
            target.add_zeros(octets)
        return len(header) + octets


def _first_of_equals(runs: list[array[int]]) -> Iterator[int]:
    """Yield the indices of sorted tags, of equal ones the first."""
    last = -1
    for key in heapq.merge(*runs):
        if key >> _INDEX_BITS != last:
            last = key >> _INDEX_BITS
            yield key & (1 << _INDEX_BITS) - 1
