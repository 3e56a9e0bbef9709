"""Groups of elements: whether they come in order, and their lengths.

The value of a group length (gggg,0000) is known when its group ends; until then it is zero.

Source: PS3.5 §7.1 (ascending tags) and §7.2 (group length)
"""

from __future__ import annotations

from fastscp.dicom.engine import values
from fastscp.dicom.engine.cursor import Cursor, Level
from fastscp.dicom.engine.output import Output


class Groups:
    """Writes group lengths with a value of zero, and patches them when their group ends."""

    __slots__ = ("_create", "_cursor", "_out")

    def __init__(self, output: Output, cursor: Cursor, *, create: bool) -> None:
        self._out = output
        self._cursor = cursor
        self._create = create  #: a length for every group

    def reach(self, pos: int, level: Level, tag: int) -> bool:
        """Come to an element: its group may be a new one; tell whether its tag is above all before it."""
        in_order = tag > level.last
        if in_order:
            level.last = tag
        else:
            self._cursor.disordered = True
        group = tag >> 16
        if group != level.group:
            if level.group_at >= 0:
                out = self._out
                self.end(level, out.origin + pos + out.shift)
            level.group = group
            if self._create:
                self._insert(pos, level)
        return in_order

    def replace(self, pos: int, level: Level, vr: str, start: int, length: int) -> int:
        """Write an existing group length, ``length`` octets at ``start``; return the position behind it.

        Surplus octets stay, as in storescp; a wrong VR becomes a UL that has none.
        """
        out = self._out
        rest = out.buf[start + 4:start + length] if vr == "UL" else b""
        header = out.header(level.group, 0, b"UL", 4 + len(rest))
        if level.little != out.little:
            rest = values.swapped(rest, 4)
        out.cut(pos, start + length, header + bytes(4) + rest)
        self._begin(level, out.origin + start + length + out.shift, len(rest))
        return start + length

    def _insert(self, pos: int, level: Level) -> None:
        """Write a group length that was not there."""
        out = self._out
        out.cut(pos, pos, out.header(level.group, 0, b"UL", 4) + bytes(4))
        self._begin(level, out.origin + pos + out.shift, 0)

    @staticmethod
    def _begin(level: Level, offset: int, rest: int) -> None:
        level.group_start = offset
        level.group_at = offset - 4 - rest
        level.group_value = 0

    def end(self, level: Level, offset: int) -> None:
        """Write the length of the group that ends at a file offset, if it is counted."""
        if level.group_at >= 0:
            length = offset - level.group_start
            if length != level.group_value:
                self._out.patch(level.group_at, self._out.length_octets(length))
            level.group_at = -1
