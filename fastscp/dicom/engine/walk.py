"""The hot loops: over what needs no thought, in one function with local names each.

Strategy: a walk takes elements as long as nothing about them has to be decided, and stops in front of the first
that is anything else; the careful step of ``fastscp.dicom.engine.scan`` handles that one, and a walk goes on behind
it. A walk never fails and never needs more octets: it stops. What it does to a token is what the careful step
would do, so stopping early changes nothing but the time it takes.
"""

from __future__ import annotations

import struct
from typing import Final

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine import values
from fastscp.dicom.engine.encode import Encoder
from fastscp.dicom.engine.levels import ITEM, ITEMS, NO_END, Level
from fastscp.dicom.engine.output import UNDEFINED, Output
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.uids import TransferSyntax
from fastscp.dicom.vr import KINDS_BIG, KINDS_LITTLE, LONG, PLAIN, SEQUENCE, UID, WIDTHS_BY_NAME

_LAST_TAG: Final = 0xFFFBFFFF  #: padding and delimiters are behind it

_HEADERS: Final = {True: struct.Struct("<HHHH").unpack_from, False: struct.Struct(">HHHH").unpack_from}
_IMPLICIT: Final = {True: struct.Struct("<HHL").unpack_from, False: struct.Struct(">HHL").unpack_from}
_LENGTHS: Final = {True: struct.Struct("<L").unpack_from, False: struct.Struct(">L").unpack_from}
_NO_LENGTH: Final = bytes(4)
_NOTHING: Final[frozenset[int]] = frozenset()


