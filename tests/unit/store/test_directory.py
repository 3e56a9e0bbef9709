"""The output directory: what is known of it, and what is left in it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastscp.errors import StorageError
from fastscp.store.sink import OutputDirectory
from tests.support.faults import Faults


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch, "store")


@pytest.mark.parametrize(("kind", "number"), [("open", errno.ENFILE), ("link", errno.ENOSPC), ("link", errno.EDQUOT), ("link", errno.EROFS)])
def test_fault_that_passes_says_nothing_of_the_file_system(tmp_path: Path, faults: Faults, kind: str, number: int) -> None:
    directory = OutputDirectory(str(tmp_path))
    faults.arm(kind, 2 if kind == "open" else 1, number)
    with pytest.raises(StorageError, match=os.strerror(number)):
        directory.create()
    faults.disarm()
    directory.create().discard()
    assert directory._anonymous is True


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOENT, errno.EXDEV])
def test_file_system_without_anonymous_files_is_known(tmp_path: Path, faults: Faults, number: int) -> None:
    directory = OutputDirectory(str(tmp_path))
    faults.arm("link", 1, number)
    directory.create().discard()
    assert directory._anonymous is False
    assert os.listdir(tmp_path) == []


def test_hidden_file_that_cannot_be_removed_goes_with_the_next_object(tmp_path: Path, faults: Faults) -> None:
    directory = OutputDirectory(str(tmp_path))
    directory.follow_path()
    directory._anonymous = False
    faults.arm("unlink", 1)
    directory.create().discard()
    assert len(os.listdir(tmp_path)) == 1
    faults.disarm()
    directory.create().discard()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("again", [False, True])
def test_object_is_not_published_into_a_directory_that_was_moved_away(tmp_path: Path, again: bool) -> None:
    output = tmp_path / "output"
    output.mkdir()
    directory = OutputDirectory(str(output))
    sink = directory.create(b"octets")
    output.rename(tmp_path / "moved")
    if again:
        output.mkdir()
    with pytest.raises(StorageError, match="was replaced" if again else "No such file"):
        sink.publish("name", replace=True)
    assert not sink.named
    sink.discard()
    output.mkdir(exist_ok=True)
    directory.create(b"octets").publish("name", replace=True)
    assert (os.listdir(tmp_path / "moved"), os.listdir(output)) == ([], ["name"])


def test_failure_behind_the_name_is_known_as_that(tmp_path: Path, faults: Faults) -> None:
    directory = OutputDirectory(str(tmp_path))
    sink = directory.create(b"octets")
    faults.arm("close", 2)  # the first is of a duplicate, before the name
    with pytest.raises(StorageError, match="Input/output error"):
        sink.publish("name", replace=True)
    assert sink.named
    assert os.listdir(tmp_path) == ["name"]


def test_what_is_left_in_a_directory_that_is_another_now_is_forgotten(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    directory = OutputDirectory(str(output))
    directory.follow_path()
    directory._leftovers.append("mine")
    output.rename(tmp_path / "moved")
    output.mkdir()
    (output / "mine").write_text("not ours")
    directory.create().discard()
    assert (output / "mine").exists()
    assert directory._leftovers == []
