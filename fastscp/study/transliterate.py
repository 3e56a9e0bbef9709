"""Directory names from patients' names in any character set (``--transliterate-names``). Pure.

The octets are decoded by Specific Character Set (PS3.5 Section 6.1.2), also where its terms are nearly right; of the component groups (alphabetic,
ideographic, phonetic) the first that is not empty is spelt in ASCII, Latin-1 letters as storescp spells them.
What cannot be decoded is spelt like Latin-1. This module imports pydicom, so it is loaded only when the option
is on.
"""

from __future__ import annotations

from anyascii import anyascii
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import PN_DELIMS

from fastscp.study import charsets, naming


def transliterate(patient: str, charset: str) -> str:
    """Return Patient's Name as a directory name; both arguments are octets decoded as Latin-1."""
    octets = naming.first_value(patient).encode("latin-1")
    terms = charsets.meant(charset.split("\\"))
    try:
        text = decode_bytes(octets, convert_encodings(terms), PN_DELIMS)
    except (LookupError, UnicodeError):
        return naming.spell_patient(patient)
    group = next((group for group in text.split("=") if group.strip()), "")
    return "".join(map(_spell, group.rstrip())) or naming.spell_patient(patient)


def _spell(character: str) -> str:
    if ord(character) < 0x100:
        return naming.spell_character(character)
    return "".join(letter if letter.isalnum() else "_" for letter in anyascii(character))
