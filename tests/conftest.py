"""What all tests share: the oracle marker and real DICOM files of installed packages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

TOOLS = ("storescp", "storescu", "dcmsend", "echoscu", "dcmconv", "dcmdump")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of the oracle, visibly, where DCMTK is missing; in CI its absence is a failure."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not missing:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError(f"in CI the oracle must be there; missing: {', '.join(missing)}")
    skip = pytest.mark.skip(reason=f"DCMTK's tools are not installed: {', '.join(missing)}")
    for item in items:
        if item.get_closest_marker("oracle"):
            item.add_marker(skip)


def real_dicom_files() -> list[Path]:
    """Return every file of pydicom's wheel that begins like a DICOM file (PS3.10 §7.1)."""
    import pydicom

    files = []
    for path in sorted((Path(pydicom.__file__).parent / "data").rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(132)[128:] == b"DICM":
                    files.append(path)
    return files


@pytest.fixture(scope="session")
def dicom_files() -> list[Path]:
    """Return the real files; a package without any would make every test over them empty."""
    files = real_dicom_files()
    assert len(files) > 50
    return files
