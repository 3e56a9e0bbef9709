"""``--sync`` in the coordinator: names are on the disk before anybody, or the state, says that they are there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator.engine import Engine
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.state import SqliteState
from fastscp.errors import StorageError
from fastscp.store.own_paths import OwnPaths
from fastscp.study.policy import Sorting, StudyPolicy
from tests.support.ended_studies import EndedStudies
from tests.support.faults import Faults

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID, durable=True)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synchronised, renamed, linked and committed, in order."""
    entries: list[str] = []
    fsync = os.fsync

    def flush(fd: int) -> None:
        entries.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", flush)
    return entries


class Committing(SqliteState):
    """Writes down when something is committed."""

    def __init__(self, entries: list[str]) -> None:
        super().__init__(None)
        self._entries = entries

    def commit(self) -> None:
        self._entries.append("commit")
        super().commit()


def placer(output: Path, policy: StudyPolicy = BY_UID) -> Placer:
    return Placer(policy, str(output), OwnPaths())


def test_directory_of_a_study_is_on_the_disk_before_anybody_is_told(tmp_path: Path, flushed: list[str]) -> None:
    placer(tmp_path).open_directory("1.2", "", "")
    assert flushed == [str(tmp_path)]
    placer(tmp_path).ensure(f"{tmp_path}/1.3")
    assert flushed == [str(tmp_path)] * 2
    placer(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID)).open_directory("1.4", "", "")
    assert flushed == [str(tmp_path)] * 2


def test_directory_that_cannot_be_synchronised_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(monkeypatch, "coordinator", "store")
    faults.arm("fsync", 1)
    with pytest.raises(StorageError, match="Input/output error"):
        placer(tmp_path).open_directory("1.2", "", "")
    assert os.listdir(tmp_path) == []
    assert placer(tmp_path).open_directory("1.2", "", "") == (f"{tmp_path}/1.2", True)


def finished(tmp_path: Path, flushed: list[str], **policy: Any) -> list[str]:
    studies = EndedStudies(tmp_path / "out", StudyPolicy(sorting=Sorting.STUDY_UID, **policy), Committing(flushed))
    studies.store("1.2", "7.1")
    studies.store("1.2", "7.2")
    task = studies.end()
    flushed.clear()
    studies.finish(task)
    return [entry.removeprefix(f"{tmp_path}/") for entry in flushed]


def test_renames_are_on_the_disk_before_the_state_says_so(tmp_path: Path, flushed: list[str]) -> None:
    assert finished(tmp_path, flushed, rename=True, durable=True) == ["commit", "out/1.2", "commit"], "the first has the names"


def test_manifest_and_its_name_are_on_the_disk(tmp_path: Path, flushed: list[str]) -> None:
    entries = finished(tmp_path, flushed, manifest=True, durable=True)
    assert entries[0].startswith("out/1.2/")
    assert entries[0].endswith(".tmp")
    assert entries[1:] == ["out/1.2", "commit"]


def test_both_directories_of_a_move_are_on_the_disk_before_the_study_is_done(tmp_path: Path, flushed: list[str]) -> None:
    (tmp_path / "done").mkdir()
    entries = finished(tmp_path, flushed, completed_directory=str(tmp_path / "done"), durable=True)
    assert entries == ["commit", "done", "out", "commit"]


def test_without_the_option_nothing_is_synchronised(tmp_path: Path, flushed: list[str]) -> None:
    (tmp_path / "done").mkdir()
    entries = finished(tmp_path, flushed, rename=True, manifest=True, completed_directory=str(tmp_path / "done"))
    assert set(entries) == {"commit"}


def test_move_goes_on_when_its_names_cannot_be_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "done").mkdir()
    studies = EndedStudies(tmp_path / "out", StudyPolicy(sorting=Sorting.STUDY_UID, durable=True,
                                                         completed_directory=str(tmp_path / "done")))
    studies.store("1.2", "7.1")
    faults = Faults(monkeypatch, "coordinator", "store")
    faults.arm("fsync", 1)
    assert studies.finish().done
    assert (tmp_path / "done" / "1.2" / "CT.7.1").exists()
    assert "may not survive a loss of power" in caplog.text


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_state_follows(tmp_path: Path, durable: bool, synchronous: int) -> None:
    engine = Engine(tmp_path / "state", durable=durable)
    assert engine.read("PRAGMA synchronous").fetchone() == (synchronous,)
