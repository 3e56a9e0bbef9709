"""Directory names from patients' names in any character set (``--transliterate-names``). Pure.

The octets are decoded by Specific Character Set (PS3.5 Section 6.1.2); the first component group that has
letters or digits in ASCII after decomposition is taken, else the Latin-1 spelling of storescp is used. This
module imports pydicom, so it is loaded only when the option is on.
"""

from __future__ import annotations

import unicodedata

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import PN_DELIMS

from fastscp.study import naming


def transliterate(patient: str, charset: str) -> str:
    """Return Patient's Name as a directory name; both arguments are octets decoded as Latin-1."""
    octets = naming.first_value(patient).encode("latin-1")
    terms = [term.strip(" \0") for term in charset.split("\\")]
    try:
        text = decode_bytes(octets, convert_encodings(terms), PN_DELIMS)
    except (LookupError, UnicodeError):
        return naming.spell_patient(patient)
    for group in text.split("="):
        spelt = "".join(_spell(character) for character in group)
        if any(character.isalnum() for character in spelt):
            return spelt
    return naming.spell_patient(patient)


def _spell(character: str) -> str:
    if ord(character) < 0x100:
        return naming.spell_patient(character)
    decomposed = unicodedata.normalize("NFKD", character)
    kept = "".join(part for part in decomposed if part.isascii() and part.isalnum())
    return kept or ("" if unicodedata.combining(character) else "_")
