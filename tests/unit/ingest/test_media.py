from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.dicom import filemeta
from fastscp.errors import InstanceError
from fastscp.ingest.media import locate, referenced_files
from fastscp.ingest.recognise import MEDIA_STORAGE_DIRECTORY
from tests.support import datasets as ds


def dicomdir(path: Path, *names: str) -> Path:
    records = b"".join(ds.item(
        ds.explicit(0x00041430, "CS", b"IMAGE ") + (ds.explicit(0x00041500, "CS", name.encode() + b" " * (len(name) % 2)) if name else b"")
        + ds.sequence(0x00880200, ds.item(ds.explicit(0x7FE00010, "OW", b"\xfe\xff\x00\xe0" * 4))), delimited=index % 2 == 1)
        for index, name in enumerate(names))
    path.write_bytes(filemeta.encode(MEDIA_STORAGE_DIRECTORY.encode(), b"1.2.3", ds.EXPLICIT, b"")
                     + ds.explicit(0x00041130, "CS", b"SET ") + ds.sequence(0x00041220, records, delimited=len(names) % 2 == 0))
    return path


def test_every_record_with_a_file(tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "DICOMDIR", "", "A\\B1", "C")
    assert list(referenced_files(str(path))) == [("A", "B1"), ("C",)]


def test_damage(tmp_path: Path) -> None:
    path = dicomdir(tmp_path / "DICOMDIR", "A", "B")
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(InstanceError):
        list(referenced_files(str(path)))
    path.write_bytes(b"nothing")
    with pytest.raises(InstanceError):
        list(referenced_files(str(path)))


@pytest.mark.parametrize("there", ["A/B1", "a/b1", "a/B1.;1", "A/b1;1"])
def test_names_of_media_as_they_are_mounted(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).write_bytes(b"")
    assert locate(str(tmp_path), ("A", "B1")) == str(tmp_path / there)


@pytest.mark.parametrize("components", [(), ("A", ".."), ("", "B1"), ("A/../../etc",), ("GONE",)])
def test_what_is_not_there_or_would_lead_elsewhere(tmp_path: Path, components: tuple[str, ...]) -> None:
    (tmp_path / "A").mkdir()
    assert locate(str(tmp_path), components) is None
