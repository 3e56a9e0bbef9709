"""Where in the nesting of a data set the engine stands, in its input and in its output."""

from __future__ import annotations

from typing import Final

# What a level holds.
ITEM: Final = 0  #: elements: an item, or the data set itself
ITEMS: Final = 1  #: a sequence
FRAGMENTS: Final = 2  #: encapsulated Pixel Data

NO_END: Final = 1 << 62  #: end of a level that a delimiter ends


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