class Walker(Encoder):
    """An encoder that passes over whole stretches of its input."""

    def __init__(self, syntaxes: tuple[TransferSyntax, TransferSyntax], options: OutputOptions,
                 dictionary: Dictionary, output: Output, wanted: frozenset[int]) -> None:
        super().__init__(syntaxes, options, dictionary, output, wanted)
        self._nests = not options.item_padding and not self._create_groups

    def _unchanged(self, pos: int, level: Level) -> int:
        """Walk over what needs no thought; return where something else begins.

        That includes sequences and items that need no more than other lengths: they are opened and closed in
        local variables, and become ``Level`` objects only when the walk ends inside them. An entry of
        ``opened`` is the state of an item or sequence (by turns, the first is ``level`` itself):

            (end in the buffer, highest tag or number of items, offset of the length field,
             offset of the content, length as written)

        perf/rewrite.py shows what an element costs here.
        """
        out = self._out
        buf, size, origin = out.buf, self._size, out.origin
        find_blank = values.find_blank
        delta = origin + out.shift  # output offset = position + delta
        unpack = _HEADERS[level.little]
        unpack_length = _LENGTHS[level.little]
        unpack_item = _IMPLICIT[level.little]
        kinds = KINDS_LITTLE if level.little else KINDS_BIG
        keep_long = self._options.new_vrs
        nests = self._nests and not out.recording
        delimits = not self._options.explicit_lengths
        room = 2 * self._options.max_depth - len(self._stack)
        wanted = _NOTHING if self._stack else self._wanted
        opened: list[tuple[int, int, int, int, int]] = []
        end_here = level.end - origin if level.end != NO_END else NO_END
        last = level.last
        limit = base_limit = self._limit(level)
        base_wanted = wanted
        length_at = start = written = -1
        members = 0
        while True:
            bound = min(size, end_here)
            last_header = bound - 8
            kind = group = -1
            while pos <= last_header:
                group, element, vr, length = unpack(buf, pos)
                kind = kinds[vr]
                tag = group << 16 | element
                if kind == LONG:
                    # the 16 bits behind the VR are reserved, the length follows them
                    if length or group >= 0x7FE0 or not keep_long or pos + 12 > bound:
                        break
                    length = unpack_length(buf, pos + 8)[0]
                    end = pos + 12 + length
                elif not kind or kind > LONG:
                    break
                else:
                    end = pos + 8 + length
                if not last < tag <= limit or end > bound or length & 1 or not element:
                    kind = -1
                    break
                if 1 < kind < 4 and length > 1:
                    if kind == 2:
                        if buf[end - 1] == 32 and buf[end - 2] == 32:
                            break
                    elif not buf[end - 2] or find_blank(buf, end - length, end):
                        break
                if tag in wanted:
                    self.attributes[tag] = buf[end - length:end]
                last = tag
                pos = end
            if not nests:
                break
            if kind == SEQUENCE:
                if length or not last < tag <= limit or pos + 12 > bound or len(opened) >= room:
                    break
                length = unpack_length(buf, pos + 8)[0]
                end = NO_END if length == UNDEFINED else pos + 12 + length
                if end != NO_END and (end > end_here or delimits):
                    break
                opened.append((end_here, tag, length_at, start, written))
                length_at, start, written = pos + 8 + delta, pos + 12 + delta, length
                end_here, members = end, 0
                pos += 12
            elif not opened:
                break
            else:  # the end of an item?
                if pos == end_here:
                    delimiter = 0
                elif group == 0xFFFE and element == 0xE00D:
                    delimiter = 8
                else:
                    break
                if delimits:
                    if buf[pos + 4:pos + 8] != _NO_LENGTH:
                        break
                    pos += 8
                else:
                    if pos + delta - start != written:
                        out.patch(length_at, out.length_octets(pos + delta - start))
                    if delimiter:
                        out.cut(pos, pos + 8, b"")
                        pos += 8
                        delta -= 8
                end_here, members, length_at, start, written = opened.pop()
            # in a sequence: an item, or its end
            delimiter = 0
            if pos < end_here:
                if pos + 8 > size:
                    break
                group, element, length = unpack_item(buf, pos)
                if group == 0xFFFE and element == 0xE000:
                    if delimits and length != UNDEFINED:
                        break
                    opened.append((end_here, members + 1, length_at, start, written))
                    length_at, start, written = pos + 4 + delta, pos + 8 + delta, length
                    pos += 8
                    end_here = NO_END if length == UNDEFINED else pos + length
                    last, limit, wanted = -1, _LAST_TAG, _NOTHING
                    continue
                if group != 0xFFFE or element != 0xE0DD:
                    break
                delimiter = 8
            if delimits:
                if length:
                    break
                pos += 8
            else:
                if pos + delta - start != written:
                    out.patch(length_at, out.length_octets(pos + delta - start))
                if delimiter:
                    out.cut(pos, pos + 8, b"")
                    pos += 8
                    delta -= 8
            end_here, last, length_at, start, written = opened.pop()
            if not opened:
                limit, wanted = base_limit, base_wanted
        if not opened:
            level.last = last
            return pos
        level.last = opened[0][1]
        opened.append((end_here, members if len(opened) & 1 else last, length_at, start, written))
        self._enter(level, opened[1:])
        return pos

    def _limit(self, level: Level) -> int:
        """Return the highest tag that needs no thought: within a group whose length is counted, or any."""
        counted = level.group_at >= 0 or self._create_groups
        return (level.group << 16) + 0xFFFF if counted else _LAST_TAG

    def _enter(self, level: Level, states: list[tuple[int, int, int, int, int]]) -> None:
        """Make levels of the sequences and items that a walk has ended in."""
        origin = self._out.origin
        for number, (end, reached, length_at, start, written) in enumerate(states):
            kind = ITEM if number & 1 else ITEMS
            child = Level(kind, end if end == NO_END else origin + end, level.explicit, level.little, fast=True)
            if kind == ITEM:
                child.last = reached
            else:
                child.members = reached
            child.delimited = not self._options.explicit_lengths
            child.length_at, child.start, child.written = length_at, start, written
            self._stack.append(level)
            level = child
        self._level = level

    def _unchanged_implicit(self, pos: int, level: Level) -> int:
        """Walk like ``_unchanged`` over implicit VR; sequences and private attributes end the walk."""
        buf = self._out.buf
        bound = min(self._size, level.end - self._out.origin)
        last_header = bound - 8
        last = level.last
        limit = self._limit(level)
        wanted = _NOTHING if self._stack else self._wanted
        unpack_implicit = _IMPLICIT[level.little]
        find_blank = values.find_blank
        kind_of = self._dictionary.kinds.get
        while pos <= last_header:
            group, element, length = unpack_implicit(buf, pos)
            tag = group << 16 | element
            end = pos + 8 + length
            if not last < tag <= limit or end > bound or length & 1 or not element or group & 1:
                break
            if group >= 0x5000:  # curves, overlays and what else is not in ``kinds``
                break
            kind = kind_of(tag, PLAIN)
            if kind > 1 and kind != LONG:
                if kind == SEQUENCE:
                    break
                if length:
                    if kind == UID:
                        if not buf[end - 2] or find_blank(buf, end - length, end):
                            break
                    elif buf[end - 1] == 32 and buf[end - 2] == 32:
                        break
            if tag in wanted:
                self.attributes[tag] = buf[end - length:end]
            last = tag
            pos = end
        level.last = last
        return pos

    def _recoded(self, pos: int, level: Level) -> int:
        """Walk like ``_unchanged`` over explicit VR that is written in another encoding, value by value.

        What ``_step`` would do is decided by the same conditions; only what needs no decision is done here.
        """
        out = self._out
        buf = out.buf
        bound = min(self._size, level.end - out.origin)
        last_header = bound - 8
        last = level.last
        limit = self._limit(level)
        wanted = _NOTHING if self._stack else self._wanted
        unpack = _HEADERS[level.little]
        kinds = KINDS_LITTLE if level.little else KINDS_BIG
        widths = None if level.little == out.little else WIDTHS_BY_NAME
        pack_implicit = None if out.explicit else out.pack_implicit
        pack_short = out.pack_short
        find_blank = values.find_blank
        pieces: list[bytes] = []
        append = pieces.append
        start = pos
        while pos <= last_header:
            group, element, vr, length = unpack(buf, pos)
            kind = kinds[vr]
            tag = group << 16 | element
            end = pos + 8 + length
            if not 0 < kind < 4 or not last < tag <= limit or end > bound or length & 1 or not element:
                break
            value = buf[end - length:end]
            if kind > 1 and length > 1:
                if kind == 2:
                    if value.endswith(b"  "):
                        break
                elif not value[-2] or find_blank(value):
                    break
            if tag in wanted:
                self.attributes[tag] = value
            name = buf[pos + 4:pos + 6]
            if widths is not None and name in widths:
                value = values.swapped(value, widths[name])
            if pack_implicit is None:
                append(pack_short(group, element, name, length))
            else:
                append(pack_implicit(group, element, length))
            append(value)
            last = tag
            pos = end
        level.last = last
        if pos > start:
            out.cut(start, pos, b"".join(pieces))
        return pos
