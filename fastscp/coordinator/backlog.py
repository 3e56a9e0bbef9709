"""The hooks that wait: which of them are in the durable state, and what they are called with.

Strategy: where studies are tracked every hook is in the state from the moment its cause is. Where none is, a hook that
starts in the round of its object never sees the state; those that have to wait are kept at the end of the round, and so
are hooks that wait to be retried. Of hooks whose turn is far the state alone has the call (``Lanes.put_away``).

Invariants: after a round every object that was taken over has its hook started, or kept, and its worker told; an
event is noted in the state only when every event before it is started or kept.
What it does not do: order hooks, or start them.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable

from fastscp import jsontext
from fastscp.coordinator.tasks import Cause, HookTask, Lanes, Numbers, row_of, task_of
from fastscp.study.state import FailedRow, HookState, TaskRow
from fastscp.study.variables import Call


class Backlog:
    """Hooks between their cause and their end. ``kept`` is told of each that is in the state from now on."""

    def __init__(self, lanes: Lanes, state: HookState, *, last_task: int = 0, numbers: Numbers | None = None,
                 wall: Callable[[], float] = time.time) -> None:
        self._lanes = lanes
        self._state = state
        self._numbers = numbers or Numbers(task=last_task)
        self._wall = wall
        self._new: dict[HookTask, str] = {}  #: neither started nor kept, in order, with the worker that caused it
        self.kept: Callable[[HookTask], None] = lambda _task: None

    def add(self, kind: str, call: Call, cause: Cause, incarnation: str) -> None:
        """Take the hook of an object that belongs to no study."""
        self._numbers.task += 1
        task = HookTask(kind, 0, call, self._numbers.task, cause, kept=False)
        self._new[task] = incarnation
        self._lanes.add(task, lane=None)

    def call(self, task: HookTask) -> Call:
        """Return what a hook is to be called with, and have it at hand from now on."""
        if task.call is None:
            call: Call = jsontext.loads(self._state.task_body(task.number))
            task.call = call
        return task.call

    def started(self, task: HookTask) -> None:
        """Take note that a hook runs."""
        self._new.pop(task, None)

    def settle(self) -> None:
        """End the round: keep what could not be started in it."""
        new, self._new = self._new, {}
        for task, incarnation in new.items():
            self.keep(task)
            if task.cause is not None:
                self._state.note_event(incarnation, task.cause[1])
            self.kept(task)

    def keep(self, task: HookTask) -> None:
        """Have a hook in the state."""
        if not task.kept:
            self._state.add_task(row_of(task))
            task.kept = True
            self._lanes.put_away(task)

    def rest(self, task: HookTask) -> None:
        """Leave a hook to the state until it is retried."""
        self.keep(task)
        task.call = None

    def keep_all(self) -> int:
        """Have every hook that has not ended in the state, for the next start; return how many these are."""
        self.settle()
        tasks = [task for task in self._lanes if isinstance(task, HookTask)]
        for task in tasks:
            self.keep(task)
        return len(tasks)

    # -- ends -------------------------------------------------------------------------------------

    def done(self, task: HookTask) -> None:
        """Forget a hook that was carried out."""
        self._new.pop(task, None)
        if task.kept:
            self._state.finish_task(task.number)

    def fail(self, task: HookTask, arguments: list[str], status: int) -> None:
        """Keep a hook that failed for good, until somebody decides about it."""
        call = self.call(task)
        shell = arguments[:2] == ["/bin/sh", "-c"]
        self._state.fail_task(FailedRow(
            row_of(task), call["environment"].get("FASTSCP_STUDY_UID", ""), call["values"].get("p", ""),
            arguments[2] if shell else shlex.join(arguments), status, task.attempts, self._wall()))

    # -- from the state ---------------------------------------------------------------------------

    def recover(self, rows: Iterable[TaskRow]) -> int:
        """Take hooks that are in the state; return how many."""
        tasks = [task_of(row) for row in rows]
        for task in tasks:
            self._lanes.add(task, lane=task.study or None)
        return len(tasks)

    def retry(self, numbers: list[int] | None) -> int:
        """Run hooks again that failed for good, None for all of them; return how many."""
        return self.recover(self._state.retry_failed(numbers))

    def forget(self, numbers: list[int] | None) -> int:
        """Drop hooks that failed for good, None for all of them; return how many."""
        return self._state.forget_failed(numbers)
