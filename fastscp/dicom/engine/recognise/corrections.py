"""Whether any value of a header would be corrected: all its texts, and all its UIDs, looked at together.

Octets are compared side by side in one long integer, read from the header in little endian: additions that never
carry from one octet into the next answer a question about hundreds of values in a few operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fastscp.dicom.engine import values
from fastscp.dicom.engine.recognise.script import Slice, picker

_BLANK: Final = 32


def _every(positions: Iterable[int], octet: int) -> int:
    """Return the number, little endian, that has ``octet`` at each of the positions and zeros elsewhere."""
    octets = bytearray()
    for at in positions:
        octets += bytes(at - len(octets))
        octets.append(octet)
    return int.from_bytes(octets, "little")


class TextEnds:
    """Tells whether a text value ends in two blanks, for all values of a header at once.

    An octet that differs from a blank gets its bit 7 set.
    """

    __slots__ = ("_blanks", "_either", "_low", "_octets")

    def __init__(self, texts: Sequence[int]) -> None:
        pairs = [at for text in texts for at in (text, text + 1)]
        self._octets, self._blanks, self._low = (_every(pairs, octet) for octet in (0xFF, _BLANK, 0x7F))
        self._either = _every(texts, 0x80)

    def padded(self, number: int) -> bool:
        """Tell for a header read as a number, little endian."""
        differing = number & self._octets ^ self._blanks
        differing |= (differing & self._low) + self._low
        return (differing | differing >> 8) & self._either != self._either


class UIDs:
    """Tells whether every UID of a header is fit to be written as it is; may say no to unusual ones that are.

    Digits and the dot are the octets from 2EH on: adding 52H sets their bit 7. A UID's last octet may be a NUL.
    """

    __slots__ = ("_add", "_last", "_low", "_set")

    def __init__(self, uids: Sequence[Slice]) -> None:
        inner = [at for start, end in uids for at in range(start, end - 1)]
        self._low, self._add, self._set = (_every(inner, octet) for octet in (0x7F, 0x80 - ord("."), 0x80))
        self._last = picker([end - 1 for _, end in uids])

    def clean(self, buf: bytes, number: int) -> bool:
        """Tell for a header, given as octets and as a number, little endian."""
        if ((number & self._low) + self._add | number) & self._set != self._set:
            return False
        return values.BLANKS.isdisjoint(self._last(buf))
