"""One token stream over a data set as it arrives, in any transfer syntax and any fragmentation.

Strategy: the input is looked at in windows. A walk (``fastscp.dicom.engine.walk``) passes over all that needs no
thought; what it stops at - group lengths, odd or padded values, unknown VRs, what crosses the end of the
window - takes one careful step in ``_step``, at any depth. A value larger than ``pending.HELD`` is forwarded as it
arrives.

Invariants: memory is bounded by ``WINDOW`` + ``HELD`` + the nesting; the result does not depend on how the
input is cut. Offsets in ``Level`` are absolute, positions in methods relative to the buffer.

It does not sort: a data set whose elements are out of order is marked (``Cursor.disordered``) and sorted
afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from fastscp.dicom.engine import walk
from fastscp.dicom.engine.cursor import ITEM, NO_END, Cursor, Level
from fastscp.dicom.engine.encode import Writer
from fastscp.dicom.engine.items import BEHIND
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import HELD, PendingValue
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.headers import IMPLICIT, LENGTH, NUMBER, UNDEFINED
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.tags import ITEM_OCTETS
from fastscp.dicom.uids import IMPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from fastscp.dicom.vr import KINDS, LONG
from fastscp.errors import InstanceError

WINDOW: Final = 32768
_STEPS: Final = 63  #: careful steps without a look at the time, a number of ones in binary

_LONG: Final = 4096  #: octets of an element that may be many steps by itself

_NAMES: Final = {name.encode("ascii"): name for name in KINDS}
_ENDS_INSIDE: Final = "data set ends inside a value"


class Opening(Protocol):
    """What may know how a data set begins before it is read."""

    def begin(self, chunk: bytes, plan: Plan, cursor: Cursor, output: Output, value: PendingValue) -> bytes:
        """Write what is known of the data set's first octets, and return those that are left to be read."""


