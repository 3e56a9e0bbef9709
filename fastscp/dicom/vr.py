"""Value representations as the engine needs them: how each is laid out and which values need a look.

Source: PS3.5 §6.2 and §7.1.2
"""

from __future__ import annotations

from typing import Final, Literal

# What has to be done with a value. 0 is "not a VR": unknown, a delimiter, or cut.
PLAIN: Final = 1  #: 16-bit length, the value is never changed
TEXT: Final = 2  #: 16-bit length, padded with a blank
UID: Final = 3  #: 16-bit length, padded with NUL
LONG: Final = 4  #: 32-bit length, the value is never changed
LONG_TEXT: Final = 5  #: 32-bit length, padded with a blank
SEQUENCE: Final = 6

KINDS: Final[dict[str, int]] = (
    dict.fromkeys(("AT", "FL", "FD", "SL", "SS", "UL", "US"), PLAIN)
    | dict.fromkeys(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM"), TEXT)
    | {"UI": UID, "SQ": SEQUENCE}
    | dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "SV", "UV", "UN"), LONG)
    | dict.fromkeys(("UC", "UR", "UT"), LONG_TEXT)
)

#: Octets of one number of a VR that changes with the byte order (PS3.5 §7.3).
WIDTHS: Final[dict[str, int]] = {
    "AT": 2, "US": 2, "SS": 2, "OW": 2,
    "UL": 4, "SL": 4, "FL": 4, "OL": 4, "OF": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}

WIDTHS_BY_NAME: Final = {name.encode("ascii"): width for name, width in WIDTHS.items()}

#: VRs whose odd values stay odd.
NEVER_PADDED: Final = frozenset({"OW"})

#: VRs that came after 1993 and what stands for them when they are not wanted (``-u``).
NEW_VRS: Final = frozenset({"UN", "UT", "UC", "UR", "OF", "OD", "OL", "OV", "SV", "UV"})


def _table(numbers: dict[str, int], byteorder: Literal["little", "big"]) -> bytes:
    """Return 65,536 numbers, indexed by the two VR octets read as one integer of that byte order."""
    table = bytearray(65536)
    for name, number in numbers.items():
        table[int.from_bytes(name.encode("ascii"), byteorder)] = number
    return bytes(table)


KINDS_LITTLE: Final = _table(KINDS, "little")
KINDS_BIG: Final = _table(KINDS, "big")
WIDTHS_LITTLE: Final = _table(WIDTHS, "little")
