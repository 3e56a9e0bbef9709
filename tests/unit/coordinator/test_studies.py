from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator.finishing import Finisher
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.studies import FORGET_EVERY_S, REMEMBER_S, Studies
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes
from fastscp.store.own_paths import OwnPaths
from fastscp.study.policy import HookPolicy, LateObjects, Sorting, StudyPolicy
from tests.support import said
from tests.support.fakes import Clock, FakeSink

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)
ALL_HOOKS = HookPolicy(on_reception="r", on_end_of_series="s", on_end_of_study="e")


class Bench:
    """The studies of one coordinator, whose tasks a test looks at and does."""

    def __init__(self, output: Path, policy: StudyPolicy = BY_UID, hooks: HookPolicy = ALL_HOOKS, *,
                 sink: bool = True) -> None:
        self.output = output
        self.policy, self.hooks = policy, hooks
        self.state = SqliteState(None)
        self.wall = Clock()
        self.sink = FakeSink() if sink else None
        self.now = 100.0
        self.events = self.requests = 0
        self.start()

    def start(self) -> None:
        """Begin a (next) life on the same state."""
        self.lanes = Lanes()
        self.done: list[HookTask | FinishTask] = []
        finisher = Finisher(self.policy, self.state, self.sink, wall=self.wall,
                            has_hook=self.hooks.on_end_of_study is not None)
        self.finisher = finisher
        self.studies = Studies(self.policy, self.hooks, self.state, self.lanes,
                               Placer(self.policy, str(self.output), OwnPaths()), finisher, self.sink,
                               wall=self.wall)
        self.studies.recover(self.state.recover(), self.now)

    def place(self, study: str, association: str = "a") -> dict[str, Any]:
        self.requests += 1
        answers: list[dict[str, Any]] = []
        self.studies.place(said.place(self.requests, study, association), "w", self.now, answers.append)
        self.state.commit()
        while not answers:
            assert self.finisher.hurry() or answers, "nobody answers"
        return answers[0]

    def tell(self, study: str, directory: str, file: str = "CT.1", *, request: int | None = None,
             association: str = "a", **fields: Any) -> None:
        self.events += 1
        packet = said.stored(self.events, study, directory, file, request=request, association=association, **fields)
        caller = said.opened(association, calling=association.upper())
        self.studies.stored(packet, json.dumps(packet).encode(), caller, json.dumps(caller).encode(), "w",
                            (1, self.events), self.now)

    def store(self, study: str, file: str = "CT.1", **fields: Any) -> str:
        answer = self.place(study, fields.get("association", "a"))
        assert answer["status"] == 0
        self.tell(study, answer["directory"], file, request=answer["request"], **fields)
        return str(answer["directory"])

    def do_all(self) -> list[str]:
        """Do every task that is ready and what becomes ready by it; return what they were."""
        done = []
        while self.lanes.ready_hooks or self.lanes.ready_finishes:
            task: HookTask | FinishTask = (self.lanes.ready_finishes or self.lanes.ready_hooks).popleft()
            done.append(describe(task))
            self.done.append(task)
            if isinstance(task, FinishTask):
                self.finish(task)
            else:
                self.state.finish_task(task.number)
                self.lanes.finish(task)
        return done

    def finish(self, task: FinishTask) -> None:
        while not (step := self.finisher.step(task)).done:
            assert not step.pause_s
        if step.then is not None:
            self.lanes.replace(task, step.then)
        else:
            self.lanes.finish(task)


def describe(task: HookTask | FinishTask) -> str:
    if isinstance(task, FinishTask):
        return f"finish {task.plan.uid} {task.plan.reason}"
    environment = task.call["environment"]
    uid = environment["FASTSCP_SERIES_UID"] if task.kind == "series" else environment["FASTSCP_STUDY_UID"]
    return f"{task.kind} {uid}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_answer_names_the_directory_and_opens_the_study(bench: Bench) -> None:
    answer = bench.place("1.1")
    assert answer == {"kind": "placed", "request": 1, "directory": f"{bench.output}/1.1", "status": 0, "message": "",
                      "late": False, "lasting": True}
    assert bench.sink.kinds == ["study.opened"]
    assert [row.uid for row in bench.state.recover().studies] == ["1.1"]
    bench.place("1.1")
    assert bench.sink.kinds == ["study.opened"]


