"""The writing half of the engine: what becomes of each token the scanner has read.

Strategy: a token that stays as it is costs nothing, its octets are part of the output's current run;
everything else is a ``cut``, and a length known too late a ``patch``. Values too large to be held go through a
filter piece by piece. Levels are opened and closed here, in input and output at once.

Invariant: methods that handle a token return the position behind it, or -1 when more octets are needed.
"""

from __future__ import annotations

import struct
from typing import Final, NoReturn

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine import values
from fastscp.dicom.engine.groups import GroupCounter
from fastscp.dicom.engine.levels import FRAGMENTS, ITEM, ITEMS, NO_END, Level
from fastscp.dicom.engine.output import UNDEFINED, Output, padding_octets
from fastscp.dicom.engine.resolve import OCTET_BITS, PIXEL_REPRESENTATION, WAVEFORM_BITS_ALLOCATED, VRs
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.uids import TransferSyntax
from fastscp.dicom.vr import KINDS, LONG_TEXT, NEVER_PADDED, NEW_VRS, TEXT, UID, WIDTHS
from fastscp.errors import InstanceError

HELD: Final = 65536  #: values up to this many octets are seen as a whole

_ITEM_TAG: Final = 0xFFFEE000
_PADDING: Final = 0xFFFCFFFC
_PIXEL_DATA: Final = 0x7FE00010

_NUMBERS: Final = {True: struct.Struct("<H").unpack_from, False: struct.Struct(">H").unpack_from}


