from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator.descriptions import manifest_path
from fastscp.coordinator.finishing import RENAMES_PER_STEP, Finisher
from fastscp.coordinator.progress import OBJECTS_PER_STEP
from fastscp.coordinator.renaming import Renames
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.tasks import FinishTask, Plan, row_of, task_of
from fastscp.errors import StorageError
from fastscp.study.policy import LateObjects, StudyPolicy
from fastscp.study.state import ObjectRow, StudyRow
from fastscp.study.tracker import Study
from tests.support import said
from tests.support.fakes import Clock, FakeSink

RENAME = StudyPolicy(rename=True)
CALLER = said.opened("a")


class CountingState(SqliteState):
    """Counts its commits."""

    def __init__(self) -> None:
        super().__init__(None)
        self.commits = 0

    def commit(self) -> None:
        self.commits += 1
        super().commit()


class Bench:
    def __init__(self, directory: Path, policy: StudyPolicy = RENAME) -> None:
        self.path = directory
        self.directory = str(directory)
        self.state = CountingState()
        self.sink = FakeSink()
        self.finisher = Finisher(policy, self.state, self.sink, wall=Clock(0.0))
        self.objects = self.tasks = 0

    def store(self, study: int, *files: str) -> None:
        self.state.open_study(StudyRow(study, f"1.{study}", self.directory, 0.0, made=True))
        for file in files:
            self.objects += 1
            (self.path / file).write_text(file)
            packet = said.stored(self.objects, f"1.{study}", self.directory, file)
            self.state.add_object(study, ObjectRow(file, file, "a", json.dumps(said.opened("a")).encode(),
                                             json.dumps(packet).encode()), self.objects,
                                  "w", self.objects)

    def end(self, study: int) -> FinishTask:
        self.tasks += 1
        ended = Study(study, f"1.{study}", self.directory, 0.0, 0.0)
        plan = self.finisher.plan(ended, "timeout", caller=CALLER, last=self.objects)
        task = FinishTask(study, plan, self.tasks)
        self.state.add_task(row_of(task))
        self.finisher.take(task)
        return task

    def names_of(self, task: FinishTask) -> list[tuple[str, str]]:
        """Have names chosen, and no more."""
        progress = self.finisher._progress[task.number]
        for _ in self.finisher._name(progress):
            pass
        return progress.renames

    def settle(self) -> int:
        """Have the directory made free; return how many steps it took."""
        answers: list[str] = []
        self.finisher.settle(self.directory, lambda: answers.append("free"))
        steps = 0
        while not answers:
            assert self.finisher.hurry() or answers
            steps += 1
        assert not self.finisher.hurry()
        return steps

    def kept(self) -> list[Any]:
        return [json.loads(row.body)["renames"] for row in self.state.recover().tasks]

    def again(self, policy: StudyPolicy = RENAME) -> tuple[Finisher, list[FinishTask]]:
        """Return the finisher of the next life and what it has to do."""
        finisher = Finisher(policy, self.state, self.sink)
        tasks = [task for row in self.state.recover().tasks if isinstance(task := task_of(row), FinishTask)]
        for task in tasks:
            finisher.take(task)
        return finisher, tasks

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.path.iterdir())}


def test_without_renaming_nothing_is_planned_and_the_end_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy())
    bench.store(1, "CT.1")
    task = bench.end(1)
    assert task.plan == Plan("1.1", str(tmp_path), "timeout", caller=CALLER, last=1)
    assert bench.finisher.step(task).done
    assert bench.files() == {"CT.1": "CT.1"}
    event = bench.sink.events[0]
    assert (event["event"], event["reason"], event["count"]) == ("study.completed", "timeout", 1)
    assert event["objects"][0]["file"] == "CT.1"
    assert bench.kept() == []
    assert not bench.state.tidy()
    assert bench.state.files(1) == []


def test_files_are_numbered_in_order_of_arrival(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, "MR.9", "CT.1")
    assert bench.finisher.step(bench.end(1)).done
    assert bench.files() == {"MR000001": "MR.9", "CT000002": "CT.1"}
    assert [entry["file"] for entry in bench.sink.events[0]["objects"]] == ["MR000001", "CT000002"]


def test_numbers_follow_those_in_the_directory_and_those_planned(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "XX000004").write_text("")
    bench.store(1, "CT.1")
    bench.store(2, "CT.2")
    first, second = bench.end(1), bench.end(2)
    names = bench.names_of(first), bench.names_of(second)  # before a file of either has its name
    assert names == ([("CT.1", "CT000005")], [("CT.2", "CT000006")])


