from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fastscp.coordinator.dispatch import Dispatcher
from fastscp.coordinator.finishing import RENAMES_PER_STEP, Finisher, Step
from fastscp.coordinator.hooks import NOT_STARTED, HookRunner
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes, Plan, Task, row_of
from fastscp.study.commands import Commands
from fastscp.study.policy import HookPolicy, StudyPolicy
from fastscp.study.variables import Call
from tests.support.fakes import Clock, FakeLoop, FakeProcesses, FakeSink

POLICY = HookPolicy(on_reception="echo #f", jobs=2)


class Bench:
    def __init__(self, *, keeps_state: bool = True) -> None:
        self.loop = FakeLoop()
        self.processes = FakeProcesses()
        self.lanes = Lanes()
        self.state = SqliteState(None) if keeps_state else None
        self.sink = FakeSink()
        self.clock = Clock()
        self.notices: list[tuple[str, Task]] = []
        finisher = Finisher(StudyPolicy(rename=True), self.state, self.sink) if self.state is not None else None
        self.dispatcher = Dispatcher(
            self.lanes, Commands(POLICY), HookRunner(self.loop, self.processes, jobs=POLICY.jobs, timeout_s=None),
            state=self.state, finisher=finisher, sink=self.sink, monotonic=self.clock, wall=Clock(),
            started=lambda task: self.notices.append(("started", task)),
            finished=lambda task: self.notices.append(("finished", task)))
        self.finisher = finisher

    def add(self, task: Task, lane: int | None = None) -> Task:
        if self.state is not None:
            self.state.add_task(row_of(task))
        if isinstance(task, FinishTask):
            self.finisher.take(task)
        self.lanes.add(task, lane=lane)
        return task

    def hook(self, file: str, kind: str = "reception", lane: int | None = None, number: int = 1) -> Task:
        values = dict(zip("pfacr", ["/d", file, "A", "B", "h"], strict=True))
        return self.add(HookTask(kind, 1, Call(values=values, environment={"FASTSCP_FILE": file}), number), lane)

    def end(self, pid: int, status: int = 0) -> None:
        self.processes.end(pid, status)
        self.loop.send_signal(signal.SIGCHLD)

    @property
    def kept(self) -> list[int]:
        assert self.state is not None
        return [row.number for row in self.state.recover().tasks]


def test_hook_is_started_told_and_stays_in_the_state_until_it_ended() -> None:
    bench = Bench()
    task = bench.hook("CT.1")
    assert not bench.dispatcher.run()
    assert bench.processes.spawned == {501: (["/bin/sh", "-c", "echo 'CT.1'"], {"FASTSCP_FILE": "CT.1"})}
    assert bench.notices == [("started", task)]
    assert bench.kept == [1]
    assert bench.lanes.pending == 1
    bench.end(501, 3)
    assert bench.notices == [("started", task), ("finished", task)]
    assert bench.kept == []
    assert bench.lanes.pending == 0


def test_events_tell_number_status_and_duration_of_hooks() -> None:
    bench = Bench()
    bench.hook("CT.1")
    bench.hook("CT.2", number=2)
    bench.dispatcher.run()
    bench.clock.now += 2.5
    bench.end(502, -9)
    assert bench.sink.kinds == ["hook.started", "hook.started", "hook.ended"]
    last = bench.sink.events[-1]
    assert (last["hook"], last["number"], last["status"], last["duration_s"]) == ("reception", 2, -9, 2.5)


def test_no_more_hooks_than_there_is_room_for() -> None:
    bench = Bench()
    for number in range(4):
        bench.hook(f"CT.{number}", number=number)
    bench.dispatcher.run()
    assert bench.processes.running == [501, 502]
    bench.end(501)
    bench.dispatcher.run()
    assert bench.processes.running == [502, 503]


def test_next_hook_of_a_study_starts_in_the_run_after_the_former_ended() -> None:
    bench = Bench()
    bench.hook("CT.1", lane=1, number=1)
    bench.hook("CT.2", lane=1, number=2)
    bench.dispatcher.run()
    assert bench.processes.running == [501]
    bench.end(501)
    assert bench.processes.running == []
    bench.dispatcher.run()
    assert bench.processes.running == [502]


def test_hook_that_is_no_longer_configured_is_done_without_being_run() -> None:
    bench = Bench()
    task = bench.hook("CT.1", kind="study")
    bench.dispatcher.run()
    assert bench.processes.spawned == {}
    assert bench.notices == [("finished", task)]
    assert bench.kept == []


