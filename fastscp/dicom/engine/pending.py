"""A value too large to be held, on its way from the input to the output piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastscp.dicom.engine import values
from fastscp.dicom.engine.output import Output

HELD: Final = 65536  #: values up to this many octets are not pending: they are seen as a whole

_AS_IT_IS: Final = values.Verbatim(b"")

#: A stretch that is written as it comes: its offset in the data set as received, its offset in the file, its octets.
Passage = tuple[int, int, int]


class PendingValue:
    """The value that is passing by, if one is; what becomes of its pieces is a filter's business."""

    __slots__ = ("_filter", "_out", "_start", "_written", "left", "offset", "passages", "tag", "verbatim_left")

    def __init__(self, output: Output) -> None:
        self._out = output
        self._filter: values.Filter = _AS_IT_IS
        self._start = 0
        self._written = 0
        self.left = 0  #: octets still to come
        self.tag = 0  #: whose value it is
        self.offset = 0  #: of its header in the input
        self.verbatim_left = 0  #: octets that may go to the sink without a look, see ``passed``
        self.passages: list[Passage] | None = None  #: of values written as they come, where somebody wants to know

    def begin(self, chosen: values.Filter, start: int, length: int, *, tag: int, pos: int) -> int:
        """Take a value of ``length`` octets from position ``start`` of the buffer on; return ``start``.

        The header of ``tag`` is at ``pos``. What the buffer has of the value is forwarded at once.
        """
        self.tag, self.offset = tag, self._out.origin + pos
        rest = self._out.leave(start)
        self._filter = chosen
        self.left = length
        if self.passages is not None and chosen.verbatim:
            self._remember(self.passages)
        if rest:
            self.feed(rest)
        return start

    def measure(self, start: int, written: int) -> None:
        """Remember that the value begins at file offset ``start``, behind a length field that says ``written``."""
        self._start = start
        self._written = written

    def resume(self, octets: int, tag: int, offset: int) -> None:
        """Take a value, to be written as it is, whose header at ``offset`` was not read."""
        self.tag, self.offset = tag, offset
        self._filter = _AS_IT_IS
        self.left = octets
        if self.passages is not None:
            self._remember(self.passages)

    def _remember(self, passages: list[Passage]) -> None:
        """Remember where the value is in input and output, before anything of it is written."""
        origin = self._out.origin
        passages.append((origin, origin + self._out.shift, self.left))

    def feed(self, piece: bytes | memoryview) -> int:
        """Forward a piece, not longer than what is left; return its length."""
        out = self._out
        size = len(piece)
        written = out.append(self._filter.feed(piece))
        out.origin += size
        out.shift += written - size
        self.left -= size
        self.verbatim_left = self.left if self._filter.verbatim else 0
        if not self.left:
            rest = self._filter.finish()
            out.shift += out.append([rest])
            if self.may_shrink:
                actual = out.size - self._start
                if actual != self._written:
                    out.patch(self._start - 4, out.pack_length(actual))
        return size

    def forward(self, views: Sequence[bytes | memoryview]) -> bool:
        """Forward pieces from the middle at once; False, and nothing done, when the value ends in them."""
        octets = sum(map(len, views))
        if octets >= self.verbatim_left:
            return False
        self._out.append(views)
        self._out.origin += octets
        self.left -= octets
        self.verbatim_left -= octets
        return True

    def passed(self, octets: int) -> None:
        """Account for input that went to the sink as it is, less than ``verbatim_left``."""
        self.verbatim_left -= octets
        self.left -= octets
        self._out.passed(octets)

    @property
    def may_shrink(self) -> bool:
        """Whether its length is known at its end only."""
        return isinstance(self._filter, values.TrimText)

    @property
    def padded(self) -> bool:
        """Whether something will be added behind it."""
        return self.left > 0 and bool(self._filter.finish())

    @property
    def untouched(self) -> bool:
        """Whether all that came of it was written as it is, and nothing will be added."""
        return self._filter.verbatim and not self._filter.finish() and 0 < self.left == self.verbatim_left