def test_step_is_bounded_and_the_next_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    names = [f"CT.{number}" for number in range(RENAMES_PER_STEP * 2)]
    bench.store(1, *names)
    task = bench.end(1)
    assert not bench.finisher.step(task).done
    assert len([name for name in os.listdir(tmp_path) if "." not in name]) == RENAMES_PER_STEP
    assert bench.sink.events == []
    assert bench.finisher.step(task).done
    assert len([name for name in os.listdir(tmp_path) if "." not in name]) == RENAMES_PER_STEP * 2


def test_directory_asked_for_again_gets_its_renames_first_and_is_concluded_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, *(f"CT.{number}" for number in range(RENAMES_PER_STEP + 1)))
    task = bench.end(1)
    answers: list[str] = []
    bench.finisher.settle(f"{tmp_path}/other", lambda: answers.append("other"))
    assert answers == ["other"], "nothing is done there"
    assert bench.settle() == 3, "a piece at a time, and then the answer"
    assert not [name for name in os.listdir(tmp_path) if "." in name]
    assert bench.kept() == [[]]
    assert bench.sink.events == []
    assert bench.finisher.step(task).done
    assert bench.sink.kinds == ["study.completed"]


def test_plan_is_committed_before_its_first_rename(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, "CT.1")
    bench.end(1)
    seen: list[dict[str, str]] = []
    commit = bench.state.commit

    def look() -> None:
        seen.append(bench.files())
        commit()

    bench.state.commit = look  # type: ignore[method-assign]
    bench.settle()
    assert seen[0] == {"CT.1": "CT.1"}


def test_settling_in_the_middle_of_the_steps_goes_on_where_they_were(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, *(f"CT.{number}" for number in range(RENAMES_PER_STEP + 1)))
    task = bench.end(1)
    bench.finisher.step(task)
    bench.settle()
    (tmp_path / "CT.0").write_text("late, of the same name")
    assert bench.finisher.step(task).done
    assert bench.files()["CT.0"] == "late, of the same name"
    assert bench.files()["CT000001"] == "CT.0"


def test_rest_of_a_plan_is_carried_out_by_the_next_life(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, *(f"CT.{number}" for number in range(RENAMES_PER_STEP + 1)))
    bench.finisher.step(bench.end(1))
    finisher, (task,) = bench.again()
    assert not finisher.step(task).done
    assert finisher.step(task).done
    assert sorted(bench.files()) == [f"CT{number:06d}" for number in range(1, RENAMES_PER_STEP + 2)]
    assert {name: text for name, text in bench.files().items() if name in {"CT000001", "CT000065"}} == {
        "CT000001": "CT.0", "CT000065": "CT.64"}


def test_name_that_was_taken_meanwhile_is_never_overwritten(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, "CT.1", "CT.2", "CT.3")
    task = bench.end(1)
    bench.names_of(task)
    (tmp_path / "CT000002").write_text("somebody else's")
    assert bench.finisher.step(task).done
    assert bench.files() == {"CT000001": "CT.1", "CT000002": "somebody else's", "CT000004": "CT.2",
                             "CT000005": "CT.3"}


def test_names_chosen_again_are_durable_before_they_are_used(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, "CT.1")
    task = bench.end(1)
    bench.names_of(task)
    (tmp_path / "CT000001").write_text("somebody else's")
    commits: list[tuple[Any, list[str]]] = []
    bench.state.commit = lambda: commits.append((bench.kept(), sorted(os.listdir(tmp_path))))  # type: ignore[method-assign]
    assert bench.finisher.step(task).done
    assert commits == [([[["CT.1", "CT000002"]]], ["CT.1", "CT000001"])]


