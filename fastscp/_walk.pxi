# The walk over the elements of a data set: what ``fastscp.dicom.engine.walk`` does, in one loop for every encoding.
#
# ``Walk.over`` takes tokens as long as nothing about them has to be decided, and stops in front of the first that is
# anything else: the careful step of ``fastscp.dicom.engine.scan`` handles that one. What it does to a token is what the
# careful step would do, so stopping early changes nothing but the time it takes. Other than the functions in Python it
# opens and closes sequences and items whatever is written for them, and counts groups.
#
# The output is made here, and given to the engine's output as one ``cut``; as long as it is the input it is none.
#
# Invariant: no octet is read behind ``size``, which is compared with what a token needs before the token is looked at.

from cpython.mem cimport PyMem_Realloc
from libc.stdint cimport int64_t

cdef enum:
    MOST_OPEN = 126  # sequences and items that are open at once; what is deeper takes careful steps
    LONGEST_TOKEN = 40  # octets that are made in front of a value at most: two headers and a group length
    # kinds of ``fastscp.dicom.vr``
    TEXT = 2
    UID = 3
    LONG = 4
    LONG_TEXT = 5
    SEQUENCE = 6

cdef int64_t NO_END = <int64_t>1 << 62
cdef int64_t UNDEFINED = 0xFFFFFFFF
cdef int64_t NOT_COUNTED = -(<int64_t>1 << 62)


cdef struct Open:
    int64_t end  # position in the input behind it; NO_END: a delimiter ends it
    int64_t reached  # highest tag of an item so far; of a sequence the number of its items
    # positions in the output that is being made, negative where that is in front of it
    int64_t length_at
    int64_t start
    int64_t written  # length as it was written
    int64_t group  # whose length is counted, where group_at is not NOT_COUNTED
    int64_t group_at
    int64_t group_start
    int64_t group_value


