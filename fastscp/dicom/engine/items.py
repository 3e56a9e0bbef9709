"""Values that are no sequences, but would be read as such when they are written in implicit VR.

In implicit VR the dictionary decides, and a tag of a sequence with anything but items behind it cannot be read back.
So such a value is read on trial, as it will be read, and then written as it is.

Source: PS3.5 §7.1.3, §7.5
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from fastscp.dicom.engine.cursor import Cursor
from fastscp.dicom.headers import PACKERS, UNDEFINED
from fastscp.errors import InstanceError

NO_ITEMS: Final = "value that would be read as a sequence in implicit VR"

_, _, _pack_implicit, _ = PACKERS[True]
_SEQUENCE: Final = 0x0008, 0x1140  #: any that the dictionary knows
BEHIND: Final = 0x00100010  #: is at top level behind the sequence only when that ends where it says


class ItemsReader(Protocol):
    """Reads a data set in implicit VR, collects ``BEHIND``, and writes nothing."""

    cursor: Cursor

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets."""


class ItemsCheck:
    """Reads one value of ``length`` octets; InstanceError about ``tag`` at ``offset`` when it is no sequence of items.

    It is a filter (``values.Filter``) for values that come in pieces.
    """

    verbatim = False

    def __init__(self, reader: ItemsReader, length: int, tag: int, offset: int) -> None:
        self._reader = reader
        self._error = InstanceError(NO_ITEMS, tag=tag, offset=offset)
        if length >= UNDEFINED:
            raise self._error
        self._read(_pack_implicit(*_SEQUENCE, length))

    def feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Read a piece and return it."""
        self._read(piece)
        return [piece]

    def finish(self) -> bytes:
        """End the value; nothing is added to it."""
        self._read(_pack_implicit(BEHIND >> 16, BEHIND & 0xFFFF, 0))
        if BEHIND not in self._reader.cursor.attributes:
            raise self._error
        return b""

    def _read(self, octets: bytes | memoryview) -> None:
        try:
            self._reader.feed([octets])
        except InstanceError as error:
            raise self._error from error
