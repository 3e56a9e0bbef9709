"""Headers of data elements, items and delimiters: how they are laid out, read and written.

In octets; numbers are in the byte order of the transfer syntax:

    explicit VR, short    group 2, element 2, VR 2, length 2
    explicit VR, long     group 2, element 2, VR 2, reserved 2 (zeros), length 4
    implicit VR, items    group 2, element 2, length 4

The hot loops of the engine take the readers from the tables below; all else may ask ``read_explicit``.

Source: PS3.5 §7.1.2, §7.1.3 and §7.5
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from fastscp.dicom.vr import KINDS, LONG

UNDEFINED: Final = 0xFFFFFFFF  #: the length of what a delimiter ends
LONGEST_SHORT: Final = 0xFFFF  #: the longest value behind a 16-bit length

#: VRs with the long layout, as they are in a header.
LONG_VRS: Final = frozenset(name.encode("ascii") for name, kind in KINDS.items() if kind >= LONG)

# Readers by little_endian: called with a buffer and a position, they return a tuple of numbers.
EXPLICIT: Final = {True: struct.Struct("<HHHH").unpack_from, False: struct.Struct(">HHHH").unpack_from}
IMPLICIT: Final = {True: struct.Struct("<HHL").unpack_from, False: struct.Struct(">HHL").unpack_from}
LENGTH: Final = {True: struct.Struct("<L").unpack_from, False: struct.Struct(">L").unpack_from}
NUMBER: Final = {True: struct.Struct("<H").unpack_from, False: struct.Struct(">H").unpack_from}

#: Writers by little_endian: of a short and a long explicit header, an implicit header, a 32-bit length.
PACKERS: Final = {
    little: tuple(struct.Struct(order + layout).pack for layout in ("HH2sH", "HH2sHL", "HHL", "L"))
    for little, order in ((True, "<"), (False, ">"))
}


class Header(NamedTuple):
    """The header of an element in explicit VR."""

    tag: int
    vr: bytes
    length: int
    octets: int  #: of the header itself: 8 or 12


def read_explicit(buf: bytes, at: int = 0, *, little: bool = True) -> Header:
    """Read a header in explicit VR from the 12 octets at ``at``; 8 are enough for a short one."""
    group, element, _, length = EXPLICIT[little](buf, at)
    vr = bytes(buf[at + 4:at + 6])
    if vr in LONG_VRS:
        return Header(group << 16 | element, vr, LENGTH[little](buf, at + 8)[0], 12)
    return Header(group << 16 | element, vr, length, 8)
