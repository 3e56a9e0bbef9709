"""What a data set is put together from, when it is sorted: ranges of a file, octets and zeros, in order.

Layout: two 64-bit numbers a piece, an offset and a length. An offset from 0 on is one of the file, ``_ZEROS`` stands
for zeros, any other negative number is the complement of an offset in what was given as octets. Neighbours that are
neighbours in the file as well become one piece, but not across ``barrier``.
"""

from __future__ import annotations

from array import array
from typing import Final

from fastscp.dicom.engine.sink import Sink

_ZEROS: Final = -(1 << 62)

Mark = tuple[int, int]  #: how much there was at a time


class Pieces:
    """A list of pieces that grows at its end; indices count pieces."""

    __slots__ = ("_numbers", "_octets", "barrier")

    def __init__(self) -> None:
        self._numbers = array("q")
        self._octets = bytearray()
        self.barrier = 0  #: the piece with this index, and all behind it, are not joined to what is before it

    def __len__(self) -> int:
        return len(self._numbers) >> 1

    def add(self, offset: int, length: int) -> None:
        """Append a range of the file."""
        numbers = self._numbers
        if len(numbers) >> 1 > self.barrier and _meet(numbers[-2], numbers[-1], offset):
            numbers[-1] += length
        else:
            numbers.append(offset)
            numbers.append(length)

    def add_octets(self, octets: bytes) -> None:
        """Append octets."""
        self.add(~len(self._octets), len(octets))
        self._octets += octets

    def add_zeros(self, length: int) -> None:
        """Append octets that are zero."""
        self.add(_ZEROS, length)

    def replace(self, index: int, octets: bytes) -> None:
        """Put octets in the place of a piece."""
        self._numbers[2 * index] = ~len(self._octets)
        self._numbers[2 * index + 1] = len(octets)
        self._octets += octets

    def fold(self, index: int, floor: int) -> None:
        """Join the last piece, or the last two, from ``index`` on; and what becomes of it to the one before ``index``.

        More than two stay as they are, and ``floor`` is not joined to anything before it.
        """
        if len(self) == index + 2:
            self._join(index)
        if len(self) == index + 1 and index > floor:
            self._join(index - 1)

    def _join(self, index: int) -> None:
        """Join the last two pieces, ``index`` and the one behind it, where they meet."""
        numbers = self._numbers
        if _meet(numbers[-4], numbers[-3], numbers[-2]):
            numbers[2 * index + 1] += numbers[-1]
            del numbers[-2:]

    def move(self, first: int, last: int, target: Pieces) -> None:
        """Append the pieces from ``first`` to before ``last`` to another list of the same file and octets."""
        numbers = self._numbers
        target.add(numbers[2 * first], numbers[2 * first + 1])
        target._numbers += numbers[2 * first + 2:2 * last]

    def apart(self) -> Pieces:
        """Return an empty list with the same octets."""
        other = Pieces()
        other._octets = self._octets
        return other

    def put(self, index: int, others: Pieces) -> None:
        """Put others, made by ``apart``, in the place of all from ``index`` on."""
        del self._numbers[2 * index:]
        self._numbers += others._numbers

    def is_range(self, index: int) -> bool:
        """Tell whether a piece is a range of the file."""
        return self._numbers[2 * index] >= 0

    def offset(self, index: int) -> int:
        """Return where in the file a range begins."""
        return self._numbers[2 * index]

    def length(self, index: int) -> int:
        """Return how many octets a piece has."""
        return self._numbers[2 * index + 1]

    def cut(self, index: int) -> None:
        """Forget all pieces from ``index`` on."""
        del self._numbers[2 * index:]

    def mark(self) -> Mark:
        """Return what ``back`` wants."""
        return len(self._numbers), len(self._octets)

    def back(self, mark: Mark) -> None:
        """Forget everything that was added since."""
        del self._numbers[mark[0]:]
        del self._octets[mark[1]:]

    def read(self, index: int, skip: int, most: int, sink: Sink) -> bytes:
        """Return up to ``most`` octets of a piece, after the first ``skip``; b"" when the file does not have them."""
        offset, length = self._numbers[2 * index:2 * index + 2]
        most = min(most, length - skip)
        if offset == _ZEROS:
            return bytes(most)
        if offset < 0:
            return bytes(self._octets[~offset + skip:~offset + skip + most])
        return sink.read(offset + skip, most)


def _meet(offset: int, length: int, behind: int) -> bool:
    """Tell whether what is at ``behind`` follows a piece in the file."""
    return offset >= 0 and offset + length == behind
