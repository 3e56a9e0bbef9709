"""The terms of Specific Character Set that are meant, also where they are nearly right. Pure.

    >>> meant(["ISO_IR_192"]), meant(["", "iso 2022 ir 87"]), meant(["ISO8859-1"])
    (['ISO_IR 192'], ['', 'ISO 2022 IR 87'], ['ISO_IR 100'])

Source: PS3.3 C.12.1.1.2
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s\0_.:/-]+")
_REGISTERED: Final = re.compile(r"(?:ISO ?)?(2022 ?)?IR ?0*(\d{1,3})|ISO ?2022 ?0*(\d{1,3})")
_PART_OF_8859: Final = re.compile(r"ISO ?8859 ?0*(\d{1,2})")
_LATIN: Final = re.compile(r"LATIN ?0*(\d{1,2})")

#: registration numbers of the parts of ISO 8859
_PARTS: Final = {1: 100, 2: 101, 3: 109, 4: 110, 5: 144, 6: 127, 7: 126, 8: 138, 9: 148, 11: 166}
#: parts of ISO 8859 by the numbers of the Latin alphabets
_LATINS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 9}
_UTF_8: Final = 192
_MULTI_BYTE: Final = frozenset({58, 87, 149, 159})  #: these are code extensions, never terms of their own
_ALONE: Final = frozenset({"ISO_IR 192", "GB18030", "GBK"})  #: what they are beside is of no use
_OTHERS: Final = {
    "UTF8": "ISO_IR 192", "UTF 8": "ISO_IR 192", "UNICODE": "ISO_IR 192", "ASCII": "ISO_IR 6", "US ASCII": "ISO_IR 6",
    "ISO 646": "ISO_IR 6", "ISO646": "ISO_IR 6", "SHIFT JIS": "ISO_IR 13", "SJIS": "ISO_IR 13",
    "GB18030": "GB18030", "GB 18030": "GB18030", "ISO 2022 GB18030": "GB18030", "GBK": "GBK", "ISO 2022 GBK": "GBK",
    "GB2312": "GBK", "GB 2312": "GBK", "EUC KR": "ISO 2022 IR 149", "KS X 1001": "ISO 2022 IR 149",
}


def meant(terms: Iterable[str]) -> list[str]:
    """Return the defined terms that the values of Specific Character Set mean; what means none stays as it is."""
    found = [_meant(term) for term in terms]
    return next(([term] for term in found if term in _ALONE), found)


def _meant(term: str) -> str:
    text = _SEPARATORS.sub(" ", term.upper()).strip()
    if text in _OTHERS:
        return _OTHERS[text]
    if found := _REGISTERED.fullmatch(text):
        number = int(found[2] or found[3])
        extension = found[1] is not None or found[3] is not None
        return _defined(number, extension=extension)
    if (found := _PART_OF_8859.fullmatch(text)) and int(found[1]) in _PARTS:
        return _defined(_PARTS[int(found[1])], extension=False)
    if (found := _LATIN.fullmatch(text)) and int(found[1]) in _LATINS:
        return _defined(_PARTS[_LATINS[int(found[1])]], extension=False)
    return term.strip(" \0")


def _defined(number: int, *, extension: bool) -> str:
    if number == _UTF_8:
        return "ISO_IR 192"
    return f"ISO 2022 IR {number}" if extension or number in _MULTI_BYTE else f"ISO_IR {number}"
