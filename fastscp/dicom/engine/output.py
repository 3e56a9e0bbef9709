"""The writing half of the engine: runs of untouched input, replaced pieces, and lengths known too late.

Strategy: the input buffer is forwarded in runs as long as possible; ``cut`` replaces a stretch of it. A
length that is only known at the end of a sequence, item or group is patched: in the batch while it is still
in memory, in the file afterwards. So memory is bounded by the batch, whatever the object's size.

Invariant: the file offset of input octet ``origin + pos`` is ``origin + pos + shift``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import IO, Final, Protocol

from fastscp.dicom.engine.values import swapped
from fastscp.dicom.uids import TransferSyntax
from fastscp.errors import InstanceError

UNDEFINED: Final = 0xFFFFFFFF
_LONGEST_SHORT: Final = 0xFFFF  #: longest value behind a 16-bit length

_LONG_LAYOUT: Final = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SV", b"UV", b"UN", b"UC", b"UR",
                                 b"UT", b"SQ"})


#: By little_endian: short and long explicit header, implicit header, length (PS3.5 §7.1).
_PACKERS: Final = {
    little: tuple(struct.Struct(order + layout).pack for layout in ("HH2sH", "HH2sHL", "HHL", "L"))
    for little, order in ((True, "<"), (False, ">"))
}


class Sink(Protocol):
    """Where the octets go. Errors of the sink (StorageError) pass through the engine."""

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append; the buffers are consumed before it returns."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite at an offset of the file."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before."""

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``."""

    def spool(self) -> IO[bytes]:
        """Return an unnamed temporary file, closed and removed with the sink."""


def padding_octets(length: int, multiple: int, header: int) -> int | None:
    """Return the value length of the Data Set Trailing Padding (PS3.10 §7.2) that fills up to a multiple of octets.

    ``length`` is what there is without it, ``header`` the length of its header; None when nothing is missing.
    """
    missing = -length % multiple
    if not missing:
        return None
    while missing < header:
        missing += multiple
    return missing - header


class Output:
    """What one data set becomes, in order, with patches."""

    recording = False  #: cuts have to tell headers from values
    too_long = b"UN"  #: VR of values that are too long for theirs (PS3.5 §6.2.2)
    buf = b""
    run = 0  #: where the pending run begins in ``buf``
    origin = 0  #: offset of ``buf[0]`` in the data set as received

    def __init__(self, sink: Sink, base: int, syntax: TransferSyntax) -> None:
        self.explicit = syntax.explicit_vr
        self.little = syntax.little_endian
        self.pack_short, self.pack_long, self.pack_implicit, self.pack_length = _PACKERS[syntax.little_endian]
        self._sink = sink
        self._late: list[tuple[int, bytes]] = []
        self._patches: list[tuple[int, bytes]] = []
        self._ready: list[bytes | bytearray | memoryview] = []
        self._pieces: list[bytes] = []
        self._sealed = base  #: file offset behind what is ready
        self.shift = base

    def cut(self, at: int, upto: int, new: bytes) -> None:
        """Write ``new`` in the place of ``buf[at:upto]``."""
        run = self.run
        if at > run:
            self._pieces.append(self.buf[run:at])
        if new:
            self._pieces.append(new)
        self.run = upto
        self.shift += len(new) - upto + at

    def swap(self, start: int, end: int, width: int) -> None:
        """Change the byte order of the numbers of ``width`` octets in ``buf[start:end]``."""
        self.cut(start, end, swapped(self.buf[start:end], width))

    def header(self, group: int, element: int, vr: bytes, length: int) -> bytes:
        """Encode a data element's header; a value too long for a 16-bit length becomes ``too_long``."""
        if not self.explicit:
            return self.pack_implicit(group, element, length)
        if vr in _LONG_LAYOUT:
            return self.pack_long(group, element, vr, 0, length)
        if length > _LONGEST_SHORT:
            return self.pack_long(group, element, self.too_long, 0, length)
        return self.pack_short(group, element, vr, length)

    def keeps_vr(self, vr: bytes, length: int) -> bool:
        """Tell whether ``header`` writes this VR, and not ``too_long``, before a value of this length."""
        return length <= _LONGEST_SHORT or vr in _LONG_LAYOUT or not self.explicit

    def length_octets(self, length: int) -> bytes:
        """Encode the explicit length of a sequence, item or group."""
        if length >= UNDEFINED:
            raise InstanceError("a sequence or group is too long for an explicit length")
        return self.pack_length(length)

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite what was written before."""
        if offset < self._sealed:
            self._late.append((offset, octets))
        else:
            self._patches.append((offset, octets))

    def seal(self, pos: int) -> None:
        """End the batch at ``buf[pos]``: apply its patches and make it ready to be written."""
        pieces = self._pieces
        if pos > self.run:
            pieces.append(self.buf[self.run:pos] if self.run or pos < len(self.buf) else self.buf)
            self.run = pos
        if not pieces:
            return
        if self._patches:
            batch = bytearray().join(pieces)
            sealed = self._sealed
            for offset, octets in self._patches:
                start = offset - sealed
                batch[start:start + len(octets)] = octets
            self._patches.clear()
            self._ready.append(batch)
            self._sealed += len(batch)
        else:
            joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._ready.append(joined)
            self._sealed += len(joined)
        pieces.clear()

    def leap(self, octets_in: int, octets_out: bytes) -> int:
        """Take ``octets_out`` for the first ``octets_in`` octets of the input; return where they begin."""
        base = self._sealed
        self._ready.append(octets_out)
        self._sealed += len(octets_out)
        self.origin += octets_in
        self.shift += len(octets_out) - octets_in
        return base

    def append(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Append behind what is sealed; return the number of octets."""
        count = 0
        for piece in pieces:
            if piece:
                self._ready.append(piece)
                count += len(piece)
        self._sealed += count
        return count

    def passed(self, octets: int) -> None:
        """Account for input that went to the sink as it is; nothing may be waiting to be written."""
        self.origin += octets
        self._sealed += octets

    def write(self) -> None:
        """Hand everything that is ready to the sink, then patch what the sink has."""
        if self._ready:
            self._sink.write(self._ready)
            self._ready.clear()
        if self._late:
            patch = self._sink.patch
            for offset, octets in self._late:
                patch(offset, octets)
            self._late.clear()

    @property
    def size(self) -> int:
        """File offset behind everything sealed."""
        return self._sealed


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Drop the buffers."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Drop the patch."""

    def read(self, offset: int, size: int) -> bytes:
        """There is nothing to read."""
        raise NotImplementedError(f"{size} octets at {offset} of a recording")

    def truncate(self, size: int) -> None:
        """There is nothing to shorten."""
        raise NotImplementedError(f"recording shortened to {size}")

    def spool(self) -> IO[bytes]:
        """Refuse: a recording needs no spool."""
        raise NotImplementedError


class RecordingOutput(Output):
    """Remembers how an output is made from its input: ``cuts`` in input, ``patches`` in output offsets.

    A cut is (begin, end, replacement); the replacement of numbers whose byte order changes is their width.
    """

    recording = True

    def __init__(self, syntax: TransferSyntax) -> None:
        super().__init__(_Nowhere(), 0, syntax)
        self.cuts: list[tuple[int, int, bytes | int]] = []
        self.patches: list[tuple[int, bytes]] = []

    def cut(self, at: int, upto: int, new: bytes) -> None:
        """Record the replacement, then make it."""
        self.cuts.append((self.origin + at, self.origin + upto, new))
        super().cut(at, upto, new)

    def swap(self, start: int, end: int, width: int) -> None:
        """Record that these numbers are swapped, whatever they are, then swap them."""
        self.cuts.append((self.origin + start, self.origin + end, width))
        super().cut(start, end, swapped(self.buf[start:end], width))

    def patch(self, offset: int, octets: bytes) -> None:
        """Record the patch, then make it."""
        self.patches.append((offset, octets))
        super().patch(offset, octets)
