"""What one data set becomes: runs of untouched input, replaced pieces, and lengths known too late.

Strategy: the input buffer is forwarded in runs as long as possible; ``cut`` replaces a stretch of it. A
length that is only known at the end of a sequence, item or group is patched: in the batch while it is still
in memory, in the file afterwards. So memory is bounded by the batch, whatever the object's size.

Invariant: the file offset of input octet ``origin + pos`` is ``origin + pos + shift``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn, Protocol

from fastscp.dicom.engine.sink import Sink
from fastscp.dicom.engine.values import swapped
from fastscp.dicom.headers import LONG_VRS, LONGEST_SHORT, PACKERS, UNDEFINED
from fastscp.dicom.uids import TransferSyntax
from fastscp.errors import InstanceError

_NO_ROOM: Final = "a sequence or group is too long for an explicit length"


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


class Observer(Protocol):
    """Hears how an output is made from its input, before it is done."""

    def cut(self, begin: int, end: int, new: bytes | int) -> None:
        """Take note that input octets are replaced; by themselves, when ``new`` is the width of swapped numbers."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Take note that output octets are overwritten."""


class Output:
    """The output of one data set, in order, with patches.

    ``base`` is the file offset it begins at. An ``observer`` hears of everything that is not a plain run.
    """

    __slots__ = ("_late", "_patches", "_pieces", "_ready", "buf", "explicit", "little", "observer", "octets", "origin",
                 "pack_implicit", "pack_length", "pack_long", "pack_short", "run", "shift", "size", "too_long")

    def __init__(self, base: int, syntax: TransferSyntax, *, new_vrs: bool = True,
                 observer: Observer | None = None) -> None:
        self.explicit = syntax.explicit_vr
        self.little = syntax.little_endian
        self.pack_short, self.pack_long, self.pack_implicit, self.pack_length = PACKERS[syntax.little_endian]
        self.too_long = b"UN" if new_vrs else b"OB"  #: VR of values that are too long for theirs (PS3.5 §6.2.2)
        self.observer = observer
        self.buf = b""  #: the stretch of the input that is being looked at
        self.octets = 0  #: its length
        self.origin = 0  #: offset of ``buf[0]`` in the data set as received
        self.run = 0  #: where the pending run begins in ``buf``
        self.shift = base
        self.size = base  #: file offset behind what is ready
        self._pieces: list[bytes] = []  #: of the batch
        self._patches: list[tuple[int, bytes]] = []  #: in the batch
        self._ready: list[bytes | bytearray | memoryview] = []
        self._late: list[tuple[int, bytes]] = []  #: patches of what the sink has

    # The input

    def take(self, buf: bytes) -> None:
        """Look at the next stretch of the input; the one before must be sealed."""
        self.buf = buf
        self.octets = len(buf)
        self.run = 0

    def leave(self, pos: int) -> bytes:
        """End the batch at ``buf[pos]`` and look at nothing for now; return what is behind it."""
        self.seal(pos)
        rest = self.buf[pos:]
        self.origin += pos
        self.buf, self.run = b"", 0
        return rest

    def refuse(self, message: str, pos: int, tag: int | None = None, status: int = 0xC000) -> NoReturn:
        """Raise InstanceError about ``buf[pos]``."""
        raise InstanceError(message, status=status, tag=tag, offset=self.origin + pos)

    # Headers and lengths

    def header(self, group: int, element: int, vr: bytes, length: int) -> bytes:
        """Encode a data element's header; a value too long for a 16-bit length becomes ``too_long``."""
        if not self.explicit:
            return self.pack_implicit(group, element, length)
        if vr in LONG_VRS:
            return self.pack_long(group, element, vr, 0, length)
        if length > LONGEST_SHORT:
            return self.pack_long(group, element, self.too_long, 0, length)
        return self.pack_short(group, element, vr, length)

    def keeps_vr(self, vr: bytes, length: int) -> bool:
        """Tell whether ``header`` writes this VR, and not ``too_long``, before a value of this length."""
        return length <= LONGEST_SHORT or vr in LONG_VRS or not self.explicit

    def length_octets(self, length: int) -> bytes:
        """Encode the explicit length of a sequence, item or group."""
        if length >= UNDEFINED:
            raise InstanceError(_NO_ROOM)
        return self.pack_length(length)

    # The output

    def cut(self, at: int, upto: int, new: bytes, width: int = 0) -> None:
        """Write ``new`` in the place of ``buf[at:upto]``; with a ``width`` it is the same numbers swapped."""
        if self.observer is not None:
            self.observer.cut(self.origin + at, self.origin + upto, width or new)
        run = self.run
        if at > run:
            self._pieces.append(self.buf[run:at])
        if new:
            self._pieces.append(new)
        self.run = upto
        self.shift += len(new) - upto + at

    def swap(self, start: int, end: int, width: int) -> None:
        """Change the byte order of the numbers of ``width`` octets in ``buf[start:end]``, whatever they are."""
        self.cut(start, end, swapped(self.buf[start:end], width), width)

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite what was written before."""
        if self.observer is not None:
            self.observer.patch(offset, octets)
        if offset < self.size:
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
            size = self.size
            for offset, octets in self._patches:
                start = offset - size
                batch[start:start + len(octets)] = octets
            self._patches.clear()
            self._ready.append(batch)
            self.size += len(batch)
        else:
            joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._ready.append(joined)
            self.size += len(joined)
        pieces.clear()

    def leap(self, octets_in: int, octets_out: bytes) -> int:
        """Take ``octets_out`` for the first ``octets_in`` octets of the input; return where they begin."""
        base = self.size
        self._ready.append(octets_out)
        self.size += len(octets_out)
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
        self.size += count
        return count

    def passed(self, octets: int) -> None:
        """Account for input that went to the sink as it is; nothing may be waiting to be written."""
        self.origin += octets
        self.size += octets

    def forget(self) -> None:
        """Hand nothing to nobody: forget what is ready, and what is to be patched."""
        self._ready.clear()
        self._late.clear()

    @property
    def corrects(self) -> bool:
        """Whether something of what the sink has is to be patched."""
        return bool(self._late)

    def write(self, sink: Sink) -> None:
        """Hand everything that is ready to the sink, then patch what the sink has."""
        if self._ready:
            sink.write(self._ready)
            self._ready.clear()
        if self._late:
            patch = sink.patch
            for offset, octets in self._late:
                patch(offset, octets)
            self._late.clear()
