"""What becomes of a data element: left as it is, replaced, left out, or forwarded piece by piece.

Strategy: an element that stays as it is costs nothing, its octets are part of the output's current run;
everything else is a ``cut``. A value too large to be held is handed to ``pending``.

Invariant: methods that handle a token return the position behind it, or -1 when more octets are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastscp.dicom.engine import values
from fastscp.dicom.engine.cursor import Cursor, Level
from fastscp.dicom.engine.groups import Groups
from fastscp.dicom.engine.items import NO_ITEMS, ItemsCheck, ItemsReader
from fastscp.dicom.engine.nesting import Nesting
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import HELD, PendingValue
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.engine.resolve import OCTET_BITS
from fastscp.dicom.headers import NUMBER, UNDEFINED
from fastscp.dicom.tags import ITEM_OCTETS, PADDING, PIXEL_DATA, PIXEL_REPRESENTATION, WAVEFORM_BITS_ALLOCATED
from fastscp.dicom.vr import KINDS, LONG_TEXT, NEVER_PADDED, NEW_VRS, TEXT, UID, WIDTHS

#: VRs, an unknown one among them, whose values may be items in implicit VR
_OPAQUE: Final = frozenset({"UN", "OB", ""})


class Writer:
    """Writes elements one by one; what holds others is handed on to ``nesting``.

    A triple of VRs is the one that was read (empty when the header has none that is known), the one it stands for,
    and the one that is written.
    """

    __slots__ = ("_cursor", "_groups", "_held", "_items_reader", "_out", "_plan", "_value", "nesting")

    def __init__(self, plan: Plan, cursor: Cursor, output: Output, value: PendingValue,
                 items_reader: Callable[[Plan, int], ItemsReader], held: int = HELD) -> None:
        self._plan = plan
        self._cursor = cursor
        self._out = output
        self._value = value
        self._items_reader = items_reader
        self._held = held  #: octets of the longest value that is waited for
        self._groups = Groups(output, cursor, create=plan.create_groups)
        self.nesting = Nesting(plan, cursor, output, value, self._groups)

    def element(self, pos: int, level: Level, tag: int, vr: str, header: int, length: int) -> int:
        """Handle a data element; ``header`` is the length of its header, ``vr`` empty when unknown."""
        plan, out = self._plan, self._out
        known = plan.vrs.converted(level, tag) if vr == "UN" and plan.convert_un and level.explicit else ""
        if vr == "SQ" or length == UNDEFINED or known == "SQ":
            return self.nesting.open(pos, level, tag, vr, header, length)
        start = pos + header
        end = start + length
        if out.origin + end > level.end:
            out.refuse("element exceeds its item", pos, tag)
        large = end > out.octets
        if large and length <= self._held:
            return self._cursor.want(header + length, header=header)
        if start == out.octets and large:
            return self._cursor.want(header + 1, header=header)  # it may be the end: see Reader.finish
        element = tag & 0xFFFF
        if tag == PADDING or (element == 0 and plan.drop_groups):
            return self._drop(pos, tag, end)
        check = None
        if plan.silent and length and level.explicit and plan.vrs.unspoken(level, tag) == "SQ":
            if tag >> 16 & 1 and out.octets < start + 4 <= end:
                return self._cursor.want(header + 4, header=header)
            check = self._check_items(pos, tag, vr, start, length)
        if tag == PIXEL_DATA and plan.syntax_in.encapsulated and not self._cursor.stack:
            out.refuse("Pixel Data of defined length in a transfer syntax with fragments", pos, tag)
        in_order = self._groups.reach(pos, level, tag)
        if element == 0:
            if large:
                out.refuse("group length that is no length", pos, tag)
            return self._groups.replace(pos, level, vr, start, length)
        resolved = plan.vrs.resolved(known or vr, level, tag)
        vr_out = resolved if plan.new_vrs or resolved not in NEW_VRS else "OB"
        if large:
            return self._begin_value(pos, level, tag, (vr, resolved, vr_out), start, length, check)
        if check is not None:
            check.feed(out.buf[start:end])
            check.finish()
        self._note(level, tag, out.buf[start:end], in_order=in_order)
        return self._whole_value(pos, level, tag, (vr, resolved, vr_out), start, end)

    def _check_items(self, pos: int, tag: int, vr: str, start: int, length: int) -> ItemsCheck | None:
        """Return what has to read a value that would be taken for a sequence where no VR is written.

        Values of private attributes have the last word: see ``Reader._implicit``.
        """
        out = self._out
        if out.observer is not None:
            out.refuse("a header that depends on a value", pos, tag)  # it must not be recognised by its shape
        if tag >> 16 & 1 and out.buf[start:start + 4] != ITEM_OCTETS:
            return None
        if vr not in _OPAQUE or length & 1:
            out.refuse(NO_ITEMS, pos, tag)
        return ItemsCheck(self._items_reader(self._plan, len(self._cursor.stack)), length, tag, out.origin + pos)

    def _whole_value(self, pos: int, level: Level, tag: int, vrs: tuple[str, str, str], start: int, end: int) -> int:
        """Write an element whose value is in the buffer, corrected, padded and swapped as its VR wants it."""
        out = self._out
        vr, resolved, vr_out = vrs
        value = out.buf[start:end]
        length = end - start
        kind = KINDS[resolved]
        if kind in {TEXT, LONG_TEXT}:
            new = values.text(value)
        elif kind == UID:
            # what is too long to be a UID must not depend on how it arrives: see _begin_value
            new = values.uid(value) if length <= HELD else values.text(value)
        else:
            new = value + b"\0" if length & 1 and vr_out not in NEVER_PADDED else value
            if self._swaps(level, vrs, len(new)):
                if out.observer is not None and len(new) == length:
                    out.cut(pos, start, out.header(tag >> 16, tag & 0xFFFF, vr_out.encode("ascii"), length))
                    out.swap(start, end, WIDTHS[resolved])
                    return end
                new = values.swapped(new, WIDTHS[resolved])
        if level.fast and vr_out == vr and len(new) == length and (
                start == pos + 8 or out.buf[pos + 6:pos + 8] == b"\0\0"):
            if new != value:
                out.cut(start, end, new)
            return end
        head = out.header(tag >> 16, tag & 0xFFFF, vr_out.encode("ascii"), len(new))
        if new == value:
            out.cut(pos, start, head)  # a recorded cut must hold nothing of a value that may be another's
        else:
            out.cut(pos, end, head + new)
        return end

    def _swaps(self, level: Level, vrs: tuple[str, str, str], length: int) -> bool:
        """Tell whether the octets of a value change places.

        For storescp, what it reads as UN (``+uc``) or writes as OB (``-u``) is in little endian, and so is what
        has become UN or OB because it is too long for its VR.
        """
        vr, resolved, vr_out = vrs
        little_in = level.little or (vr == "UN" and resolved != "UN")
        little_out = self._out.little or resolved != vr_out or not self._out.keeps_vr(vr_out.encode("ascii"), length)
        return little_in != little_out and resolved in WIDTHS

    def _note(self, level: Level, tag: int, value: bytes, *, in_order: bool) -> None:
        """Keep what later elements or the caller need to know."""
        if not self._cursor.stack and tag in self._plan.wanted:
            self._cursor.attributes.setdefault(tag, value)
        elif tag == WAVEFORM_BITS_ALLOCATED:
            if level.bits is None:
                level.bits = NUMBER[level.little](value)[0] if len(value) >= 2 else OCTET_BITS
        elif tag == PIXEL_REPRESENTATION:
            if level.signed is None:
                level.signed = len(value) >= 2 and NUMBER[level.little](value)[0] == 1
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF and in_order and (  # storescp does not see others
                not level.explicit or self._plan.convert_un or self._plan.silent):
            self._plan.vrs.reserve(level, tag, value)

    def _drop(self, pos: int, tag: int, end: int) -> int:
        """Leave an element out, also what of it is beyond the buffer."""
        out = self._out
        if end <= out.octets:
            out.cut(pos, end, b"")
            return end
        out.cut(pos, out.octets, b"")
        return self._value.begin(values.Drop(), out.octets, end - out.octets, tag=tag, pos=pos)

    def _begin_value(self, pos: int, level: Level, tag: int, vrs: tuple[str, str, str], start: int,
                     length: int, check: ItemsCheck | None) -> int:
        """Write the header of a value that is larger than the buffer and forward its beginning."""
        out = self._out
        vr, resolved, vr_out = vrs
        odd = bool(length & 1)
        pad = b"\0" if odd and vr_out not in NEVER_PADDED else b""
        text = KINDS[resolved] in {TEXT, LONG_TEXT, UID}
        written = length + odd if pad or text else length
        chosen: values.Filter
        if check is not None:
            chosen = check
        elif text:
            chosen = values.TrimText(odd=odd)
        elif self._swaps(level, vrs, written):
            chosen = values.Swap(WIDTHS[resolved], pad)
        else:
            chosen = values.Verbatim(pad)
        if not level.fast or vr_out != vr or written != length or (
                level.explicit and out.buf[pos + 6:pos + 8] != b"\0\0"):
            out.cut(pos, start, out.header(tag >> 16, tag & 0xFFFF, vr_out.encode("ascii"), written))
        self._value.measure(out.origin + start + out.shift, written)
        return self._value.begin(chosen, start, length, tag=tag, pos=pos)
