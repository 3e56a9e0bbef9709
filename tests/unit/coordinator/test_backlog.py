from __future__ import annotations

import pytest

from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.tasks import HookTask, Lanes, row_of
from fastscp.errors import ProcessError
from fastscp.study.state import NEAR
from fastscp.study.variables import Call
from tests.support.fakes import Clock


class Bench:
    def __init__(self, last_task: int = 0) -> None:
        self.lanes = Lanes()
        self.state = SqliteState(None)
        self.backlog = Backlog(self.lanes, self.state, last_task=last_task, wall=Clock(5.0))
        self.told: list[HookTask] = []
        self.backlog.kept = self.told.append

    def add(self, event: int, incarnation: str = "w") -> HookTask:
        call = Call(values={"p": "/d", "f": f"CT.{event}"}, environment={"FASTSCP_STUDY_UID": "1.2"})
        self.backlog.add("reception", call, (1, event), incarnation)
        return self.lanes.ready_hooks[-1]

    def start(self) -> HookTask:
        task = self.lanes.ready_hooks.popleft()
        self.backlog.started(task)
        return task

    @property
    def kept(self) -> list[int]:
        return [row.number for row in self.state.recover().tasks]


def test_hook_that_starts_in_its_round_never_sees_the_state() -> None:
    bench = Bench()
    bench.add(1)
    task = bench.start()
    bench.backlog.settle()
    assert (bench.kept, bench.told, bench.state.recover().events) == ([], [], {})
    bench.backlog.done(task)
    assert bench.kept == []


def test_hooks_that_wait_are_kept_with_their_events_and_told_of_in_order() -> None:
    bench = Bench(last_task=7)
    bench.add(1)
    waiting = [bench.add(2), bench.add(3), bench.add(9, "v")]
    bench.start()
    bench.backlog.settle()
    assert bench.kept == [9, 10, 11]
    assert bench.told == waiting
    assert bench.state.recover().events == {"w": 3, "v": 9}
    bench.backlog.settle()
    assert len(bench.told) == 3
    bench.backlog.done(waiting[0])
    assert bench.kept == [10, 11]


def test_calls_of_hooks_whose_turn_is_far_are_in_the_state_alone() -> None:
    bench = Bench()
    for event in range(1, NEAR + 50):
        bench.add(event)
    bench.backlog.settle()
    for event in range(NEAR + 50, NEAR + 100):
        bench.add(event)
        bench.backlog.settle()
    calls = [task.call for task in bench.lanes if isinstance(task, HookTask)]
    assert sum(call is not None for call in calls) <= NEAR
    far = bench.lanes.ready_hooks[-1]
    assert far.call is None
    assert bench.backlog.call(far)["values"]["f"] == f"CT.{NEAR + 99}"
    assert far.call is not None


def test_near_hooks_have_their_calls_at_hand() -> None:
    bench = Bench()
    task = bench.add(1)
    bench.add(2)
    bench.backlog.settle()
    assert task.call is not None


def test_call_that_is_nowhere_is_an_error() -> None:
    bench = Bench()
    with pytest.raises(ProcessError, match="task 4 is not in the study state"):
        bench.backlog.call(HookTask("reception", 0, None, 4))


def test_everything_that_has_not_ended_is_kept_at_the_end_running_hooks_too() -> None:
    bench = Bench()
    for event in (1, 2, 3):
        bench.add(event)
    running = bench.start()
    bench.backlog.done(done := bench.start())
    bench.lanes.finish(done)
    bench.backlog.settle()
    assert bench.kept == [3]
    assert bench.backlog.keep_all() == 2
    assert bench.kept == [running.number, 3]


def test_hooks_come_back_from_the_state_in_order_and_in_the_lane_of_their_study() -> None:
    bench = Bench()
    rows = [row_of(HookTask(f"k{number}", study, Call(values={}, environment={}), number))
            for number, study in ((1, 0), (2, 0), (3, 5), (4, 5))]
    assert bench.backlog.recover(rows) == 4
    assert [task.number for task in bench.lanes.ready_hooks] == [1, 2, 3]


def test_hook_that_failed_is_kept_with_what_an_operator_wants_to_know() -> None:
    bench = Bench()
    task = bench.add(1)
    task.attempts = 3
    bench.start()
    bench.backlog.fail(task, ["/bin/sh", "-c", "echo x; false"], -9)
    argv = bench.add(2)
    bench.backlog.settle()
    bench.backlog.fail(argv, ["/opt/a b", "c"], 1)
    assert bench.kept == []
    rows = bench.state._read("SELECT number, kind, study_uid, directory, command, status, attempts, failed FROM failed").fetchall()
    assert rows == [(1, "reception", "1.2", "/d", "echo x; false", -9, 3, 5.0),
                    (2, "reception", "1.2", "/d", "'/opt/a b' c", 1, 0, 5.0)]


def test_failed_hooks_are_retried_under_their_numbers_or_forgotten() -> None:
    bench = Bench()
    for event in (1, 2, 3, 4):
        task = bench.add(event)
        bench.start()
        bench.backlog.fail(task, ["x"], 1)
        bench.lanes.finish(task)
    assert bench.backlog.retry([3, 1, 99]) == 2
    assert bench.kept == [1, 3]
    assert [bench.backlog.call(task)["values"]["f"] for task in bench.lanes.ready_hooks] == ["CT.1", "CT.3"]
    assert bench.backlog.forget([2, 1]) == 1
    assert bench.backlog.retry(None) == 1
    assert bench.backlog.forget(None) == 0
    assert bench.kept == [1, 3, 4]
