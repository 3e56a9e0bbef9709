"""How an output is made from its input: slices, slices whose byte order changes, and constants, in order.

Invariant: lengths, which are patched when they are known, are part of constants and never of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from fastscp.dicom.engine import values

Slice = tuple[int, int]  #: begin and end in the input
Swap = tuple[int, int, int]  #: begin, end, width of the numbers
Part = Slice | Swap | bytes
Script = tuple[Part, ...]


def script_of(size: int, cuts: Sequence[tuple[int, int, bytes | int]], patches: Sequence[tuple[int, bytes]]) -> Script:
    """Turn what an ``Output`` was told into slices and constants.

    ``cuts`` are (begin, end, replacement or width) in input offsets, in order; ``patches`` are (output offset,
    octets). The whole output of ``size`` input octets is described.
    """
    parts: list[Part] = []
    done = 0
    for begin, end, new in cuts:
        if begin > done:
            parts.append((done, begin))
        if isinstance(new, int):
            parts.append((begin, end, new))
        elif new:
            parts.append(new)
        done = end
    if size > done:
        parts.append((done, size))
    for offset, octets in patches:
        parts = _patched(parts, offset, octets)
    return tuple(_joined(parts))


def _patched(parts: list[Part], offset: int, octets: bytes) -> list[Part]:
    """Overwrite output octets, wherever they come from."""
    result: list[Part] = []
    at = 0
    for part in parts:
        length = len(part) if isinstance(part, bytes) else part[1] - part[0]
        first, last = max(offset, at), min(offset + len(octets), at + length)
        if first >= last:
            result.append(part)
        else:
            result += [_cut(part, 0, first - at), octets[first - offset : last - offset],
                       _cut(part, last - at, length)]
        at += length
    return result


def _cut(part: Part, begin: int, end: int) -> Part:
    """Return a piece of a constant or slice; lengths that are patched are never part of a value."""
    return part[begin:end] if isinstance(part, bytes) else (part[0] + begin, part[0] + end)


def _joined(parts: list[Part]) -> list[Part]:
    """Drop empty parts and join neighbouring constants."""
    result: list[Part] = []
    for part in parts:
        if isinstance(part, bytes):
            if not part:
                continue
            if result and isinstance(result[-1], bytes):
                result[-1] += part
                continue
        elif part[0] == part[1]:
            continue
        result.append(part)
    return result


class Renderer:
    """Makes outputs by one script.

    The script is kept as constants and what comes between them by turns, so that all slices are taken in one
    call and joined in another: in big endian or implicit VR that is twice the number of elements.
    """

    __slots__ = ("_constants", "_long_swaps", "_short_swaps", "_slices")

    def __init__(self, script: Script) -> None:
        constants = [b""]
        slices: list[slice] = []
        self._short_swaps: list[int] = []  #: where a single number is
        self._long_swaps: list[tuple[int, int]] = []  #: where several numbers are, and their width
        for part in script:
            if isinstance(part, bytes):
                constants[-1] += part
                continue
            start, end = part[:2]
            if len(part) == 3:
                if end - start == part[2]:
                    self._short_swaps.append(len(constants))
                else:
                    self._long_swaps.append((len(constants), part[2]))
            slices.append(slice(start, end))
            constants += [b"", b""]
        self._constants = constants
        self._slices = picker(slices)

    def render(self, buf: bytes) -> bytes:
        """Return the output for an input that has the shape the script was made for."""
        pieces = self._constants.copy()
        pieces[1::2] = self._slices(buf)
        for index in self._short_swaps:
            pieces[index] = pieces[index][::-1]
        for index, width in self._long_swaps:
            pieces[index] = values.swapped(pieces[index], width)
        return b"".join(pieces)


def picker(keys: Sequence[Any]) -> Callable[[bytes], Sequence[Any]]:
    """Return a function that takes what is at ``keys``, positions or slices, of its argument in one call."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda buf: [buf[key] for key in keys]