cdef class Walk:
    """The walks of one plan. ``wanted`` are tags at top level whose values are kept, ``kinds`` of tags go before VRs in implicit VR.

    Items are padded to a multiple of ``padding`` octets; 0: they are not. ``reserve`` takes the Private Creators of a level.
    ``kinds_of_vrs`` has the kind of each VR by its two octets as a number in little endian, ``widths`` how long its numbers are.
    """

    cdef bytes _kinds_of_vrs, _widths, _blanks
    cdef dict _kinds
    cdef set _sequences
    cdef object _wanted, _reserve
    cdef int64_t[32] _kept
    cdef int _kept_count
    cdef bint _explicit, _little, _out_explicit, _out_little, _same, _swaps, _silent, _delimits, _creates, _keeps_long
    cdef Py_ssize_t _most_levels
    cdef int64_t _padding
    # the output that is made; what is behind ``_run`` in the input follows as it is
    cdef uint8_t *_out
    cdef Py_ssize_t _room, _made, _run
    cdef const uint8_t *_data
    cdef bint _changed, _busy
    cdef Open[MOST_OPEN + 2] _open
    cdef int _depth

    def __init__(self, *, bint explicit, bint little, bint out_explicit, bint out_little, bint delimits, bint creates,
                 bint keeps_long, Py_ssize_t most_levels, int64_t padding, wanted, dict kinds, set sequences, bytes kinds_of_vrs, bytes widths,
                 bytes blanks, reserve):
        if len(kinds_of_vrs) != 65536 or len(widths) != 65536:
            raise ValueError("there are 65,536 pairs of octets")
        if not explicit and (out_explicit or little != out_little):
            raise ValueError("what has no VRs is walked over as it is")
        self._explicit, self._little, self._out_explicit, self._out_little = explicit, little, out_explicit, out_little
        self._same = explicit == out_explicit and little == out_little
        self._swaps = little != out_little
        self._silent = explicit and not out_explicit
        self._delimits, self._creates, self._keeps_long, self._most_levels = delimits, creates, keeps_long, most_levels
        self._padding = padding
        self._kinds, self._sequences, self._kinds_of_vrs, self._widths, self._blanks = kinds, sequences, kinds_of_vrs, widths, blanks
        self._reserve = reserve
        self._busy = False
        self._kept_count = 0
        for tag in sorted(wanted)[:32]:
            self._kept[self._kept_count] = tag
            self._kept_count += 1
        if len(wanted) > 32:
            raise ValueError("too many values are wanted")

    def __dealloc__(self):
        PyMem_Free(self._out)

    def over(self, level, attributes, Py_ssize_t levels, bytes buf not None, int64_t origin, int64_t shift, Py_ssize_t pos):
        """Walk from ``buf[pos]`` on, in ``level`` with ``levels`` around it.

        Return where it ends; what is to be written in the place of the octets up to there, None for themselves; patches in front
        of that, as pairs of file offset and length; and the levels that were opened and are not closed: end, tag or members,
        offset of the length, of the content, length as written, group, offset of its length and of its content.

        The state of a walk is here, so there is one at a time: what comes meanwhile, from another thread, stops where it is.
        """
        if self._busy:
            return pos, None, [], []
        self._busy = True
        try:
            return self._over(level, attributes, levels, buf, origin, shift, pos)
        finally:
            self._busy = False

    cdef tuple _over(self, level, attributes, Py_ssize_t levels, bytes buf, int64_t origin, int64_t shift, Py_ssize_t pos):
        cdef Py_ssize_t first = pos, most = self._most_levels - levels
        cdef int64_t base = origin + shift + pos, end
        cdef int depth
        cdef Open *here = &self._open[0]
        cdef list late = []
        level_end = level.end
        here.end = NO_END if level_end >= NO_END else <int64_t>level_end - origin
        here.reached = level.last
        here.group = level.group
        here.group_at = NOT_COUNTED if level.group_at < 0 else <int64_t>level.group_at - base
        here.group_start = <int64_t>level.group_start - base
        here.group_value = level.group_value
        here.length_at = here.start = here.written = 0
        self._depth = 0
        self._data = <const uint8_t *>PyBytes_AS_STRING(buf)
        self._made, self._run, self._changed = 0, pos, False
        pos = self._walk(level, None if levels else attributes, buf, PyBytes_GET_SIZE(buf), pos, most, late)
        here = &self._open[0]
        level.last = here.reached
        if self._creates or here.group_at != NOT_COUNTED or level.group_at >= 0:
            level.group = here.group
            level.group_at = -1 if here.group_at == NOT_COUNTED else here.group_at + base
            level.group_start = here.group_start + base
            level.group_value = here.group_value
        new = None
        if self._changed:
            self._copy(pos)
            new = PyBytes_FromStringAndSize(<const char *>self._out, self._made)
        states = []
        for depth in range(1, self._depth + 1):
            here = &self._open[depth]
            end = here.end if here.end >= NO_END else here.end + origin
            states.append((end, here.reached, here.length_at + base, here.start + base, here.written, here.group,
                           -1 if here.group_at == NOT_COUNTED else here.group_at + base, here.group_start + base))
        return pos, new, [(at + base, length) for at, length in late], states

    # -- the output -------------------------------------------------------------------------------

    cdef int _have_room(self, Py_ssize_t octets) except -1:
        cdef Py_ssize_t room
        cdef uint8_t *out
        if self._made + octets > self._room:
            room = 2 * (self._made + octets) + 4096
            out = <uint8_t *>PyMem_Realloc(self._out, room)
            if out == NULL:
                raise MemoryError
            self._out, self._room = out, room
        return 0

    cdef int _copy(self, Py_ssize_t pos) except -1:
        """Copy the input as it is up to ``pos``, and have room for a token behind it."""
        cdef Py_ssize_t size = pos - self._run
        self._have_room(size + LONGEST_TOKEN)
        if size:
            memcpy(self._out + self._made, self._data + self._run, size)
            self._made += size
            self._run = pos
        return 0

    cdef inline int _cut(self, Py_ssize_t at, Py_ssize_t upto) except -1:
        """Leave out the input from ``at`` to ``upto``; what is put comes in its place."""
        self._copy(at)
        self._run = upto
        self._changed = True
        return 0

    cdef inline void _put_number(self, int64_t value, int octets) noexcept:
        cdef int n
        cdef uint8_t *at = self._out + self._made
        for n in range(octets):
            at[n if self._out_little else octets - 1 - n] = value >> 8 * n & 0xFF
        self._made += octets

    cdef inline void _put_tag(self, int64_t tag) noexcept:
        self._put_number(tag >> 16, 2)
        self._put_number(tag & 0xFFFF, 2)

    cdef void _put_header(self, int64_t tag, uint8_t first, uint8_t second, bint long_, int64_t length) noexcept:
        self._put_tag(tag)
        if not self._out_explicit:
            self._put_number(length, 4)
            return
        self._out[self._made], self._out[self._made + 1] = first, second
        self._made += 2
        if long_:
            self._put_number(0, 2)
            self._put_number(length, 4)
        else:
            self._put_number(length, 2)

    cdef inline int64_t _at(self, Py_ssize_t pos) noexcept:
        """Return where in the output ``pos`` is."""
        return self._made + (pos - self._run)

    cdef int _patch(self, int64_t at, int64_t length, Py_ssize_t pos, list late) except -1:
        """Overwrite a length that was written before ``pos``."""
        cdef Py_ssize_t made
        if at < 0:
            late.append((at, length))
            return 0
        self._copy(pos)
        self._changed = True
        made, self._made = self._made, at
        self._put_number(length, 4)
        self._made = made
        return 0

    # -- groups, sequences and items --------------------------------------------------------------

    cdef int _reach(self, Open *here, int64_t group, Py_ssize_t pos, list late) except -1:
        """Come to an element: it may be the first of its group."""
        if group == here.group:
            return 0
        self._end_group(here, pos, late)
        here.group = group
        if self._creates:
            self._cut(pos, pos)
            self._put_header(group << 16, 85, 76, False, 4)  # UL
            self._put_number(0, 4)
            here.group_start = self._at(pos)
            here.group_at = here.group_start - 4
            here.group_value = 0
        return 0

    cdef int _end_group(self, Open *here, Py_ssize_t pos, list late) except -1:
        cdef int64_t length
        if here.group_at == NOT_COUNTED:
            return 0
        length = self._at(pos) - here.group_start
        if length != here.group_value:
            self._patch(here.group_at, length, pos, late)
        here.group_at = NOT_COUNTED
        return 0

    cdef void _enter(self, int64_t end, int64_t reached, Py_ssize_t pos, int64_t written) noexcept:
        """Stand in what begins at ``pos``, behind its length."""
        cdef Open *here
        self._depth += 1
        here = &self._open[self._depth]
        here.end, here.reached, here.written = end, reached, written
        here.start = self._at(pos)
        here.length_at = here.start - 4
        here.group, here.group_at, here.group_start, here.group_value = -1, NOT_COUNTED, 0, 0

    cdef int _close(self, Py_ssize_t pos, int delimiter, list late) except -1:
        """End the innermost level at ``pos``, where a delimiter of so many octets is."""
        cdef Open *here = &self._open[self._depth]
        cdef const uint8_t *at = self._data + pos
        cdef int64_t length
        cdef bint item = self._depth & 1 == 0
        if item:
            self._end_group(here, pos, late)
            if self._padding and self._at(pos) > here.start:
                self._pad(self._at(pos) - here.start, pos)
        length = self._at(pos) - here.start
        if self._delimits:
            if delimiter == 0 or self._swaps or at[4] or at[5] or at[6] or at[7]:
                self._cut(pos, pos + delimiter)
                self._put_tag(0xFFFEE00D if item else 0xFFFEE0DD)
                self._put_number(0, 4)
        else:
            if delimiter:
                self._cut(pos, pos + delimiter)
            if length != here.written:
                self._patch(here.length_at, length, pos + delimiter, late)
        self._depth -= 1
        return 0

    cdef int _pad(self, int64_t length, Py_ssize_t pos) except -1:
        """Write the Data Set Trailing Padding of an item of this length (PS3.10 §7.2)."""
        cdef int64_t header = 12 if self._out_explicit else 8
        cdef int64_t missing = (self._padding - length % self._padding) % self._padding
        if missing == 0:
            return 0
        while missing < header:
            missing += self._padding
        self._cut(pos, pos)
        self._put_header(0xFFFCFFFC, 79, 66, True, missing - header)  # OB
        self._have_room(missing - header + LONGEST_TOKEN)
        memset(self._out + self._made, 0, missing - header)
        self._made += missing - header
        return 0

    # -- the input --------------------------------------------------------------------------------

    cdef inline int64_t _number(self, Py_ssize_t pos, int octets) noexcept:
        cdef const uint8_t *at = self._data + pos
        if octets == 2:
            return <int64_t>at[0] | <int64_t>at[1] << 8 if self._little else <int64_t>at[1] | <int64_t>at[0] << 8
        return little32(at) if self._little else big32(at)

    cdef bint _needs_thought(self, int kind, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Tell whether a value would be corrected."""
        cdef const uint8_t *blanks = <const uint8_t *>PyBytes_AS_STRING(self._blanks)
        cdef Py_ssize_t at
        if end - start < 2:
            return False
        if kind == UID:
            if self._data[end - 2] == 0:
                return True
            for at in range(start, end):
                if self._data[at] < 0x2E and memchr(blanks, self._data[at], PyBytes_GET_SIZE(self._blanks)) != NULL:
                    return True
        elif kind == TEXT or kind == LONG_TEXT:
            return self._data[end - 1] == 32 and self._data[end - 2] == 32
        return False

    cdef bint _is_kept(self, int64_t tag) noexcept:
        cdef int number
        for number in range(self._kept_count):
            if self._kept[number] >= tag:
                return self._kept[number] == tag
        return False

    cdef Py_ssize_t _walk(self, level, dict attributes, bytes buf, Py_ssize_t size, Py_ssize_t pos, Py_ssize_t most, list late) except -1:
        cdef const uint8_t *data = self._data
        cdef const uint8_t *kinds_of_vrs = <const uint8_t *>PyBytes_AS_STRING(self._kinds_of_vrs)
        cdef const uint8_t *widths = <const uint8_t *>PyBytes_AS_STRING(self._widths)
        cdef Open *here
        cdef int64_t tag, group, element, length, bound, end, written
        cdef int kind, header, vr
        cdef Py_ssize_t start
        while True:
            here = &self._open[self._depth]
            if self._depth and pos >= here.end:
                self._close(pos, 0, late)
                continue
            if size - pos < 8:
                return pos
            group, element = self._number(pos, 2), self._number(pos + 2, 2)
            if self._depth & 1:  # in a sequence: an item, or its end
                if group != 0xFFFE:
                    return pos
                if element == 0xE0DD:
                    self._close(pos, 8, late)
                elif element == 0xE000:
                    if self._depth >= MOST_OPEN:
                        return pos
                    length = self._number(pos + 4, 4)
                    written = UNDEFINED if self._delimits else length
                    here.reached += 1
                    if self._swaps or written != length:
                        self._cut(pos, pos + 8)
                        self._put_tag(0xFFFEE000)
                        self._put_number(written, 4)
                    self._enter(NO_END if length == UNDEFINED else pos + 8 + length, -1, pos + 8, written)
                else:
                    return pos
                pos += 8
                continue
            if group == 0xFFFE:
                if element != 0xE00D or self._depth == 0:
                    return pos
                self._close(pos, 8, late)
                pos += 8
                continue
            bound = min(<int64_t>size, here.end)
            tag = group << 16 | element
            if bound - pos < 8 or tag <= here.reached or tag > 0xFFFBFFFF or element == 0:
                return pos
            vr = data[pos + 4] | data[pos + 5] << 8
            if self._explicit:
                kind = kinds_of_vrs[vr]
                if kind == LONG or kind == SEQUENCE:
                    if bound - pos < 12 or data[pos + 6] or data[pos + 7]:
                        return pos
                    header, length = 12, self._number(pos + 8, 4)
                elif 0 < kind < LONG:
                    header, length = 8, self._number(pos + 6, 2)
                else:
                    return pos
            else:
                if group & 1 or group >= 0x5000:
                    return pos
                kind = self._kinds.get(tag, 1)
                header, length = 8, self._number(pos + 4, 4)
            start = pos + header
            if kind == SEQUENCE:
                end = NO_END if length == UNDEFINED else start + length
                if (end != NO_END and end > here.end) or self._depth >= most or self._depth >= MOST_OPEN:
                    return pos
                if self._silent and self._delimits and tag not in self._sequences:
                    return pos
                self._reach(here, group, pos, late)
                here.reached = tag
                written = UNDEFINED if self._delimits else length
                if not self._same or written != length:
                    self._cut(pos, start)
                    self._put_header(tag, 83, 81, True, written)  # SQ
                self._enter(end, 0, start, written)
                pos = start
                continue
            end = start + length
            if end > bound or length & 1 or (self._explicit and kind == LONG and (group >= 0x7FE0 or not self._keeps_long)):
                return pos
            if self._needs_thought(kind, start, end):
                return pos
            if self._silent:
                if tag in self._sequences:
                    return pos
                if group & 1:
                    if length >= 4 and little32(data + start) == 0xE000FFFE:
                        return pos
                    if 0x10 <= element <= 0xFF:
                        if self._depth:
                            return pos
                        self._reserve(level, tag, buf[start:end])
            if self._depth == 0 and attributes is not None and self._is_kept(tag):
                attributes[tag] = buf[start:end]
            self._reach(here, group, pos, late)
            here.reached = tag
            if not self._same:
                self._cut(pos, start)
                self._put_header(tag, vr & 0xFF, vr >> 8, kind == LONG, length)
                if self._swaps and widths[vr]:
                    self._copy_swapped(start, end, widths[vr])
            pos = end

    cdef int _copy_swapped(self, Py_ssize_t start, Py_ssize_t end, int width) except -1:
        """Write numbers in the other byte order; an incomplete last one stays."""
        cdef Py_ssize_t at = self._made, number, octet
        self._copy(end)
        for number in range((end - start) // width):
            for octet in range(width):
                self._out[at + octet] = self._data[start + width - 1 - octet]
            at += width
            start += width
        return 0
