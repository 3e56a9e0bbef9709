"""Studies that end in a test, with files: what is done to them by the coordinator's parts, without a process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastscp.coordinator.finishing import Finisher, Step
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.studies import Studies
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes
from fastscp.store.own_paths import OwnPaths
from fastscp.study.policy import HookPolicy, StudyPolicy
from tests.support import said
from tests.support.fakes import Clock, FakeSink

HOOKS = HookPolicy(on_end_of_study="e")


class EndedStudies:
    """Stores objects as a worker does, and finishes their studies."""

    def __init__(self, output: Path, policy: StudyPolicy, state: SqliteState | None = None) -> None:
        self.output, self.policy = output, policy
        output.mkdir(exist_ok=True)
        self.state = state or SqliteState(None)
        self.events = self.requests = 0
        self.start()

    def start(self) -> None:
        """Begin a (next) life on the same state."""
        self.sink = FakeSink()
        self.lanes = Lanes()
        self.finisher = Finisher(self.policy, self.state, self.sink, has_hook=True, wall=Clock())
        self.studies = Studies(self.policy, HOOKS, self.state, self.lanes,
                               Placer(self.policy, str(self.output), OwnPaths()), self.finisher, self.sink,
                               wall=Clock())
        self.studies.recover(self.state.recover(), 0.0)

    def place(self, study: str) -> dict[str, Any]:
        self.requests += 1
        answers: list[dict[str, Any]] = []
        self.studies.place(said.place(self.requests, study), "w", 0.0, answers.append)
        self.state.commit()
        while not answers:
            assert self.finisher.hurry() or answers, "nobody answers"
        return answers[0]

    def store(self, study: str, instance: str, content: str = "", *, answer: dict[str, Any] | None = None) -> Path:
        """Store an object whose file has the name of its instance; return its directory."""
        answer = answer or self.place(study)
        assert answer["status"] == 0, answer
        path = Path(answer["directory"], f"CT.{instance}")
        octets = content or f"octets of {instance}"
        replaced = path.exists()
        unchanged = replaced and path.read_text() == octets
        path.write_text(octets)
        self.events += 1
        packet = said.stored(self.events, study, str(path.parent), path.name, request=answer["request"],
                             sop_instance=instance, replaced=replaced, unchanged=unchanged)
        caller = said.opened("a")
        self.studies.stored(packet, json.dumps(packet).encode(), caller, json.dumps(caller).encode(), "w",
                            (1, self.events), 0.0)
        return path.parent

    def end(self) -> FinishTask:
        """End the open study; return what is to be done."""
        self.studies.drain()
        self.state.commit()
        return self.lanes.ready_finishes.popleft()

    def finish(self, task: FinishTask | None = None, *, steps: int = 1000) -> Step:
        """Finish the study that is open, or that of ``task``, and run its hook when there is one."""
        task = task or self.end()
        for _ in range(steps):
            step = self.finisher.step(task)
            if step.done:
                if step.then is None:
                    self.lanes.finish(task)
                else:
                    self.lanes.replace(task, step.then)
                    self.lanes.ready_hooks.remove(step.then)
                    self.state.finish_task(step.then.number)
                    self.lanes.finish(step.then)
                self.state.commit()
                return step
            if step.pause_s:
                return step
        return step

    def environment(self, step: Step) -> dict[str, str]:
        assert step.then is not None
        return step.then.call["environment"]

    @property
    def pending(self) -> list[str]:
        """Kinds of the tasks in the state."""
        return [row.kind for row in self.state.recover().tasks]

    @property
    def completed(self) -> list[dict[str, Any]]:
        return [event for event in self.sink.events if event["event"] == "study.completed"]

    def restart(self) -> list[FinishTask | HookTask]:
        """Begin the next life with what is durable; return what it has to do."""
        self.state._engine._pending.clear()
        self.state._engine._roll_back()
        self.start()
        return [*self.lanes.ready_finishes, *self.lanes.ready_hooks]


def tree(directory: Path) -> dict[str, str]:
    """Return what is in the files below a directory, without the manifest."""
    return {str(path.relative_to(directory)): path.read_text() for path in sorted(directory.rglob("*"))
            if path.is_file() and path.suffix != ".json"}
