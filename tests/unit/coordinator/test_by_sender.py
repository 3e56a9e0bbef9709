"""Studies of several sections over one state: neither meets the other, and a restart or a reload loses none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from fastscp.coordinator.by_sender import CommandsBySender, StudiesBySender
from fastscp.coordinator.rules import AllRules, Rules
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes
from fastscp.study.policy import HookPolicy, LateObjects, Sorting, StudyPolicy
from tests.support import said
from tests.support.fakes import FakeSink

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S")
HOOKS = HookPolicy(on_end_of_study="study")


class Bench:
    """A coordinator's studies, over a state that outlives it."""

    def __init__(self, root: Path, **sections: Rules) -> None:
        self.root = root
        self.rules = AllRules({"": rules(root), **sections}, (), ())
        self.state = SqliteState(root / "state")
        self.lanes = Lanes()
        self.sink = FakeSink()
        self.studies = StudiesBySender(self.rules, self.state, self.lanes, self.sink, log_files=tuple)
        self.studies.recover(self.state.recover(), 0.0)
        self.answers: list[Any] = []
        self.event = 0

    def open(self, association: str, sender: str) -> None:
        self.studies.opened(association, sender)

    def store(self, association: str, uid: str, now: float = 1.0, **changes: Any) -> str:
        """Place and store an object; return the directory."""
        self.event += 1
        answers: list[Any] = []
        self.studies.place(said.place(self.event, uid, association=association), "w", now, answers.append)
        while self.studies.hurry():
            pass
        directory = str(answers[0]["directory"])
        packet = said.stored(self.event, uid, directory, f"CT.{self.event}", association=association, request=self.event,
                             **changes)
        sender = self.studies._of_association.get(association, "")
        self.studies.stored(packet, orjson.dumps(packet), {**said.opened(association), "sender": sender},
                            orjson.dumps({**said.opened(association), "sender": sender}), "w", None, now)
        self.state.commit()
        return directory

    def finish(self) -> list[str]:
        """Do all there is to do; return the hooks with their sections."""
        hooks = []
        while self.lanes.ready_finishes or self.lanes.ready_hooks:
            if self.lanes.ready_finishes:
                task = self.lanes.ready_finishes.popleft()
                step = self.studies.step(task)
                self.state.commit()
                if not step.done:
                    self.lanes.ready_finishes.append(task)
                elif step.then is not None:
                    self.lanes.replace(task, step.then)
                else:
                    self.lanes.finish(task)
            else:
                hook = self.lanes.ready_hooks.popleft()
                assert hook.call is not None
                hooks.append(f"{hook.kind} of {hook.call['environment'].get('FASTSCP_SENDER', '')}")
                self.state.finish_task(hook.number)
                self.lanes.finish(hook)
        self.state.commit()
        return hooks

    def completed(self) -> list[tuple[str, str, int]]:
        return [(event["sender"], event["study_uid"], event["revision"]) for event in self.sink.events
                if event["event"] == "study.completed"]

    def again(self, **sections: Rules) -> Bench:
        self.state.close()
        return Bench(self.root, **sections)


def rules(root: Path, study: StudyPolicy = BY_UID, hooks: HookPolicy = HOOKS, output: str = "out", *, keeps: bool = True) -> Rules:
    (root / output).mkdir(exist_ok=True)
    return Rules(study, hooks, str(root / output), ignore=False, keeps_studies=keeps)


@pytest.fixture
def both(tmp_path: Path) -> Bench:
    """A service with a section ct, that have the same directory; an association of each is open."""
    (tmp_path / "state").mkdir()
    bench = Bench(tmp_path, ct=rules(tmp_path))
    bench.open("a", "ct")
    bench.open("b", "")
    return bench


def test_one_study_of_two_sections_is_two_with_a_directory_each(both: Bench) -> None:
    assert both.store("a", "1.2") == f"{both.root}/out/S_1.2"
    assert both.store("b", "1.2") == f"{both.root}/out/S_1.2.r2"
    assert both.store("a", "1.2") == f"{both.root}/out/S_1.2"
    both.studies.drain()
    assert sorted(both.finish()) == ["study of ", "study of ct"]
    assert sorted(both.completed()) == [("", "1.2", 1), ("ct", "1.2", 1)]


def test_a_study_ends_none_of_another_section(both: Bench) -> None:
    both.store("a", "1.2")
    both.studies.closed("a")
    both.store("b", "1.3")
    assert both.finish() == []
    both.open("c", "ct")
    both.store("c", "1.4")
    assert both.finish() == ["study of ct"]
    assert both.completed() == [("ct", "1.2", 1)]


