from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.coordinator.deferred_state import DeferredState
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.errors import ProcessError
from fastscp.study.state import FailedRow, Recovered, StudyRow, TaskRow


def deferred(path: Path) -> DeferredState:
    return DeferredState(lambda: SqliteState(path), exists=(path / FILE_NAME).exists())


def test_nothing_is_made_before_there_is_something_to_keep(tmp_path: Path) -> None:
    state = deferred(tmp_path)
    assert state.recover() == Recovered()
    state.forget_events(["w"])
    state.commit()
    assert state.directory is None
    state.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_there_at_the_next_start(tmp_path: Path) -> None:
    state = deferred(tmp_path)
    state.add_task(TaskRow(3, 0, "reception", b"{}"))
    state.add_task(TaskRow(4, 0, "reception", b"{}"))
    state.add_task(TaskRow(5, 0, "reception", b"{}"))
    state.note_event("w", 7)
    state.finish_task(4)
    state.fail_task(FailedRow(TaskRow(5, 0, "reception", b"{}"), "1.2", "/d", "false", 1, 1, 5.0))
    assert state.directory == tmp_path
    assert state.task_body(3) == b"{}"
    state.close()
    later = deferred(tmp_path)
    recovered = later.recover()
    assert (recovered.tasks, recovered.events, recovered.last_task) == ([TaskRow(3, 0, "reception", b"{}")], {"w": 7}, 5)
    assert later.retry_failed(None) == [TaskRow(5, 0, "reception", b"{}")]
    assert later.forget_failed(None) == 0
    later.forget_events(["w"])
    later.commit()
    assert later.recover().events == {}


def test_what_belongs_to_studies_is_left_for_who_tracks_them(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.open_study(StudyRow(1, "1.2", "/d", 10.0, made=True))
    state.add_task(TaskRow(1, 1, "finish", b"{}"))
    state.add_task(TaskRow(2, 0, "reception", b"{}"))
    state.close()
    recovered = deferred(tmp_path).recover()
    assert (recovered.studies, [task.number for task in recovered.tasks]) == ([], [2])
    assert [task.number for task in SqliteState(tmp_path).recover().tasks] == [1, 2]


def test_directory_that_cannot_be_used_leaves_memory(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> SqliteState:
        raise ProcessError("in use by another service")

    state = DeferredState(refuse, exists=False)
    for number in (1, 2):
        state.add_task(TaskRow(number, 0, "reception", b"{}"))
    assert state.task_body(2) == b"{}"
    assert state.directory is None
    assert caplog.messages == ["hooks that have to wait are kept in memory only: in use by another service"]
