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
from typing import Final, NoReturn

from fastscp.dicom import values
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.output import UNDEFINED, Output, RecordingOutput
from fastscp.dicom.shapes import Position, Shape, Shapes, outline, script_of
from fastscp.dicom.uids import TransferSyntax
from fastscp.dicom.vr import (
    KINDS,
    KINDS_BIG,
    KINDS_LITTLE,
    LONG,
    LONG_TEXT,
    NEVER_PADDED,
    NEW_VRS,
    PLAIN,
    SEQUENCE,
    TEXT,
    UID,
    WIDTHS,
    WIDTHS_BY_NAME,
)
from fastscp.errors import InstanceError

WINDOW: Final = 32768
HELD: Final = 65536  #: values up to this many octets are seen as a whole
NO_END: Final = 1 << 62

ITEM: Final = 0
ITEMS: Final = 1
FRAGMENTS: Final = 2

_ITEM_TAG: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_PADDING: Final = 0xFFFCFFFC
_PIXEL_DATA: Final = 0x7FE00010
_WAVEFORM_BITS: Final = 0x54001004
_PIXEL_REPRESENTATION: Final = 0x00280103

_HEADERS: Final = {True: struct.Struct("<HHHH").unpack_from, False: struct.Struct(">HHHH").unpack_from}
_IMPLICIT: Final = {True: struct.Struct("<HHL").unpack_from, False: struct.Struct(">HHL").unpack_from}
_LENGTHS: Final = {True: struct.Struct("<L").unpack_from, False: struct.Struct(">L").unpack_from}
_NUMBERS: Final = {True: struct.Struct("<H").unpack_from, False: struct.Struct(">H").unpack_from}
_NAMES: Final = {name.encode("ascii"): name for name in KINDS}
_NOTHING: Final[frozenset[int]] = frozenset()


def _has_shape(syntax_in: TransferSyntax, syntax_out: TransferSyntax, options: OutputOptions) -> bool:
    """Tell whether the output of a header follows from its shape: no value is changed or looked up."""
    return (syntax_in.explicit_vr and syntax_in.little_endian and syntax_out.little_endian
            and not options.convert_un and not options.file_padding and not options.item_padding)


class Level:
    """The data set, an open sequence, an open item, or Pixel Data in fragments."""

    __slots__ = ("bits", "creators", "delimited", "end", "explicit", "fast", "group", "group_at",
                 "group_start", "group_value", "kind", "last", "length_at", "little", "members", "signed",
                 "start", "written")

    def __init__(self, kind: int, end: int, explicit: bool, little: bool, fast: bool) -> None:
        self.kind = kind
        self.end = end  #: input offset behind it; NO_END when a delimiter ends it
        self.explicit = explicit
        self.little = little
        self.fast = fast  #: input and output encoding are the same
        self.last = -1  #: highest tag so far
        self.group = -1  #: group whose length is being counted
        self.group_at = -1  #: file offset of the group length's value; -1: there is none
        self.group_start = 0
        self.group_value = 0
        self.length_at = -1  #: file offset of the length field
        self.start = 0  #: file offset of the first octet
        self.written = 0  #: length as it was written at first
        self.delimited = False  #: it has to end with a delimiter in the output
        self.members = 0
        self.bits = 0  #: Waveform Bits Allocated
        self.signed = False  #: Pixel Representation
        self.creators: dict[int, str] | None = None


