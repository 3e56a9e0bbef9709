"""How far the finishing of one study has come, as kept in the durable state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fastscp.coordinator.tasks import FinishTask, HookTask, row_of
from fastscp.errors import StorageError
from fastscp.study.state import StudyState

COMMIT_PAUSE_S = 0.1  #: between two tries


class Progress:
    """A task and its plan, which changes while the task is carried out."""

    def __init__(self, task: FinishTask, state: StudyState) -> None:
        self.task = task
        self.plan = task.plan
        self.renames = list(task.plan.renames)  #: they change when a name turns out to be taken
        self.renamed = 0  #: how many of them are done
        self.occupies = True  #: its directory may get no new object
        self.hurried = False  #: its directory is wanted
        self.hook: HookTask | None = None  #: what comes after it
        self.steps: Iterator[float] = iter(())  #: each is a piece of the work; seconds until the next one
        self._state = state

    def keep(self, **changes: Any) -> None:
        """Change the plan; it is durable after the next commit."""
        self.plan = replace(self.plan, **changes)
        self._state.add_task(row_of(replace(self.task, plan=self.plan)))

    def committed(self) -> Iterator[float]:
        """Have the plan durable; each value is a pause, while the disk of the state takes nothing."""
        while True:
            try:
                self._state.commit()
            except StorageError:  # the end of the round tells it
                yield COMMIT_PAUSE_S
            else:
                return

    def keep_move(self, **changes: Any) -> Iterator[float]:
        """Change the plan of the move, and commit: what is on disk is only understood with it."""
        if self.plan.move is not None:
            self.keep(move=replace(self.plan.move, **changes))
            yield from self.committed()
