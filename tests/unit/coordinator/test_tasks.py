from __future__ import annotations

import json

import pytest

from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes, Move, Plan, row_of, task_of
from fastscp.study.state import TaskRow
from fastscp.study.variables import Call


def hook(name: str, study: int = 1, cause: tuple[int, int] | None = None) -> HookTask:
    return HookTask(name, study, Call(values={}, environment={}), cause=cause)


def finish(study: int = 1) -> FinishTask:
    return FinishTask(study, Plan("1.2", "/d", "timeout"), 9)


def ready(lanes: Lanes) -> list[str]:
    return [task.kind for task in lanes.ready_hooks]


def test_tasks_of_one_study_are_ready_one_after_another() -> None:
    lanes = Lanes()
    tasks = [hook("first"), hook("second"), hook("third")]
    for task in tasks:
        lanes.add(task, lane=1)
    assert ready(lanes) == ["first"]
    lanes.finish(lanes.ready_hooks.popleft())
    assert ready(lanes) == ["second"]
    lanes.finish(lanes.ready_hooks.popleft())
    assert ready(lanes) == ["third"]


def test_studies_do_not_wait_for_one_another_and_tasks_without_lane_for_nobody() -> None:
    lanes = Lanes()
    lanes.add(hook("one", 1), lane=1)
    lanes.add(hook("two", 2), lane=2)
    lanes.add(hook("a", 0), lane=None)
    lanes.add(hook("b", 0), lane=None)
    assert ready(lanes) == ["one", "two", "a", "b"]
    assert lanes.pending == 4


def test_task_after_another_of_a_different_study_waits_for_both() -> None:
    lanes = Lanes()
    reception, earlier, end = hook("reception", 2), hook("earlier", 1), hook("end", 1)
    lanes.add(reception, lane=2)
    lanes.add(earlier, lane=1)
    lanes.add(end, lane=1, after=reception)
    lanes.ready_hooks.clear()
    lanes.finish(reception)
    assert ready(lanes) == []
    lanes.finish(earlier)
    assert ready(lanes) == ["end"]


def test_waiting_for_the_same_task_twice_is_waiting_once() -> None:
    lanes = Lanes()
    first, second = hook("first"), hook("second")
    lanes.add(first, lane=1)
    lanes.add(second, lane=1, after=first)
    lanes.ready_hooks.clear()
    lanes.finish(first)
    assert ready(lanes) == ["second"]


def test_what_is_done_is_waited_for_by_nobody() -> None:
    lanes = Lanes()
    first, second = hook("first"), hook("second")
    lanes.add(first, lane=1)
    lanes.finish(lanes.ready_hooks.popleft())
    lanes.add(second, lane=1, after=first)
    assert ready(lanes) == ["second"]
    assert lanes.pending == 1


def test_end_of_an_earlier_task_leaves_the_tail_of_the_lane() -> None:
    lanes = Lanes()
    first, second, third = hook("first"), hook("second"), hook("third")
    lanes.add(first, lane=1)
    lanes.add(second, lane=1)
    lanes.finish(first)
    lanes.ready_hooks.clear()
    lanes.add(third, lane=1)
    assert ready(lanes) == []
    lanes.finish(second)
    assert ready(lanes) == ["third"]


def test_a_cause_is_over_when_all_it_caused_is_done() -> None:
    lanes = Lanes()
    cause = 1, 7
    first, second = hook("first", cause=cause), hook("second", 2, cause=cause)
    lanes.add(first, lane=1)
    lanes.add(second, lane=2)
    assert lanes.caused(cause) == 2
    lanes.finish(first)
    assert lanes.caused(cause) == 1
    lanes.finish(second)
    assert lanes.caused(cause) == 0
    assert lanes._caused == {}
    assert lanes.caused((1, 8)) == 0


def test_files_are_finished_apart_from_hooks() -> None:
    lanes = Lanes()
    lanes.add(finish(1), lane=1)
    lanes.add(hook("study", 1), lane=1)
    assert [task.study for task in lanes.ready_finishes] == [1]
    assert ready(lanes) == []
    lanes.finish(lanes.ready_finishes.popleft())
    assert ready(lanes) == ["study"]


def test_doing_a_task_twice_is_a_bug_that_shows() -> None:
    lanes = Lanes()
    task = hook("first")
    lanes.add(task, lane=1)
    lanes.finish(task)
    with pytest.raises(KeyError):
        lanes.finish(task)


def test_tasks_are_recovered_from_their_rows() -> None:
    call = Call(values={"p": "/d"}, environment={"FASTSCP_EVENT": "reception"})
    kept = task_of(row_of(HookTask("reception", 3, call, 4, cause=(1, 1))))
    assert isinstance(kept, HookTask)
    assert (kept.kind, kept.study, kept.call, kept.number, kept.cause) == ("reception", 3, call, 4, None)
    plan = Plan("1.2", "/d", "timeout", (("CT.1", "CT000001"),))
    ended = task_of(row_of(FinishTask(3, plan, 5)))
    assert isinstance(ended, FinishTask)
    assert (ended.study, ended.plan, ended.number) == (3, plan, 5)


def test_rows_of_earlier_versions_are_understood() -> None:
    body = {"uid": "1.2", "directory": "/d", "reason": "timeout", "renames": [["CT.1", "CT000001"]]}
    task = task_of(TaskRow(5, 3, "finish", json.dumps(body).encode()))
    assert isinstance(task, FinishTask)
    assert task.plan == Plan("1.2", "/d", "timeout", (("CT.1", "CT000001"),), caller=None, decided=True, revision=1)


def test_plan_comes_back_as_it_was_kept() -> None:
    plan = Plan("1.2", "/d", "timeout", (("CT.1", "CT000001"),), {"peer": "h"}, 7, decided=False, revision=2,
                repeats=(("CT.2", ""),), move=Move("/done/d", (1, 2), copy="/done/.c", copied=True))
    task = task_of(row_of(FinishTask(3, plan, 5)))
    assert isinstance(task, FinishTask)
    assert task.plan == plan


def test_task_that_takes_the_place_of_another_is_ready_and_keeps_those_behind_it_waiting() -> None:
    lanes = Lanes()
    first = FinishTask(3, Plan("1.2", "/d", "timeout"), 5, (1, 1))
    follower, behind = hook("study", 3, cause=(1, 1)), hook("reception", 3)
    lanes.add(first, lane=3)
    lanes.add(behind, lane=3)
    lanes.ready_finishes.clear()
    lanes.replace(first, follower)
    assert list(lanes.ready_hooks) == [follower]
    assert (lanes.pending, lanes.caused((1, 1))) == (2, 1)
    lanes.ready_hooks.clear()
    lanes.finish(follower)
    assert list(lanes.ready_hooks) == [behind]
    assert lanes.caused((1, 1)) == 0


def test_hooks_are_kept_as_they_are_called() -> None:
    assert row_of(hook("study", 3)) == TaskRow(0, 3, "study", b'{"values":{},"environment":{}}')
