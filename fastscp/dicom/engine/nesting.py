"""Sequences, items and encapsulated Pixel Data: opened and closed in input and output at once.

A length that may turn out to be another, because what is inside changes, is written as it was read and patched
when the level closes.

Invariant: methods that handle a token return the position behind it, or -1 when more octets are needed.

Source: PS3.5 §7.5 (sequences), §A.4 (fragments)
"""

from __future__ import annotations

from typing import Final

from fastscp.dicom import tags
from fastscp.dicom.engine import values
from fastscp.dicom.engine.cursor import FRAGMENTS, ITEM, ITEMS, NO_END, Cursor, Level
from fastscp.dicom.engine.groups import Groups
from fastscp.dicom.engine.output import Output, padding_octets
from fastscp.dicom.engine.pending import HELD, PendingValue
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.headers import UNDEFINED
from fastscp.dicom.tags import PADDING, PIXEL_DATA

_NOWHERE: Final = "delimiter where none belongs"
_PADDING_GROUP: Final = PADDING >> 16


class Nesting:
    """Writes what begins and ends levels, and moves the cursor into them and out of them."""

    __slots__ = ("_cursor", "_groups", "_out", "_plan", "_value")

    def __init__(self, plan: Plan, cursor: Cursor, output: Output, value: PendingValue, groups: Groups) -> None:
        self._plan = plan
        self._cursor = cursor
        self._out = output
        self._value = value
        self._groups = groups

    def open(self, pos: int, level: Level, tag: int, vr: str, header: int, length: int) -> int:
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
            if tag == PIXEL_DATA and vr in {"OB", "OW", "ox"}:
                if not self._plan.syntax_out.encapsulated:
                    out.refuse("compressed Pixel Data cannot be stored in this transfer syntax", pos, tag, 0xA700)
                kind, vr_out = FRAGMENTS, b"OB"
            elif vr not in {"SQ", "UN"}:
                out.refuse("undefined length of a value that is no sequence", pos, tag)
        else:
            end = here + length
            if end > level.end:
                out.refuse("element exceeds its item", pos, tag)
        if len(self._cursor.stack) >= self._plan.most_levels:
            out.refuse(f"sequences nested deeper than {self._plan.options.max_depth}", pos, tag)
        self._groups.reach(pos, level, tag)
        delimited = kind == FRAGMENTS or self._plan.delimits
        if delimited and self._plan.silent and level.explicit and self._plan.vrs.unspoken(level, tag) not in {"SQ", "UN"}:
            # as in storescp, whatever reads it again does not take an undefined length for that of a sequence
            out.refuse("sequence that would be read as something else in implicit VR", pos, tag)
        written = UNDEFINED if delimited else length
        same = level.fast and vr_out == (vr.encode("ascii") if level.explicit else vr_out)
        if not same or written != length or (level.explicit and out.buf[pos + 6:pos + 8] != b"\0\0"):
            out.cut(pos, start, out.header(tag >> 16, tag & 0xFFFF, vr_out, written))
        self._enter(Level(kind, end, explicit, little, explicit == out.explicit and little == out.little),
                    here, written, delimited)
        return start

    def delimiter(self, pos: int, level: Level, element: int, length: int) -> int:
        """Handle a token of group FFFE: the beginning of an item, a fragment, or an end."""
        out = self._out
        if level.kind == ITEM:
            if element != 0xE00D:
                out.refuse(_NOWHERE, pos, tags.DELIMITERS << 16 | element)
            if not self._cursor.stack:
                return self._end_dataset(pos)
            self.close(pos, 8)
            return pos + 8
        if element == 0xE0DD:
            self.close(pos, 8)
            return pos + 8
        if element != 0xE000:
            out.refuse("no item where one must begin", pos, tags.DELIMITERS << 16 | element)
        level.members += 1
        if level.kind == FRAGMENTS:
            return self._fragment(pos, length)
        here = out.origin + pos + 8
        delimited = level.delimited
        written = UNDEFINED if delimited else length
        if level.little != out.little or written != length:
            out.cut(pos, pos + 8, out.pack_implicit(0xFFFE, 0xE000, written))
        self._enter(Level(ITEM, NO_END if length == UNDEFINED else here + length, level.explicit, level.little,
                          level.explicit == out.explicit and level.little == out.little),
                    here, written, delimited)
        return pos + 8

    def _enter(self, child: Level, here: int, written: int, delimited: bool) -> None:
        """Enter a level whose content begins at input offset ``here``, behind a length that says ``written``."""
        child.written = written
        child.delimited = delimited
        child.start = here + self._out.shift
        child.length_at = child.start - 4
        self._cursor.enter(child)

    def _end_dataset(self, pos: int) -> int:
        """Leave out an item delimiter at top level; nothing but padding may follow it."""
        out = self._out
        if out.buf[pos + 8:].strip(b"\0"):
            out.refuse(_NOWHERE, pos, tags.ITEM_END)
        out.cut(pos, out.octets, b"")
        self._cursor.ended = True
        return out.octets

    def _fragment(self, pos: int, length: int) -> int:
        """Forward one fragment of encapsulated Pixel Data (PS3.5 A.4)."""
        out = self._out
        if length == UNDEFINED:
            out.refuse("fragment of undefined length", pos, tags.ITEM)
        start = pos + 8
        end = start + length
        if end > out.octets and length <= HELD:
            return self._cursor.want(8 + length, header=8)
        pad = b"\0" * (length & 1)
        if pad:
            out.cut(pos, start, out.pack_implicit(0xFFFE, 0xE000, length + 1))
        if end > out.octets:
            return self._value.begin(values.Verbatim(pad), start, length, tag=PIXEL_DATA, pos=pos)
        if pad:
            out.cut(end, end, pad)
        return end

    def close(self, pos: int, delimiter: int) -> None:
        """End the current level at ``pos``; ``delimiter`` is the length of the delimiter read there."""
        out = self._out
        level = self._cursor.level
        if level.kind == ITEM:
            self.end(level, pos, self._plan.options.item_padding)
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
        self._cursor.leave()

    def end(self, level: Level, pos: int, multiple: int) -> None:
        """End the elements of the data set or of an item: pad them, write the last group length.

        An item is measured by its content, the data set with the file meta information before it; an
        empty item is not padded.
        """
        out = self._out
        end = out.origin + pos + out.shift
        if level.group_at >= 0 and level.group != _PADDING_GROUP:
            self._groups.end(level, end)
        if multiple and end > level.start:
            octets = padding_octets(end - level.start, multiple, len(out.header(0xFFFC, 0xFFFC, b"OB", 0)))
            if octets is not None:
                out.cut(pos, pos, out.header(0xFFFC, 0xFFFC, b"OB", octets) + bytes(octets))
                if level.last > PADDING:
                    self._cursor.disordered = True
        self._groups.end(level, out.origin + pos + out.shift)
