r"""Which UID the octets of a UI value mean: one rule for comparing, naming and writing, storescp's.

    >>> meant(b"1.2 .3\t\0")
    b'1.2.3'

White space has no place in a UID (PS3.5 §9.1), wherever it stands, and a NUL ends the UID.
"""

from __future__ import annotations

from typing import Final

#: What C's isspace() calls white space.
BLANKS: Final = b" \t\n\v\f\r"


def meant(value: bytes) -> bytes:
    """Return the UID without white space, up to the first NUL."""
    return value.partition(b"\0")[0].translate(None, BLANKS)