def test_refused_object_opens_nothing(bench: Bench) -> None:
    answer = bench.place("")
    assert (answer["status"], answer["directory"]) == (0xC000, "")
    assert bench.state.recover().studies == []
    assert bench.studies.deadline() is None


def test_object_causes_its_hook_and_is_kept(bench: Bench) -> None:
    bench.store("1.1")
    task = bench.lanes.ready_hooks[0]
    assert (task.kind, task.study, task.number, task.cause) == ("reception", 1, 1, (1, 1))
    recovered = bench.state.recover()
    assert [row.objects for row in recovered.studies] == [1]
    assert recovered.events == {"w": 1}
    assert [(row.number, row.kind) for row in recovered.tasks] == [(1, "reception")]


def test_end_of_a_study_comes_in_order_and_after_the_object_that_ended_it(bench: Bench) -> None:
    bench.store("1.1", series="7.1")
    bench.do_all()
    bench.store("1.2", series="8.1")
    assert [describe(task) for task in bench.lanes.ready_hooks] == ["reception 1.2"]
    assert bench.lanes.caused((1, 2)) == 3
    assert bench.do_all() == ["reception 1.2", "series 7.1", "finish 1.1 other-study", "study 1.1"]


def test_tasks_are_numbered_and_kept_in_the_order_in_which_they_are_done(bench: Bench) -> None:
    bench.store("1.1", series="7.1")
    bench.store("1.2", series="8.1")
    kept = [(row.study, row.kind) for row in bench.state.recover().tasks]
    assert kept == [(1, "reception"), (2, "reception"), (1, "series"), (1, "finish")]


def test_without_hooks_only_files_are_finished(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(), sink=False)
    bench.store("1.1")
    bench.store("1.2")
    assert bench.do_all() == ["finish 1.1 other-study"]


def test_end_of_study_hook_gets_the_last_caller_and_the_count(bench: Bench) -> None:
    bench.store("1.1", association="first")
    bench.store("1.1", "CT.2", association="second")
    bench.store("1.1", "CT.2", association="third")
    bench.studies.closed("first")
    bench.studies.drain()
    bench.do_all()
    task: Any = bench.done[-1]
    assert task.kind == "study"
    assert task.call["values"]["a"] == "THIRD"
    environment = task.call["environment"]
    assert (environment["FASTSCP_OBJECTS"], environment["FASTSCP_REASON"]) == ("2", "shutdown")
    assert "FASTSCP_MANIFEST" not in environment


def test_end_of_study_hook_is_told_of_the_manifest(tmp_path: Path) -> None:
    policy = StudyPolicy(sorting=Sorting.STUDY_UID, manifest=True)
    bench = Bench(tmp_path, policy, HookPolicy(on_end_of_study="e"))
    bench.store("1.1")
    bench.studies.drain()
    bench.finish(bench.lanes.ready_finishes.popleft())
    environment = bench.lanes.ready_hooks[0].call["environment"]
    assert environment["FASTSCP_MANIFEST"] == f"{tmp_path}/1.1/manifest.json"


# -- time ---------------------------------------------------------------------------------------------


def test_study_ends_at_its_timeout_and_not_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=10), HookPolicy())
    bench.store("1.1")
    assert bench.studies.deadline() == 110.0
    bench.studies.due(109.9)
    assert bench.do_all() == []
    bench.studies.due(110.0)
    assert bench.do_all() == ["finish 1.1 timeout"]
    assert bench.studies.deadline() is None


