"""The engine beside the real storescp, over every file of pydicom's wheel and every option set.

The data sets go to storescp as they are in the files; what it stores must be what the engine writes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fastscp.dicom import uids
from fastscp.errors import InstanceError
from tests.conftest import real_dicom_files
from tests.support.memory import pieces, rewritten
from tests.support.options import OPTION_SETS, WRITE_SYNTAX, output_options
from tests.support.oracle import Answer, StorescpOracle
from tests.support.rawscu import CT_IMAGE, DEFLATED, IMPLICIT, Instance, inflate, read_instance

pytestmark = pytest.mark.oracle

_AGFA = "pydicom's private dictionary knows (0019,xx10) of AGFA, DCMTK's does not"

#: option set: files stored differently on purpose, and why
DIFFERENT = {
    "+uc": {"chrJapMulti.dcm": _AGFA, "chrJapMultiExplicitIR6.dcm": _AGFA, "chrKoreanMulti.dcm": _AGFA},
}


def _ours(instance: Instance, syntax: str, words: str, answer: Answer,
          dictionaries: tuple[str, ...]) -> bytes | int:
    options = dataclasses.replace(output_options(words), dictionary_paths=dictionaries)
    # padding counts the file meta information, whose length is the implementation's own
    base = 0 if answer.file is None or answer.dataset is None else len(answer.file) - len(answer.dataset)
    try:
        return rewritten(instance.dataset, syntax, options, pieces(instance.dataset, 16376), base or 1000)
    except InstanceError as error:
        return error.status


def _compare(path: Path, words: str, oracle: StorescpOracle, dictionaries: tuple[str, ...]) -> str | None:
    """Return None when both agree, otherwise what differs."""
    instance = read_instance(path)
    syntax = instance.transfer_syntax or IMPLICIT
    if syntax == DEFLATED and len(instance.dataset) & 1:
        # storescp aborts on odd fragments: add the pad octet of PS3.5 A.5
        instance = dataclasses.replace(instance, dataset=instance.dataset + b"\0")
    answer = oracle.store(instance.dataset, syntax, instance.sop_class or CT_IMAGE,
                          instance.sop_instance or "1.2.3")
    theirs = answer.file if "-F" in words.split() else answer.dataset
    ours = _ours(instance, syntax, words, answer, dictionaries)
    if answer.status is None or isinstance(ours, int):
        # what storescp aborts on is refused with a status
        same = isinstance(ours, int) and answer.status in {None, ours}
    else:
        out = output_options(words).transfer_syntax or syntax
        if out == DEFLATED and "+B" not in words.split():
            same = theirs is not None and inflate(theirs) == inflate(ours)
        else:
            same = theirs == ours
    return None if same else f"{path.name}: storescp {answer.status}, ours {ours if isinstance(ours, int) else 'stored'}"


def _negotiable(path: Path, words: set[str], *, deflated: bool) -> bool:
    instance = read_instance(path)
    syntax = uids.transfer_syntax(instance.transfer_syntax or IMPLICIT)
    if syntax.encapsulated and words & WRITE_SYNTAX:
        return False  # storescp refuses +te and its like together with compressed transfer syntaxes
    if len(instance.dataset) & 1 and not syntax.deflated:
        return False  # storescp aborts on odd fragments
    return syntax.deflated == deflated


@pytest.mark.parametrize("words", OPTION_SETS)
def test_every_real_file_is_stored_like_storescp_does(words: str, tmp_path: Path) -> None:
    different, compared = _differences(words, tmp_path)
    assert compared > 100
    for name in DIFFERENT.get(words, {}):
        assert different.pop(name, None), f"{name} is not different any more"
    assert different == {}


@pytest.mark.parametrize("words", ["+te", "+tb", "+td", "+ti", "+uc", "+te +uc", "+tb +uc"])
def test_private_attributes_have_storescps_vrs_with_its_dictionaries(words: str, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    system = next(Path("/usr/share").glob("*dcmtk*/dicom.dic")).parent
    dictionaries = str(system / "dicom.dic"), str(system / "private.dic")
    monkeypatch.setenv("DCMDICTPATH", ":".join(dictionaries))
    different, compared = _differences(words, tmp_path, dictionaries)
    assert compared > 100
    assert different == {}


def _differences(words: str, tmp_path: Path, dictionaries: tuple[str, ...] = ()) -> tuple[dict[str, str], int]:
    """Return which files are stored differently and how, and how many were compared."""
    given = words.split()
    different: dict[str, str] = {}
    compared = 0
    for deflated in (False, True):
        negotiation = [] if set(given) & WRITE_SYNTAX and not deflated else ["+xd" if deflated else "+xa"]
        directory = tmp_path / str(deflated)
        directory.mkdir()
        with StorescpOracle(directory, [*negotiation, *given]) as oracle:
            for path in real_dicom_files():
                if _negotiable(path, set(given), deflated=deflated):
                    compared += 1
                    difference = _compare(path, words, oracle, dictionaries)
                    if difference:
                        different[path.name] = difference
    return different, compared