class Encoder:
    """Writes one data set into an ``Output``, token by token."""

    # where every data set begins: of the class, because an engine is made for each object
    disordered = False
    verbatim_left = 0  #: octets of a large value that may go past the engine, see ``passed``
    _size = 0  #: octets in the buffer
    _need = 0  #: octets from the current token on that are needed to go on
    _header = 0  #: octets of the header whose value is missing; 0: it is the header that is
    _ended = False  #: by an item delimiter at top level
    _value_left = 0  #: octets of a large value still to come
    _value_length_at = -1
    _value_start = 0
    _value_written = 0
    _filter: values.Filter = values.Verbatim(b"")

    def __init__(self, syntaxes: tuple[TransferSyntax, TransferSyntax], options: OutputOptions,
                 dictionary: Dictionary, output: Output, wanted: frozenset[int]) -> None:
        syntax_in, syntax_out = syntaxes
        self._out = output
        self._options = options
        self._dictionary = dictionary
        self._vrs = VRs(dictionary)
        self._groups = GroupCounter(output)
        if not options.new_vrs:
            output.too_long = b"OB"
        self._wanted = wanted
        self._convert_un = options.convert_un
        self._create_groups = options.group_lengths is GroupLengths.CREATE
        # also for CREATE: storescp removes all first, so the length of an empty group does not survive
        self._drop_groups = options.group_lengths is not GroupLengths.RECALCULATE
        self._encapsulated = syntax_out.encapsulated
        self._fragments_in = syntax_in.encapsulated
        self.attributes: dict[int, bytes] = {}
        self._level = self._new_level(ITEM, NO_END, syntax_in.explicit_vr, syntax_in.little_endian)
        self._stack: list[Level] = []

    def _want(self, octets: int, *, header: int) -> int:
        self._need = octets
        self._header = header
        return -1

    def _element(self, pos: int, level: Level, tag: int, vr: str, header: int,
                 length: int) -> int:
        """Handle a data element; ``vr`` is empty when the header has none that is known."""
        out = self._out
        group, element = tag >> 16, tag & 0xFFFF
        known = self._vrs.converted(level, tag) if vr == "UN" and self._convert_un and level.explicit else ""
        if vr == "SQ" or length == UNDEFINED or known == "SQ":
            return self._open(pos, level, tag, vr, header, length)
        start = pos + header
        end = start + length
        if out.origin + end > level.end:
            self._fail("element exceeds its item", pos, tag)
        large = end > self._size
        if large and length <= HELD:
            return self._want(header + length, header=header)
        if start == self._size and large:
            return self._want(header + 1, header=header)  # it may be the end: see ``_end_without_value``
        if tag == _PADDING or (element == 0 and self._drop_groups):
            return self._drop(pos, end, length - (self._size - start) if large else 0)
        if tag == _PIXEL_DATA and self._fragments_in and not self._stack:
            self._fail("Pixel Data of defined length in a transfer syntax with fragments", pos, tag)
        in_order = self._order(pos, level, tag)
        if element == 0:
            if large:
                self._fail("group length that is no length", pos, tag)
            return self._groups.replace(pos, level, vr, start, length)
        resolved = self._vrs.resolved(known or vr, level, tag)
        vr_out = resolved if self._options.new_vrs or resolved not in NEW_VRS else "OB"
        if large:
            return self._begin_value(pos, level, tag, (vr, resolved, vr_out), start, length)
        value = out.buf[start:end]
        self._note(level, tag, value, in_order=in_order)
        kind = KINDS[resolved]
        if kind in {TEXT, LONG_TEXT}:
            new = values.text(value)
        elif kind == UID:
            # what is too long to be a UID must not depend on how it arrives: see _begin_value
            new = values.uid(value) if length <= HELD else values.text(value)
        else:
            new = value + b"\0" if length & 1 and vr_out not in NEVER_PADDED else value
            if self._swaps(level, (vr, resolved, vr_out), len(new)):
                if out.recording and len(new) == length:
                    out.cut(pos, start, out.header(group, element, vr_out.encode("ascii"), length))
                    out.swap(start, end, WIDTHS[resolved])
                    return end
                new = values.swapped(new, WIDTHS[resolved])
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

    def _swaps(self, level: Level, vrs: tuple[str, str, str], length: int) -> bool:
        """Tell whether the octets of a value change places; for ``vrs`` see ``_begin_value``.

        For storescp, what it reads as UN (``+uc``) or writes as OB (``-u``) is in little endian, and so is what
        has become UN or OB because it is too long for its VR.
        """
        vr, resolved, vr_out = vrs
        little_in = level.little or (vr == "UN" and resolved != "UN")
        little_out = self._out.little or resolved != vr_out or not self._out.keeps_vr(vr_out.encode("ascii"), length)
        return little_in != little_out and resolved in WIDTHS

    def _order(self, pos: int, level: Level, tag: int) -> bool:
        """Watch the order of tags and the beginning of groups; tell whether the tag is above all before it."""
        in_order = tag > level.last
        if in_order:
            level.last = tag
        else:
            self.disordered = True
        group = tag >> 16
        if group != level.group:
            if level.group_at >= 0:
                out = self._out
                self._groups.end(level, out.origin + pos + out.shift)
            level.group = group
            if self._create_groups:
                self._groups.insert(pos, level)
        return in_order

    def _note(self, level: Level, tag: int, value: bytes, *, in_order: bool) -> None:
        """Keep what later elements or the caller need to know."""
        if not self._stack and tag in self._wanted:
            self.attributes.setdefault(tag, value)
        elif tag == WAVEFORM_BITS_ALLOCATED:
            if level.bits is None:
                level.bits = _NUMBERS[level.little](value)[0] if len(value) >= 2 else OCTET_BITS
        elif tag == PIXEL_REPRESENTATION:
            if level.signed is None:
                level.signed = len(value) >= 2 and _NUMBERS[level.little](value)[0] == 1
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF and in_order and (  # storescp does not see others
                not level.explicit or self._convert_un):
            self._vrs.reserve(level, tag, value)

    # Large values

    def _drop(self, pos: int, end: int, beyond: int) -> int:
        """Leave an element out."""
        out = self._out
        if not beyond:
            out.cut(pos, end, b"")
            return end
        out.cut(pos, self._size, b"")
        return self._begin_stream(values.Drop(), self._size, beyond)

    def _begin_value(self, pos: int, level: Level, tag: int,
                     vrs: tuple[str, str, str], start: int, length: int) -> int:
        """Write the header of a value that is larger than the buffer and forward its beginning.

        ``vrs`` are the VR read, the one it stands for, and the one to be written.
        """
        out = self._out
        vr, resolved, vr_out = vrs
        kind = KINDS[resolved]
        odd = bool(length & 1)
        pad = b"\0" if odd and vr_out not in NEVER_PADDED else b""
        written = length + odd if pad or kind in {TEXT, LONG_TEXT, UID} else length
        chosen: values.Filter
        if kind in {TEXT, LONG_TEXT, UID}:
            chosen = values.TrimText(odd=odd)
        elif self._swaps(level, vrs, written):
            chosen = values.Swap(WIDTHS[resolved], pad)
        else:
            chosen = values.Verbatim(pad)
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

    @property
    def settled(self) -> bool:
        """Whether nothing that was written so far can still change, because a large value is passing by."""
        return (self._value_left > 0 and not self._stack and self._level.group_at < 0 and not self.disordered
                and not isinstance(self._filter, values.TrimText))

    def passed(self, octets: int) -> None:
        """Account for input that was written verbatim, less than ``verbatim_left``."""
        self.verbatim_left -= octets
        self._value_left -= octets
        self._out.passed(octets)

    # Sequences and items

    def _new_level(self, kind: int, end: int, explicit: bool, little: bool) -> Level:
        out = self._out
        return Level(kind, end, explicit, little, explicit == out.explicit and little == out.little)

    def _open(self, pos: int, level: Level, tag: int, vr: str, header: int,
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
            if element == 0xE00D:
                return self._end_dataset(pos)
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

    def _end_dataset(self, pos: int) -> int:
        """Leave out an item delimiter at top level; nothing but padding may follow it."""
        if self._out.buf[pos + 8:].strip(b"\0"):
            self._fail("delimiter where none belongs", pos, 0xFFFEE00D)
        self._out.cut(pos, self._size, b"")
        self._ended = True
        return self._size

    def _fragment(self, pos: int, length: int) -> int:
        """Forward one fragment of encapsulated Pixel Data (PS3.5 A.4)."""
        out = self._out
        if length == UNDEFINED:
            self._fail("fragment of undefined length", pos, _ITEM_TAG)
        start = pos + 8
        end = start + length
        if end > self._size and length <= HELD:
            return self._want(8 + length, header=8)
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
                out.patch(level.length_at, out.length_octets(length))
        self._level = parent

    def _end_level(self, level: Level, pos: int, multiple: int) -> None:
        """End the data set or an item: pad it to a multiple of octets, write its last group length.

        An item is measured by its content, the data set with the file meta information before it; an
        empty item is not padded.
        """
        out = self._out
        end = out.origin + pos + out.shift
        if level.group_at >= 0 and level.group != _PADDING >> 16:
            self._groups.end(level, end)
        if multiple and end > level.start:
            octets = padding_octets(end - level.start, multiple, len(out.header(0xFFFC, 0xFFFC, b"OB", 0)))
            if octets is not None:
                out.cut(pos, pos, out.header(0xFFFC, 0xFFFC, b"OB", octets) + bytes(octets))
                if level.last > _PADDING:
                    self.disordered = True
        self._groups.end(level, out.origin + pos + out.shift)

    def _fail(self, message: str, pos: int, tag: int | None = None, status: int = 0xC000) -> NoReturn:
        raise InstanceError(message, status=status, tag=tag, offset=self._out.origin + pos)