def test_revisions_are_counted_for_each_section(both: Bench) -> None:
    for _ in range(2):
        both.store("a", "1.2", sop_instance=f"9.{both.event}")
        both.studies.drain()
        both.finish()
    both.store("b", "1.2", sop_instance="9.9")
    both.studies.drain()
    both.finish()
    assert both.completed() == [("ct", "1.2", 1), ("ct", "1.2", 2), ("", "1.2", 1)]


def test_restart_gives_each_study_back_to_its_section(both: Bench) -> None:
    both.store("a", "1.2")
    both.store("b", "1.2")
    later = both.again(ct=rules(both.root, StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S", timeout_s=5)))
    assert later.studies.deadline() == 5.0
    later.studies.forget_unheard(["a", "b"])
    later.studies.due(6.0)
    later.finish()
    assert later.completed() == [("ct", "1.2", 1)]
    assert {study.directory for study in later.state.recover().studies} == {f"{both.root}/out/S_1.2.r2"}


def test_section_that_is_gone_keeps_its_name_and_goes_by_the_rules_of_the_service(both: Bench) -> None:
    both.store("a", "1.2")
    both.studies.drain()  # what is to be done for it is in the state
    both.store("a", "1.3")
    later = both.again()
    later.studies.drain()
    assert sorted(later.finish()) == ["study of ct", "study of ct"]
    assert sorted(later.completed()) == [("ct", "1.2", 1), ("ct", "1.3", 1)]


def test_reload_gives_open_studies_other_times_and_hooks(both: Bench) -> None:
    both.store("a", "1.2", now=1.0)
    assert both.studies.deadline() is None
    both.studies.use(AllRules({"": rules(both.root), "ct": rules(
        both.root, StudyPolicy(sorting=Sorting.STUDY_UID, prefix="N", timeout_s=5), HookPolicy())}, (), ()))
    assert both.store("a", "1.3", now=2.0) == f"{both.root}/out/N_1.3"
    both.studies.due(10.0)
    assert both.finish() == []
    assert sorted(both.completed()) == [("ct", "1.2", 1), ("ct", "1.3", 1)]


def test_reload_without_studies_lets_open_ones_end_by_the_old_rules(both: Bench) -> None:
    both.studies.use(AllRules({"": rules(both.root), "ct": rules(both.root, StudyPolicy(timeout_s=9))}, (), ()))
    both.store("a", "1.2")
    both.studies.use(AllRules({"": rules(both.root), "ct": rules(both.root, StudyPolicy(), HookPolicy(), keeps=False)}, (), ()))
    assert both.studies.deadline() == 10.0


def test_late_object_is_appended_to_the_study_of_its_own_section(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    appended = StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S", on_late=LateObjects.APPEND)
    bench = Bench(tmp_path, ct=rules(tmp_path, appended))
    bench.open("a", "ct")
    first = bench.store("a", "1.2")
    bench.studies.drain()
    bench.finish()
    assert bench.store("a", "1.2") == first
    assert len(bench.state.recover().studies) == 1


def test_object_of_an_association_that_nobody_knows_is_the_services(both: Bench) -> None:
    both.store("never opened", "1.2")
    both.studies.drain()
    both.finish()
    assert both.completed() == [("", "1.2", 1)]


def test_numbers_are_given_once(both: Bench) -> None:
    both.store("a", "1.2")
    both.store("b", "1.3")
    numbers = [row.number for row in both.state.recover().studies]
    assert numbers == [1, 2]
    both.studies.drain()
    tasks = [task.number for task in both.lanes]
    assert tasks == sorted(set(tasks))
    assert all(isinstance(task, FinishTask | HookTask) for task in both.lanes)


def test_commands_are_those_of_the_section(tmp_path: Path) -> None:
    made = AllRules({"": rules(tmp_path), "ct": rules(tmp_path, hooks=HookPolicy(on_reception="ct"))}, (), ())
    commands = CommandsBySender(made)
    of_ct: Any = {"values": {}, "environment": {"FASTSCP_SENDER": "ct"}}
    of_gone: Any = {"values": {}, "environment": {"FASTSCP_SENDER": "gone"}}
    assert commands.of(of_ct).has("reception")
    assert not commands.of(of_ct).has("study")
    assert commands.of(of_gone).has("study")
    commands.use(AllRules({"": made.of("")}, (), ()))
    assert commands.of(of_ct).has("study")
