from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastscp.coordinator.renaming import Outcome, Renames
from fastscp.errors import StorageError


def rename(directory: str, old: str, new: str) -> Outcome:
    with Renames(directory) as renames:
        return renames.rename(old, new)


def test_rename_is_done_once_and_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    assert rename(str(tmp_path), "old", "new") is Outcome.DONE
    assert rename(str(tmp_path), "old", "new") is Outcome.DONE
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"new": "x"}


def test_rename_interrupted_between_link_and_unlink_is_completed(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    os.link(tmp_path / "old", tmp_path / "new")
    assert rename(str(tmp_path), "old", "new") is Outcome.DONE
    assert os.listdir(tmp_path) == ["new"]


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    (tmp_path / "new").write_text("y")
    assert rename(str(tmp_path), "old", "new") is Outcome.TAKEN
    assert (tmp_path / "old").read_text() == "x"
    assert (tmp_path / "new").read_text() == "y"


def test_file_that_is_gone(tmp_path: Path) -> None:
    assert rename(str(tmp_path), "old", "new") is Outcome.MISSING


def test_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "old").write_text("x")
    (tmp_path / "other").write_text("y")
    assert rename(str(tmp_path), "old", "new") is Outcome.DONE
    assert rename(str(tmp_path), "other", "new") is Outcome.TAKEN
    assert (tmp_path / "new").read_text() == "x"


def test_other_errors_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "old").write_text("x")
    with pytest.raises(StorageError, match="cannot rename"):
        rename(str(tmp_path), "old", "new")


def test_link_in_the_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old").write_text("x")
    (tmp_path / "study").symlink_to("elsewhere")
    with pytest.raises(StorageError, match="cannot rename"):
        rename(f"{tmp_path}/study", "old", "new")
    assert os.listdir(tmp_path / "elsewhere") == ["old"]