def test_file_that_is_gone_and_file_that_cannot_be_renamed_stop_nothing(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Renames.rename

    def rename(renames: Renames, old: str, new: str) -> Any:
        if old == "CT.2":
            raise StorageError("cannot rename CT.2")
        return real(renames, old, new)

    monkeypatch.setattr(Renames, "rename", rename)
    bench = Bench(tmp_path, StudyPolicy(rename=True, on_late=LateObjects.APPEND))
    bench.store(1, "CT.1", "CT.2", "CT.3")
    task = bench.end(1)
    (tmp_path / "CT.1").unlink()
    assert bench.finisher.step(task).done
    assert bench.files() == {"CT.2": "CT.2", "CT000003": "CT.3"}
    assert [row.name for row in bench.state.objects(1, bench.state.files(1))] == ["CT000001", "CT.2", "CT000003"]
    assert "the file is gone" in caplog.text
    assert "cannot rename CT.2" in caplog.text


def test_manifest_lists_the_final_names(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(rename=True, manifest=True))
    bench.store(1, "CT.1")
    assert bench.finisher.step(bench.end(1)).done
    manifest = json.loads(Path(manifest_path(str(tmp_path))).read_text())
    assert manifest["completed"] == "1970-01-01T00:00:00Z"
    assert manifest["series"][0]["instances"][0]["file"] == "CT000001"
    assert sorted(os.listdir(tmp_path)) == ["CT000001", "manifest.json"]


def test_manifest_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path, StudyPolicy(manifest=True))
    bench.store(1, "CT.1")
    task = bench.end(1)
    (tmp_path / "CT.1").unlink()
    tmp_path.rmdir()
    assert bench.finisher.step(task).done
    assert "cannot write" in caplog.text
    assert bench.sink.kinds == ["study.completed"]
    assert bench.kept() == []


def test_study_is_remembered_where_late_objects_are_appended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(rename=True, on_late=LateObjects.APPEND))
    bench.store(1, "CT.1")
    bench.finisher.step(bench.end(1))
    assert [(row.file, row.name) for row in bench.state.objects(1, bench.state.files(1))] == [("CT.1", "CT000001")]
    bench.store(1, "CT.2")
    task = bench.end(1)
    assert (task.plan.decided, task.plan.renames) == (False, ())
    assert bench.finisher.step(task).done
    assert bench.files() == {"CT000001": "CT.1", "CT000002": "CT.2"}
    assert [event["revision"] for event in bench.sink.events] == [1, 2]


def test_directory_that_is_gone_is_told_and_numbers_begin_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    bench.store(1, "CT.1")
    (tmp_path / "CT.1").unlink()
    tmp_path.rmdir()
    assert bench.names_of(bench.end(1)) == [("CT.1", "CT000001")]
    assert "cannot list" in caplog.text


def test_end_of_a_study_says_who_sent_its_last_object(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, "CT.1", "CT.2")
    assert bench.finisher.step(bench.end(1))
    event = bench.sink.events[-1]
    assert event["event"] == "study.completed"
    assert (event["calling_aet"], event["called_aet"], event["peer"], event["port"]) == ("SCU", "SCP", "127.0.0.1", 1024)


def test_names_of_many_files_are_chosen_and_told_a_piece_at_a_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(rename=True, manifest=True))
    count = OBJECTS_PER_STEP * 2 + 1
    bench.store(1, *(f"CT.{number}" for number in range(count)))
    task = bench.end(1)
    for _ in range(2):
        assert not bench.finisher.step(task).done
        assert bench.kept() == [[]]
    commits = bench.state.commits
    bench.finisher.step(task)
    assert len(bench.kept()[0]) == count
    assert bench.state.commits == commits + 1, "names are durable before they are used"
    steps = 1
    while not bench.finisher.step(task).done:
        assert bench.sink.events == []
        steps += 1
    assert steps >= count // RENAMES_PER_STEP + 2 * 2
    assert [entry["file"] for entry in bench.sink.events[0]["objects"]] == [f"CT{number + 1:06d}" for number in range(count)]
    manifest = json.loads(Path(manifest_path(str(tmp_path))).read_text())
    assert manifest["counts"]["instances"] == count


def test_names_that_files_have_got_are_kept_with_every_piece(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store(1, *(f"CT.{number}" for number in range(RENAMES_PER_STEP * 2)))
    task = bench.end(1)
    bench.finisher.step(task)
    names = [row.name for row in bench.state.objects(1, bench.state.files(1))]
    assert names[:RENAMES_PER_STEP] == [f"CT{number:06d}" for number in range(1, RENAMES_PER_STEP + 1)]
    assert names[RENAMES_PER_STEP] == f"CT.{RENAMES_PER_STEP}"


def test_directory_that_cannot_be_left_now_is_given_to_who_wants_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(rename=True, completed_directory="/proc/nowhere"))
    bench.store(1, "CT.1")
    task = bench.end(1)
    assert bench.settle() == 2
    assert not bench.finisher.step(task).done, "it is tried again"
