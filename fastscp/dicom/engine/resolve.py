"""Which VR an element gets when its encoding does not say, or says too little.

Where PS3.6 leaves a choice, DCMTK's rules decide (docs/deviations-bytes.md); they look at elements of the same
item that came before, at the first where one was sent twice.
"""

from __future__ import annotations

from typing import Final

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.cursor import Level
from fastscp.dicom.tags import PIXEL_DATA, PIXEL_REPRESENTATION
from fastscp.dicom.vr import KINDS

OCTET_BITS: Final = 8  #: Waveform Bits Allocated of samples that are octets
_WAVEFORM_GROUP: Final = 0x5400
_MOST_CREATORS: Final = 1024  #: more than the 240 blocks of a group, so that those of one are all there


def creator_name(value: bytes) -> str:
    """Return what a Private Creator is compared by (PS3.5 §7.8.1): as for storescp, a NUL ends it."""
    return value.decode("latin-1").rstrip(" ").partition("\0")[0]


class VRs:
    """The dictionary, with the context of a level."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary

    def reserve(self, level: Level, tag: int, value: bytes) -> None:
        """Take the Private Creator of a block (PS3.5 §7.8.1) that the dictionary knows.

        Blocks in order belong to the group they are in: those of earlier groups are forgotten when there are too many.
        """
        creator = creator_name(value)
        if not self._dictionary.knows(creator):
            return
        if level.creators is None or len(level.creators) >= _MOST_CREATORS:
            level.creators = {}
        level.creators[tag >> 16 << 8 | tag & 0xFF] = creator

    def private(self, level: Level, tag: int) -> str:
        """Return the VR of a private attribute, by the creator its item names; "UN" when unknown."""
        creator = None
        if level.creators is not None:
            creator = level.creators.get(tag >> 16 << 8 | tag >> 8 & 0xFF)
        return self._dictionary.private_vr(tag, creator)

    def unspoken(self, level: Level, tag: int) -> str:
        """Return what the dictionary has for an element, which is how it is read where no VR is written."""
        return self.private(level, tag) if tag >> 16 & 1 else self._dictionary.vr(tag)

    def converted(self, level: Level, tag: int) -> str:
        """Return the VR that the dictionary has for an element stored as UN (``+uc``)."""
        vr = self.unspoken(level, tag)
        if vr == "xs":
            return "US"
        return "OB" if vr == "ox" and tag >> 16 == _WAVEFORM_GROUP else vr

    def resolved(self, vr: str, level: Level, tag: int) -> str:
        """Decide the VR of a value: one of PS3.5, whatever was read."""
        if vr in KINDS:
            return vr
        if vr == "xs":
            vr = "SS" if level.signed and tag > PIXEL_REPRESENTATION else "US"
        elif vr == "lt":
            vr = "OW"
        elif vr == "ox":
            group = tag >> 16
            if group == _WAVEFORM_GROUP:
                wide = level.bits not in {None, OCTET_BITS}
            else:
                wide = tag == PIXEL_DATA or group & 0xFF00 == 0x6000
            vr = "OW" if wide else "OB"
        else:
            vr = "UN"
        return vr
