"""One token stream over a data set as it arrives, in any transfer syntax and any fragmentation.

Strategy: the input is looked at in windows. A walk (``fastscp.dicom.engine.walk``) passes over all that needs no
thought; what it stops at - group lengths, odd or padded values, unknown VRs, what crosses the end of the
window - takes one careful step in ``_step``, at any depth. A value larger than ``HELD`` is forwarded as it
arrives.

Invariants: memory is bounded by ``WINDOW`` + ``HELD`` + the nesting; the result does not depend on how the
input is cut. Offsets in ``Level`` are absolute, positions in methods relative to the buffer.

It does not sort: a data set whose elements are out of order is marked (``disordered``) and sorted
afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.levels import ITEM, Level
from fastscp.dicom.engine.output import UNDEFINED, Output, RecordingOutput
from fastscp.dicom.engine.recognise.script import script_of
from fastscp.dicom.engine.recognise.shapes import Outline, Position, Shape, Shapes, outline
from fastscp.dicom.engine.walk import Walker
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.uids import TransferSyntax
from fastscp.dicom.vr import KINDS, LONG
from fastscp.errors import InstanceError

WINDOW: Final = 32768

_IMPLICIT: Final = {True: struct.Struct("<HHL").unpack_from, False: struct.Struct(">HHL").unpack_from}
_LENGTHS: Final = {True: struct.Struct("<L").unpack_from, False: struct.Struct(">L").unpack_from}
_NUMBERS: Final = {True: struct.Struct("<H").unpack_from, False: struct.Struct(">H").unpack_from}
_NAMES: Final = {name.encode("ascii"): name for name in KINDS}
_NOTHING: Final[frozenset[int]] = frozenset()
_ITEM_TAG: Final = b"\xfe\xff\x00\xe0"  #: in implicit VR, which is little endian


class Scanner(Walker):
    """Reads one data set as it arrives; the encoder it is built on writes."""

    def __init__(self, syntaxes: tuple[TransferSyntax, TransferSyntax], options: OutputOptions,
                 dictionary: Dictionary, output: Output, wanted: frozenset[int],
                 shapes: Shapes | None = None) -> None:
        super().__init__(syntaxes, options, dictionary, output, wanted)
        self._syntaxes = syntaxes
        self._shapes = shapes
        if not syntaxes[0].little_endian or options.convert_un:
            self._shapes = None  # a shape is read in little endian, and the dictionary is not part of it
        self._held: list[bytes] = []
        self._held_size = 0

    # Feeding

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets. Raises InstanceError."""
        last = len(views) - 1
        for index, view in enumerate(views):
            if self.verbatim_left and index < last:
                middle, last = views[index:last], 0  # tried once; a value that ends before is rare
                if self._forward(middle):
                    self.feed(views[-1:])
                    return
            size = len(view)
            at = 0
            while at < size:
                if self._value_left:
                    at += self._stream(view if at == 0 and size <= self._value_left
                                       else view[at:at + self._value_left])
                    continue
                chunk = bytes(view[at:at + WINDOW])
                at += len(chunk)
                if self._ended:
                    self._pad(chunk)
                    continue
                if self._held:
                    self._held.append(chunk)
                    self._held_size += len(chunk)
                    if self._held_size < self._need:
                        continue
                    chunk = b"".join(self._held)
                    self._held.clear()
                elif self._shapes is not None:
                    chunk = self._leap(chunk, self._shapes)
                    if not chunk:
                        continue
                    if self._value_left:
                        self._stream(chunk)
                        continue
                self._scan(chunk)

    def _forward(self, views: Sequence[bytes | memoryview]) -> bool:
        """Forward the middle of a large value at once; False when it ends in ``views``."""
        octets = sum(map(len, views))
        if octets >= self.verbatim_left:
            return False
        self._out.append(views)
        self._out.origin += octets
        self._value_left -= octets
        self.verbatim_left -= octets
        return True

    def _pad(self, chunk: bytes) -> None:
        """Pass over what follows the end of the data set."""
        if chunk.strip(b"\0"):
            self._fail("data behind the end of the data set", 0)
        self._out.origin += len(chunk)
        self._out.shift -= len(chunk)

    def _leap(self, chunk: bytes, shapes: Shapes) -> bytes:
        """Write a header that is built like one seen before; return what is behind it."""
        self._shapes = None  # a data set begins only once
        key = self._syntaxes[0].uid, self._syntaxes[1].uid
        shape = shapes.find(key, chunk)
        if shape is None:
            if shapes.worth_learning():
                learned = self._learn(chunk)
                if learned is not None:
                    shapes.add(key, learned)
            return chunk
        position, level = shape.position, self._level
        base = self._out.leap(shape.size, shape.render(chunk))
        level.last, level.group = position.last, position.group
        level.bits, level.signed = position.bits, position.signed
        level.creators = None if position.creators is None else dict(position.creators)
        if position.group_at >= 0:
            level.group_at, level.group_start = base + position.group_at, base + position.group_start
            level.group_value = position.group_value
        self._value_left = shape.value_octets
        for tag, (start, end) in shape.collected.items():
            self.attributes[tag] = chunk[start:end]
        return chunk[shape.size:]

    def _learn(self, chunk: bytes) -> Shape | None:
        """Scan a header once more, on record; None when it is not one that can be recognised."""
        found = outline(chunk, None if self._syntaxes[0].explicit_vr else self._dictionary)
        if found is None:
            return None
        header = found.size + (12 if self._syntaxes[0].explicit_vr else 8)
        if header < len(chunk):  # pixels, perhaps: their header belongs to the shape when they are written as they are
            scanner = self._recorded(chunk[:header + 1])
            if scanner is not None and scanner.begun_verbatim:
                return scanner.shape(chunk, found.with_header(header), self._wanted)
        scanner = self._recorded(chunk[:found.size])
        return None if scanner is None else scanner.shape(chunk, found, self._wanted)

    def _recorded(self, header: bytes) -> _Recorder | None:
        scanner = _Recorder(self._syntaxes, self._options, self._dictionary)
        try:
            scanner.feed([header])
        except InstanceError:
            return None  # whoever scans this header for good reports what is wrong with it
        return None if scanner.unsettled else scanner

    def finish(self) -> None:
        """End the data set: close what is open, as far as storescp accepts an open end."""
        out = self._out
        if self._value_left:
            self._fail("data set ends inside a value", 0)
        if self._held and self._header:
            self._end_without_value()
        # DEVIATION PS3.5 §7.1: as storescp does, an incomplete header or delimiter at the very end is dropped, and
        # everything that is open ends there
        partial = bool(self._held)
        out.buf, out.run = b"", 0
        while self._stack:
            level = self._level
            if level.kind != ITEM and level.members and out.origin < level.end and not partial:
                self._fail("data set ends inside a sequence", 0)
            self._close(0, 0)
        self._end_level(self._level, 0, self._options.file_padding)
        out.seal(0)

    def _end_without_value(self) -> None:
        """Take a header that nothing follows for an empty element, as storescp does.

        It is what garbage behind the data set looks like. Pixel Data and anything in a sequence would be missed.
        """
        header = b"".join(self._held)
        self._held.clear()
        level = self._level
        self._out.buf = header
        if self._stack or len(header) != self._header or _NUMBERS[level.little](header) == (0x7FE0,):
            self._fail("data set ends inside a value", 0)
        octets = 2 if level.explicit and len(header) == 8 else 4
        self._scan(header[:-octets] + bytes(octets))

    def _scan(self, buf: bytes) -> None:
        out = self._out
        out.buf = buf
        out.run = 0
        self._size = len(buf)
        pos = 0
        while True:
            level = self._level
            # no walk where it would stop at once
            if level.kind == ITEM and not self._convert_un and (self._nests or (
                    buf[pos + 4:pos + 6] != b"SQ" and (level.last >= 0 or not self._create_groups))):
                if level.fast:
                    if level.explicit:
                        pos = self._unchanged(pos, level)
                        level = self._level
                    else:
                        pos = self._unchanged_implicit(pos, level)
                elif level.explicit and not out.recording and buf[pos + 4:pos + 6] != b"SQ":
                    pos = self._recoded(pos, level)
            after = self._step(pos, level)
            if after < 0:
                break
            pos = after
            if self._value_left:
                break
        if self._value_left:
            return
        out.seal(pos)
        out.origin += pos
        if pos < len(buf):
            self._held.append(buf[pos:])
            self._held_size = len(buf) - pos

    # One careful step

    def _step(self, pos: int, level: Level) -> int:
        """Handle one token; return the position behind it, -1 when more octets are needed for it."""
        out = self._out
        here = out.origin + pos
        if here >= level.end:
            self._close(pos, 0)
            return pos
        if self._size - pos < 8:
            return self._want(8, header=0)
        group, element, length = _IMPLICIT[level.little](out.buf, pos)
        if group == 0xFFFE:
            return self._delimiter(pos, level, element, length)
        if level.kind != ITEM:
            self._fail("no item where one must begin", pos, group << 16 | element)
        if here + 8 > level.end:
            self._fail("element exceeds its item", pos, group << 16 | element)
        if level.explicit:
            return self._explicit(pos, level, group, element)
        tag = group << 16 | element
        if not group & 1:
            return self._element(pos, level, tag, self._dictionary.vr(tag), 8, length)
        vr = self._vrs.private(level, tag)
        if vr == "SQ" and length not in {0, UNDEFINED}:
            # private dictionaries are collected from the field: the value has the last word
            if length >= 4 and self._size - pos < 12:
                return self._want(12, header=8)
            if out.buf[pos + 8:pos + 12] != _ITEM_TAG:
                vr = "UN"
        return self._element(pos, level, tag, vr, 8, length)

    def _explicit(self, pos: int, level: Level, group: int, element: int) -> int:
        """Read VR and length of an explicit header (PS3.5 §7.1.2)."""
        buf = self._out.buf
        name = _NAMES.get(buf[pos + 4:pos + 6])
        tag = group << 16 | element
        if name is None:
            # DEVIATION PS3.5 §6.2: as in storescp, two capitals have a 32-bit length, all else a 16-bit one
            if not (65 <= buf[pos + 4] <= 90 and 65 <= buf[pos + 5] <= 90):
                return self._element(pos, level, tag, "", 8, _NUMBERS[level.little](buf, pos + 6)[0])
            name = ""
        elif KINDS[name] < LONG:
            return self._element(pos, level, tag, name, 8, _NUMBERS[level.little](buf, pos + 6)[0])
        if self._size - pos < 12:
            return self._want(12, header=0)
        if name == "SQ":
            return self._open(pos, level, tag, name, 12, _LENGTHS[level.little](buf, pos + 8)[0])
        return self._element(pos, level, tag, name, 12, _LENGTHS[level.little](buf, pos + 8)[0])


class _Recorder(Scanner):
    """Scans a header for nobody, to learn what becomes of it."""

    def __init__(self, syntaxes: tuple[TransferSyntax, TransferSyntax], options: OutputOptions,
                 dictionary: Dictionary) -> None:
        self._record = RecordingOutput(syntaxes[1])
        super().__init__(syntaxes, options, dictionary, self._record, _NOTHING)

    @property
    def unsettled(self) -> bool:
        """Whether something of the header is still to be decided, or it is not in order."""
        return bool(self.disordered or self._stack or self._held)

    @property
    def begun_verbatim(self) -> bool:
        """Whether what was fed ends in the first octet of a large value that is written as it is."""
        return self._filter.verbatim and not self._filter.finish() and 0 < self._value_left == self.verbatim_left

    def shape(self, chunk: bytes, found: Outline, wanted: frozenset[int]) -> Shape:
        """Return the shape of the header that was fed."""
        level, record = self._level, self._record
        position = Position(level.last, level.group, level.group_at, level.group_start, level.group_value,
                            level.bits, level.signed, level.creators)
        value_octets = self._value_left + 1 if self._value_left else 0
        return Shape(chunk, found, script_of(found.size, record.cuts, record.patches), position, wanted, value_octets)
