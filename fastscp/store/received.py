"""A data set octet for octet as it was received, while another form of it is being written.

Strategy: what the engine writes as it comes (``fastscp.dicom.rewriter.Trace``) is in the temporary already, and is
remembered as a range of that; the rest, the header mostly, is copied into memory, and into a spool when it gets long.

Memory: ``_IN_MEMORY_OCTETS`` and ``_MOST_SEGMENTS`` pairs of numbers. perf/bench.py shows what it costs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import IO, Final

from fastscp.errors import StorageError
from fastscp.store.directory import storage_error
from fastscp.store.sink import InstanceSink

_IN_MEMORY_OCTETS: Final = 262144
_MOST_SEGMENTS: Final = 8192  #: ranges beyond are copied like everything else
_STEP_OCTETS: Final = 1 << 22  #: copied at a time, about a millisecond
_PIECE_OCTETS: Final = 1 << 20
#: copy_file_range(2) cannot, between these file systems
_NO_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
_COPIED: Final = -1  #: in the place of a file offset

View = bytes | memoryview


class Received:
    """What came of one data set so far; ``sink`` is the temporary that is being written from it."""

    def __init__(self, sink: InstanceSink) -> None:
        self.octets = 0
        self._sink = sink
        self._segments: list[tuple[int, int]] = []  #: (offset in the temporary, or _COPIED; octets), in order
        self._until = 0  #: where the last range ends; it may be longer than what came so far
        self._memory = bytearray()
        self._spool: IO[bytes] | None = None

    def take(self, views: Sequence[View], passages: Sequence[tuple[int, int, int]] = ()) -> None:
        """Take note of octets that are in the temporary as far as ``passages`` say, (offset received, in the file, octets).

        Raises StorageError when the rest cannot be kept.
        """
        start = self.octets
        end = self.octets = start + sum(map(len, views))
        if end <= self._until:
            return
        at = max(start, self._until)
        for begin, offset, octets in passages:
            stop = begin + octets
            if stop <= at or len(self._segments) >= _MOST_SEGMENTS:
                continue
            if begin > at:
                self._copy(views, at - start, begin - start)
                at = begin
            self._add(offset + at - begin, stop - at)
            at = stop
        self._until = at
        if at < end:
            self._copy(views, at - start, end - start)

    def take_unwritten(self, views: Sequence[View]) -> None:
        """Take octets of which nothing is in the temporary, whatever was expected."""
        self._end_range()
        self.take(views)

    def securing(self) -> Iterator[None]:
        """Copy everything, in steps: what is in the temporary is about to change places."""
        self._end_range()
        spool = self._sink.spool()
        try:
            for piece in self._pieces():
                spool.write(piece)
                yield
        except OSError as error:
            raise storage_error("write to", "a spool", error) from error
        self._memory.clear()
        self._spool = spool
        self._segments = [(_COPIED, self.octets)]

    def copy_to(self, target: InstanceSink, at: int) -> Iterator[int]:
        """Write everything to ``target`` from ``at`` on, in steps; yield the octets of each. Raises StorageError."""
        self._end_range()
        copied = 0
        for offset, octets in self._segments.copy():
            done = 0
            while done < octets:
                size = min(octets - done, _STEP_OCTETS)
                if offset == _COPIED:
                    target.patch(at, self._read(copied, size))
                    copied += size
                else:
                    _copy(self._sink, target, offset + done, at, size)
                at += size
                done += size
                yield size

    # -- segments ---------------------------------------------------------------------------------

    def _add(self, offset: int, octets: int) -> None:
        """Add a range, or lengthen the one that it continues."""
        if self._segments:
            last, length = self._segments[-1]
            if last != _COPIED and last + length == offset:
                self._segments[-1] = last, length + octets
                return
        self._segments.append((offset, octets))

    def _end_range(self) -> None:
        """End the last range where the octets end that came of it."""
        surplus = self._until - self.octets
        if surplus > 0:
            offset, octets = self._segments.pop()
            if octets > surplus:
                self._segments.append((offset, octets - surplus))
            self._until = self.octets

    def _copy(self, views: Sequence[View], begin: int, end: int) -> None:
        """Keep the octets from ``begin`` to ``end`` of the views."""
        if self._segments and self._segments[-1][0] == _COPIED:
            self._segments[-1] = _COPIED, self._segments[-1][1] + end - begin
        else:
            self._segments.append((_COPIED, end - begin))
        at = 0
        for view in views:
            size = len(view)
            if at + size > begin and at < end:
                self._memory += view[max(begin - at, 0):end - at]
                if len(self._memory) > _IN_MEMORY_OCTETS:
                    self._spill()
            at += size

    # -- what was copied --------------------------------------------------------------------------

    def _spill(self) -> None:
        """Move what is in memory to the end of the spool."""
        if self._spool is None:
            self._spool = self._sink.spool()
        try:
            self._spool.seek(0, 2)
            self._spool.write(self._memory)
        except OSError as error:
            raise storage_error("write to", "a spool", error) from error
        self._memory.clear()

    def _read(self, at: int, size: int) -> bytes:
        if self._spool is None:
            return bytes(self._memory[at:at + size])
        if self._memory:
            self._spill()
        try:
            self._spool.seek(at)
            octets = self._spool.read(size)
        except OSError as error:
            raise storage_error("read", "a spool", error) from error
        if len(octets) != size:
            raise StorageError("a spool is shorter than what was written")
        return octets

    def _pieces(self) -> Iterator[bytes]:
        copied = 0
        for offset, octets in self._segments:
            done = 0
            while done < octets:
                size = min(octets - done, _STEP_OCTETS)
                if offset == _COPIED:
                    yield self._read(copied, size)
                    copied += size
                else:
                    piece = self._sink.read(offset + done, size)
                    if len(piece) != size:
                        raise StorageError("a temporary file is shorter than what was written")
                    yield piece
                done += size


def _copy(source: InstanceSink, target: InstanceSink, offset: int, at: int, octets: int) -> None:
    """Overwrite at ``at`` with octets that ``source`` has at ``offset``; in the kernel where it can."""
    while octets:
        try:
            copied = os.copy_file_range(source.fd, target.fd, octets, offset, at)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise storage_error("write to", "a file of the quarantine", error) from error
            piece = source.read(offset, min(octets, _PIECE_OCTETS))
            target.patch(at, piece)
            copied = len(piece)
        if not copied:
            raise StorageError("a temporary file is shorter than what was written")
        offset, at, octets = offset + copied, at + copied, octets - copied
