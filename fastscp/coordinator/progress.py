"""How far the finishing of one study has come, as kept in the durable state."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from fastscp import jsontext
from fastscp.coordinator.tasks import FinishTask, HookTask, row_of
from fastscp.errors import ProcessError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.study.state import ObjectRow, StudyState

_log = logging.getLogger(APPLICATION)

COMMIT_PAUSE_S: Final = 0.1  #: between two tries
OBJECTS_PER_STEP: Final = 128  #: a millisecond or two


class Progress:
    """A task and its plan, which changes while the task is carried out."""

    def __init__(self, task: FinishTask, state: StudyState) -> None:
        self.task = task
        self.plan = task.plan
        self.renames = list(task.plan.renames)  #: they change when a name turns out to be taken
        self.renamed = 0  #: how many of them are done
        self.occupies = True  #: its directory may get no new object
        self.hurried = False  #: its directory is wanted
        self.failed = False  #: by an error that nobody expected
        self.stuck = False  #: it waits to be tried again, and who wants its directory does not
        self.hook: HookTask | None = None  #: what comes after it
        self.steps: Iterator[float] = iter(())  #: each is a piece of the work; seconds until the next one
        self._state = state

    def pages(self) -> Iterator[tuple[list[tuple[ObjectRow, Mapping[str, Any]]], bool]]:
        """Yield the objects of the study, each with its ``stored`` packet, as many at a time as are worth one step.

        With them comes whether there are more, so that the step is to end.
        """
        state, study = self._state, self.task.study
        files = state.files(study, self.plan.last)
        for end in range(OBJECTS_PER_STEP, len(files) + OBJECTS_PER_STEP, OBJECTS_PER_STEP):
            page = state.objects(study, files[end - OBJECTS_PER_STEP:end])
            yield [(row, jsontext.loads(row.body)) for row in page], end < len(files)

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


def advance(progress: Progress) -> float | None:
    """Do the next piece; return the pause behind it in seconds, None when it was the last one.

    An error that nobody expected ends the work: the task stays in the state, for the next start.
    """
    try:
        return next(progress.steps)
    except StopIteration:
        return None
    except ProcessError:  # of the state: without it nothing can be promised
        raise
    except Exception:  # noqa: BLE001 - the boundary of one task
        progress.failed = True
        _log.error("internal error, the end of study %s is left to the next start", progress.plan.uid, exc_info=True)
        return None
