from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.dicom import dictionary
from fastscp.dicom.options import PrivateDictionary
from fastscp.errors import UsageError


@pytest.fixture(scope="module")
def standard() -> dictionary.Dictionary:
    return dictionary.load()


@pytest.mark.parametrize(("tag", "vr"), [
    (0x00100010, "PN"), (0x00280106, "xs"), (0x00281101, "US"), (0x7FE00010, "ox"), (0x00283006, "lt"),
    (0x60003000, "ox"), (0x60FE0010, "US"), (0x60FF0010, "UN"), (0x00080000, "UL"), (0x00080001, "UL"),
    (0x00080009, "UN"), (0x00081140, "SQ"),
])
def test_standard_tags(standard: dictionary.Dictionary, tag: int, vr: str) -> None:
    assert standard.vr(tag) == vr


@pytest.mark.parametrize(("tag", "creator", "vr"), [
    (0x00290010, None, "LO"), (0x00290000, None, "UL"), (0x00290001, None, "UN"), (0x00291010, None, "UN"),
    (0x00291010, "nobody", "UN"), (0x0019101A, "GEMS_ACQU_01", "LO"),
])
def test_private_tags(standard: dictionary.Dictionary, tag: int, creator: str | None, vr: str) -> None:
    assert standard.private_vr(tag, creator) == vr


def test_files_add_and_win(tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text('#\n\n(0010,0010)\tLT\tName\t1\tOwn\n(0021,"OWN (A), B",02)\tFD\tX\t1\tOwn\n'
                    '(0021-o-0025,"OWN (A), B",03)\tox\tX\t1\tOwn\n(7f00-u-7f01,0011)\tDS\tX\t1\tOwn\n')
    own = dictionary.load([str(path)])
    assert own.vr(0x00100010) == "LT"
    assert own.vr(0x7F010011) == "DS"
    assert own.private_vr(0x00214402, "OWN (A), B") == "FD"
    assert own.private_vr(0x00251003, "OWN (A), B") == "ox"
    assert own.private_vr(0x00241003, "OWN (A), B") == "UN"


@pytest.mark.parametrize("text", ["0010,0010 LO X", "(0010) LO X", "(0010,0010)", "(zzzz,0010)\tLO"])
def test_lines_that_are_no_entries_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.dic"
    path.write_text("# first\n" + text + "\n")
    with pytest.raises(UsageError, match="line 2 is not a dictionary entry"):
        dictionary.load([str(path)])


def test_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot read data dictionary /nowhere/own\.dic"):
        dictionary.load(["/nowhere/own.dic"])


def test_environment_paths() -> None:
    assert dictionary.environment_paths("/a:/b::") == ["/a", "/b"]
    assert dictionary.environment_paths(None) == []


@pytest.mark.parametrize(("kept", "missing"), [
    (None, "pydicom is not installed"), ("_private_dict.py", "_dicom_dict.py is missing"),
    ("_dicom_dict.py", "_private_dict.py is missing: this version of pydicom"),
])
def test_missing_tables_are_said_at_the_start(kept: str | None, missing: str, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    package = None
    if kept is not None:
        installed = importlib.util.find_spec("pydicom")
        shutil.copy(Path(installed.submodule_search_locations[0]) / kept, tmp_path)
        package = importlib.machinery.ModuleSpec("pydicom", None, is_package=True)
        package.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: package)
    with pytest.raises(UsageError, match=missing):
        dictionary.load()


def test_pydicom_is_not_imported() -> None:
    code = ("import sys; from fastscp.dicom import dictionary; d = dictionary.load(); "
            "d.private_vr(0x00291010, 'x'); sys.exit('pydicom' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0


def test_dictionary_of_dcmtk_itself_keeps_the_choices(tmp_path: Path) -> None:
    path = tmp_path / "dicom.dic"
    path.write_text("(7FE0,0010)\tpx\tPixelData\t1\tDICOM\n(0028,1101)\txs\tRed\t3\tDICOM\n"
                    "(0028,0106)\txs\tSmallest\t1\tDICOM\n(0004,1200)\tup\tOffset\t1\tDICOM\n")
    own = dictionary.load([str(path)])
    assert [own.vr(tag) for tag in (0x7FE00010, 0x00281101, 0x00280106, 0x00041200)] == ["OW", "US", "xs", "UL"]


@pytest.fixture
def private(tmp_path: Path) -> str:
    path = tmp_path / "private.dic"
    path.write_text('(0019,"OWN",01)\tDS\tX\t1\tOwn\n(0019,"OWN",1101)\tUS\tX\t1\tOwn\n(0019,"OWN",1202)\tpx\tX\t1\tOwn\n')
    return str(path)


@pytest.mark.parametrize(("choice", "named", "knows_pydicoms"), [
    (PrivateDictionary.AUTOMATIC, False, True), (PrivateDictionary.AUTOMATIC, True, False),
    (PrivateDictionary.PYDICOM, True, True), (PrivateDictionary.NONE, False, False), (PrivateDictionary.NONE, True, False),
])
def test_whose_private_attributes_are_known(choice: PrivateDictionary, named: bool, knows_pydicoms: bool,
                                            private: str) -> None:
    chosen = dictionary.load([private] if named else [], choice)
    assert (chosen.private_vr(0x0019101A, "GEMS_ACQU_01") == "LO") == knows_pydicoms
    assert (chosen.private_vr(0x00191001, "OWN") == "DS") == named


def test_files_without_private_attributes_leave_pydicoms_in_place(tmp_path: Path) -> None:
    path = tmp_path / "public.dic"
    path.write_text("(0010,0010)\tLT\tName\t1\tOwn\n")
    assert dictionary.load([str(path)]).private_vr(0x0019101A, "GEMS_ACQU_01") == "LO"


def test_private_element_of_one_block_counts_there_alone_and_first(private: str) -> None:
    own = dictionary.load([private])
    assert [own.private_vr(tag, "OWN") for tag in (0x00191001, 0x00191101, 0x00191201)] == ["DS", "US", "DS"]
    assert [own.private_vr(tag, "OWN") for tag in (0x00191002, 0x00191202)] == ["UN", "OW"]
