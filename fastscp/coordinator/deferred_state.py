"""The state of hooks where no study is tracked: opened when there is something to keep.

Strategy: an earlier run may have left hooks, so a file that is there is opened at the start; else the state directory is
made with the first hook that has to wait. A directory that cannot be used, because another service has it or because
it cannot be written, ends nothing: hooks are then kept in memory, as the log says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from fastscp.coordinator.state import SqliteState
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.study.state import FailedRow, HookState, Recovered, TaskRow

_log = logging.getLogger(APPLICATION)


class DeferredState:
    """``HookState`` that costs nothing while no hook has to wait. ``make`` opens the file."""

    def __init__(self, make: Callable[[], HookState], *, exists: bool) -> None:
        self._make = make
        self._made: HookState | None = None
        self._exists = exists

    @property
    def directory(self) -> Path | None:
        """Where the state outlives its processes, None when it does not, or nothing was kept yet."""
        return None if self._made is None else self._made.directory

    def _state(self) -> HookState:
        if self._made is None:
            try:
                self._made = self._make()
            except ProcessError as error:
                _log.warning("hooks that have to wait are kept in memory only: %s", error)
                self._made = SqliteState(None)
        return self._made

    def recover(self) -> Recovered:
        """Return the hooks that an earlier run kept; what belongs to studies is for a run that tracks them."""
        if not self._exists:
            return Recovered()
        recovered = self._state().recover()
        return replace(recovered, studies=[], holders={}, tasks=[row for row in recovered.tasks if not row.study])

    def note_event(self, incarnation: str, event: int) -> None:
        """Keep that this event of a worker, and every one before, was taken over."""
        self._state().note_event(incarnation, event)

    def add_task(self, row: TaskRow) -> None:
        """Keep a task until ``finish_task``; an existing one gets the new body."""
        self._state().add_task(row)

    def task_body(self, number: int) -> bytes:
        """Return the body of a task that is kept."""
        return self._state().task_body(number)

    def finish_task(self, number: int) -> None:
        """Drop a task that was carried out."""
        self._state().finish_task(number)

    def fail_task(self, row: FailedRow) -> None:
        """Keep a hook as failed for good; it is no task any more."""
        self._state().fail_task(row)

    def retry_failed(self, numbers: Iterable[int] | None) -> list[TaskRow]:
        """Make tasks again of hooks that failed, None of all of them, and return these, in order."""
        return self._state().retry_failed(numbers)

    def forget_failed(self, numbers: Iterable[int] | None) -> int:
        """Drop hooks that failed, None for all of them; return how many."""
        return self._state().forget_failed(numbers)

    def forget_events(self, incarnations: Iterable[str]) -> None:
        """Drop what is kept of workers that are gone."""
        if self._made is not None:
            self._made.forget_events(incarnations)

    def commit(self) -> None:
        """Make everything since the last call durable."""
        if self._made is not None:
            self._made.commit()

    def close(self) -> None:
        """Commit and close."""
        if self._made is not None:
            self._made.close()
