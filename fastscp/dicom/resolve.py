"""Which VR an element gets when its encoding does not say, or says too little.

Where PS3.6 leaves a choice, DCMTK's rules decide (docs/deviations-bytes.md); they look at elements of the same
item that came before.
"""

from __future__ import annotations

from typing import Final

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.levels import Level
from fastscp.dicom.vr import KINDS

PIXEL_DATA: Final = 0x7FE00010


class VRs:
    """The dictionary, with the context of a level."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary

    def private(self, level: Level, tag: int) -> str:
        """Return the VR of a private attribute, by the creator its item names; "UN" when unknown."""
        creator = None
        if level.creators is not None:
            creator = level.creators.get(tag >> 16 << 8 | tag >> 8 & 0xFF)
        return self._dictionary.private_vr(tag, creator)

    def converted(self, level: Level, tag: int) -> str:
        """Return the VR that the dictionary has for an element stored as UN (``+uc``)."""
        vr = self.private(level, tag) if tag >> 16 & 1 else self._dictionary.vr(tag)
        return "US" if vr == "xs" else vr

    def resolved(self, vr: str, level: Level, tag: int) -> str:
        """Decide the VR of a value: one of PS3.5, whatever was read."""
        if vr in KINDS:
            return vr
        if vr == "xs":
            vr = "SS" if level.signed else "US"
        elif vr == "lt":
            vr = "OW"
        elif vr == "ox":
            group = tag >> 16
            wide = level.bits not in {0, 8} if group == 0x5400 else tag == PIXEL_DATA or group & 0xFF00 == 0x6000
            vr = "OW" if wide else "OB"
        else:
            vr = "UN"
        return vr
