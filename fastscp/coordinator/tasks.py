"""What the coordinator has to carry out, in the order that holds within each study.

Strategy: tasks form lanes; a lane is one study. A task waits for the one before it in its lane and, with
``--exec-sync``, for the hook of the object that caused it; whatever waits for nothing is ready. Lanes do not
wait for one another.

Invariants: a task never changes; it is ready once, and done once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import orjson

from fastscp.study.state import TaskRow
from fastscp.study.variables import Call

FINISH = "finish"  #: kind of a ``FinishTask`` in the durable state; hooks have theirs
#: (key of a worker's session, event number): what a worker waits for
Cause = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """What is done to the files of a study that ended, as kept in the durable state."""

    uid: str
    directory: str
    reason: str
    renames: tuple[tuple[str, str], ...] = ()  #: (name, new name)


@dataclass(frozen=True, eq=False)
class HookTask:
    """A hook to be run. ``number`` is its key in the durable state, 0 when it is not kept."""

    kind: str
    study: int
    call: Call
    number: int = 0
    cause: Cause | None = None


@dataclass(frozen=True, eq=False)
class FinishTask:
    """A study's files to be finished by this process itself."""

    study: int
    plan: Plan
    number: int
    cause: Cause | None = None


Task = HookTask | FinishTask


def row_of(task: Task) -> TaskRow:
    """Return a task as it is kept."""
    if isinstance(task, FinishTask):
        return TaskRow(task.number, task.study, FINISH, orjson.dumps(task.plan))
    return TaskRow(task.number, task.study, task.kind, orjson.dumps(task.call))


def task_of(row: TaskRow) -> Task:
    """Return the task that an earlier coordinator kept; whoever waited for it is gone."""
    body = orjson.loads(row.body)
    if row.kind != FINISH:
        return HookTask(row.kind, row.study, body, row.number)
    renames = tuple((old, new) for old, new in body["renames"])
    return FinishTask(row.study, Plan(body["uid"], body["directory"], body["reason"], renames), row.number)


@dataclass(eq=False)
class _Entry:
    """The place of a task that is not done."""

    task: Task
    lane: int | None
    waits_for: int = 0
    successors: list[_Entry] = field(default_factory=list)


class Lanes:
    """All tasks not done yet."""

    def __init__(self) -> None:
        self._entries: dict[Task, _Entry] = {}
        self._tails: dict[int, _Entry] = {}
        self._caused: dict[Cause, int] = {}
        self.ready_hooks: deque[HookTask] = deque()
        self.ready_finishes: deque[FinishTask] = deque()

    @property
    def pending(self) -> int:
        """How many tasks are not done."""
        return len(self._entries)

    def add(self, task: Task, *, lane: int | None, after: Task | None = None) -> None:
        """Take a task: last in ``lane`` (None: in no lane), and not before ``after`` is done."""
        entry = self._entries[task] = _Entry(task, lane)
        if lane is not None:
            tail = self._tails.get(lane)
            self._tails[lane] = entry
            if tail is not None:
                _wait(entry, tail)
        other = None if after is None else self._entries.get(after)
        if other is not None:
            _wait(entry, other)
        if task.cause is not None:
            self._caused[task.cause] = self._caused.get(task.cause, 0) + 1
        if not entry.waits_for:
            self._make_ready(task)

    def caused(self, cause: Cause) -> int:
        """Return how many tasks of that cause are not done."""
        return self._caused.get(cause, 0)

    def finish(self, task: Task) -> None:
        """Mark a task as done; what waited only for it becomes ready."""
        entry = self._entries.pop(task)
        if task.cause is not None:
            self._caused[task.cause] -= 1
            if not self._caused[task.cause]:
                del self._caused[task.cause]
        if entry.lane is not None and self._tails[entry.lane] is entry:
            del self._tails[entry.lane]
        for successor in entry.successors:
            successor.waits_for -= 1
            if not successor.waits_for:
                self._make_ready(successor.task)

    def _make_ready(self, task: Task) -> None:
        if isinstance(task, FinishTask):
            self.ready_finishes.append(task)
        else:
            self.ready_hooks.append(task)


def _wait(entry: _Entry, other: _Entry) -> None:
    other.successors.append(entry)
    entry.waits_for += 1
