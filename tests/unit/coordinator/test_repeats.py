"""Objects that a study gets again after it ended: what changes nothing makes no revision and no second copy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp.coordinator import repeats
from fastscp.coordinator.repeats import HURRIED_PIECES
from fastscp.coordinator.tasks import FinishTask
from fastscp.store import comparing
from fastscp.study.policy import LateObjects, Sorting, StudyPolicy
from tests.support.ended_studies import EndedStudies, tree

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)
RENAMED = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True)
BY_TIME = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P")
APPENDED = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P", rename=True, on_late=LateObjects.APPEND)
EVERY = pytest.mark.parametrize("policy", [BY_UID, RENAMED, BY_TIME, APPENDED], ids=["su", "su-rns", "ss", "append"])


@EVERY
def test_ends_are_numbered_in_events_hooks_and_late_places(tmp_path: Path, policy: StudyPolicy) -> None:
    bench = EndedStudies(tmp_path, policy)
    assert bench.place("1.1")["late"] is False
    bench.store("1.1", "7.1")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "1"
    assert bench.place("1.1")["late"] is True
    bench.store("1.1", "7.2")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "2"
    assert [event["revision"] for event in bench.completed] == [1, 2]
    bench.restart()
    bench.store("1.1", "7.3")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "3"


@EVERY
def test_nothing_but_repeats_makes_no_revision_and_leaves_no_copy(tmp_path: Path, policy: StudyPolicy) -> None:
    bench = EndedStudies(tmp_path, policy)
    bench.store("1.1", "7.1")
    bench.store("1.1", "7.2")
    bench.finish()
    before = tree(tmp_path)
    bench.store("1.1", "7.1")
    bench.store("1.1", "7.2")
    step = bench.finish()
    assert (step.done, step.then) == (True, None)
    assert tree(tmp_path) == before
    assert len([entry for entry in tmp_path.iterdir() if entry.is_dir()]) == 1, "no empty directory stays"
    assert len(bench.completed) == 1
    assert bench.state.revision("1.1") == 1
    assert bench.pending == []
    bench.store("1.1", "7.3")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "2"


@EVERY
def test_repeat_beside_a_new_object_is_no_second_copy(tmp_path: Path, policy: StudyPolicy) -> None:
    bench = EndedStudies(tmp_path, policy)
    bench.store("1.1", "7.1")
    bench.finish()
    bench.store("1.1", "7.2")
    bench.store("1.1", "7.1")
    bench.finish()
    assert sorted(tree(tmp_path).values()) == ["octets of 7.1", "octets of 7.2"]
    assert bench.completed[-1]["revision"] == 2


@EVERY
def test_other_octets_of_the_same_instance_are_a_change(tmp_path: Path, policy: StudyPolicy) -> None:
    bench = EndedStudies(tmp_path, policy)
    bench.store("1.1", "7.1")
    bench.finish()
    bench.store("1.1", "7.1", "corrected")
    bench.store("1.1", "7.1", "corrected")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "2"
    assert "corrected" in tree(tmp_path).values()


@EVERY
def test_instance_whose_file_somebody_took_is_a_change(tmp_path: Path, policy: StudyPolicy) -> None:
    bench = EndedStudies(tmp_path, policy)
    directory = bench.store("1.1", "7.1")
    bench.finish()
    for name in os.listdir(directory):
        (directory / name).unlink()
    bench.store("1.1", "7.1")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "2"
    assert list(tree(tmp_path).values()) == ["octets of 7.1"]


def test_file_that_somebody_else_put_there_is_not_the_study_s(tmp_path: Path) -> None:
    bench = EndedStudies(tmp_path, BY_UID)
    directory = bench.store("1.1", "7.1")
    bench.finish()
    (directory / "CT.7.2").write_text("octets of 7.2")
    bench.store("1.1", "7.2")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "2"


def test_file_under_another_spelling_of_its_directory_is_not_its_own_repeat(tmp_path: Path) -> None:
    bench = EndedStudies(tmp_path / "out", BY_UID)
    bench.store("1.1", "7.1")
    bench.finish()
    (tmp_path / "alias").symlink_to("out")
    bench.output = tmp_path / "alias"
    bench.restart()
    bench.store("1.1", "7.1")
    bench.finish()
    assert tree(tmp_path / "out") == {"1.1/CT.7.1": "octets of 7.1"}


def test_decision_is_durable_before_a_repeat_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = EndedStudies(tmp_path, RENAMED)
    bench.store("1.1", "7.1")
    bench.finish()
    directory = bench.store("1.1", "7.1")
    task = bench.end()
    kept = []

    def unlink(path: str, *, dir_fd: int) -> None:
        bench.state._engine._pending.clear()  # what was not committed is lost
        kept.append((path, [row.body for row in bench.state.recover().tasks if row.kind == "finish"]))
        raise KeyboardInterrupt  # killed right here

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            bench.finish(task)
    ((path, (body,)),) = kept
    assert path == "CT.7.1"
    assert b'"repeats":[["CT.7.1",' in body
    (directory / "CT.7.1").unlink()  # killed after it
    (again,) = bench.restart()
    assert isinstance(again, FinishTask)
    assert bench.finish(again).then is None
    assert tree(tmp_path) == {"1.1/CT000001": "octets of 7.1"}


def test_repeat_that_was_removed_once_is_not_removed_again_when_its_name_came_back(tmp_path: Path) -> None:
    bench = EndedStudies(tmp_path, RENAMED)
    bench.store("1.1", "7.1")
    bench.finish()
    bench.store("1.1", "7.1")
    bench.store("1.1", "7.2")
    task = bench.end()
    bench.store("1.1", "7.1", "late")  # settles the directory first
    bench.state.commit()
    (again,) = bench.restart()
    assert (isinstance(again, FinishTask), again.study) == (True, task.study)
    bench.finish(again)  # type: ignore[arg-type]
    assert tree(tmp_path) == {"1.1/CT000001": "octets of 7.1", "1.1/CT000002": "octets of 7.2", "1.1/CT.7.1": "late"}


def test_long_comparison_is_given_up_for_an_object_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "PIECE_OCTETS", 1)
    bench = EndedStudies(tmp_path, RENAMED)
    content = "x" * (HURRIED_PIECES + 5)
    bench.store("1.1", "7.1", content)
    bench.finish()
    bench.store("1.1", "7.1", content)
    task = bench.end()
    assert not bench.finisher.step(task).done
    bench.place("1.1")
    step = bench.finish(task)
    assert bench.environment(step)["FASTSCP_REVISION"] == "2", "what was not compared counts as changed"
    assert sorted(tree(tmp_path)) == ["1.1/CT000001", "1.1/CT000002"]


def test_first_end_compares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(repeats, "find")
    bench = EndedStudies(tmp_path, RENAMED)
    bench.store("1.1", "7.1")
    bench.store("1.1", "7.1")
    assert bench.finish().done


@pytest.mark.parametrize("policy", [RENAMED, BY_TIME, APPENDED], ids=["su-rns", "ss", "append"])
def test_removed_copy_is_told_with_the_file_that_is_kept(tmp_path: Path, policy: StudyPolicy) -> None:
    bench = EndedStudies(tmp_path, policy)
    first = bench.store("1.1", "7.1")
    bench.finish()
    (name,) = os.listdir(first)
    second = bench.store("1.1", "7.1")
    bench.finish()
    (event,) = [event for event in bench.sink.events if event["event"] == "object.repeated"]
    assert (event["directory"], event["file"], event["removed"]) == (str(first), name, f"{second}/CT.7.1")
    assert (event["study_uid"], event["sop_instance_uid"]) == ("1.1", "7.1")
