"""Links that somebody planted in the place of a study's directory, or in it, lead nowhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastscp.coordinator import beneath


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A link to a directory with a file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    (tmp_path / "study").symlink_to("elsewhere")
    return tmp_path / "study"


def test_directory_that_is_a_link(planted: Path) -> None:
    with pytest.raises(NotADirectoryError):
        beneath.remove(str(planted), "file")
    with pytest.raises(NotADirectoryError):
        beneath.write(str(planted), "manifest.json", b"{}")
    assert os.listdir(planted) == ["file"]


def test_what_leads_there_may_be_one(planted: Path) -> None:
    (planted / "study").mkdir()
    beneath.write(f"{planted}/study", "manifest.json", b"{}")
    assert os.listdir(planted / "study") == ["manifest.json"]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.tmp"])
def test_file_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).symlink_to("../target")
    beneath.write(f"{tmp_path}/study", "manifest.json", b"{}")
    assert (tmp_path / "target").read_text() == "mine"
    assert os.listdir(tmp_path / "study") == ["manifest.json"]
    assert not (tmp_path / "study" / "manifest.json").is_symlink()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        beneath.write(str(tmp_path), "manifest.json", b"{}")
    assert os.listdir(tmp_path) == []


def test_way_down_is_followed_component_by_component(tmp_path: Path, planted: Path) -> None:
    top = beneath.make(str(tmp_path / "copy"))
    os.close(beneath.make("a", top))
    os.symlink("../elsewhere", "link", dir_fd=top)
    for path, name in ((".", "copy"), ("a", "a")):
        fd = beneath.descend(top, path)
        assert os.readlink(f"/proc/self/fd/{fd}").endswith(name)
        os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("link", "a/none", "link/file"):
        with pytest.raises(OSError, match=r"Not a directory|No such file|Too many levels"):
            beneath.descend(top, path)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(top)
