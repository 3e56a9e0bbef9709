from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp.coordinator import state as module
from fastscp.coordinator import state as state_module
from fastscp.coordinator.formats import MIGRATIONS
from fastscp.coordinator.state import FILE_NAME, TIDIED_PER_STEP, SqliteState
from fastscp.errors import ProcessError, StorageError
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
    assert state.files(1) == ["CT.1", "CT.2"]
    assert state.last_caller(1) == b"caller b"
    state.add_object(1, row("CT.1", "c"), 4, "w", 6)
    assert state.last_caller(1) == b"caller c"
    assert state.last_caller(2) is None


def test_path_that_is_not_utf8_comes_back(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/caf\xe9/1.2")
    state = SqliteState(tmp_path)
    state.open_study(StudyRow(1, "1.2", odd, 10.0, made=True))
    state.open_study(StudyRow(2, "1.3", odd, 10.0, made=True))
    state.end_study(2, 20.0)
    state.remember("1.3", [("7.1", f"{odd}/CT.7.1")])
    state.commit()
    state.fail_task(FailedRow(TaskRow(7, 3, "study", b"{}"), "1.2", odd, f"echo {odd}", 1, 1, 30.0))
    state.close()
    state = SqliteState(tmp_path)
    assert [study.directory for study in state.recover().studies] == [odd]
    ended = state.ended_study("1.3")
    assert ended is not None
    assert ended.directory == odd
    assert state.remembered("1.3") == {"7.1": f"{odd}/CT.7.1"}


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
    assert state.objects(2, state.files(2))[0].name == "CT000001"
    state.forget_ended(22.0, 100)
    state.forget_study(2)
    assert state.ended_study("1.2") is None
    while state.tidy():
        pass
    assert state.files(1) == state.files(2) == []


def test_event_numbers_outlive_their_objects(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    for event in (5, 3):
        state.add_object(event, row("CT.1"), event, "w", event)
        state.commit()
        state.forget_study(event)
    while state.tidy():
        pass
    state.commit()
    assert state.files(5) == []
    assert SqliteState(tmp_path).recover().events == {"w": 5}
    state.forget_events(["w", "unknown"])
    assert state.recover().events == {}


def test_forgotten_study_goes_a_piece_at_a_time_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.open_study(StudyRow(7, "1.7", "/d", 10.0, made=True))
    for number in range(TIDIED_PER_STEP * 2 + 1):
        state.add_object(7, row(f"CT.{number}"), number + 1, "w", number + 1)
    state.open_study(StudyRow(3, "1.3", "/d", 10.0, made=True))
    state.add_object(3, row("CT.1"), 1000, "v", 1)
    state.forget_study(7)
    assert state.tidy()
    assert len(state.files(7)) == TIDIED_PER_STEP + 1
    state.close()
    state = SqliteState(tmp_path)
    recovered = state.recover()
    assert recovered.last_study == 7
    assert recovered.events == {"w": TIDIED_PER_STEP * 2 + 1, "v": 1}
    assert state.tidy()
    assert not state.tidy()
    assert not state.tidy()
    assert state.files(7) == []
    assert state.files(3) == ["CT.1"]
    assert state.recover().events == recovered.events
    assert state.recover().last_study == 3


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


def test_full_disk_keeps_what_was_written_for_the_next_commit(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    connection = state._engine._connection
    most = connection.execute("PRAGMA max_page_count").fetchone()[0]
    connection.execute("PRAGMA max_page_count=1")
    state.add_object(1, row("x" * 100_000), 1, "w", 1)
    with pytest.raises(StorageError, match="cannot be written: No space left on device"):
        state.commit()
    connection.execute(f"PRAGMA max_page_count={most}")
    state.commit()
    state.close()
    assert len(SqliteState(tmp_path).files(1)) == 1


# -- what ended ---------------------------------------------------------------------------------------


def ended(state: SqliteState, uid: str, when: float, objects: int = 1) -> None:
    state.set_revision(uid, state.revision(uid) + 1, when)
    state.remember(uid, [(f"{uid}.{number}", f"/{uid}/{number}") for number in range(objects)])


def test_ends_are_counted_by_study_and_survive(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    ended(state, "1.1", 10.0)
    ended(state, "1.1", 11.0)
    state.remember("1.1", [("1.1.0", "/elsewhere")])
    state.commit()
    state = SqliteState(tmp_path)
    assert (state.revision("1.1"), state.revision("1.2")) == (2, 0)
    assert state.remembered("1.1") == {"1.1.0": "/elsewhere"}
    assert state.remembered("1.2") == {}


def test_what_ended_long_ago_is_forgotten(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    ended(state, "1.1", 10.0)
    ended(state, "1.2", 20.0)
    state.forget_ended(20.0, 100)
    assert (state.revision("1.1"), state.revision("1.2")) == (0, 1)
    assert (state.remembered("1.1"), len(state.remembered("1.2"))) == ({}, 1)


def test_objects_of_ended_studies_are_kept_up_to_a_number_the_latest_first(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    for number, uid in enumerate(("1.1", "1.2", "1.3"), 1):
        state.open_study(StudyRow(number, uid, f"/{uid}", 1.0, made=True))
        state.add_object(number, row("CT.1"), number, "w", number)
        state.end_study(number, float(number))
        ended(state, uid, float(number), objects=10)
    state.forget_ended(0.0, 20)
    assert [len(state.remembered(uid)) for uid in ("1.1", "1.2", "1.3")] == [0, 10, 10]
    assert [state.revision(uid) for uid in ("1.1", "1.2", "1.3")] == [1, 1, 1], "how often costs little"
    assert [state.ended_study(uid) is None for uid in ("1.1", "1.2", "1.3")] == [True, False, False]


def test_revisions_are_kept_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "REVISIONS_KEPT", 2)
    state = SqliteState(tmp_path)
    for number in range(4):
        ended(state, f"1.{number}", float(number), objects=0)
    state.forget_ended(0.0, 100)
    assert [state.revision(f"1.{number}") for number in range(4)] == [0, 0, 1, 1]


def test_change_of_an_object_stays_until_its_study_ended(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    same = replace(row("CT.1"), changed=False)
    state.add_object(1, row("CT.1"), 1, "w", 1)
    state.add_object(1, same, 2, "w", 2)
    assert [entry.changed for entry in state.objects(1, state.files(1))] == [True]
    state.settle_objects(1, 1)
    assert [entry.changed for entry in state.objects(1, state.files(1))] == [True], "it came again since"
    state.settle_objects(1, 2)
    state.add_object(1, same, 3, "w", 3)
    assert [entry.changed for entry in state.objects(1, state.files(1))] == [False]


def test_objects_up_to_a_number_and_one_less(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    for number in (1, 2, 3):
        state.add_object(1, row(f"CT.{number}"), number, "w", number)
    assert state.files(1, 2) == ["CT.1", "CT.2"]
    state.forget_object(1, "CT.3")
    assert state.files(1) == ["CT.1", "CT.2"]
    assert state.recover().events == {"w": 3}


def test_associations_of_ended_studies_hold_nothing(tmp_path: Path) -> None:
    state = SqliteState(tmp_path)
    state.open_study(StudyRow(1, "1.1", "/d", 1.0, made=True))
    state.add_object(1, row("CT.1"), 1, "w", 1)
    assert state.recover().holders == {"a": 1}
    state.end_study(1, 2.0)
    assert state.recover().holders == {}


def test_state_of_format_1_is_taken_over(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(f"{MIGRATIONS[0]} PRAGMA user_version=1;")
    connection.executescript("""
        INSERT INTO studies VALUES (1, '1.1', '/old', 1.0, 1, 5.0);
        INSERT INTO studies VALUES (2, '1.2', '/open', 2.0, 1, NULL);
        INSERT INTO objects VALUES (2, 'CT.1', 1, 1, 'a', 'w', 7, 'CT.1', x'', x'');
        INSERT INTO tasks VALUES (4, 1, 'study', x'7b7d');
    """)
    connection.close()
    state = SqliteState(tmp_path)
    assert (state.revision("1.1"), state.revision("1.2")) == (1, 0)
    assert [entry.changed for entry in state.objects(2, state.files(2))] == [True]
    recovered = state.recover()
    assert [study.uid for study in recovered.studies] == ["1.2"]
    assert [task.number for task in recovered.tasks] == [4]
    state.add_object(2, row("CT.2"), 2, "w", 8)
    state.commit()
    assert [study.objects for study in SqliteState(tmp_path).recover().studies] == [2]
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
