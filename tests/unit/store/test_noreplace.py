from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from fastscp.store import noreplace


@pytest.fixture(params=["renameat2", "a look first"])
def without_renameat2(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "a look first":
        monkeypatch.setattr(noreplace, "_renameat2", lambda: None)


@pytest.mark.usefixtures("without_renameat2")
def test_directory_gets_a_free_name_only(tmp_path: Path) -> None:
    for name in ("source", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    for taken in ("empty", "dangling"):
        with pytest.raises(FileExistsError):
            noreplace.rename(str(tmp_path / "source"), str(tmp_path / taken))
    noreplace.rename(str(tmp_path / "source"), str(tmp_path / "target"))
    assert sorted(os.listdir(tmp_path)) == ["dangling", "empty", "target"]
    with pytest.raises(FileNotFoundError):
        noreplace.rename(str(tmp_path / "source"), str(tmp_path / "other"))


def test_file_system_without_noreplace_gets_a_look_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(noreplace, "_renameat2", lambda: refuse)
    (tmp_path / "source").mkdir()
    noreplace.rename(str(tmp_path / "source"), str(tmp_path / "target"))
    assert os.listdir(tmp_path) == ["target"]
