"""A header as it is recognised: under a mask that leaves the values out, and written by a recorded script.

Layout of a shape over the first ``size`` octets of a data set in little endian, whatever becomes of it:

    mask      FF over tags, VRs, lengths, items, delimiters and values that must be the same; 00 over the rest
    expected  the octets under the mask
    texts     the last two octets of each text value (two blanks would be corrected)
    uids      each UID (blanks and surplus NULs would be corrected)
    script    what makes the output: slices of the input, slices whose byte order changes, constants

Where a large value follows that is written as it is, the shape includes that value's header.

Invariants: a shape ends between two top-level elements, or behind the header of one; with a shape or without it
the output is the same, octet for octet, or the shape does not match.
"""

from __future__ import annotations

from typing import Final

from fastscp import core
from fastscp.dicom import tags, uid_value
from fastscp.dicom.engine.cursor import Cursor, Position
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import PendingValue
from fastscp.dicom.engine.recognise.corrections import TextEnds, UIDs
from fastscp.dicom.engine.recognise.outline import Outline
from fastscp.dicom.engine.recognise.script import Renderer, Script

_PROBE_OCTETS: Final = 8
_TOLD: Final = (tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.MODALITY)  #: of objects that are stored without a look


class Shape:
    """One recorded header.

    ``value_octets`` is the length of the large value whose header ends the shape, 0 when there is none: the
    shape ends between two elements then. ``complete`` tells that a data set may end behind it, and nothing is added.
    """

    __slots__ = ("_equals", "_expected", "_mask", "_probe", "_probe_end", "_probe_start", "_texts", "_uids", "collected",
                 "compiled", "position", "render", "size", "value_octets", "value_offset", "value_tag")

    def __init__(self, buf: bytes, found: Outline, script: Script, position: Position,
                 wanted: frozenset[int], value_octets: int = 0, value_tag: int = 0, value_offset: int = 0, *,
                 complete: bool = False) -> None:
        self.size = found.size
        self.value_octets = value_octets
        self.value_tag = value_tag
        self.value_offset = value_offset  #: of its header
        self.position = position  #: where the reader stands behind it
        self.collected = {tag: where for tag, where in found.top_level.items() if tag in wanted}
        if core.ACTIVE:
            nowhere = (-1, -1)
            self.compiled = core.Header(
                buf, found.mask, found.last_header, found.texts, found.uids, uid_value.BLANKS, script, value_octets,
                self.collected.get(tags.SOP_CLASS_UID, nowhere), self.collected.get(tags.SOP_INSTANCE_UID, nowhere),
                [self.collected.get(tag, nowhere) for tag in _TOLD], complete)
            self._equals, self.render = self.compiled.matches, self.compiled.render
            return
        self._equals, self.render = self._resembles, Renderer(script).render
        self._mask = int.from_bytes(found.mask, "little")
        self._expected = int.from_bytes(buf[: found.size], "little") & self._mask
        self._probe_start, self._probe_end = found.last_header, found.last_header + _PROBE_OCTETS
        self._probe = buf[self._probe_start : self._probe_end]
        self._texts = TextEnds(found.texts)
        self._uids = UIDs(found.uids)

    def matches(self, buf: bytes) -> bool:
        """Tell whether ``buf`` begins with this shape and none of its values needs a correction."""
        if self.value_octets and len(buf) == self.size:
            return False  # a header that nothing follows may mean something else
        return self._equals(buf)

    def _resembles(self, buf: bytes) -> bool:
        if buf[self._probe_start : self._probe_end] != self._probe or len(buf) < self.size:
            return False
        number = int.from_bytes(buf[: self.size], "little")
        if number & self._mask != self._expected:
            return False
        return not self._texts.padded(number) and self._uids.clean(buf, number)

    def leap(self, chunk: bytes, cursor: Cursor, output: Output, value: PendingValue) -> bytes:
        """Write the header that matches, stand behind it, and return what follows it."""
        base = output.leap(self.size, self.render(chunk))
        cursor.level.resume(self.position, base)
        value.resume(self.value_octets, self.value_tag, self.value_offset)
        attributes = cursor.attributes
        for tag, (start, end) in self.collected.items():
            attributes[tag] = chunk[start:end]
        return chunk[self.size:]