class Reader:
    """Reads one data set as it arrives, token by token; a writer says what becomes of each."""

    __slots__ = ("_held", "_held_size", "_nesting", "_opening", "_out", "_plan", "_writer", "cursor", "value")

    def __init__(self, plan: Plan, cursor: Cursor, output: Output, value: PendingValue, writer: Writer,
                 opening: Opening | None = None) -> None:
        self._plan = plan
        self.cursor = cursor
        self._out = output
        self.value = value
        self._writer = writer
        self._nesting = writer.nesting
        self._opening = opening
        self._held: list[bytes] = []
        self._held_size = 0

    # Feeding

    def feed(self, views: Sequence[bytes | memoryview],
             enough: Callable[[], bool] | None = None) -> list[bytes | memoryview]:
        """Take the next octets. Raises InstanceError.

        ``enough`` is asked after every window, and within one that needs much thought; once it says so, what is left
        of the views is returned.
        """
        value = self.value
        last = len(views) - 1
        for index, view in enumerate(views):
            if value.verbatim_left and index < last:
                middle, last = views[index:last], 0  # tried once; a value that ends before is rare
                if value.forward(middle):
                    return self.feed(views[-1:], enough)
            size = len(view)
            at = 0
            while at < size:
                left = value.left
                unread = b""
                if left:
                    if left <= value.step:
                        at += value.feed(view if at == 0 and size <= left else view[at:at + left])
                        continue
                    at += value.feed(view[at:at + value.step])
                else:
                    chunk = bytes(view[at:at + WINDOW])
                    at += len(chunk)
                    unread = self._take(chunk, enough)
                if unread or (enough is not None and not value.verbatim_left and enough()):
                    return [rest for rest in (unread, view[at:], *views[index + 1:]) if rest]
        return []

    def _take(self, chunk: bytes, enough: Callable[[], bool] | None) -> bytes:
        """Read a chunk that is no longer than a window, with what was held back before it; return what is left."""
        if self.cursor.ended:
            self._pad(chunk)
            return b""
        if self._held:
            self._held.append(chunk)
            self._held_size += len(chunk)
            if self._held_size < self.cursor.need:
                return b""
            chunk = b"".join(self._held)
            self._held.clear()
        elif self._opening is not None:
            opening, self._opening = self._opening, None  # a data set begins only once
            chunk = opening.begin(chunk, self._plan, self.cursor, self._out, self.value)
            if not chunk:
                return b""
            if self.value.left:
                self.value.feed(chunk)
                return b""
        return self._scan(chunk, enough)

    def _pad(self, chunk: bytes) -> None:
        """Pass over what follows the end of the data set."""
        if chunk.strip(b"\0"):
            self._out.refuse("data behind the end of the data set", 0)
        self._out.origin += len(chunk)
        self._out.shift -= len(chunk)

    def finish(self) -> None:
        """End the data set: close what is open, as far as storescp accepts an open end."""
        out, cursor = self._out, self.cursor
        if self.value.left:
            raise InstanceError(_ENDS_INSIDE, tag=self.value.tag, offset=self.value.offset)
        if self._held and cursor.header:
            self._end_without_value()
        # DEVIATION PS3.5 §7.1: as storescp does, an incomplete header or delimiter at the very end is dropped, and
        # everything that is open ends there
        partial = bool(self._held)
        out.take(b"")
        while cursor.stack:
            level = cursor.level
            if level.kind != ITEM and level.members and out.origin < level.end and not partial:
                # the element that was met last on the level around it, unless a higher one came before
                tag = None if cursor.disordered else cursor.stack[-1].last
                out.refuse("data set ends inside a sequence", 0, tag)
            self._nesting.close(0, 0)
        self._nesting.end(cursor.level, 0, self._plan.options.file_padding)
        out.seal(0)

    def _end_without_value(self) -> None:
        """Take a header that nothing follows for an empty element, as storescp does.

        It is what garbage behind the data set looks like. Pixel Data and anything in a sequence would be missed.
        """
        header = b"".join(self._held)
        self._held.clear()
        level = self.cursor.level
        if self.cursor.stack or len(header) != self.cursor.header or NUMBER[level.little](header) == (0x7FE0,):
            group, element, _ = IMPLICIT[level.little](header)
            self._out.refuse(_ENDS_INSIDE, 0, group << 16 | element)
        octets = 2 if level.explicit and len(header) == 8 else 4
        self._scan(header[:-octets] + bytes(octets), None)

    @property
    def settled(self) -> bool:
        """Whether nothing that was written so far can still change, because a large value is passing by."""
        cursor = self.cursor
        return (self.value.left > 0 and not cursor.stack and cursor.level.group_at < 0 and not cursor.disordered
                and not self.value.may_shrink)

    @property
    def unsettled(self) -> bool:
        """Whether the end of what was fed lies inside something, or something of it has to be sorted."""
        return bool(self.cursor.disordered or self.cursor.stack or self._held)

    def forget(self) -> None:
        """Forget what would be written of all that was fed so far."""
        self._out.forget()

    # Reading

    def _scan(self, buf: bytes, enough: Callable[[], bool] | None) -> bytes:
        """Read the tokens of a buffer; hold back the last one when it is not complete.

        Returns what is left when ``enough`` was read.
        """
        out, cursor, plan, value = self._out, self.cursor, self._plan, self.value
        out.take(buf)
        pos = steps = 0
        compiled = plan.walk if out.observer is None else None
        while True:
            level = cursor.level
            if compiled is not None and level.kind == ITEM and level.explicit == plan.syntax_in.explicit_vr:
                pos = walk.compiled(compiled, plan, cursor, out, pos)
                level = cursor.level
            # no walk where it would stop at once
            elif level.kind == ITEM and not plan.convert_un and (plan.nests or (
                    buf[pos + 4:pos + 6] != b"SQ" and (level.last >= 0 or not plan.create_groups))):
                if level.fast:
                    if level.explicit:
                        pos = walk.unchanged(plan, cursor, out, pos)
                        level = cursor.level
                    else:
                        pos = walk.unchanged_implicit(plan, cursor, out, pos)
                elif level.explicit and out.observer is None and buf[pos + 4:pos + 6] != b"SQ":
                    pos = walk.recoded(plan, cursor, out, pos)
            after = self._step(pos, level)
            if after < 0:
                break
            if value.left:
                return b""
            steps = steps + 1 if after - pos < _LONG else 0
            pos = after
            if not steps & _STEPS and enough is not None and enough():
                out.seal(pos)
                out.origin += pos
                return buf[pos:]
        out.seal(pos)
        out.origin += pos
        if pos < len(buf):
            self._held.append(buf[pos:])
            self._held_size = len(buf) - pos
        return b""

    def _step(self, pos: int, level: Level) -> int:
        """Handle one token; return the position behind it, -1 when more octets are needed for it."""
        out = self._out
        here = out.origin + pos
        if here >= level.end:
            self._nesting.close(pos, 0)
            return pos
        if out.octets - pos < 8:
            return self.cursor.want(8, header=0)
        group, element, length = IMPLICIT[level.little](out.buf, pos)
        if group == 0xFFFE:
            return self._nesting.delimiter(pos, level, element, length)
        if level.kind != ITEM:
            out.refuse("no item where one must begin", pos, group << 16 | element)
        if here + 8 > level.end:
            out.refuse("element exceeds its item", pos, group << 16 | element)
        if level.explicit:
            return self._explicit(pos, level, group << 16 | element)
        return self._implicit(pos, level, group << 16 | element, length)

    def _implicit(self, pos: int, level: Level, tag: int, length: int) -> int:
        """Find the VR of an element without one (PS3.5 §7.1.3)."""
        if not tag & 0x10000:
            return self._writer.element(pos, level, tag, self._plan.dictionary.vr(tag), 8, length)
        out = self._out
        vr = self._plan.vrs.private(level, tag)
        if vr == "SQ" and length not in {0, UNDEFINED}:
            # private dictionaries are collected from the field: the value has the last word
            if length >= 4 and out.octets - pos < 12:
                return self.cursor.want(12, header=8)
            if out.buf[pos + 8:pos + 12] != ITEM_OCTETS:
                vr = "UN"
        return self._writer.element(pos, level, tag, vr, 8, length)

    def _explicit(self, pos: int, level: Level, tag: int) -> int:
        """Read VR and length of an explicit header (PS3.5 §7.1.2)."""
        buf = self._out.buf
        name = _NAMES.get(buf[pos + 4:pos + 6])
        if name is None:
            # DEVIATION PS3.5 §6.2: as in storescp, two capitals have a 32-bit length, all else a 16-bit one
            if not (65 <= buf[pos + 4] <= 90 and 65 <= buf[pos + 5] <= 90):
                return self._writer.element(pos, level, tag, "", 8, NUMBER[level.little](buf, pos + 6)[0])
            name = ""
        elif KINDS[name] < LONG:
            return self._writer.element(pos, level, tag, name, 8, NUMBER[level.little](buf, pos + 6)[0])
        if self._out.octets - pos < 12:
            return self.cursor.want(12, header=0)
        if name == "SQ":
            return self._nesting.open(pos, level, tag, name, 12, LENGTH[level.little](buf, pos + 8)[0])
        return self._writer.element(pos, level, tag, name, 12, LENGTH[level.little](buf, pos + 8)[0])


def items_reader(plan: Plan, levels: int) -> Reader:
    """Return a reader of a value that would be read as a sequence, inside ``levels`` levels of the data set."""
    implicit = transfer_syntax(IMPLICIT_VR_LITTLE_ENDIAN)
    depth = max(1, (plan.most_levels - levels) // 2)
    options = OutputOptions(max_depth=depth)
    return new_reader(Plan(implicit, implicit, options, plan.dictionary, frozenset({BEHIND})),
                      Output(0, implicit))


def new_reader(plan: Plan, output: Output, opening: Opening | None = None, held: int = HELD) -> Reader:
    """Return a reader at the beginning of a data set, with a cursor and a writer of its own."""
    explicit, little = plan.syntax_in.explicit_vr, plan.syntax_in.little_endian
    cursor = Cursor(Level(ITEM, NO_END, explicit, little, explicit == output.explicit and little == output.little))
    value = PendingValue(output)
    return Reader(plan, cursor, output, value, Writer(plan, cursor, output, value, items_reader, held), opening)
