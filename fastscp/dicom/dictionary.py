"""Which VR an attribute has when the encoding does not say so.

Strategy: pydicom's tables are pure data; their modules are executed by themselves, because importing the
package costs a third of a second. Files named in DCMDICTPATH (DCMTK's format) add to them and win; where they name
private attributes, those are all that are known, as in DCMTK, unless it is asked for otherwise. A dictionary is
built once, before processes are forked, and never changes.

Values are VR names of PS3.5; where PS3.6 leaves a choice (``US or SS``, ``OB or OW``) DCMTK's ``xs``, ``ox``
and ``lt`` stand for it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from fastscp.dicom.options import PrivateDictionary
from fastscp.dicom.vr import KINDS, PLAIN, SEQUENCE
from fastscp.errors import UsageError

_CHOICES: Final = {
    "US or SS": "xs", "OB or OW": "ox", "US or OW": "lt", "US or SS or OW": "lt", "NONE": "na",
}

#: DCMTK's own names in dictionary files, and what stands for them here; Pixel Data, also private, is ``px``.
_INTERNAL: Final = {"xs": "xs", "ox": "ox", "px": "OW", "lt": "lt", "na": "na", "up": "UL"}

_ENVIRONMENT_SEPARATOR: Final = ":"

#: ``US or SS`` in PS3.6, but always US for DCMTK: counts of bits and numbers of grey values.
_ALWAYS_US: Final = (0x00280104, 0x00280105, 0x00280110, 0x00280111, 0x00281100, 0x00281101, 0x00281102,
                     0x00281103, 0x00281111, 0x00281112, 0x00281113)

#: Repeating groups of ACR-NEMA that DCMTK's dictionary leaves out.
_UNKNOWN_RANGES: Final = ("0028", "1000", "1010")


class _Range(NamedTuple):
    """A repeating entry: inclusive limits, and whether only even or odd numbers count."""

    group: tuple[int, int, str]
    element: tuple[int, int, str]
    vr: str

    def covers(self, group: int, element: int) -> bool:
        """Tell whether the tag is one of the repeated ones."""
        return _within(group, self.group) and _within(element, self.element)


def _within(number: int, limits: tuple[int, int, str]) -> bool:
    low, high, parity = limits
    return low <= number <= high and (parity == "u" or (number & 1 == (parity == "o")))


class Dictionary:
    """Tag to VR, with private creators.

    pydicom's private table is read when the first private attribute asks for it.

    ``kinds`` and ``sequences`` are plain for the hot loops of the engine; they hold standard tags only.
    """

    def __init__(self) -> None:
        self._vrs: dict[int, str] = {}
        self._ranges: list[_Range] = []
        self._private: dict[str, dict[tuple[int, int], str]] = {}  #: an element above FF is in one block only
        self._private_ranges: dict[str, list[_Range]] = {}
        self.kinds: dict[int, int] = {}  #: tag to kind (``fastscp.dicom.vr``); what is not in it is PLAIN
        self.sequences: set[int] = set()  #: the tags whose kind is SEQUENCE
        self._builtin_private = True  #: pydicom's private table is wanted, and not read yet

    def vr(self, tag: int) -> str:
        """Return the VR of a standard tag, "UN" when unknown."""
        found = self._vrs.get(tag)
        if found is not None:
            return found
        group, element = tag >> 16, tag & 0xFFFF
        for entry in self._ranges:
            if entry.covers(group, element):
                return entry.vr
        if element == 0:
            return "UL"
        return "UN"

    def private_vr(self, tag: int, creator: str | None) -> str:
        """Return the VR of a private tag under its creator, "UN" when unknown."""
        element = tag & 0xFFFF
        if element == 0:
            return "UL"
        if element < 0x100:
            return "LO" if element >= 0x10 else "UN"
        if creator is None or not self.knows(creator):
            return "UN"
        group, low = tag >> 16, element & 0xFF
        known = self._private.get(creator, {})
        found = known.get((group, element)) or known.get((group, low))
        if found is not None:
            return found
        for entry in self._private_ranges.get(creator, ()):
            if entry.covers(group, low) or entry.covers(group, element):
                return entry.vr
        return "UN"

    def knows(self, creator: str) -> bool:
        """Tell whether there are attributes of this Private Creator."""
        if self._builtin_private:
            self._builtin_private = False
            self._load_private()
        return creator in self._private or creator in self._private_ranges

    def add(self, tag: int, vr: str, creator: str = "") -> None:
        """Add one attribute; a later entry for the same tag wins.

        The element of a private one is in every block of its creator (01), or in one (1001).
        """
        if creator:
            self._private.setdefault(creator, {})[tag >> 16, tag & 0xFFFF] = vr
            return
        if vr == "xs" and tag in _ALWAYS_US:
            vr = "US"
        self._vrs[tag] = vr
        kind = KINDS.get(vr, PLAIN)
        if kind == PLAIN:
            self.kinds.pop(tag, None)
        else:
            self.kinds[tag] = kind
        if kind == SEQUENCE:
            self.sequences.add(tag)
        else:
            self.sequences.discard(tag)

    def know_only_added(self) -> None:
        """Leave pydicom's private attributes out."""
        self._builtin_private = False

    @property
    def has_private(self) -> bool:
        """Whether private attributes were added."""
        return bool(self._private or self._private_ranges)

    def _load_private(self) -> None:
        """Read pydicom's private table; entries that are there already stay."""
        for creator, rows in _execute("_private_dict").private_dictionaries.items():
            known = self._private.setdefault(creator, {})
            for mask, row in rows.items():
                if "x" in mask[6:]:
                    continue
                vr = _CHOICES.get(row[0], row[0])
                low = int(mask[6:], 16)
                if "x" in mask[:4]:
                    entry = _Range((*_mask_range(mask[:4]), "o"), (low, low, "u"), vr)
                    self._private_ranges.setdefault(creator, []).append(entry)
                else:
                    known.setdefault((int(mask[:4], 16), low), vr)

    def add_range(self, group: tuple[int, int, str], element: tuple[int, int, str], vr: str,
                  creator: str = "") -> None:
        """Add a repeating entry; limits are inclusive, the third member is ``e``, ``o`` or ``u``."""
        entry = _Range(group, element, vr)
        if creator:
            self._private_ranges.setdefault(creator, []).insert(0, entry)
        else:
            self._ranges.insert(0, entry)


