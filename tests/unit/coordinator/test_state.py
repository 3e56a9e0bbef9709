from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.errors import ProcessError
from fastscp.study.state import ObjectRow, StudyRow, TaskRow


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
    state.forget_ended(22.0)
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
