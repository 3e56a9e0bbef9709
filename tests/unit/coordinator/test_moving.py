"""``--completed-directory``: whole studies at their new place, once, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator import moving, trees
from fastscp.coordinator.tasks import FinishTask, HookTask
from fastscp.study.policy import Sorting, StudyPolicy
from tests.support.ended_studies import EndedStudies, tree

Rename = Any


def policy(tmp_path: Path, **fields: Any) -> StudyPolicy:
    return StudyPolicy(**{"sorting": Sorting.STUDY_UID, "rename": True, "manifest": True,  # type: ignore[arg-type]
                          "completed_directory": str(tmp_path / "done"), **fields})


@pytest.fixture
def done(tmp_path: Path) -> Path:
    (tmp_path / "done").mkdir()
    return tmp_path / "done"


@pytest.fixture
def bench(tmp_path: Path, done: Path) -> EndedStudies:
    return EndedStudies(tmp_path / "out", policy(tmp_path))


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, done: Path) -> list[tuple[str, str]]:
    """Make the directory for completed studies another file system; return the renames that were asked for."""
    asked: list[tuple[str, str]] = []
    real = moving.rename_directory

    def rename(source: str, target: str) -> None:
        asked.append((source, target))
        if not source.startswith(f"{done}/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(moving, "rename_directory", rename)
    return asked


def manifest(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "manifest.json").read_text()))


def fail(number: int) -> Any:
    def failing(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))
    return failing


def test_study_moves_whole_and_everybody_is_told_the_new_place(bench: EndedStudies, done: Path) -> None:
    bench.store("1.1", "7.1")
    bench.store("1.1", "7.2")
    step = bench.finish()
    assert tree(done) == {"1.1/CT000001": "octets of 7.1", "1.1/CT000002": "octets of 7.2"}
    assert os.listdir(bench.output) == []
    assert step.then is not None
    assert step.then.call["values"]["p"] == f"{done}/1.1"
    environment = bench.environment(step)
    assert environment["FASTSCP_PATH"] == f"{done}/1.1"
    assert environment["FASTSCP_MANIFEST"] == f"{done}/1.1/manifest.json"
    assert bench.completed[0]["directory"] == f"{done}/1.1"
    found = manifest(done / "1.1")
    assert (found["directory"], found["revision"], found["counts"]["instances"]) == (f"{done}/1.1", 1, 2)


def test_late_objects_begin_anew_at_the_old_place_and_follow_as_the_next_revision(bench: EndedStudies, done: Path) -> None:
    bench.store("1.1", "7.1")
    bench.finish()
    assert bench.store("1.1", "7.2") == bench.output / "1.1"
    assert bench.environment(bench.finish())["FASTSCP_PATH"] == f"{done}/1.1.r2"
    assert tree(done) == {"1.1/CT000001": "octets of 7.1", "1.1.r2/CT000001": "octets of 7.2"}
    assert manifest(done / "1.1.r2")["revision"] == 2


def test_repeats_are_recognised_where_they_were_moved_to(bench: EndedStudies, done: Path) -> None:
    bench.store("1.1", "7.1")
    bench.finish()
    bench.store("1.1", "7.1")
    assert bench.finish().then is None
    assert tree(done) == {"1.1/CT000001": "octets of 7.1"}
    assert os.listdir(bench.output) == []
    shutil.rmtree(done / "1.1")
    bench.store("1.1", "7.1")
    assert bench.environment(bench.finish())["FASTSCP_REVISION"] == "2", "somebody took the first"
    assert tree(done) == {"1.1.r2/CT000001": "octets of 7.1"}


def test_name_that_somebody_has_is_never_taken(bench: EndedStudies, done: Path) -> None:
    (done / "1.1").mkdir()
    (done / "1.1.r2").write_text("a file")
    bench.store("1.1", "7.1")
    assert bench.environment(bench.finish())["FASTSCP_PATH"] == f"{done}/1.1.r3"
    assert tree(done) == {"1.1.r2": "a file", "1.1.r3/CT000001": "octets of 7.1"}
    assert bench.completed[0]["revision"] == 1


def test_name_that_is_taken_at_the_last_moment_is_left_and_the_manifest_corrected(
        bench: EndedStudies, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = moving.rename_directory

    def rename(source: str, target: str) -> None:
        if target == f"{done}/1.1" and not os.path.lexists(target):
            os.mkdir(target)
        real(source, target)

    monkeypatch.setattr(moving, "rename_directory", rename)
    bench.store("1.1", "7.1")
    bench.finish()
    assert tree(done) == {"1.1.r2/CT000001": "octets of 7.1"}
    assert manifest(done / "1.1.r2")["directory"] == f"{done}/1.1.r2"


def test_name_that_is_too_long_with_its_number_is_cut(tmp_path: Path, done: Path) -> None:
    bench = EndedStudies(tmp_path / "out", policy(tmp_path, prefix="P" * 240))
    for instance in ("7.1", "7.2"):
        bench.store("1.12345678901", instance)
        bench.finish()
    assert sorted(os.listdir(done)) == ["P" * 240 + "_1.123456789" + ".r2", "P" * 240 + "_1.12345678901"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_study_that_cannot_move_stays_is_told_and_is_tried_again_after_growing_pauses(
        bench: EndedStudies, done: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    with monkeypatch.context() as patch:
        patch.setattr(moving, "rename_directory", fail(number))
        pauses = [bench.finish(task).pause_s for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert f"study 1.1: {bench.output}/1.1 cannot be moved to {done}/1.1: {os.strerror(number)}" in caplog.text
    assert tree(bench.output) == {"1.1/CT000001": "octets of 7.1"}
    assert (bench.completed, bench.pending) == ([], ["finish"])
    assert bench.finish(task).then is not None
    assert tree(done) == {"1.1/CT000001": "octets of 7.1"}


def test_late_object_meanwhile_gets_a_directory_beside_it(
        bench: EndedStudies, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store("1.1", "7.1")
    first = bench.end()
    with monkeypatch.context() as patch:
        patch.setattr(moving, "rename_directory", fail(errno.ENOSPC))
        bench.finish(first)
        assert bench.store("1.1", "7.2") == bench.output / "1.1.r2"
        second = bench.end()
        bench.finish(second)
    bench.finish(second)
    bench.finish(first)
    assert tree(done) == {"1.1/CT000001": "octets of 7.1", "1.1.r2/CT000001": "octets of 7.2"}
    assert sorted(event["revision"] for event in bench.completed) == [1, 2]


def test_two_studies_of_one_name_do_not_share_a_directory(bench: EndedStudies, done: Path) -> None:
    assert bench.store("1/1", "7.1") == bench.output / "1_1"
    assert bench.store("1|1", "7.2") == bench.output / "1_1.r2"
    first, second = bench.end(), bench.lanes.ready_finishes.popleft()
    bench.finish(first)
    bench.finish(second)
    assert sorted(tree(done).values()) == ["octets of 7.1", "octets of 7.2"]


def test_directory_that_is_gone_is_told_and_its_study_ends(bench: EndedStudies, done: Path,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    directory = bench.store("1.1", "7.1")
    shutil.rmtree(directory)
    step = bench.finish()
    assert bench.environment(step)["FASTSCP_PATH"] == str(directory)
    assert "there is nothing to move" in caplog.text
    assert os.listdir(done) == []


def test_end_that_an_earlier_version_kept_stays_where_its_hook_looks_for_it(bench: EndedStudies, done: Path) -> None:
    directory = bench.store("1.1", "7.1")
    bench.end()
    (row,) = [row for row in bench.state.recover().tasks if row.kind == "finish"]
    body = {key: json.loads(row.body)[key] for key in ("uid", "directory", "reason")}
    body["renames"] = [["CT.7.1", "CT000001"]]
    bench.state._write("UPDATE tasks SET body = ?", (json.dumps(body).encode(),))
    bench.state.commit()
    (task,) = bench.restart()
    assert isinstance(task, FinishTask)
    assert bench.finish(task).then is None
    assert tree(directory) == {"CT000001": "octets of 7.1"}


# -- another file system ------------------------------------------------------------------------------


def test_copy_is_whole_before_it_has_its_name_and_the_source_goes_last(
        bench: EndedStudies, done: Path, apart: list[tuple[str, str]]) -> None:
    directory = bench.store("1.1", "7.1")
    os.chmod(directory / "CT.7.1", 0o640)
    os.utime(directory / "CT.7.1", ns=(1_000_000_000, 2_000_000_000))
    (directory / "report").mkdir()
    (directory / "report" / "text").write_text("of a hook")
    (directory / "link").symlink_to("CT000001")
    os.mkfifo(directory / "fifo")
    task = bench.end()
    while not (step := bench.finisher.step(task)).done:
        visible = [name for name in os.listdir(done) if not name.startswith(".")]
        if visible:
            assert len(tree(done / "1.1")) == 3
        else:
            assert (directory / "CT000001").exists()
    assert step.then is not None
    assert tree(done) == {"1.1/CT000001": "octets of 7.1", "1.1/link": "octets of 7.1", "1.1/report/text": "of a hook"}
    assert os.readlink(done / "1.1" / "link") == "CT000001"
    status = (done / "1.1" / "CT000001").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 2_000_000_000)
    assert os.listdir(bench.output) == []
    assert apart[-1][1] == f"{done}/1.1"


def test_name_of_the_copy_is_on_the_disk_before_the_source_goes(bench: EndedStudies, done: Path, apart: list[tuple[str, str]],
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    directory = bench.store("1.1", "7.1")
    task = bench.end()
    named: list[bool] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}") == str(done):
            named.append((done / "1.1").exists() and directory.exists())
        real(fd)

    monkeypatch.setattr(trees.os, "fsync", fsync)
    assert bench.finish(task).done
    assert named == [True]


def test_big_file_is_copied_a_piece_at_a_time(bench: EndedStudies, done: Path, apart: list[tuple[str, str]],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "PIECE_OCTETS", 10)
    bench.store("1.1", "7.1", "x" * 95)
    task = bench.end()
    steps = 0
    while not bench.finisher.step(task).done:
        steps += 1
    assert steps >= 10
    assert tree(done) == {"1.1/CT000001": "x" * 95}


@pytest.mark.parametrize("place", ["sendfile", "fsync", "mkdir"])
def test_copy_that_fails_leaves_nothing_and_is_made_again(
        bench: EndedStudies, done: Path, apart: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    with monkeypatch.context() as patch:
        patch.setattr(trees.os, place, fail(errno.ENOSPC))
        assert bench.finish(task).pause_s == 1
    assert os.listdir(done) == []
    assert tree(bench.output) == {"1.1/CT000001": "octets of 7.1"}
    assert bench.finish(task).done
    assert tree(done) == {"1.1/CT000001": "octets of 7.1"}


def test_name_of_the_copy_that_is_taken_is_left(bench: EndedStudies, done: Path, apart: list[tuple[str, str]]) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    bench.finisher.step(task)
    (done / "1.1").mkdir()
    bench.finish(task)
    assert tree(done) == {"1.1.r2/CT000001": "octets of 7.1"}
    assert manifest(done / "1.1.r2")["directory"] == f"{done}/1.1.r2"


# -- killed in between --------------------------------------------------------------------------------


def test_killed_after_the_rename_the_study_is_told_once_and_late_objects_stay(bench: EndedStudies, done: Path) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    while not bench.finisher.step(task).done:  # not committed
        pass
    (again,) = bench.restart()
    assert isinstance(again, FinishTask)
    late = bench.store("1.1", "7.2")
    assert tree(late) == {"CT.7.2": "octets of 7.2"}
    step = bench.finish(again)
    assert bench.environment(step)["FASTSCP_PATH"] == f"{done}/1.1"
    assert tree(done) == {"1.1/CT000001": "octets of 7.1"}


def test_killed_after_the_rename_and_taken_by_the_consumer_it_is_still_told(bench: EndedStudies, done: Path) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    while not bench.finisher.step(task).done:
        pass
    shutil.rmtree(done / "1.1")
    (again,) = bench.restart()
    assert isinstance(again, FinishTask)
    assert bench.environment(bench.finish(again))["FASTSCP_PATH"] == f"{done}/1.1"
    assert (os.listdir(done), os.listdir(bench.output)) == ([], [])


def test_killed_at_any_piece_of_a_copy_the_study_arrives_once(
        tmp_path: Path, done: Path, apart: list[tuple[str, str]]) -> None:
    killed_at = 0
    while True:
        shutil.rmtree(done)
        done.mkdir()
        bench = EndedStudies(tmp_path / f"out{killed_at}", policy(tmp_path))
        for instance in ("7.1", "7.2", "7.3"):
            bench.store("1.1", instance)
        task = bench.end()
        finished = False
        for _ in range(killed_at):
            finished = bench.finisher.step(task).done
            if finished:
                break
        (again,) = bench.restart()
        assert isinstance(again, FinishTask)
        bench.finish(again)
        assert tree(done) == {f"1.1/CT00000{number}": f"octets of 7.{number}" for number in (1, 2, 3)}
        assert os.listdir(done) == ["1.1"]
        assert os.listdir(bench.output) == []
        if finished:
            return
        killed_at += 1


def test_hook_of_a_study_that_was_told_is_all_that_is_left_to_the_next_life(bench: EndedStudies) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    while not bench.finisher.step(task).done:
        pass
    bench.state.commit()
    (left,) = bench.restart()
    assert isinstance(left, HookTask)
    assert (left.kind, left.number) == ("study", task.number)


def test_killed_after_the_rename_what_somebody_made_at_the_old_place_stays(bench: EndedStudies, done: Path) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()
    while not bench.finisher.step(task).done:
        pass
    (bench.output / "1.1").mkdir()
    (bench.output / "1.1" / "note").write_text("somebody else's")
    (again,) = bench.restart()
    assert isinstance(again, FinishTask)
    bench.finish(again)
    assert tree(bench.output) == {"1.1/note": "somebody else's"}
    assert tree(done) == {"1.1/CT000001": "octets of 7.1"}


def test_killed_after_the_copy_has_its_name_only_the_source_is_removed(
        bench: EndedStudies, done: Path, apart: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store("1.1", "7.1")
    task = bench.end()

    def kill(path: str, **_: object) -> None:
        raise KeyboardInterrupt(path)

    with monkeypatch.context() as patch:
        patch.setattr(trees.os, "rmdir", kill)
        with pytest.raises(KeyboardInterrupt):
            bench.finish(task)
    assert os.listdir(done) == ["1.1"]
    (again,) = bench.restart()
    assert isinstance(again, FinishTask)
    assert bench.environment(bench.finish(again))["FASTSCP_PATH"] == f"{done}/1.1"
    assert tree(done) == {"1.1/CT000001": "octets of 7.1"}
    assert (os.listdir(done), os.listdir(bench.output)) == (["1.1"], [])


def test_link_in_the_place_of_the_directory_is_neither_moved_nor_copied(bench: EndedStudies, done: Path, tmp_path: Path,
                                                                       caplog: pytest.LogCaptureFixture) -> None:
    directory = bench.store("1.1", "7.1")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("private")
    shutil.rmtree(directory)
    directory.symlink_to(tmp_path / "secret")
    bench.finish()
    assert "there is nothing to move" in caplog.text
    assert os.listdir(done) == []
    assert os.listdir(tmp_path / "secret") == ["key"], "no manifest either"


def test_link_that_appears_while_the_copy_waits_is_not_followed(bench: EndedStudies, done: Path, tmp_path: Path,
                                                               apart: list[tuple[str, str]],
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    directory = bench.store("1.1", "7.1")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("private")
    task = bench.end()
    with monkeypatch.context() as patch:
        patch.setattr(trees.os, "sendfile", fail(errno.ENOSPC))
        bench.finish(task)
    shutil.rmtree(directory)
    directory.symlink_to(tmp_path / "secret")
    bench.finish(task)
    assert os.listdir(done) == []
    assert (tmp_path / "secret" / "key").read_text() == "private"
