"""Group lengths: the value of (gggg,0000) is known when its group ends (PS3.5 §7.2)."""

from __future__ import annotations

from fastscp.dicom.engine import values
from fastscp.dicom.engine.levels import Level
from fastscp.dicom.engine.output import Output


class GroupCounter:
    """Writes group lengths with a value of zero and patches them at the end of the group."""

    def __init__(self, output: Output) -> None:
        self._out = output

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

    def insert(self, pos: int, level: Level) -> None:
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
