"""What storescp does to values on the way: excess padding, odd lengths, blanks in UIDs, byte order.

Pure functions over complete values, and filters with the same effect for values too large to be held.
"""

from __future__ import annotations

import array
import re
from typing import Final, Protocol

from fastscp.dicom import uid_value

_CODES: Final = {2: "H", 4: "I", 8: "Q"}

#: Octets that have no place in a UID.
BLANKS: Final = frozenset(uid_value.BLANKS)
#: Finds the first of them.
find_blank: Final = re.compile(b"[" + uid_value.BLANKS + b"]").search


def text(value: bytes) -> bytes:
    """Return a text value with at most one padding blank.

    An odd value gets a NUL, as DCMTK 3.6.7 does; a value that ends in NUL keeps all it has.
    """
    if len(value) & 1:
        return value + b"\0"
    stripped = value.rstrip(b" ")
    return stripped + b" " if len(stripped) & 1 else stripped


def uid(value: bytes) -> bytes:
    """Return a UI value without white space, padded with at most one NUL."""
    stripped = value.translate(None, uid_value.BLANKS).rstrip(b"\0")
    return stripped + b"\0" if len(stripped) & 1 else stripped


def swapped(value: bytes, width: int) -> bytes:
    """Return the numbers of ``width`` octets in the other byte order; an incomplete last one stays."""
    if len(value) == width:
        return value[::-1]
    whole = len(value) - len(value) % width
    numbers = array.array(_CODES[width], value[:whole])
    numbers.byteswap()
    return numbers.tobytes() + value[whole:]


class Filter(Protocol):
    """A change applied to a large value piece by piece."""

    verbatim: bool  #: pieces are forwarded as they are

    def feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Take the next piece, return what can be written; it may be the piece itself."""

    def finish(self) -> bytes:
        """Return what is still to be written at the end of the value."""


class Verbatim:
    """Forward everything; append ``pad`` at the end."""

    verbatim = True

    def __init__(self, pad: bytes) -> None:
        self._pad = pad

    def feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Return the piece itself."""
        return [piece]

    def finish(self) -> bytes:
        """Return the padding."""
        return self._pad


class Drop:
    """Swallow everything."""

    verbatim = False

    def feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Return nothing."""
        del piece
        return []

    def finish(self) -> bytes:
        """Return nothing."""
        return b""


class Swap:
    """Change the byte order of numbers of ``width`` octets."""

    verbatim = False

    def __init__(self, width: int, pad: bytes) -> None:
        self._width = width
        self._pad = pad
        self._rest = b""

    def feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Return the complete numbers so far, swapped."""
        octets = self._rest + piece if self._rest else piece
        whole = len(octets) - len(octets) % self._width
        self._rest = bytes(octets[whole:])
        numbers = array.array(_CODES[self._width])
        numbers.frombytes(octets[:whole])
        numbers.byteswap()
        return [memoryview(numbers).cast("B")]

    def finish(self) -> bytes:
        """Return the last number, which the padding may complete; an incomplete one stays as it is."""
        return swapped(self._rest + self._pad, self._width)


class TrimText:
    """Hold back blanks that may turn out to be padding; only their count is kept."""

    verbatim = False

    def __init__(self, *, odd: bool) -> None:
        self._odd = odd
        self._blanks = 0
        self._written = 0

    def feed(self, piece: bytes | memoryview) -> list[bytes | memoryview]:
        """Return the piece without trailing blanks, after those that were held back."""
        octets = bytes(piece)
        stripped = octets.rstrip(b" ")
        out: list[bytes | memoryview] = []
        if stripped and self._blanks:
            out.append(b" " * self._blanks)
            self._written += self._blanks
            self._blanks = 0
        self._blanks += len(octets) - len(stripped)
        if stripped:
            out.append(stripped)
            self._written += len(stripped)
        return out

    def finish(self) -> bytes:
        """Return what makes the value even; an odd value keeps its blanks and gets a NUL."""
        if self._odd:
            return b" " * self._blanks + b"\0"
        return b" " if self._written & 1 else b""