class Scanner:
    """Reads one data set and drives an ``Output``."""

    def __init__(self, syntax_in: TransferSyntax, syntax_out: TransferSyntax, options: OutputOptions,  # noqa: PLR0917
                 dictionary: Dictionary, output: Output, wanted: frozenset[int],
                 shapes: Shapes | None = None) -> None:
        self._out = output
        self._syntaxes = syntax_in, syntax_out
        self._shapes = shapes if shapes is not None and _has_shape(syntax_in, syntax_out, options) else None
        self._options = options
        self._dictionary = dictionary
        self._wanted = wanted
        self._convert_un = options.convert_un
        self._create_groups = options.group_lengths is GroupLengths.CREATE
        # also for CREATE: storescp removes all first, so the length of an empty group does not survive
        self._drop_groups = options.group_lengths is not GroupLengths.RECALCULATE
        self._encapsulated = syntax_out.encapsulated
        self._fragments_in = syntax_in.encapsulated
        self.attributes: dict[int, bytes] = {}
        self.disordered = False
        self._level = self._new_level(ITEM, NO_END, syntax_in.explicit_vr, syntax_in.little_endian)
        self._stack: list[Level] = []
        self._held: list[bytes] = []
        self._held_size = 0
        self._need = 0
        self._in_header = False
        self._size = 0
        self._value_left = 0
        self.verbatim_left = 0  #: octets of a large value that may go past the scanner, see ``passed``
        self._filter: values.Filter = values.Verbatim(b"")
        self._value_length_at = -1
        self._value_start = 0
        self._value_written = 0

    # Feeding

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets. Raises InstanceError."""
        if self._value_left and type(self._filter) is values.Verbatim:
            size = sum(map(len, views))
            if size < self._value_left:  # the middle of a large value: nothing to look at
                self._out.forward(views, size)
                self._value_left -= size
                return
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
        if position.group_at >= 0:
            level.group_at, level.group_start = base + position.group_at, base + position.group_start
            level.group_value = position.group_value
        for tag, (start, end) in shape.collected.items():
            self.attributes[tag] = chunk[start:end]
        return chunk[shape.size:]

    def _learn(self, chunk: bytes) -> Shape | None:
        """Scan a header once more, on record; None when it is not one that can be recognised."""
        found = outline(chunk)
        if found is None:
            return None
        out = RecordingOutput(self._syntaxes[1])
        scanner = Scanner(*self._syntaxes, self._options, self._dictionary, out, _NOTHING)
        try:
            scanner.feed([chunk[:found.size]])
        except InstanceError:
            return None  # whoever scans this header for good reports what is wrong with it
        level = scanner._level
        if scanner.disordered or scanner._stack or scanner._held:
            return None
        position = Position(level.last, level.group, level.group_at, level.group_start, level.group_value)
        return Shape(chunk, found, script_of(found.size, out.cuts, out.patches), position, self._wanted)

    def passed(self, octets: int) -> None:
        """Account for input that was written verbatim, less than ``verbatim_left``."""
        self.verbatim_left -= octets
        self._value_left -= octets
        self._out.passed(octets)

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
                    pos = self._elements(pos, level)
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

    def _elements(self, pos: int, level: Level) -> int:
        """Walk over elements that need nothing; return where something else begins.

        perf/rewrite.py shows what an element costs here.
        """
        buf = self._out.buf
        origin = self._out.origin
        bound = min(self._size, level.end - origin)
        last_header = bound - 8
        last = level.last
        limit = (level.group << 16) + 0xFFFF if level.group_at >= 0 or self._create_groups else NO_END
        wanted = _NOTHING if self._stack else self._wanted
        if level.explicit:
            unpack = _HEADERS[level.little]
            kinds = KINDS_LITTLE if level.little else KINDS_BIG
            while pos <= last_header:
                group, element, vr, length = unpack(buf, pos)
                kind = kinds[vr]
                tag = group << 16 | element
                end = pos + 8 + length
                if not 0 < kind < 4 or not last < tag <= limit or end > bound or length & 1 or not element:
                    break
                if kind > 1 and length > 1:
                    if kind == 2:
                        if buf[end - 1] == 32 and buf[end - 2] == 32:
                            break
                    elif not buf[end - 2] or buf.find(b" ", end - length, end) >= 0:
                        break
                if tag in wanted:
                    self.attributes[tag] = buf[end - length:end]
                last = tag
                pos = end
        else:
            unpack_implicit = _IMPLICIT[level.little]
            kind_of = self._dictionary.kinds.get
            while pos <= last_header:
                group, element, length = unpack_implicit(buf, pos)
                tag = group << 16 | element
                end = pos + 8 + length
                if not last < tag <= limit or end > bound or length & 1 or not element or group & 1:
                    break
                if group > 0xFFF0:
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
        """Walk like ``_elements`` over explicit VR that is written in another encoding, value by value.

        What ``_step`` would do is decided by the same conditions; only what needs no decision is done here.
        """
        out = self._out
        buf = out.buf
        bound = min(self._size, level.end - out.origin)
        last_header = bound - 8
        last = level.last
        limit = (level.group << 16) + 0xFFFF if level.group_at >= 0 or self._create_groups else NO_END
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
        vr = self._dictionary.vr(tag) if not group & 1 else self._private(level, tag)
        return self._element(pos, level, tag, vr, 8, length)

    def _want(self, octets: int, *, header: bool) -> int:
        self._need = octets
        self._in_header = header
        return -1

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
        return self._element(pos, level, tag, name, 12, _LENGTHS[level.little](buf, pos + 8)[0])

    def _element(self, pos: int, level: Level, tag: int, vr: str, header: int,  # noqa: PLR0917 - hot
                 length: int) -> int:
        """Handle a data element; ``vr`` is empty when the header has none that is known."""
        out = self._out
        group, element = tag >> 16, tag & 0xFFFF
        known = self._converted(level, tag) if vr == "UN" and self._convert_un and level.explicit else ""
        if vr == "SQ" or length == UNDEFINED or known == "SQ":
            return self._open(pos, level, tag, vr, header, length)
        start = pos + header
        end = start + length
        if out.origin + end > level.end:
            self._fail("element exceeds its item", pos, tag)
        large = end > self._size
        if large and length <= HELD:
            return self._want(header + length, header=False)
        if tag == _PADDING or (element == 0 and self._drop_groups):
            return self._drop(pos, end, length - (self._size - start) if large else 0)
        if tag == _PIXEL_DATA and self._fragments_in and not self._stack:
            self._fail("Pixel Data of defined length in a transfer syntax with fragments", pos, tag)
        self._order(pos, level, tag)
        if element == 0:
            return self._group_length(pos, level, start, length)
        resolved = self._resolved(known or vr, level, tag)
        vr_out = resolved if self._options.new_vrs or resolved not in NEW_VRS else "OB"
        if large:
            return self._begin_value(pos, level, tag, (vr, resolved, vr_out), start, length)
        value = out.buf[start:end]
        self._note(level, tag, value)
        kind = KINDS[resolved]
        if kind in {TEXT, LONG_TEXT}:
            new = values.text(value)
        elif kind == UID:
            new = values.uid(value)
        else:
            new = value + b"\0" if length & 1 and vr_out not in NEVER_PADDED else value
            if level.little != out.little and vr_out in WIDTHS:
                new = values.swapped(new, WIDTHS[vr_out])
        if level.fast and vr_out == vr and len(new) == length and (
                header == 8 or out.buf[pos + 6:pos + 8] == b"\0\0"):
            if new != value:
                out.cut(start, end, new)
            return end
        head = out.header(group, element, vr_out.encode("ascii"), len(new))
        if new == value:
            out.cut(pos, start, head)  # a recorded cut must hold nothing of a value that may be another's
        else:
            out.cut(pos, end, head + new)
        return end

    def _order(self, pos: int, level: Level, tag: int) -> None:
        """Watch the order of tags and the beginning of groups."""
        if tag <= level.last:
            self.disordered = True
        else:
            level.last = tag
        group = tag >> 16
        if group != level.group:
            if level.group_at >= 0:
                out = self._out
                self._end_group(level, out.origin + pos + out.shift)
            level.group = group
            if self._create_groups:
                self._insert_group_length(pos, level, group)

    def _note(self, level: Level, tag: int, value: bytes) -> None:
        """Keep what later elements or the caller need to know."""
        if not self._stack and tag in self._wanted:
            self.attributes.setdefault(tag, value)
        elif tag == _WAVEFORM_BITS and len(value) >= 2:
            level.bits = _NUMBERS[level.little](value)[0]
        elif tag == _PIXEL_REPRESENTATION and len(value) >= 2:
            level.signed = _NUMBERS[level.little](value)[0] == 1
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            if level.creators is None:
                level.creators = {}
            level.creators[tag >> 16 << 8 | tag & 0xFF] = value.decode("latin-1").rstrip(" \0")

    def _private(self, level: Level, tag: int) -> str:
        creator = None
        if level.creators is not None:
            creator = level.creators.get(tag >> 16 << 8 | tag >> 8 & 0xFF)
        return self._dictionary.private_vr(tag, creator)

    def _converted(self, level: Level, tag: int) -> str:
        """Return the VR that the dictionary has for an element stored as UN (``+uc``)."""
        vr = self._private(level, tag) if tag >> 16 & 1 else self._dictionary.vr(tag)
        return "US" if vr == "xs" else vr

    def _resolved(self, vr: str, level: Level, tag: int) -> str:
        """Decide the VR of a value: one of PS3.5, whatever was read."""
        if vr == "xs":
            vr = "SS" if level.signed else "US"
        elif vr == "lt":
            vr = "OW"
        elif vr == "ox":
            group = tag >> 16
            wide = level.bits not in {0, 8} if group == 0x5400 else tag == _PIXEL_DATA or group & 0xFF00 == 0x6000
            vr = "OW" if wide else "OB"
        elif vr not in KINDS:
            vr = "UN"
        return vr

    # Large values

    def _drop(self, pos: int, end: int, beyond: int) -> int:
        """Leave an element out."""
        out = self._out
        if not beyond:
            out.cut(pos, end, b"")
            return end
        out.cut(pos, self._size, b"")
        return self._begin_stream(values.Drop(), self._size, beyond)

    def _begin_value(self, pos: int, level: Level, tag: int,  # noqa: PLR0917 - as _element
                     vrs: tuple[str, str, str], start: int, length: int) -> int:
        """Write the header of a value that is larger than the buffer and forward its beginning.

        ``vrs`` are the VR read, the one it stands for, and the one to be written.
        """
        out = self._out
        vr, resolved, vr_out = vrs
        kind = KINDS[resolved]
        odd = bool(length & 1)
        pad = b"\0" if odd and vr_out not in NEVER_PADDED else b""
        chosen: values.Filter
        if kind in {TEXT, LONG_TEXT, UID}:
            chosen = values.TrimText(odd=odd)
        elif level.little != out.little and vr_out in WIDTHS:
            chosen = values.Swap(WIDTHS[vr_out], pad)
        else:
            chosen = values.Verbatim(pad)
        written = length + odd if pad or kind in {TEXT, LONG_TEXT, UID} else length
        if not level.fast or vr_out != vr or written != length or (
                level.explicit and out.buf[pos + 6:pos + 8] != b"\0\0"):
            out.cut(pos, start, out.header(tag >> 16, tag & 0xFFFF, vr_out.encode("ascii"), written))
        self._value_start = out.origin + start + out.shift
        self._value_length_at = self._value_start - 4
        self._value_written = written
        return self._begin_stream(chosen, start, length)

    def _begin_stream(self, chosen: values.Filter, start: int, length: int) -> int:
        out = self._out
        out.seal(start)
        rest = out.buf[start:]
        out.origin += start
        out.buf, out.run = b"", 0
        self._filter = chosen
        self._value_left = length
        if rest:
            self._stream(rest)
        return start

    def _stream(self, piece: bytes | memoryview) -> int:
        """Forward a piece of a large value; return its length."""
        out = self._out
        size = len(piece)
        written = out.append(self._filter.feed(piece))
        out.origin += size
        out.shift += written - size
        self._value_left -= size
        self.verbatim_left = self._value_left if self._filter.verbatim else 0
        if not self._value_left:
            rest = self._filter.finish()
            out.shift += out.append([rest])
            if isinstance(self._filter, values.TrimText):
                actual = out.size - self._value_start
                if actual != self._value_written:
                    out.patch(self._value_length_at, out.pack_length(actual))
        return size

    # Group lengths

    def _group_length(self, pos: int, level: Level, start: int, length: int) -> int:
        """Write an existing group length; its value is corrected at the end of the group."""
        out = self._out
        header = out.header(level.group, 0, b"UL", max(4, length))
        value = out.buf[start:start + length]
        rest = value[4:]
        if level.little != out.little:
            rest = values.swapped(rest, 4)
        out.cut(pos, start + length, header + bytes(4) + rest)
        behind = out.origin + start + length + out.shift
        level.group_start = behind
        level.group_at = behind - 4 - len(rest)
        level.group_value = 0
        return start + length

    def _insert_group_length(self, pos: int, level: Level, group: int) -> None:
        out = self._out
        out.cut(pos, pos, out.header(group, 0, b"UL", 4) + bytes(4))
        level.group_start = out.origin + pos + out.shift
        level.group_at = level.group_start - 4
        level.group_value = 0

    def _end_group(self, level: Level, offset: int) -> None:
        """Write the length of the group that ends at a file offset."""
        if level.group_at >= 0:
            length = offset - level.group_start
            if length != level.group_value:
                self._out.patch(level.group_at, self._out.pack_length(length))
            level.group_at = -1

    # Sequences and items

    def _new_level(self, kind: int, end: int, explicit: bool, little: bool) -> Level:
        out = self._out
        return Level(kind, end, explicit, little, explicit == out.explicit and little == out.little)

    def _open(self, pos: int, level: Level, tag: int, vr: str, header: int,  # noqa: PLR0917 - hot
              length: int) -> int:
        """Begin a sequence, or Pixel Data in fragments."""
        out = self._out
        start = pos + header
        here = out.origin + start
        explicit, little = level.explicit, level.little
        if vr == "UN":
            explicit, little = False, True  # PS3.5 §6.2.2, note 2: its items are in implicit VR
        kind = ITEMS
        vr_out = b"SQ"
        if length == UNDEFINED:
            end = NO_END
            if tag == _PIXEL_DATA and vr in {"OB", "OW", "ox"}:
                if not self._encapsulated:
                    self._fail("compressed Pixel Data cannot be stored in this transfer syntax", pos, tag,
                               0xA700)
                kind, vr_out = FRAGMENTS, b"OB"
            elif vr not in {"SQ", "UN"}:
                self._fail("undefined length of a value that is no sequence", pos, tag)
        else:
            end = here + length
            if end > level.end:
                self._fail("element exceeds its item", pos, tag)
        if len(self._stack) >= 2 * self._options.max_depth:
            self._fail(f"sequences nested deeper than {self._options.max_depth}", pos, tag)
        self._order(pos, level, tag)
        delimited = kind == FRAGMENTS or not self._options.explicit_lengths
        written = UNDEFINED if delimited else length
        same = level.fast and vr_out == (vr.encode("ascii") if level.explicit else vr_out)
        if not same or written != length or (level.explicit and out.buf[pos + 6:pos + 8] != b"\0\0"):
            out.cut(pos, start, out.header(tag >> 16, tag & 0xFFFF, vr_out, written))
        child = self._new_level(kind, end, explicit, little)
        child.written = written
        child.delimited = delimited
        child.start = here + out.shift
        child.length_at = child.start - 4
        self._stack.append(level)
        self._level = child
        return start

    def _delimiter(self, pos: int, level: Level, element: int, length: int) -> int:
        """Handle a token of group FFFE."""
        if level.kind == ITEM:
            if element == 0xE00D and self._stack:
                self._close(pos, 8)
                return pos + 8
            self._fail("delimiter where none belongs", pos, 0xFFFE0000 | element)
        if element == 0xE0DD:
            self._close(pos, 8)
            return pos + 8
        if element != 0xE000:
            self._fail("no item where one must begin", pos, 0xFFFE0000 | element)
        level.members += 1
        if level.kind == FRAGMENTS:
            return self._fragment(pos, length)
        out = self._out
        here = out.origin + pos + 8
        delimited = level.delimited
        written = UNDEFINED if delimited else length
        if level.little != out.little or written != length:
            out.cut(pos, pos + 8, out.pack_implicit(0xFFFE, 0xE000, written))
        child = self._new_level(ITEM, NO_END if length == UNDEFINED else here + length, level.explicit,
                                level.little)
        child.written = written
        child.delimited = delimited
        child.start = here + out.shift
        child.length_at = child.start - 4
        self._stack.append(level)
        self._level = child
        return pos + 8

    def _fragment(self, pos: int, length: int) -> int:
        """Forward one fragment of encapsulated Pixel Data (PS3.5 A.4)."""
        out = self._out
        if length == UNDEFINED:
            self._fail("fragment of undefined length", pos, _ITEM_TAG)
        start = pos + 8
        end = start + length
        if end > self._size and length <= HELD:
            return self._want(8 + length, header=False)
        pad = b"\0" * (length & 1)
        if pad:
            out.cut(pos, start, out.pack_implicit(0xFFFE, 0xE000, length + 1))
        if end > self._size:
            return self._begin_stream(values.Verbatim(pad), start, length)
        if pad:
            out.cut(end, end, pad)
        return end

    def _close(self, pos: int, delimiter: int) -> None:
        """End the current level at ``pos``; ``delimiter`` is the length of the delimiter read there."""
        out = self._out
        level = self._level
        parent = self._stack.pop()
        if level.kind == ITEM:
            self._end_level(level, pos, self._options.item_padding)
        end = out.origin + pos + out.shift
        if level.delimited:
            if not delimiter or level.little != out.little or any(out.buf[pos + 4:pos + 8]):
                element = 0xE00D if level.kind == ITEM else 0xE0DD
                out.cut(pos, pos + delimiter, out.pack_implicit(0xFFFE, element, 0))
        else:
            if delimiter:
                out.cut(pos, pos + delimiter, b"")
            length = end - level.start
            if length != level.written:
                out.patch(level.length_at, out.pack_length(length))
        self._level = parent

    def _end_level(self, level: Level, pos: int, multiple: int) -> None:
        """End the data set or an item: pad it to a multiple of octets, write its last group length.

        An item is measured by its content, the data set with the file meta information before it; an
        empty item is not padded.
        """
        out = self._out
        end = out.origin + pos + out.shift
        if level.group_at >= 0 and level.group != _PADDING >> 16:
            self._end_group(level, end)
        if multiple and end > level.start:
            missing = -(end - level.start) % multiple
            if missing:
                header = len(out.header(0xFFFC, 0xFFFC, b"OB", 0))
                while missing < header:
                    missing += multiple
                octets = missing - header
                out.cut(pos, pos, out.header(0xFFFC, 0xFFFC, b"OB", octets) + bytes(octets))
                if level.last > _PADDING:
                    self.disordered = True
        self._end_group(level, out.origin + pos + out.shift)

    def _fail(self, message: str, pos: int, tag: int | None = None, status: int = 0xC000) -> NoReturn:
        raise InstanceError(message, status=status, tag=tag, offset=self._out.origin + pos)
