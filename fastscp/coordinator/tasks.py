"""What the coordinator has to carry out, in the order that holds within each study.

Strategy: tasks form lanes; a lane is one study. A task waits for the one before it in its lane and, with
``--exec-sync``, for the hook of the object that caused it; whatever waits for nothing is ready. Lanes do not
wait for one another.

Invariant: a task is ready once, and done once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

#: (worker's channel, event number) that a worker waits for
Cause = tuple[int, int]


@dataclass(eq=False)
class Task:
    """One thing to do. ``number`` is its key in the durable state, 0 when it is not kept."""

    kind: str
    study: int
    body: Any
    number: int = 0
    cause: Cause | None = None
    inline: bool = False
    waits_for: int = 0
    done: bool = False
    successors: list[Task] = field(default_factory=list)


class Lanes:
    """All tasks not done yet."""

    def __init__(self) -> None:
        self._tails: dict[int, Task] = {}
        self._caused: dict[Cause, int] = {}
        self.ready: deque[Task] = deque()  #: hooks
        self.ready_inline: deque[Task] = deque()  #: what this process does itself
        self.pending = 0

    def add(self, task: Task, *, lane: int | None, after: Task | None = None) -> None:
        """Take a task: last in ``lane`` (None: in no lane), and not before ``after`` is done."""
        self.pending += 1
        if lane is not None:
            tail = self._tails.get(lane)
            self._tails[lane] = task
            if tail is not None:
                _wait(task, tail)
        if after is not None:
            _wait(task, after)
        if task.cause is not None:
            self._caused[task.cause] = self._caused.get(task.cause, 0) + 1
        if not task.waits_for:
            self._make_ready(task)

    def caused(self, cause: Cause) -> int:
        """Return how many tasks of that cause are not done."""
        return self._caused.get(cause, 0)

    def _make_ready(self, task: Task) -> None:
        (self.ready_inline if task.inline else self.ready).append(task)

    def finish(self, task: Task) -> None:
        """Mark a task as done; what waited only for it becomes ready."""
        task.done = True
        self.pending -= 1
        if task.cause is not None:
            self._caused[task.cause] -= 1
            if not self._caused[task.cause]:
                del self._caused[task.cause]
        if self._tails.get(task.study) is task:
            del self._tails[task.study]
        for successor in task.successors:
            successor.waits_for -= 1
            if not successor.waits_for and not successor.done:
                self._make_ready(successor)
        task.successors.clear()


def _wait(task: Task, other: Task) -> None:
    if not other.done and task not in other.successors:
        other.successors.append(task)
        task.waits_for += 1