def test_old_study_ends_with_its_last_transfer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, max_age_s=10), HookPolicy())
    bench.store("1.1")
    request = bench.place("1.1")["request"]
    bench.studies.due(110.0)
    assert bench.do_all() == []
    bench.studies.abandoned(("w", request), 111.0)
    assert bench.do_all() == ["finish 1.1 maximum-age"]


def test_age_without_transfer_is_the_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, max_age_s=10), HookPolicy())
    bench.store("1.1")
    bench.studies.due(110.0)
    assert bench.do_all() == ["finish 1.1 maximum-age"]


# -- failed transfers ---------------------------------------------------------------------------------


def test_study_without_object_is_forgotten_with_its_directory(bench: Bench) -> None:
    request = bench.place("1.1")["request"]
    bench.studies.abandoned(("w", request), bench.now)
    assert os.listdir(bench.output) == []
    assert bench.state.recover().studies == []
    bench.studies.drain()
    assert bench.do_all() == []


def test_directory_that_was_there_before_stays(bench: Bench) -> None:
    (bench.output / "1.1").mkdir()
    bench.studies.abandoned(("w", bench.place("1.1")["request"]), bench.now)
    assert os.listdir(bench.output) == ["1.1"]


def test_failed_transfer_beside_an_object_or_another_transfer_changes_nothing(bench: Bench) -> None:
    first, second = bench.place("1.1"), bench.place("1.1")
    bench.studies.abandoned(("w", first["request"]), bench.now)
    assert os.listdir(bench.output) == ["1.1"]
    bench.tell("1.1", second["directory"], request=second["request"])
    bench.studies.abandoned(("w", bench.place("1.1")["request"]), bench.now)
    assert [row.objects for row in bench.state.recover().studies] == [1]


def test_unknown_transfer_is_no_ones(bench: Bench) -> None:
    bench.studies.abandoned(("other", 1), bench.now)
    assert bench.do_all() == []


# -- objects that nobody placed -----------------------------------------------------------------------


def test_object_stored_where_no_study_is_open_opens_one(bench: Bench) -> None:
    bench.tell("1.1", f"{bench.output}/elsewhere", request=5)
    (row,) = bench.state.recover().studies
    assert (row.uid, row.directory, row.made, row.objects) == ("1.1", f"{bench.output}/elsewhere", False, 1)


def test_object_in_another_directory_of_the_same_study_is_another_study(bench: Bench) -> None:
    bench.store("1.1")
    bench.tell("1.1", f"{bench.output}/elsewhere")
    assert [row.directory for row in bench.state.recover().studies] == [f"{bench.output}/elsewhere"]
    assert "finish 1.1 other-study" in bench.do_all()


# -- series -------------------------------------------------------------------------------------------


def test_series_ends_at_an_object_of_another_unless_somebody_sends_it(bench: Bench) -> None:
    bench.store("1.1", "CT.1", series="7.1", association="a")
    bench.store("1.1", "CT.2", series="7.2", association="b")
    bench.store("1.1", "CT.3", series="7.3", association="b")
    assert [step for step in bench.do_all() if step.startswith("series")] == ["series 7.2"]
    bench.studies.closed("a")
    bench.store("1.1", "CT.4", series="7.3", association="b")
    assert [step for step in bench.do_all() if step.startswith("series")] == ["series 7.1"]


@pytest.mark.parametrize("others", [False, True])
def test_series_ends_though_its_association_keeps_the_place_of_the_study(bench: Bench, others: bool) -> None:
    place = bench.place("1.1")
    if others:
        other = bench.place("1.1", "b")
        bench.tell("1.1", other["directory"], "CT.9", request=other["request"], keeps=True, series="7.9", association="b")
    for number in (1, 2):
        bench.tell("1.1", place["directory"], f"CT.{number}", request=place["request"], keeps=True, series=f"7.{number}")
    ended = [step for step in bench.do_all() if step.startswith("series")]
    assert ended == ([] if others else ["series 7.1"]), "what others keep may bring an object of the series"


