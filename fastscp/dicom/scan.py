"""One token stream over a data set as it arrives, in any transfer syntax and any fragmentation.

Strategy: the input is looked at in windows. The hot loop walks over elements that stay as they are; what
it does not know to be unchanged - sequences, delimiters, group lengths, long layouts, odd or padded values,
other encodings - takes one careful step in ``_step``, at any depth. A value larger than ``HELD`` is
forwarded as it arrives.

Invariants: memory is bounded by ``WINDOW`` + ``HELD`` + the nesting; the result does not depend on how the
input is cut. Offsets in ``Level`` are absolute, positions in methods relative to the buffer.

It does not sort: a data set whose elements are out of order is marked (``disordered``) and sorted
afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from fastscp.dicom import values
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.encode import Encoder
from fastscp.dicom.levels import ITEM, ITEMS, NO_END, Level
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.output import UNDEFINED, Output, RecordingOutput
from fastscp.dicom.shapes import Position, Shape, Shapes, outline, script_of
from fastscp.dicom.uids import TransferSyntax
from fastscp.dicom.vr import KINDS, KINDS_BIG, KINDS_LITTLE, LONG, PLAIN, SEQUENCE, UID, WIDTHS_BY_NAME
from fastscp.errors import InstanceError

WINDOW: Final = 32768
_LAST_TAG: Final = 0xFFFBFFFF  #: padding and delimiters are behind it

_HEADERS: Final = {True: struct.Struct("<HHHH").unpack_from, False: struct.Struct(">HHHH").unpack_from}
_IMPLICIT: Final = {True: struct.Struct("<HHL").unpack_from, False: struct.Struct(">HHL").unpack_from}
_LENGTHS: Final = {True: struct.Struct("<L").unpack_from, False: struct.Struct(">L").unpack_from}
_NUMBERS: Final = {True: struct.Struct("<H").unpack_from, False: struct.Struct(">H").unpack_from}
_NAMES: Final = {name.encode("ascii"): name for name in KINDS}
_NOTHING: Final[frozenset[int]] = frozenset()


def _has_shape(syntax_in: TransferSyntax, syntax_out: TransferSyntax, options: OutputOptions) -> bool:
    """Tell whether the output of a header follows from its shape: no value is changed or looked up."""
    return (syntax_in.little_endian and syntax_out.little_endian
            and not options.convert_un and not options.file_padding and not options.item_padding)


class Scanner(Encoder):
    """Reads one data set as it arrives; the encoder it is built on writes."""

    def __init__(self, syntaxes: tuple[TransferSyntax, TransferSyntax], options: OutputOptions,
                 dictionary: Dictionary, output: Output, wanted: frozenset[int],
                 shapes: Shapes | None = None) -> None:
        super().__init__(syntaxes, options, dictionary, output, wanted)
        self._syntaxes = syntaxes
        self._shapes = shapes if shapes is not None and _has_shape(*syntaxes, options) else None
        self._nests = options.explicit_lengths and not options.item_padding and not self._create_groups
        self._held: list[bytes] = []
        self._held_size = 0

    # Feeding

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets. Raises InstanceError."""
        for view in views:
            size = len(view)
            at = 0
            while at < size:
                if self._value_left:
                    at += self._stream(view if at == 0 and size <= self._value_left
                                       else view[at:at + self._value_left])
                    continue
                chunk = bytes(view[at:at + WINDOW])
                at += len(chunk)
                if self._held:
                    self._held.append(chunk)
                    self._held_size += len(chunk)
                    if self._held_size < self._need:
                        continue
                    chunk = b"".join(self._held)
                    self._held.clear()
                elif self._shapes is not None:
                    chunk = self._leap(chunk, self._shapes)
                self._scan(chunk)

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
        for tag, (start, end) in shape.collected.items():
            self.attributes[tag] = chunk[start:end]
        return chunk[shape.size:]

    def _learn(self, chunk: bytes) -> Shape | None:
        """Scan a header once more, on record; None when it is not one that can be recognised."""
        found = outline(chunk, None if self._syntaxes[0].explicit_vr else self._dictionary)
        if found is None:
            return None
        out = RecordingOutput(self._syntaxes[1])
        scanner = Scanner(self._syntaxes, self._options, self._dictionary, out, _NOTHING)
        try:
            scanner.feed([chunk[:found.size]])
        except InstanceError:
            return None  # whoever scans this header for good reports what is wrong with it
        level = scanner._level
        if scanner.disordered or scanner._stack or scanner._held:
            return None
        position = Position(level.last, level.group, level.group_at, level.group_start, level.group_value,
                            level.bits, level.signed, level.creators)
        return Shape(chunk, found, script_of(found.size, out.cuts, out.patches), position, self._wanted)

    def finish(self) -> None:
        """End the data set: close what is open, as far as storescp accepts an open end."""
        out = self._out
        if self._value_left:
            self._fail("data set ends inside a value", 0)
        if self._held and not self._in_header:
            out.buf = b"".join(self._held)
            self._fail("data set ends inside a value", 0)
        # DEVIATION PS3.5 §7.1: an incomplete header at the very end is dropped, as storescp does
        out.buf, out.run = b"", 0
        while self._stack:
            level = self._level
            if level.kind != ITEM and level.members and out.origin < level.end:
                self._fail("data set ends inside a sequence", 0)
            self._close(0, 0)
        self._end_level(self._level, 0, self._options.file_padding)
        out.seal(0)

    def _scan(self, buf: bytes) -> None:
        out = self._out
        out.buf = buf
        out.run = 0
        self._size = len(buf)
        pos = 0
        while True:
            level = self._level
            if level.kind == ITEM and not self._convert_un:
                if level.fast:
                    if level.explicit:
                        pos = self._unchanged(pos, level)
                        level = self._level
                    else:
                        pos = self._unchanged_implicit(pos, level)
                elif level.explicit and not out.recording:
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

    # The hot loop

    def _unchanged(self, pos: int, level: Level) -> int:
        """Walk over what needs no thought; return where something else begins.

        In explicit VR that includes sequences and items of the default mode: they are opened and closed in
        local variables, and become ``Level`` objects only when the walk ends inside them. An entry of
        ``opened`` is the state of an item or sequence (by turns, the first is ``level`` itself):

            (end in the buffer, highest tag or number of items, offset of the length field,
             offset of the content, length as written)

        perf/rewrite.py shows what an element costs here.
        """
        out = self._out
        buf, size, origin = out.buf, self._size, out.origin
        delta = origin + out.shift  # output offset = position + delta
        unpack = _HEADERS[level.little]
        unpack_length = _LENGTHS[level.little]
        unpack_item = _IMPLICIT[level.little]
        kinds = KINDS_LITTLE if level.little else KINDS_BIG
        keep_long = self._options.new_vrs
        nests = self._nests and not out.recording
        room = 2 * self._options.max_depth - len(self._stack)
        wanted = _NOTHING if self._stack else self._wanted
        opened: list[tuple[int, int, int, int, int]] = []
        end_here = level.end - origin if level.end != NO_END else NO_END
        last = level.last
        limit = base_limit = self._limit(level)
        base_wanted = wanted
        length_at = start = written = -1
        members = 0
        while True:
            bound = min(size, end_here)
            last_header = bound - 8
            kind = group = -1
            while pos <= last_header:
                group, element, vr, length = unpack(buf, pos)
                kind = kinds[vr]
                tag = group << 16 | element
                if kind == LONG:
                    # the 16 bits behind the VR are reserved, the length follows them
                    if length or group >= 0x7FE0 or not keep_long or pos + 12 > bound:
                        break
                    length = unpack_length(buf, pos + 8)[0]
                    end = pos + 12 + length
                elif not kind or kind > LONG:
                    break
                else:
                    end = pos + 8 + length
                if not last < tag <= limit or end > bound or length & 1 or not element:
                    kind = -1
                    break
                if 1 < kind < 4 and length > 1:
                    if kind == 2:
                        if buf[end - 1] == 32 and buf[end - 2] == 32:
                            break
                    elif not buf[end - 2] or buf.find(b" ", end - length, end) >= 0:
                        break
                if tag in wanted:
                    self.attributes[tag] = buf[end - length:end]
                last = tag
                pos = end
            if not nests:
                break
            if kind == SEQUENCE:
                if length or not last < tag <= limit or pos + 12 > bound or len(opened) >= room:
                    break
                length = unpack_length(buf, pos + 8)[0]
                end = NO_END if length == UNDEFINED else pos + 12 + length
                if end != NO_END and end > end_here:
                    break
                opened.append((end_here, tag, length_at, start, written))
                length_at, start, written = pos + 8 + delta, pos + 12 + delta, length
                end_here, members = end, 0
                pos += 12
            elif not opened:
                break
            else:  # the end of an item?
                if pos == end_here:
                    delimiter = 0
                elif group == 0xFFFE and element == 0xE00D:
                    delimiter = 8
                else:
                    break
                if pos + delta - start != written:
                    out.patch(length_at, self._length_octets(pos + delta - start))
                if delimiter:
                    out.cut(pos, pos + 8, b"")
                    pos += 8
                    delta -= 8
                end_here, members, length_at, start, written = opened.pop()
            # in a sequence: an item, or its end
            delimiter = 0
            if pos < end_here:
                if pos + 8 > size:
                    break
                group, element, length = unpack_item(buf, pos)
                if group == 0xFFFE and element == 0xE000:
                    opened.append((end_here, members + 1, length_at, start, written))
                    length_at, start, written = pos + 4 + delta, pos + 8 + delta, length
                    pos += 8
                    end_here = NO_END if length == UNDEFINED else pos + length
                    last, limit, wanted = -1, _LAST_TAG, _NOTHING
                    continue
                if group != 0xFFFE or element != 0xE0DD:
                    break
                delimiter = 8
            if pos + delta - start != written:
                out.patch(length_at, self._length_octets(pos + delta - start))
            if delimiter:
                out.cut(pos, pos + 8, b"")
                pos += 8
                delta -= 8
            end_here, last, length_at, start, written = opened.pop()
            if not opened:
                limit, wanted = base_limit, base_wanted
        if not opened:
            level.last = last
            return pos
        level.last = opened[0][1]
        opened.append((end_here, members if len(opened) & 1 else last, length_at, start, written))
        self._enter(level, opened[1:])
        return pos

    def _limit(self, level: Level) -> int:
        """Return the highest tag that needs no thought: within a group whose length is counted, or any."""
        counted = level.group_at >= 0 or self._create_groups
        return (level.group << 16) + 0xFFFF if counted else _LAST_TAG

    def _enter(self, level: Level, states: list[tuple[int, int, int, int, int]]) -> None:
        """Make levels of the sequences and items that a walk has ended in."""
        origin = self._out.origin
        for number, (end, reached, length_at, start, written) in enumerate(states):
            kind = ITEM if number & 1 else ITEMS
            child = Level(kind, end if end == NO_END else origin + end, level.explicit, level.little, fast=True)
            if kind == ITEM:
                child.last = reached
            else:
                child.members = reached
            child.length_at, child.start, child.written = length_at, start, written
            self._stack.append(level)
            level = child
        self._level = level

    def _unchanged_implicit(self, pos: int, level: Level) -> int:
        """Walk like ``_unchanged`` over implicit VR; sequences and private attributes end the walk."""
        buf = self._out.buf
        bound = min(self._size, level.end - self._out.origin)
        last_header = bound - 8
        last = level.last
        limit = self._limit(level)
        wanted = _NOTHING if self._stack else self._wanted
        unpack_implicit = _IMPLICIT[level.little]
        kind_of = self._dictionary.kinds.get
        while pos <= last_header:
            group, element, length = unpack_implicit(buf, pos)
            tag = group << 16 | element
            end = pos + 8 + length
            if not last < tag <= limit or end > bound or length & 1 or not element or group & 1:
                break
            if group >= 0x5000:  # curves, overlays and what else is not in ``kinds``
                break
            kind = kind_of(tag, PLAIN)
            if kind > 1 and kind != LONG:
                if kind == SEQUENCE:
                    break
                if length:
                    if kind == UID:
                        if not buf[end - 2] or buf.find(b" ", end - length, end) >= 0:
                            break
                    elif buf[end - 1] == 32 and buf[end - 2] == 32:
                        break
            if tag in wanted:
                self.attributes[tag] = buf[end - length:end]
            last = tag
            pos = end
        level.last = last
        return pos

    def _recoded(self, pos: int, level: Level) -> int:
        """Walk like ``_unchanged`` over explicit VR that is written in another encoding, value by value.

        What ``_step`` would do is decided by the same conditions; only what needs no decision is done here.
        """
        out = self._out
        buf = out.buf
        bound = min(self._size, level.end - out.origin)
        last_header = bound - 8
        last = level.last
        limit = self._limit(level)
        wanted = _NOTHING if self._stack else self._wanted
        unpack = _HEADERS[level.little]
        kinds = KINDS_LITTLE if level.little else KINDS_BIG
        widths = None if level.little == out.little else WIDTHS_BY_NAME
        pack_implicit = None if out.explicit else out.pack_implicit
        pack_short = out.pack_short
        pieces: list[bytes] = []
        append = pieces.append
        start = pos
        while pos <= last_header:
            group, element, vr, length = unpack(buf, pos)
            kind = kinds[vr]
            tag = group << 16 | element
            end = pos + 8 + length
            if not 0 < kind < 4 or not last < tag <= limit or end > bound or length & 1 or not element:
                break
            value = buf[end - length:end]
            if kind > 1 and length > 1:
                if kind == 2:
                    if value.endswith(b"  "):
                        break
                elif not value[-2] or b" " in value:
                    break
            if tag in wanted:
                self.attributes[tag] = value
            name = buf[pos + 4:pos + 6]
            if widths is not None and name in widths:
                value = values.swapped(value, widths[name])
            if pack_implicit is None:
                append(pack_short(group, element, name, length))
            else:
                append(pack_implicit(group, element, length))
            append(value)
            last = tag
            pos = end
        level.last = last
        if pos > start:
            out.cut(start, pos, b"".join(pieces))
        return pos

    # One careful step

    def _step(self, pos: int, level: Level) -> int:
        """Handle one token; return the position behind it, -1 when more octets are needed for it."""
        out = self._out
        here = out.origin + pos
        if here >= level.end:
            self._close(pos, 0)
            return pos
        if self._size - pos < 8:
            return self._want(8, header=True)
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
        vr = self._dictionary.vr(tag) if not group & 1 else self._vrs.private(level, tag)
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
            return self._want(12, header=True)
        if name == "SQ":
            return self._open(pos, level, tag, name, 12, _LENGTHS[level.little](buf, pos + 8)[0])
        return self._element(pos, level, tag, name, 12, _LENGTHS[level.little](buf, pos + 8)[0])
