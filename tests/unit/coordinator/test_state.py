from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fastscp.coordinator import state as module
from fastscp.coordinator.state import FILE_NAME, MIGRATIONS, SqliteState
from fastscp.errors import ProcessError
from fastscp.study.state import NEAR, FailedRow, ObjectRow, StudyRow, TaskRow


def row(file: str, association: str = "a") -> ObjectRow:
    return ObjectRow(file, file, association, b"caller " + association.encode(), b"body")


def test_everything_committed_is_recovered(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.open_study(StudyRow(1, "1.2", "/d", 10.0, made=True))
    state.add_object(1, row("CT.1"), 1, "w", 1)
    state.add_object(1, row("CT.2", "b"), 2, "v", 9)
    state.add_object(1, row("CT.1", "b"), 3, "w", 5)
    state.add_task(TaskRow(7, 3, "study", b"{}"))
    state.commit()
    recovered = SqliteState(tmp_path).recover()
    assert recovered.studies == [StudyRow(1, "1.2", "/d", 10.0, made=True, objects=2)]
    assert recovered.tasks == [TaskRow(7, 3, "study", b"{}")]
    assert recovered.events == {"v": 9, "w": 5}
    assert recovered.holders == {"b": 1}
    assert (recovered.last_study, recovered.last_task, recovered.last_object) == (3, 7, 3)
    assert [entry.file for entry in state.objects(1)] == ["CT.1", "CT.2"]
    assert state.last_caller(1) == b"caller b"
    state.add_object(1, row("CT.1", "c"), 4, "w", 6)
    assert state.last_caller(1) == b"caller c"
    assert state.last_caller(2) is None


def test_nothing_uncommitted_is_recovered(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.open_study(StudyRow(1, "1.2", "/d", 10.0, made=True))
    assert SqliteState(tmp_path).recover().studies == []
    state.close()
    assert len(SqliteState(tmp_path).recover().studies) == 1


def test_ended_studies_are_remembered_until_forgotten(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    for number in (1, 2):
        state.open_study(StudyRow(number, "1.2", f"/{number}", 10.0, made=True))
        state.add_object(number, row("CT.1"), number, "w", number)
        state.end_study(number, 20.0 + number)
    found = state.ended_study("1.2")
    assert found is not None
    assert found.number == 2
    assert state.recover().studies == []
    state.name_objects(2, [("CT.1", "CT000001")])
    assert state.objects(2)[0].name == "CT000001"
    state.forget_ended(22.0, 100)
    state.forget_study(2)
    assert state.ended_study("1.2") is None
    assert state.objects(1) == []


def test_event_numbers_outlive_their_objects(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    for event in (5, 3):
        state.add_object(event, row("CT.1"), event, "w", event)
        state.commit()
        state.forget_study(event)
    state.commit()
    assert state.objects(5) == []
    assert SqliteState(tmp_path).recover().events == {"w": 5}
    state.forget_events(["w", "unknown"])
    assert state.recover().events == {}


def test_finished_tasks_are_gone(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.add_task(TaskRow(1, 1, "finish", b"old"))
    state.add_task(TaskRow(1, 1, "finish", b"new"))
    assert state.recover().tasks == [TaskRow(1, 1, "finish", b"new")]
    state.finish_task(1)
    assert state.recover().tasks == []


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(ProcessError, match="cannot be used"):
        SqliteState(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ProcessError, match="format 99"):
        SqliteState(tmp_path)


def test_full_disk_is_a_process_error(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state._connection.execute("PRAGMA max_page_count=1")
    state.add_object(1, row("x" * 100_000), 1, "w", 1)
    with pytest.raises(ProcessError, match="cannot be written"):
        state.commit()


def test_state_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(f"{MIGRATIONS[0]} PRAGMA user_version=1;"
                             "INSERT INTO studies VALUES (1, '1.2', '/d', 10.0, 1, NULL);"
                             "INSERT INTO objects VALUES (1, 'CT.1', 1, 1, 'a', 'w', 5, 'CT.1', 'caller', 'body');"
                             "INSERT INTO tasks VALUES (3, 1, 'study', '{}');")
    connection.close()
    state = SqliteState(tmp_path, wall=lambda: 77.0)
    recovered = state.recover()
    assert recovered.studies == [StudyRow(1, "1.2", "/d", 10.0, made=True, objects=1)]
    assert recovered.last_task == 3
    state.add_object(1, row("CT.2"), 2, "w", 6)
    state.commit()
    assert state._read("SELECT arrived FROM objects ORDER BY number").fetchall() == [(0.0,), (77.0,)]
    state.close()
    assert SqliteState(tmp_path).recover().last_object == 2


def failed(number: int) -> FailedRow:
    return FailedRow(TaskRow(number, 1, "study", b"body %d" % number), "1.2", "/d", "false", 1, 2, 5.0)


def test_hook_that_failed_is_no_task_any_more_but_its_number_stays_taken(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.add_task(TaskRow(8, 1, "study", b"body 8"))
    state.fail_task(failed(8))
    state.commit()
    state = SqliteState(tmp_path)
    assert (state.recover().tasks, state.recover().last_task) == ([], 8)
    assert state.retry_failed([8, 9]) == [TaskRow(8, 1, "study", b"body 8")]
    assert state.recover().tasks == [TaskRow(8, 1, "study", b"body 8")]
    assert state.retry_failed(None) == []


def test_of_too_many_failed_hooks_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FAILED", 3)
    state = SqliteState(None)
    for number in range(1, 6):
        state.fail_task(failed(number))
    assert [task.number for task in state.retry_failed(None)] == [3, 4, 5]


def test_bodies_of_hooks_that_wait_long_stay_in_the_file(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    for number in range(1, NEAR + 11):
        state.add_task(TaskRow(number, 0, "reception", b"body"))
    state.add_task(TaskRow(NEAR + 11, 1, "finish", b"plan"))
    bodies = [task.body for task in state.recover().tasks]
    assert bodies == [b"body"] * NEAR + [b""] * 10 + [b"plan"]
    assert state.task_body(NEAR + 5) == b"body"
    with pytest.raises(ProcessError, match="task 999 is not"):
        state.task_body(999)


def test_noted_events_only_grow() -> None:
    state = SqliteState(None)
    for event in (5, 3):
        state.note_event("w", event)
    assert state.recover().events == {"w": 5}