def _source(module: str) -> Path:
    """Return where a data module of pydicom is. Raises UsageError when it is not there."""
    package = importlib.util.find_spec("pydicom")
    if package is None or not package.submodule_search_locations:
        raise UsageError("the data dictionary is missing: pydicom is not installed, or this user may not read it")
    path = Path(package.submodule_search_locations[0]) / f"{module}.py"
    if not path.is_file():
        raise UsageError(f"the data dictionary {path} is missing: this version of pydicom has no such tables; "
                         "fastscp needs pydicom 3.0")
    return path


def _execute(module: str) -> ModuleType:
    """Execute one data module of pydicom without its package."""
    path = _source(module)
    spec = importlib.util.spec_from_file_location(f"fastscp.dicom.{module}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"the data dictionary {path} cannot be read")
    loaded = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except OSError as error:
        raise UsageError(f"the data dictionary {path} cannot be read: {error.strerror}") from error
    return loaded


def _mask_range(text: str) -> tuple[int, int]:
    return int(text.replace("x", "0"), 16), int(text.replace("x", "f"), 16)


def load(paths: Iterable[str] = (), private: PrivateDictionary = PrivateDictionary.AUTOMATIC) -> Dictionary:
    """Build a dictionary from pydicom's tables and additional files in DCMTK's format.

    ``private`` tells whether pydicom's private attributes are among them.

    Raises UsageError for a file that cannot be read or understood.
    """
    dictionary = Dictionary()
    public = _execute("_dicom_dict")
    _source("_private_dict")  # read later, but its absence is to be known now
    for mask, row in public.RepeatersDictionary.items():
        if mask[:4] in _UNKNOWN_RANGES:
            continue
        group_low, group_high = _mask_range(mask[:4])
        element_low, element_high = _mask_range(mask[4:])
        if group_low == group_high:
            for element in range(element_low, element_high + 1, 2):
                dictionary.add(group_low << 16 | element, _CHOICES.get(row[0], row[0]))
            continue
        dictionary.add_range((group_low, group_high, "e"), (element_low, element_high, "e" if element_high != element_low else "u"),
                             _CHOICES.get(row[0], row[0]))
    for tag, row in public.DicomDictionary.items():
        dictionary.add(tag, _CHOICES.get(row[0], row[0]))
    for path in paths:
        _add_file(dictionary, path)
    automatic = private is PrivateDictionary.AUTOMATIC
    if private is PrivateDictionary.NONE or (automatic and dictionary.has_private):
        dictionary.know_only_added()
    return dictionary


def _limits(text: str) -> tuple[int, int, str]:
    """Parse ``6000-60ff``, ``6000-o-60ff`` or ``0010`` (hexadecimal)."""
    parts = text.strip().split("-")
    if len(parts) == 1:
        number = int(parts[0], 16)
        return number, number, "u"
    if len(parts) == 3:
        return int(parts[0], 16), int(parts[2], 16), parts[1].lower()
    low, high = int(parts[0], 16), int(parts[1], 16)
    return low, high, "e"


def _add_file(dictionary: Dictionary, path: str) -> None:
    """Add a dictionary file: ``(gggg[,"creator"],eeee) VR Name VM Version`` a line, ``#`` comments."""
    try:
        with Path(path).open(encoding="latin-1") as file:
            lines = file.readlines()
    except OSError as error:
        raise UsageError(f"cannot read data dictionary {path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            _add_line(dictionary, text)
        except ValueError as error:
            raise UsageError(f"{path}: line {number} is not a dictionary entry: {text}") from error


def _add_line(dictionary: Dictionary, text: str) -> None:
    inside, rest = text[1:].split(")", 1) if '"' not in text else _split_quoted(text)
    creator = ""
    if '"' in inside:
        group_text, creator, element_text = inside.split('"')
    else:
        group_text, element_text = inside.split(",")
    group, element = _limits(group_text.strip(" ,")), _limits(element_text.strip(" ,"))
    fields = rest.split()
    if not fields:
        raise ValueError("no VR")
    vr = fields[0]
    vr = _INTERNAL.get(vr) or vr.upper()
    if group[0] == group[1] and element[0] == element[1]:
        dictionary.add(group[0] << 16 | element[0], vr, creator)
    else:
        dictionary.add_range(group, element, vr, creator)


def _split_quoted(text: str) -> tuple[str, str]:
    """Split at the bracket that follows the quoted creator, which may hold brackets itself."""
    end = text.index(")", text.rindex('"'))
    return text[1:end], text[end + 1:]


def environment_paths(value: str | None) -> list[str]:
    """Split DCMDICTPATH; empty parts mean nothing."""
    return [sys.intern(part) for part in (value or "").split(_ENVIRONMENT_SEPARATOR) if part]
