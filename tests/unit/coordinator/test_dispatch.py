from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.dispatch import TURN_S, Dispatcher
from fastscp.coordinator.finishing import RENAMES_PER_STEP, Finisher, Step
from fastscp.coordinator.hooks import NOT_STARTED, HookRunner
from fastscp.coordinator.host_names import PATIENCE_S, HostNames
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes, Plan, Task, row_of
from fastscp.study.commands import Commands
from fastscp.study.policy import HookPolicy, StudyPolicy
from fastscp.study.state import FailedRow
from fastscp.study.variables import Call
from tests.support.fakes import Clock, FakeLoop, FakeProcesses, FakeSink, TickingClock

POLICY = HookPolicy(on_reception="echo #f", jobs=2)


class State(SqliteState):
    """Remembers what failed as it was told."""

    def __init__(self, directory: Path | None) -> None:
        super().__init__(directory)
        self.kept_failed: list[FailedRow] = []

    def fail_task(self, row: FailedRow) -> None:
        self.kept_failed.append(row)
        super().fail_task(row)


class Bench:
    def __init__(self, *, retries: int = 0, policy: HookPolicy = POLICY, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.loop = FakeLoop()
        self.processes = FakeProcesses()
        self.lanes = Lanes()
        self.state = State(None)
        self.sink = FakeSink()
        self.clock = Clock()
        self.notices: list[tuple[str, Task]] = []
        self.changes = 0
        self.names = HostNames(self.loop)
        self.finisher = Finisher(StudyPolicy(rename=True), self.state, self.sink)
        self.backlog = Backlog(self.lanes, self.state, wall=Clock())
        self.dispatcher = Dispatcher(
            self.loop, self.lanes, Commands(policy),
            HookRunner(self.loop, self.processes, jobs=policy.jobs, timeout_s=None), self.backlog, names=self.names,
            retries=retries, finisher=self.finisher, sink=self.sink, monotonic=self.clock, clock=clock, wall=Clock(),
            started=lambda task: self.notices.append(("started", task)),
            finished=lambda task: self.notices.append(("finished", task)), changed=self.change)

    def change(self) -> None:
        self.changes += 1

    def add(self, task: Task, lane: int | None = None) -> Task:
        if not isinstance(task, HookTask) or task.kept:
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

    def failed(self) -> list[FailedRow]:
        return self.state.kept_failed

    @property
    def kept(self) -> list[int]:
        return [row.number for row in self.state.recover().tasks]


def test_hook_is_started_told_and_stays_in_the_state_until_it_ended() -> None:
    bench = Bench()
    task = bench.hook("CT.1")
    assert not bench.dispatcher.run()
    assert bench.processes.spawned == {501: (["/bin/sh", "-c", "echo 'CT.1'"], {"FASTSCP_FILE": "CT.1"})}
    assert bench.notices == [("started", task)]
    assert bench.kept == [1]
    assert bench.lanes.pending == 1
    bench.end(501)
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


# -- what cannot be started ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 8))
def test_start_that_fails_for_want_of_something_at_any_call_loses_nothing_and_keeps_the_order(count: int) -> None:
    bench = Bench()
    bench.processes.refusals = {count: BlockingIOError(11, "Resource temporarily unavailable")}
    for number in range(1, 7):
        bench.hook(f"CT.{number}", number=number)
    while bench.lanes.pending:
        bench.dispatcher.run()
        bench.loop.advance(1)
        for pid in bench.processes.running:
            bench.end(pid)
    files = [variables["FASTSCP_FILE"] for _, variables in bench.processes.spawned.values()]
    assert files == [f"CT.{number}" for number in range(1, 7)]
    assert bench.kept == []
    assert [event["number"] for event in bench.sink.events if event["event"] == "hook.started"] == list(range(1, 7))


def test_pauses_between_starts_grow_and_begin_anew_after_a_start() -> None:
    bench = Bench()
    bench.processes.refuse = OSError(12, "Cannot allocate memory")
    bench.hook("CT.1", number=1)
    bench.hook("CT.2", number=2)
    bench.dispatcher.run()
    pauses = []
    for _ in range(10):
        assert bench.loop.next_timer is not None
        pauses.append(round(bench.loop.next_timer - bench.loop.now, 6))
        bench.dispatcher.run()  # something else happened: it changes nothing
        calls, changes = bench.processes.calls, bench.changes
        bench.loop.advance(pauses[-1])
        assert (bench.processes.calls, bench.changes) == (calls, changes + 1)
        bench.dispatcher.run()
        assert bench.processes.calls == calls + 1
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert bench.notices == []
    bench.processes.refuse = None
    bench.loop.advance(5)
    bench.dispatcher.run()
    assert bench.processes.running == [501, 502]
    bench.processes.refuse = OSError(12, "Cannot allocate memory")
    bench.hook("CT.3", number=3)
    bench.end(501)
    bench.dispatcher.run()
    assert bench.loop.next_timer == pytest.approx(bench.loop.now + 0.05)


# -- what fails ---------------------------------------------------------------------------------------


def test_hook_that_failed_runs_again_with_growing_pauses_and_its_study_waits() -> None:
    bench = Bench(retries=3)
    task = bench.hook("CT.1", lane=1, number=1)
    bench.hook("CT.2", lane=1, number=2)
    bench.hook("CT.3", lane=2, number=3)
    bench.dispatcher.run()
    bench.end(502)
    for pid, pause_s in ((501, 1), (503, 2), (504, 4)):
        bench.end(pid, 3 if pid != 503 else -9)
        bench.dispatcher.run()
        assert bench.processes.running == []
        assert not bench.dispatcher.goes_on
        assert task.call is None  # the state has it
        bench.loop.advance(pause_s - 0.01)
        bench.dispatcher.run()
        assert bench.processes.running == []
        bench.loop.advance(0.01)
        bench.dispatcher.run()
        assert bench.processes.spawned[bench.processes.running[0]][1] == {"FASTSCP_FILE": "CT.1"}
    assert bench.kept == [1, 2]
    bench.end(505)
    bench.dispatcher.run()
    assert bench.kept == [2]
    assert bench.processes.spawned[506][1] == {"FASTSCP_FILE": "CT.2"}
    assert bench.dispatcher.goes_on


@pytest.mark.parametrize("retries", [0, 2])
def test_hook_that_failed_for_good_is_kept_as_such_and_the_next_goes_on(retries: int) -> None:
    bench = Bench(retries=retries)
    task = bench.hook("CT.1", lane=1, number=1)
    bench.hook("CT.2", lane=1, number=2)
    for attempt in range(retries + 1):
        bench.dispatcher.run()
        bench.end(501 + attempt, 7)
        bench.loop.advance(60)
    assert ("finished", task) in bench.notices
    bench.dispatcher.run()
    assert bench.kept == [2]
    row, = bench.failed()
    assert (row.task.number, row.command, row.status, row.attempts) == (1, "echo 'CT.1'", 7, retries + 1)
    assert (row.directory, row.task.study, row.task.kind) == ("/d", 1, "reception")


def test_pauses_of_retries_have_an_end() -> None:
    bench = Bench(retries=10_000)
    task = bench.hook("CT.1")
    assert isinstance(task, HookTask)
    task.attempts = 9_000
    bench.dispatcher.run()
    bench.end(501, 1)
    assert bench.loop.next_timer == pytest.approx(bench.loop.now + 300)


# -- host names ---------------------------------------------------------------------------------------

NAMING = HookPolicy(on_reception="echo #r", on_end_of_study="true", jobs=2)


def nameless(bench: Bench, file: str, kind: str = "reception", number: int = 1, lane: int | None = None) -> Task:
    call = Call(values={"f": file, "r": "10.0.0.9"}, environment={"FASTSCP_PEER": "10.0.0.9"})
    call["host_of"] = "10.0.0.9"
    return bench.add(HookTask(kind, 1, call, number), lane)


def test_hook_that_wants_the_name_of_its_peer_waits_for_it_and_nobody_else_does() -> None:
    bench = Bench(policy=NAMING)
    nameless(bench, "CT.1", number=1, lane=1)
    nameless(bench, "CT.2", number=2, lane=1)
    nameless(bench, "", "study", number=3, lane=2)
    bench.dispatcher.run()
    assert bench.processes.spawned == {501: (["/bin/sh", "-c", "true"], {"FASTSCP_PEER": "10.0.0.9"})}
    assert bench.dispatcher.goes_on
    changes = bench.changes
    bench.names.heard("10.0.0.9", "pacs.example")
    assert bench.changes == changes + 1
    bench.dispatcher.run()
    assert bench.processes.spawned[502] == (["/bin/sh", "-c", "echo 'pacs.example'"], {"FASTSCP_PEER": "pacs.example"})
    bench.end(502)
    bench.dispatcher.run()
    assert bench.processes.spawned[503][0][2] == "echo 'pacs.example'"


def test_name_that_does_not_come_is_waited_for_so_long_and_no_longer() -> None:
    bench = Bench(policy=NAMING)
    nameless(bench, "CT.1", number=1)
    bench.dispatcher.run()
    bench.loop.advance(PATIENCE_S - 0.1)
    bench.dispatcher.run()
    assert bench.processes.spawned == {}
    bench.loop.advance(0.1)
    bench.dispatcher.run()
    assert bench.processes.spawned[501][0][2] == "echo '10.0.0.9'"
    nameless(bench, "CT.2", number=2)
    bench.dispatcher.run()
    assert len(bench.processes.spawned) == 2


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


def test_hook_is_named_by_study_directory_and_command(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    call = Call(values=dict(zip("pfacr", ["/data/S_1", "CT.1", "A", "B", "h"], strict=True)),
                environment={"FASTSCP_STUDY_UID": "1.2.3"})
    bench.add(HookTask("reception", 1, call, 1))
    bench.dispatcher.run()
    bench.end(501, 3)
    for event in bench.sink.events:
        assert (event["hook"], event["number"]) == ("reception", 1)
        assert (event["study_uid"], event["directory"], event["command"]) == ("1.2.3", "/data/S_1", "echo 'CT.1'")
    assert bench.sink.kinds == ["hook.started", "hook.ended"]
    assert caplog.messages == [
        "reception hook 1 of study 1.2.3 in /data/S_1 (echo 'CT.1') ended with exit status 3"]


def test_hook_at_which_something_unexpected_fails_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bad = bench.add(HookTask("reception", 1, {"values": 7, "environment": {}}, 1), 1)  # type: ignore[typeddict-item]
    bench.hook("CT.2", lane=1, number=2)
    assert not bench.dispatcher.run()
    assert len(bench.processes.spawned) == 1
    assert bench.notices[0] == ("finished", bad)
    assert bench.kept == [1, 2], "it is there for the next start"
    assert "hook 1 is left to the next start" in caplog.text


def test_end_of_a_study_at_which_something_unexpected_fails_costs_no_other(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    plan = Plan("1.1", str(tmp_path), "timeout", renames=((1,),))  # type: ignore[arg-type]
    bench.add(FinishTask(1, plan, 1), 1)
    bench.hook("CT.2", lane=1, number=2)
    answers: list[str] = []
    bench.dispatcher.run()
    assert len(bench.processes.spawned) == 1
    assert bench.kept == [1, 2]
    assert "the end of study 1.1 is left to the next start" in caplog.text
    bench.finisher.settle(str(tmp_path), lambda: answers.append("free"))
    assert answers == ["free"]


def test_who_waits_for_a_directory_is_answered_also_when_its_study_cannot_be_finished(tmp_path: Path) -> None:
    bench = Bench()
    plan = Plan("1.1", str(tmp_path), "timeout", renames=((1,),))  # type: ignore[arg-type]
    bench.hook("CT.2", lane=1, number=1)
    bench.add(FinishTask(1, plan, 2), 1)
    answers: list[str] = []
    bench.finisher.settle(str(tmp_path), lambda: answers.append("free"))
    bench.dispatcher.run()
    assert answers == ["free"]


def test_run_ends_when_its_time_is_over_and_every_task_gets_its_turn(tmp_path: Path) -> None:
    bench = Bench(policy=replace(POLICY, jobs=50), clock=TickingClock(TURN_S))
    for number in (1, 2, 3):
        bench.add(FinishTask(number, Plan(f"1.{number}", str(tmp_path), "timeout"), number), number)
        bench.hook(f"CT.{number}", number=10 + number)
    ends = []
    while bench.dispatcher.run():
        ends.append((bench.sink.kinds.count("study.completed"), len(bench.processes.spawned)))
    assert ends == [(1, 1), (2, 2)]
    assert bench.sink.kinds.count("study.completed") == len(bench.processes.spawned) == 3
