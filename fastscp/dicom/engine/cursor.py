"""Where in the nesting of a data set the engine stands, in its input and in its output.

Offsets of the input count from the first octet of the data set as it is received, those of the output from the
first octet of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# What a level holds.
ITEM: Final = 0  #: elements: an item, or the data set itself
ITEMS: Final = 1  #: a sequence
FRAGMENTS: Final = 2  #: encapsulated Pixel Data

NO_END: Final = 1 << 62  #: end of a level that a delimiter ends


@dataclass(frozen=True, slots=True)
class Position:
    """What a level remembers of its elements so far; offsets of the output count from where they begin."""

    last: int  #: highest tag so far
    group: int  #: group of the last element
    group_at: int  #: output offset of the open group length's value, -1 for none
    group_start: int
    group_value: int
    bits: int | None  #: what later elements of the data set depend on, in implicit VR
    signed: bool | None
    creators: dict[int, str] | None


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
        self.bits: int | None = None  #: Waveform Bits Allocated
        self.signed: bool | None = None  #: Pixel Representation
        self.creators: dict[int, str] | None = None

    def position(self, base: int) -> Position:
        """Return what is known behind elements whose output began at file offset ``base``."""
        counted = self.group_at >= 0
        return Position(self.last, self.group, self.group_at - base if counted else -1,
                        self.group_start - base if counted else 0, self.group_value,
                        self.bits, self.signed, self.creators)

    def resume(self, position: Position, base: int) -> None:
        """Go on behind elements that were not read one by one; their output began at file offset ``base``."""
        self.last, self.group = position.last, position.group
        self.bits, self.signed = position.bits, position.signed
        self.creators = None if position.creators is None else dict(position.creators)
        if position.group_at >= 0:
            self.group_at, self.group_start = base + position.group_at, base + position.group_start
            self.group_value = position.group_value


class Cursor:
    """The level the engine is in and those around it, what it waits for, and what it has met on the way."""

    __slots__ = ("attributes", "disordered", "ended", "header", "level", "need", "stack")

    def __init__(self, level: Level) -> None:
        self.level = level
        self.stack: list[Level] = []  #: the levels around it, the data set first
        self.need = 0  #: octets from the current token on that are needed to go on
        self.header = 0  #: octets of the header whose value is missing; 0: it is the header that is
        self.ended = False  #: by an item delimiter at top level
        self.disordered = False  #: elements have to be sorted
        self.attributes: dict[int, bytes] = {}  #: raw values of top-level elements that are wanted

    def want(self, octets: int, *, header: int) -> int:
        """Wait for ``octets`` from the current token on; return the position -1 that says so."""
        self.need = octets
        self.header = header
        return -1

    def enter(self, level: Level) -> None:
        """Stand at the beginning of a level inside the current one."""
        self.stack.append(self.level)
        self.level = level

    def leave(self) -> Level:
        """Stand behind the current level; return it."""
        level = self.level
        self.level = self.stack.pop()
        return level