def test_hooks_that_are_done_at_once_let_the_rest_of_their_lane_go_on() -> None:
    bench = Bench()
    bench.hook("CT.1", kind="study", lane=1, number=1)
    bench.hook("CT.2", lane=1, number=2)
    bench.dispatcher.run()
    assert bench.processes.running == [501]
    assert bench.kept == [2]


def test_program_that_cannot_be_started_ends_its_task_from_the_loop() -> None:
    bench = Bench()
    bench.processes.refuse = FileNotFoundError(2, "No such file")
    task = bench.hook("CT.1")
    bench.dispatcher.run()
    assert bench.notices == [("started", task)]
    bench.loop.advance(0)
    assert bench.notices == [("started", task), ("finished", task)]
    assert bench.sink.events[-1]["status"] == NOT_STARTED


def test_without_state_hooks_run_all_the_same() -> None:
    bench = Bench(keeps_state=False)
    task = bench.hook("CT.1", number=0)
    bench.dispatcher.run()
    bench.end(501)
    assert bench.notices == [("started", task), ("finished", task)]


def test_long_finish_is_continued_and_lets_others_have_their_turn(tmp_path: Path) -> None:
    bench = Bench()
    (tmp_path / "long").mkdir()
    renames = tuple((f"CT.{number}", f"CT{number:06d}") for number in range(1, RENAMES_PER_STEP + 2))
    for name, _ in renames:
        (tmp_path / "long" / name).write_text("")
    long = bench.add(FinishTask(1, Plan("1.1", f"{tmp_path}/long", "timeout", renames), 1), 1)
    short = bench.add(FinishTask(2, Plan("1.2", f"{tmp_path}/short", "timeout"), 2), 2)
    assert bench.dispatcher.run()
    assert bench.notices == [("finished", short)]
    assert not bench.dispatcher.run()
    assert bench.notices == [("finished", short), ("finished", long)]
    assert bench.sink.kinds == ["study.completed", "study.completed"]


def test_hook_after_a_finish_starts_in_the_same_run(tmp_path: Path) -> None:
    bench = Bench()
    bench.add(FinishTask(1, Plan("1.1", str(tmp_path), "timeout"), 1), 1)
    bench.hook("CT.1", lane=1, number=2)
    bench.dispatcher.run()
    assert bench.processes.running == [501]


def test_task_that_waits_to_be_tried_again_is_paused_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    steps = [Step(done=False, pause_s=2.0), Step(done=False, pause_s=4.0), Step(done=True)]
    monkeypatch.setattr(bench.finisher, "step", lambda _: steps.pop(0))
    task = bench.add(FinishTask(1, Plan("1.1", str(tmp_path), "timeout"), 1))
    now = bench.clock.now
    assert bench.dispatcher.goes_on
    assert not bench.dispatcher.run()
    assert (bench.dispatcher.deadline, bench.dispatcher.goes_on) == (now + 2.0, False)
    bench.clock.now = now + 1.9
    bench.dispatcher.run()
    assert len(steps) == 2
    bench.clock.now = now + 2.0
    bench.dispatcher.run()
    assert bench.dispatcher.deadline == now + 6.0
    bench.clock.now = now + 6.0
    bench.dispatcher.run()
    assert bench.dispatcher.deadline is None
    assert bench.notices == [("finished", task)]


def test_running_hook_goes_on_beside_a_paused_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.finisher, "step", lambda _: Step(done=False, pause_s=2.0))
    bench.add(FinishTask(1, Plan("1.1", str(tmp_path), "timeout"), 1))
    bench.hook("CT.1", number=2)
    bench.dispatcher.run()
    assert bench.dispatcher.goes_on
    bench.end(501)
    assert not bench.dispatcher.goes_on


def test_hook_takes_the_place_of_what_it_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    call = Call(values=dict(zip("pfacr", ["/d", "CT.1", "A", "B", "h"], strict=True)), environment={})
    follower = HookTask("reception", 1, call, 1)
    monkeypatch.setattr(bench.finisher, "step", lambda _: Step(done=True, then=follower))
    bench.add(FinishTask(1, Plan("1.1", str(tmp_path), "timeout"), 1), lane=1)
    behind = bench.hook("CT.2", lane=1, number=2)
    bench.dispatcher.run()
    assert bench.notices == [("started", follower)]
    bench.end(501)
    bench.dispatcher.run()
    assert bench.notices[1:] == [("finished", follower), ("started", behind)]
