"""The hot loops: over what needs no thought, in one function with local names each.

Strategy: a walk takes elements as long as nothing about them has to be decided, and stops in front of the first
that is anything else; the careful step of ``fastscp.dicom.engine.scan`` handles that one, and a walk goes on behind
it. A walk never fails and never needs more octets: it stops. What it does to a token is what the careful step
would do, so stopping early changes nothing but the time it takes.

Each function takes the plan, the cursor, the output and the position in the output's buffer, keeps what it needs of
them in local names, and leaves cursor and output as the careful step would: all else is none of its business.
"""

from __future__ import annotations

from typing import Final

from fastscp import core
from fastscp.dicom.engine import values
from fastscp.dicom.engine.cursor import ITEM, ITEMS, NO_END, Cursor, Level
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.headers import EXPLICIT, IMPLICIT, LENGTH, UNDEFINED
from fastscp.dicom.tags import ITEM_OCTETS, LAST_TAG
from fastscp.dicom.vr import KINDS_BIG, KINDS_LITTLE, LONG, PLAIN, SEQUENCE, UID, WIDTHS_BY_NAME

_NO_LENGTH: Final = bytes(4)
_NOTHING: Final[frozenset[int]] = frozenset()


def compiled(walk: core.Walk, plan: Plan, cursor: Cursor, out: Output, pos: int) -> int:
    """Walk by the compiled core, which does what the functions below do, in every encoding, and groups as well."""
    level = cursor.level
    after, new, late, opened = walk.over(level, cursor.attributes, len(cursor.stack), out.buf, out.origin, out.shift, pos)
    for offset, length in late:
        out.patch(offset, out.length_octets(length))
    if new is not None:
        out.cut(pos, after, new)
    for number, (end, reached, length_at, start, written, group, group_at, group_start) in enumerate(opened):
        child = Level(ITEM if number & 1 else ITEMS, end, level.explicit, level.little, level.fast)
        if number & 1:
            child.last = reached
        else:
            child.members = reached
        child.delimited = plan.delimits
        child.length_at, child.start, child.written = length_at, start, written
        child.group, child.group_at, child.group_start = group, group_at, group_start
        cursor.enter(child)
    return after


def unchanged(plan: Plan, cursor: Cursor, out: Output, pos: int) -> int:
    """Walk over what needs no thought; return where something else begins.

    That includes sequences and items that need no more than other lengths: they are opened and closed in
    local variables, and become ``Level`` objects only when the walk ends inside them. An entry of
    ``opened`` is the state of an item or sequence (by turns, the first is ``level`` itself):

        (end in the buffer, highest tag or number of items, offset of the length field,
         offset of the content, length as written)

    perf/rewrite.py shows what an element costs here.
    """
    level = cursor.level
    buf, size, origin = out.buf, out.octets, out.origin
    find_blank = values.find_blank
    delta = origin + out.shift  # output offset = position + delta
    unpack = EXPLICIT[level.little]
    unpack_length = LENGTH[level.little]
    unpack_item = IMPLICIT[level.little]
    kinds = KINDS_LITTLE if level.little else KINDS_BIG
    keep_long = plan.new_vrs
    nests = plan.nests and out.observer is None
    delimits = plan.delimits
    room = plan.most_levels - len(cursor.stack)
    wanted = _NOTHING if cursor.stack else plan.wanted
    attributes = cursor.attributes
    opened: list[tuple[int, int, int, int, int]] = []
    end_here = level.end - origin if level.end != NO_END else NO_END
    last = level.last
    limit = base_limit = _limit(plan, level)
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
                attributes[tag] = buf[end - length:end]
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
                last, limit, wanted = -1, LAST_TAG, _NOTHING
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
    _enter(plan, cursor, origin, opened[1:])
    return pos


def unchanged_implicit(plan: Plan, cursor: Cursor, out: Output, pos: int) -> int:
    """Walk like ``unchanged`` over implicit VR; sequences and private attributes end the walk."""
    level = cursor.level
    buf = out.buf
    bound = min(out.octets, level.end - out.origin)
    last_header = bound - 8
    last = level.last
    limit = _limit(plan, level)
    wanted = _NOTHING if cursor.stack else plan.wanted
    attributes = cursor.attributes
    unpack_implicit = IMPLICIT[level.little]
    find_blank = values.find_blank
    kind_of = plan.dictionary.kinds.get
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
            attributes[tag] = buf[end - length:end]
        last = tag
        pos = end
    level.last = last
    return pos


def recoded(plan: Plan, cursor: Cursor, out: Output, pos: int) -> int:
    """Walk like ``unchanged`` over explicit VR that is written in another encoding, value by value.

    What the careful step would do is decided by the same conditions; only what needs no decision is done here.
    """
    level = cursor.level
    buf = out.buf
    bound = min(out.octets, level.end - out.origin)
    last_header = bound - 8
    last = level.last
    limit = _limit(plan, level)
    wanted = _NOTHING if cursor.stack else plan.wanted
    attributes = cursor.attributes
    unpack = EXPLICIT[level.little]
    kinds = KINDS_LITTLE if level.little else KINDS_BIG
    widths = None if level.little == out.little else WIDTHS_BY_NAME
    pack_implicit = None if out.explicit else out.pack_implicit
    silent, sequences = plan.silent, plan.dictionary.sequences
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
        if silent:
            if tag in sequences:
                break
            if group & 1:
                if value.startswith(ITEM_OCTETS):
                    break
                if 0x10 <= element <= 0xFF:
                    plan.vrs.reserve(level, tag, value)
        if kind > 1 and length > 1:
            if kind == 2:
                if value.endswith(b"  "):
                    break
            elif not value[-2] or find_blank(value):
                break
        if tag in wanted:
            attributes[tag] = value
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


def _limit(plan: Plan, level: Level) -> int:
    """Return the highest tag that needs no thought: within a group whose length is counted, or any."""
    counted = level.group_at >= 0 or plan.create_groups
    return (level.group << 16) + 0xFFFF if counted else LAST_TAG


def _enter(plan: Plan, cursor: Cursor, origin: int, states: list[tuple[int, int, int, int, int]]) -> None:
    """Make levels of the sequences and items that a walk has ended in; ``origin`` is the buffer's offset."""
    for number, (end, reached, length_at, start, written) in enumerate(states):
        level = cursor.level
        kind = ITEM if number & 1 else ITEMS
        child = Level(kind, end if end == NO_END else origin + end, level.explicit, level.little, fast=True)
        if kind == ITEM:
            child.last = reached
        else:
            child.members = reached
        child.delimited = plan.delimits
        child.length_at, child.start, child.written = length_at, start, written
        cursor.enter(child)
