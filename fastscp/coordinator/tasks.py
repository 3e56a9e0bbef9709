"""What the coordinator has to carry out, in the order that holds within each study.

Strategy: tasks form lanes; a lane is one study. A task waits for the one before it in its lane and, with
``--exec-sync``, for the hook of the object that caused it; whatever waits for nothing is ready. Lanes do not
wait for one another.

Invariants: what a task is to do never changes; it is done once. What a hook is called with may be in the durable state
alone while it waits: memory is bounded for each task, however many wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastscp import jsontext
from fastscp.study.naming import study_key
from fastscp.study.state import NEAR, TaskRow
from fastscp.study.variables import Call

FINISH = "finish"  #: kind of a ``FinishTask`` in the durable state; hooks have theirs
#: (key of a worker's session, event number): what a worker waits for
Cause = tuple[int, int]


@dataclass
class Numbers:
    """The numbers given last: of a study, a task and an object, whoever they belong to."""

    study: int = 0
    task: int = 0
    object: int = 0


@dataclass(frozen=True)
class Move:
    """The way of a study's directory to where it is handed over (``fastscp.coordinator.moving``)."""

    target: str
    identity: tuple[int, int]  #: device and inode of the directory
    copy: str = ""  #: hidden name of its copy on another file system
    copied: bool = False  #: the copy is complete


@dataclass(frozen=True)
class Plan:
    """What is done to the files of a study that ended, and how far it has come, as kept in the durable state.

    The defaults are those of an ended study that an earlier version kept.
    """

    uid: str
    directory: str
    reason: str
    renames: tuple[tuple[str, str], ...] = ()  #: (name, new name)
    caller: Mapping[str, Any] | None = None  #: whose object was the last; None: the hook is a task of its own
    last: int | None = None  #: number of the last object that belongs to this end
    decided: bool = True  #: whether ``revision`` is known
    named: bool = True  #: whether ``renames`` are chosen
    revision: int = 1  #: 0: nothing changed
    repeats: tuple[tuple[str, str], ...] = ()  #: (file to be removed, path under which its octets are kept)
    move: Move | None = None
    sender: str = ""  #: section of the configuration file that the study came through

    @property
    def key(self) -> str:
        """What the study is kept under."""
        return study_key(self.sender, self.uid)

    @property
    def final_directory(self) -> str:
        """Where the files are in the end."""
        return self.directory if self.move is None else self.move.target


@dataclass(eq=False, slots=True)
class HookTask:
    """A hook to be run. ``number`` is its key in the durable state.

    ``study`` is 0 where none is tracked. ``call`` is None while it is in the state only; ``Backlog.call`` has it.
    """

    kind: str
    study: int
    call: Call | None
    number: int = 0
    cause: Cause | None = None
    kept: bool = True  #: it is in the state
    attempts: int = 0  #: how often it was run and failed


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
        return TaskRow(task.number, task.study, FINISH, jsontext.dumps(task.plan))
    return TaskRow(task.number, task.study, task.kind, jsontext.dumps(task.call))


def task_of(row: TaskRow) -> Task:
    """Return the task that an earlier coordinator kept; whoever waited for it is gone."""
    if row.kind != FINISH:
        return HookTask(row.kind, row.study, jsontext.loads(row.body) if row.body else None, row.number)
    body = jsontext.loads(row.body)
    for name in ("renames", "repeats"):
        body[name] = tuple((old, new) for old, new in body.get(name, ()))
    move = body.pop("move", None)
    if move is not None:
        move = Move(**{**move, "identity": tuple(move["identity"])})
    return FinishTask(row.study, Plan(**body, move=move), row.number)


@dataclass(eq=False, slots=True)
class _Entry:
    """The place of a task that is not done."""

    task: Task
    lane: int | None
    waits_for: int = 0
    successors: list[_Entry] | None = None  #: most have none


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

    def has_lane(self, lane: int) -> bool:
        """Whether something in a lane is not done."""
        return lane in self._tails

    def __iter__(self) -> Iterator[Task]:
        """Yield every task that is not done."""
        return iter(self._entries)

    def add(self, task: Task, *, lane: int | None, after: Task | None = None) -> None:
        """Take a task: last in ``lane`` (None: in no lane), and not before ``after`` is done."""
        self.put_away(task)
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

    def put_away(self, task: Task) -> None:
        """Leave what a hook is called with to the state, when so many wait that its turn is far."""
        if isinstance(task, HookTask) and task.kept and self.pending >= NEAR:
            task.call = None

    def forget_cause(self, task: Task) -> None:
        """Count a task as nobody's: its worker waits for nothing of it any more."""
        if isinstance(task, HookTask) and task.cause is not None:
            self._drop_cause(task.cause)
            task.cause = None

    def _drop_cause(self, cause: Cause) -> None:
        self._caused[cause] -= 1
        if not self._caused[cause]:
            del self._caused[cause]

    def caused(self, cause: Cause) -> int:
        """Return how many tasks of that cause are not done."""
        return self._caused.get(cause, 0)

    def finish(self, task: Task) -> None:
        """Mark a task as done; what waited only for it becomes ready."""
        entry = self._entries.pop(task)
        if task.cause is not None:
            self._drop_cause(task.cause)
        if entry.lane is not None and self._tails[entry.lane] is entry:
            del self._tails[entry.lane]
        for successor in entry.successors or ():
            successor.waits_for -= 1
            if not successor.waits_for:
                self._make_ready(successor.task)

    def replace(self, task: Task, by: Task) -> None:
        """Let ``by``, of the same cause, take the place of ``task``, which was ready; it is ready at once."""
        self.put_away(by)
        entry = self._entries[by] = self._entries.pop(task)
        entry.task = by
        self._make_ready(by)

    def _make_ready(self, task: Task) -> None:
        if isinstance(task, FinishTask):
            self.ready_finishes.append(task)
        else:
            self.ready_hooks.append(task)


def _wait(entry: _Entry, other: _Entry) -> None:
    if other.successors is None:
        other.successors = []
    other.successors.append(entry)
    entry.waits_for += 1