def test_series_does_not_end_while_its_study_has_an_object_under_way(bench: Bench) -> None:
    bench.store("1.1", "CT.1", series="7.1")
    under_way = bench.place("1.1", "b")
    bench.store("1.1", "CT.2", series="7.2")
    assert [step for step in bench.do_all() if step.startswith("series")] == []
    bench.tell("1.1", under_way["directory"], "CT.3", request=under_way["request"], association="b", series="7.3")
    assert [step for step in bench.do_all() if step.startswith("series")] == ["series 7.1"]


def test_series_are_not_followed_when_nobody_asks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_end_of_study="e"), sink=False)
    bench.store("1.1", "CT.1", series="7.1")
    bench.store("1.1", "CT.2", series="7.2")
    assert bench.studies._series_of == {}
    assert bench.do_all() == []


def test_series_are_events_also_without_a_hook(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy())
    bench.store("1.1", series="7.1")
    bench.studies.drain()
    assert bench.sink.kinds == ["study.opened", "series.completed"]


# -- late objects -------------------------------------------------------------------------------------


def late_bench(output: Path, on_late: LateObjects) -> Bench:
    policy = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES, prefix="P", on_late=on_late)
    return Bench(output, policy, HookPolicy(on_end_of_study="e"))


def test_late_object_goes_where_its_study_was(tmp_path: Path) -> None:
    bench = late_bench(tmp_path, LateObjects.APPEND)
    first = bench.store("1.1")
    bench.store("1.2")
    bench.do_all()
    os.rmdir(first)
    assert bench.store("1.1", "CT.2") == first
    assert os.path.isdir(first)
    bench.studies.drain()
    bench.lanes.ready_finishes.clear()
    assert [row.file for row in bench.state.objects(1, bench.state.files(1))] == ["CT.1", "CT.2"]


def test_late_transfer_that_fails_leaves_its_study_ended(tmp_path: Path) -> None:
    bench = late_bench(tmp_path, LateObjects.APPEND)
    first = bench.store("1.1")
    bench.store("1.2")
    request = bench.place("1.1")["request"]
    assert [row.uid for row in bench.state.recover().studies] == ["1.1", "1.2"]
    bench.studies.abandoned(("w", request), bench.now)
    assert [row.uid for row in bench.state.recover().studies] == ["1.2"]
    assert bench.store("1.1", "CT.2") == first


def test_ended_studies_are_forgotten_after_a_week(tmp_path: Path) -> None:
    bench = late_bench(tmp_path, LateObjects.APPEND)
    first = bench.store("1.1")
    bench.store("1.2")
    bench.wall.now += REMEMBER_S
    bench.store("1.3")
    assert bench.state.ended_study("1.1") is not None
    bench.wall.now += FORGET_EVERY_S
    bench.store("1.4")
    assert bench.state.ended_study("1.1") is None
    assert bench.store("1.1") != first


def test_late_object_of_a_new_study_goes_elsewhere(tmp_path: Path) -> None:
    bench = late_bench(tmp_path, LateObjects.NEW_STUDY)
    first = bench.store("1.1")
    bench.store("1.2")
    assert bench.store("1.1") != first


# -- an earlier life ----------------------------------------------------------------------------------


