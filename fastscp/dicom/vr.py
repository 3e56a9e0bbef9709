"""Value representations as the scanner needs them: how each is laid out and which values need a look.

Source: PS3.5 §6.2 and §7.1.2
"""

from __future__ import annotations

import struct
from typing import Final

# What the scanner has to do with a value. 0 is "not a VR": unknown, a delimiter, or cut.
SPECIAL: Final = 0
PLAIN: Final = 1  #: 16-bit length, value is never changed
TEXT: Final = 2  #: 16-bit length, padded with a blank
UID: Final = 3  #: 16-bit length, padded with NUL
LONG: Final = 4  #: 32-bit length, value is never changed
LONG_TEXT: Final = 5  #: 32-bit length, padded with a blank
SEQUENCE: Final = 6

KINDS: Final[dict[str, int]] = (
    dict.fromkeys(("AT", "FL", "FD", "SL", "SS", "UL", "US"), PLAIN)
    | dict.fromkeys(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM"), TEXT)
    | {"UI": UID, "SQ": SEQUENCE}
    | dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "SV", "UV", "UN"), LONG)
    | dict.fromkeys(("UC", "UR", "UT"), LONG_TEXT)
)


def kind_table(*, little_endian: bool) -> bytes:
    """Return 65,536 kinds, indexed by the two VR octets read as one integer of that byte order."""
    table = bytearray(65536)
    code = struct.Struct("<H" if little_endian else ">H")
    for name, kind in KINDS.items():
        table[code.unpack(name.encode("ascii"))[0]] = kind
    return bytes(table)
