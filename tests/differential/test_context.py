"""VRs that earlier elements of the item decide, sent twice or out of order; and sorting beside the real storescp.

A private dictionary of the tests' own says which creator is known.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from fastscp.errors import InstanceError
from tests.support import datasets as ds
from tests.support.memory import rewritten
from tests.support.options import output_options
from tests.support.oracle import StorescpOracle

pytestmark = pytest.mark.oracle

_CREATOR, _PRIVATE = 0x00290010, 0x00291001
_HIGHER = 0x00400010
_BITS, _WAVEFORM, _PADDING_VALUE = 0x54001004, 0x54001010, 0x5400100A
_REPRESENTATION, _SMALLEST, _LARGEST, _PERIMETER = 0x00280103, 0x00280106, 0x00280107, 0x00280071

#: elements of a data set in implicit VR: tag and value
IMPLICIT = {
    "creator": [(_CREATOR, b"SITE MAKER"), (_PRIVATE, b"1.5 ")],
    **{f"creator and {suffix!r}": [(_CREATOR, b"SITE MAKER" + suffix), (_PRIVATE, b"1.5 ")]
       for suffix in (b"  ", b"\0\0", b" \0", b"\0X", b"\0 ", b"\0XY ", b" \0 \0")},
    "blank before the creator": [(_CREATOR, b" SITE MAKER "), (_PRIVATE, b"1.5 ")],
    "creator behind a higher tag": [(_HIGHER, b"AB"), (_CREATOR, b"SITE MAKER"), (_PRIVATE, b"1.5 ")],
    "creator behind its data": [(_PRIVATE + 1, b"1 "), (_CREATOR, b"SITE MAKER"), (_PRIVATE, b"1.5 ")],
    "data behind a higher tag": [(_CREATOR, b"SITE MAKER"), (_HIGHER, b"AB"), (_PRIVATE, b"1.5 ")],
    "other creator, then this": [(_CREATOR, b"OTHER "), (_CREATOR, b"SITE MAKER"), (_PRIVATE, b"1.5 ")],
    "this creator, then other": [(_CREATOR, b"SITE MAKER"), (_CREATOR, b"OTHER "), (_PRIVATE, b"1.5 ")],
    "creators the wrong way round": [(_CREATOR + 1, b"SITE MAKER"), (_CREATOR, b"SITE MAKER"),
                                     (_PRIVATE, b"1.5 "), (_PRIVATE + 0x100, b"1.5 ")],
    **{f"private sequence of {value!r}": [(_CREATOR, b"SPI-P-Private_ICS Release 1 "), (0x0029101E, value)]
       for value in (b"AB", b"ABCDEFGH")},
    **{f"waveform bits {bits!r}": [(_BITS, bits), (_PADDING_VALUE, b"\1\2"), (_WAVEFORM, b"\1\2\3\4")]
       for bits in (b"", b"\0\0", b"\1\0", b"\x08\0", b"\x10\0", b"\x08\0\x10\0", b"\x10\0\x08\0")},
    "no waveform bits": [(_WAVEFORM, b"\1\2\3\4")],
    "waveform bits 8, then 16": [(_BITS, b"\x08\0"), (_BITS, b"\x10\0"), (_WAVEFORM, b"\1\2\3\4")],
    "waveform bits 16, then 8": [(_BITS, b"\x10\0"), (_BITS, b"\x08\0"), (_WAVEFORM, b"\1\2\3\4")],
    "unsigned, then signed": [(_REPRESENTATION, b"\0\0"), (_REPRESENTATION, b"\1\0"), (_SMALLEST, b"\5\0")],
    "signed, then unsigned": [(_REPRESENTATION, b"\1\0"), (_SMALLEST, b"\5\0"), (_REPRESENTATION, b"\0\0"),
                              (_LARGEST, b"\7\0")],
    "empty, then signed": [(_REPRESENTATION, b""), (_REPRESENTATION, b"\1\0"), (_SMALLEST, b"\5\0")],
    "signed, then a lower tag": [(_REPRESENTATION, b"\1\0"), (_PERIMETER, b"\5\0")],
    "signed too late": [(_SMALLEST, b"\5\0"), (_REPRESENTATION, b"\1\0"), (_LARGEST, b"\7\0")],
}

_OUT_OF_ORDER = [(0x7FE30010, "LO", b"AB"), (0x7FE00010, "OB", b"abcd")]
_ITEM = ds.item(ds.implicit(0x00081150, b"1 "))

#: elements of a data set in explicit VR little endian: tag, VR and value
EXPLICIT = {
    "UN for text": [(0x00081030, "UN", b"AB  "), *_OUT_OF_ORDER],
    "OB for text": [(0x00081030, "OB", b"AB  "), *_OUT_OF_ORDER],
    "UN for a UID": [(0x00080017, "UN", b"\0\0"), *_OUT_OF_ORDER],
    "UN for a creator": [(0x00230010, "UN", b"AB  "), *_OUT_OF_ORDER],
    "OB for a sequence": [(0x00081140, "OB", b"ABCDEFGHIJ"), *_OUT_OF_ORDER],
    "UN for a sequence, of garbage": [(0x00081140, "UN", b"ABCDEFGHIJ"), *_OUT_OF_ORDER],
    "UN for a sequence, with an item": [(0x00081140, "UN", _ITEM), *_OUT_OF_ORDER],
    "sent twice": [(0x00081030, "LO", b"AB"), (0x00081030, "LO", b"CDEFGH"), *_OUT_OF_ORDER],
    "twice in an item": [(0x00081140, "SQ", ds.item(ds.explicit(0x00081150, "UI", b"1\0") * 2)), *_OUT_OF_ORDER],
    "behind the padding": [(0xFFFE0000 - 1, "LO", b"AB"), *_OUT_OF_ORDER],
    **{f"waveform data as UN, {bits} bits": [(_BITS, "US", bytes([bits, 0])), (_WAVEFORM, "UN", b"\1\2\3\4")]
       for bits in (0, 1, 8, 16)},
}

#: what storescp writes in implicit VR, and then cannot read
UNREADABLE = {"OB for a sequence", "UN for a sequence, of garbage"}


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dictionary") / "site.dic"
    path.write_text('(0029,"SITE MAKER",01)\tDS\tSiteValue\t1\tSITE\n')
    return path


def _compare(cases: dict[str, bytes], syntax: str, words: str, dictionary: Path, directory: Path) -> None:
    options = dataclasses.replace(output_options(words), dictionary_paths=(str(dictionary),))
    negotiation = [] if options.transfer_syntax else ["+xa"]
    different = []
    with StorescpOracle(directory, [*negotiation, *words.split()]) as oracle:
        for name, dataset in cases.items():
            answer = oracle.store(dataset, syntax)
            theirs = answer.dataset
            base = 0 if answer.file is None or theirs is None else len(answer.file) - len(theirs)
            try:
                ours = rewritten(dataset, syntax, options, base=base)
            except InstanceError as error:
                unreadable = options.transfer_syntax == ds.IMPLICIT and name in UNREADABLE
                if answer.status is not None and not unreadable:  # what storescp aborts on is refused
                    different.append((name, str(error)))
                continue
            if ours != theirs:
                different.append((name, f"{ours.hex(' ', 2)} instead of {theirs and theirs.hex(' ', 2)}"))
    assert different == []


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("words", ["+te", "+tb", "+te -e", "+te +p 256 32"])
def test_what_decides_a_vr_in_implicit_data_sets(words: str, nested: bool, dictionary: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    system = next(Path("/usr/share").glob("*dcmtk*/dicom.dic"))
    monkeypatch.setenv("DCMDICTPATH", f"{system}:{dictionary}")
    cases = {}
    for name, elements in IMPLICIT.items():
        content = b"".join(ds.implicit(tag, value) for tag, value in elements)
        cases[name] = ds.IMPLICIT_HEAD + (ds.implicit_sequence(0x00081140, ds.item(content)) if nested else content)
    _compare(cases, ds.IMPLICIT, words, dictionary, tmp_path)


@pytest.mark.parametrize("words", ["", "+ti", "+te", "+uc", "+uc +ti", "+p 512 64", "+p 512 64 +ti", "+p 512 64 +ti -e",
                                   "+p 512 64 +ti +g", "+p 30 18 +te +g"])
def test_values_are_left_alone_when_elements_are_sorted(words: str, dictionary: Path, tmp_path: Path) -> None:
    cases = {name: ds.HEAD + b"".join(ds.explicit(tag, vr, value) for tag, vr, value in elements)
             for name, elements in EXPLICIT.items()}
    _compare(cases, ds.EXPLICIT, words, dictionary, tmp_path)


def _private_entries(path: Path) -> dict[str, set[tuple[int, int]]]:
    """Return the (group, element) of every attribute of a private dictionary that is no sequence, by creator."""
    found: dict[str, set[tuple[int, int]]] = {}
    for line in path.read_text("latin-1").splitlines():
        entry = re.match(r'\(([0-9a-fA-F]{4})[^,"]*,"([^"]*)",([0-9a-fA-F]+)[^)]*\)\t(\S+)', line)
        if entry is not None and entry[4] != "SQ":
            found.setdefault(entry[2], set()).add((int(entry[1], 16) | 1, int(entry[3], 16) & 0xFF))
    return found


@pytest.mark.parametrize("words", ["+te", "+tb"])
def test_every_private_attribute_of_storescps_dictionary(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = next(Path("/usr/share").glob("*dcmtk*/private.dic"))
    monkeypatch.setenv("DCMDICTPATH", f"{system.with_name('dicom.dic')}:{system}")
    cases = {}
    for creator, entries in _private_entries(system).items():
        name = creator.encode("latin-1") + b" " * (len(creator) & 1)
        for block in (0x10, 0x11):
            elements = {group << 16 | block: name for group, _ in entries}
            elements |= {group << 16 | block << 8 | element: b"12345678" for group, element in entries}
            cases[f"{creator} {block:x}"] = ds.IMPLICIT_HEAD + b"".join(
                ds.implicit(tag, elements[tag]) for tag in sorted(elements))
    assert len(cases) > 100
    _compare(cases, ds.IMPLICIT, words, system, tmp_path)
