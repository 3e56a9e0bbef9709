"""An object that is sent many times: its data set, encoded, and where in it the UIDs of each copy go.

The three UIDs are looked up once. A copy has other UIDs of the same length, so it has the same length as well. Where a file's
UID is too short to be anybody's alone (``numbering.SHORTEST``), or its Study or Series Instance UID has another length than in
the other files, the data set is encoded anew, once, with a longer one. A deflated data set is kept inflated.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastscp.blast.elements import Element, Encoding, elements
from fastscp.blast.numbering import INSTANCE, SERIES, SHORTEST, STUDY, USUAL
from fastscp.dicom import tags, uids
from fastscp.dicom.headers import LONG_VRS, PACKERS
from fastscp.errors import InstanceError

KINDS = {tags.SOP_INSTANCE_UID: INSTANCE, tags.STUDY_INSTANCE_UID: STUDY, tags.SERIES_INSTANCE_UID: SERIES}
_LAST = max(KINDS)


@dataclass(frozen=True)
class Spot:
    """Where a UID stands in the data set; ``octets`` without the padding."""

    kind: int
    offset: int
    octets: int


@dataclass(frozen=True)
class Template:
    """One object, as it would be sent."""

    sop_class: str
    transfer_syntax: str
    data: memoryview
    spots: tuple[Spot, ...]

    @property
    def deflated(self) -> bool:
        """Whether it goes out deflated."""
        return uids.transfer_syntax(self.transfer_syntax).deflated

    def octets_of(self, kind: int) -> int:
        """Return how long the UID of that kind is; 0 where there is none."""
        return next((spot.octets for spot in self.spots if spot.kind == kind), 0)

    def patched(self, values: Mapping[int, bytes]) -> bytearray:
        """Return the data set of the copy with these UIDs."""
        copy = bytearray(self.data)
        for spot in self.spots:
            copy[spot.offset:spot.offset + spot.octets] = values[spot.kind]
        return copy


def template(sop_class: str, transfer_syntax: str, data: bytes | memoryview) -> Template:
    """Look for the UIDs of a data set. Raises InstanceError when it cannot be read, or has no SOP Instance UID."""
    if uids.transfer_syntax(transfer_syntax).deflated:
        try:
            data = zlib.decompressobj(-15).decompress(data)
        except zlib.error as error:
            raise InstanceError("the data set cannot be inflated") from error
    view = memoryview(data)
    spots = tuple(_spots(view, Encoding.of(uids.transfer_syntax(transfer_syntax))))
    if all(spot.kind != INSTANCE for spot in spots):
        raise InstanceError("the data set has no SOP Instance UID")
    return Template(sop_class, transfer_syntax, view, spots)


def _spots(data: memoryview, encoding: Encoding) -> list[Spot]:
    found = {}
    for element in elements(data, encoding):
        if element.tag > _LAST:
            break
        if element.tag in KINDS:
            value = bytes(data[element.start:element.end])
            found[element.tag] = Spot(KINDS[element.tag], element.start, len(value.rstrip(b"\0 ")))
    return [found[tag] for tag in sorted(found)]


def lengthened(templates: Sequence[Template]) -> tuple[Template, ...]:
    """Return the templates with UIDs that have room for a number, those of studies and series of one length in all."""
    common = {}
    for kind in (STUDY, SERIES):
        lengths = Counter(one.octets_of(kind) for one in templates if one.octets_of(kind))
        usual = lengths.most_common(1)[0][0] if lengths else USUAL
        common[kind] = usual if SHORTEST <= usual <= 64 else USUAL
    return tuple(_lengthened(one, common) for one in templates)


def _lengthened(one: Template, common: Mapping[int, int]) -> Template:
    own = one.octets_of(INSTANCE)
    wanted = {**common, INSTANCE: own if SHORTEST <= own <= 64 else USUAL}
    changes = {spot.kind: wanted[spot.kind] for spot in one.spots if spot.octets != wanted[spot.kind]}
    if not changes:
        return one
    data = memoryview(_with_lengths(one, changes))
    spots = tuple(_spots(data, Encoding.of(uids.transfer_syntax(one.transfer_syntax))))
    return replace(one, data=data, spots=spots)


def _with_lengths(one: Template, changes: Mapping[int, int]) -> bytes:
    """Encode the data set again with UIDs of other lengths; group lengths go with them."""
    encoding = Encoding.of(uids.transfer_syntax(one.transfer_syntax))
    pieces: list[bytes | memoryview] = []
    at = 0
    groups: dict[int, Element] = {}
    places: dict[int, int] = {}
    grown: Counter[int] = Counter()
    for element in elements(one.data, encoding):
        if element.tag > _LAST:
            break
        if element.tag & 0xFFFF == 0:
            groups[element.tag >> 16] = element
            pieces += (one.data[at:element.start], bytes(one.data[element.start:element.end]))
            places[element.tag >> 16] = len(pieces) - 1
            at = element.end
        kind = KINDS.get(element.tag, 0)
        if kind in changes:
            octets = changes[kind]
            value = b"1" * octets + b"\0" * (octets & 1)
            pieces += (one.data[at:element.start - _header_octets(element)], _header(element, encoding, len(value)), value)
            grown[element.tag >> 16] += len(value) - (element.end - element.start)
            at = element.end
    for group, place in places.items():
        stated = int.from_bytes(pieces[place], "little" if encoding.little else "big")
        pieces[place] = PACKERS[encoding.little][3](stated + grown[group]) if len(pieces[place]) == 4 else pieces[place]
    pieces.append(one.data[at:])
    return b"".join(pieces)


def _header_octets(element: Element) -> int:
    return 12 if element.vr in LONG_VRS else 8  # a UID may be there as UN


def _header(element: Element, encoding: Encoding, length: int) -> bytes:
    """Return the header of a UID of that length, in the layout it had."""
    short, long, implicit, _ = PACKERS[encoding.little]
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if not encoding.explicit:
        return implicit(group, number, length)
    return long(group, number, element.vr, 0, length) if element.vr in LONG_VRS else short(group, number, element.vr, length)