def test_next_life_goes_on_with_numbers_tasks_and_callers(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r", on_end_of_study="e"), sink=False)
    bench.store("1.1", association="x")
    bench.start()
    assert [describe(task) for task in bench.lanes.ready_hooks] == ["reception 1.1"]
    assert bench.store("1.2", association="y") == f"{bench.output}/1.2"
    assert [row.number for row in bench.state.recover().studies] == [1, 2]
    assert [row.number for row in bench.state.recover().tasks] == [1, 2]
    bench.studies.closed("x")
    bench.store("1.2", "CT.2", association="y")
    end = next(json.loads(row.body) for row in bench.state.recover().tasks if row.kind == "finish")
    assert end["caller"]["calling_aet"] == "X"


def test_holders_of_an_earlier_life_hold_until_they_are_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r", on_end_of_study="e"), sink=False)
    bench.store("1.1", association="x")
    bench.do_all()
    bench.start()
    bench.store("1.2", association="y")
    assert bench.do_all() == ["reception 1.2"]
    bench.studies.forget_unheard(["x"])
    assert bench.do_all() == []
    bench.store("1.2", "CT.2", association="y")
    assert "finish 1.1 other-study" in bench.do_all()


def test_placed_but_never_sent_is_forgotten_after_a_restart(bench: Bench) -> None:
    bench.place("1.1")
    bench.start()
    bench.studies.forget_unheard([])
    assert os.listdir(bench.output) == []
    assert bench.state.recover().studies == []


def test_transfer_that_outlives_a_coordinator_keeps_its_study(bench: Bench) -> None:
    answer = bench.place("1.1")
    bench.start()
    bench.requests -= 1
    assert bench.place("1.1") == answer
    bench.studies.forget_unheard([])
    assert os.listdir(bench.output) == ["1.1"]


def test_timeouts_begin_anew_and_ages_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=100, max_age_s=150), HookPolicy())
    bench.store("1.1")
    bench.wall.now += 60
    bench.now = 5000.0
    bench.start()
    assert bench.studies.deadline() == 5000.0 + 150 - 60
    bench.studies.due(5090.0)
    assert bench.do_all() == ["finish 1.1 maximum-age"]


def test_clock_that_went_back_makes_no_study_younger_than_now(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, max_age_s=150), HookPolicy())
    bench.store("1.1")
    bench.wall.now -= 1000
    bench.start()
    assert bench.studies.deadline() == bench.now + 150


def test_series_of_an_earlier_life_end_with_their_study(bench: Bench) -> None:
    bench.store("1.1", series="7.1")
    bench.do_all()
    bench.start()
    bench.studies.drain()
    assert bench.do_all() == ["series 7.1", "finish 1.1 shutdown", "study 1.1"]


def test_pending_renames_of_an_earlier_life_come_before_new_objects(tmp_path: Path) -> None:
    policy = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True)
    bench = Bench(tmp_path, policy, HookPolicy())
    directory = bench.store("1.1")
    Path(directory, "CT.1").write_text("x")
    bench.store("1.2")
    bench.start()
    bench.place("1.1")
    assert os.listdir(directory) == ["CT000001"]


def test_event_numbers_of_workers_that_are_gone_are_dropped(bench: Bench) -> None:
    bench.store("1.1")
    bench.studies.drain()
    bench.state.forget_study(1)
    assert not bench.studies.tidy()
    assert bench.state.recover().events == {"w": 1}
    bench.state.forget_events(["w"])
    assert bench.state.recover().events == {}


# -- with a timeout, while associations overlap -------------------------------------------------------


def test_series_that_associations_may_share_ends_with_its_study(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=10))
    for association in ("a", "b"):
        bench.studies.opened(association)
    bench.store("1.1", "CT.1", series="7.1")
    bench.store("1.1", "CT.2", series="7.2")
    assert [step for step in bench.do_all() if step.startswith("series")] == []
    bench.studies.closed("b")
    bench.store("1.1", "CT.3", series="7.3")
    assert [step for step in bench.do_all() if step.startswith("series")] == []
    bench.studies.due(110.0)
    assert bench.do_all() == ["series 7.1", "series 7.2", "series 7.3", "finish 1.1 timeout", "study 1.1"]


# -- directories that others move ---------------------------------------------------------------------


def test_directory_of_an_open_study_is_made_again(bench: Bench) -> None:
    directory = bench.store("1.1")
    os.rmdir(directory)
    assert bench.place("1.1")["directory"] == directory
    assert os.path.isdir(directory)
    os.rmdir(directory)
    Path(directory).write_text("in the way")
    assert bench.place("1.1")["status"] == 0xA700
    os.unlink(directory)
    assert bench.place("1.1")["status"] == 0
