"""What the coordinator keeps: open studies, their objects, tasks to be done, events taken over. Pure.

Invariants: what a worker was told (a directory, an acknowledgement) is in the state; a task is in it from the
moment its cause is until it was carried out, so tasks run at least once; a hook that failed for good is in it until
somebody has it retried or forgotten.

``StudyState`` is all that the coordinator knows of an engine, ``HookState`` the part of it that hooks need where no
study is tracked; ``fastscp.coordinator.state`` is the one there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

#: so many waiting hooks have what they are called with in memory; of the others it is in the state alone
NEAR = 256
#: of more hooks that failed for good the oldest are forgotten
MOST_FAILED = 10_000


@dataclass(frozen=True)
class StudyRow:
    """A study as kept: ``opened`` and ``ended`` are seconds since the epoch."""

    number: int
    uid: str
    directory: str
    opened: float
    made: bool
    ended: float | None = None
    objects: int = 0


@dataclass(frozen=True)
class ObjectRow:
    """An object as kept: ``name`` is its file's name now, ``body`` its ``stored`` packet, ``caller`` its ``opened``.

    ``changed`` tells whether it changed its study since that ended last.
    """

    file: str
    name: str
    association: str
    caller: bytes
    body: bytes
    changed: bool = True


@dataclass(frozen=True)
class TaskRow:
    """Something still to be carried out; tasks of one study are done in the order of their numbers.

    ``study`` is 0 where none is tracked. What was recovered has no ``body`` where ``task_body`` has to be asked for it.
    """

    number: int
    study: int
    kind: str
    body: bytes


@dataclass(frozen=True)
class FailedRow:
    """A hook that failed for good: ``command`` is what was executed last, ``status`` how that ended."""

    task: TaskRow
    study_uid: str
    directory: str
    command: str
    status: int
    attempts: int
    when: float  #: seconds since the epoch


@dataclass(frozen=True)
class Recovered:
    """What an earlier coordinator left."""

    studies: list[StudyRow] = field(default_factory=list)
    tasks: list[TaskRow] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)  #: highest event number by incarnation
    holders: dict[str, int] = field(default_factory=dict)  #: study by association, of its most recent object
    last_study: int = 0
    last_task: int = 0
    last_object: int = 0


class HookState(Protocol):
    """What hooks need of an engine. Writes are durable after ``commit``; all raise ``ProcessError``."""

    def recover(self) -> Recovered:
        """Return everything kept."""

    def note_event(self, incarnation: str, event: int) -> None:
        """Keep that this event of a worker, and every one before, was taken over."""

    def add_task(self, row: TaskRow) -> None:
        """Keep a task until ``finish_task``; an existing one gets the new body."""

    def task_body(self, number: int) -> bytes:
        """Return the body of a task that is kept."""

    def finish_task(self, number: int) -> None:
        """Drop a task that was carried out."""

    def fail_task(self, row: FailedRow) -> None:
        """Keep a hook as failed for good; it is no task any more."""

    def retry_failed(self, numbers: Iterable[int] | None) -> list[TaskRow]:
        """Make tasks again of hooks that failed, None of all of them, and return these, in order."""

    def forget_failed(self, numbers: Iterable[int] | None) -> int:
        """Drop hooks that failed, None for all of them; return how many."""

    def forget_events(self, incarnations: Iterable[str]) -> None:
        """Drop what is kept of workers that are gone."""

    def commit(self) -> None:
        """Make everything since the last call durable."""

    def close(self) -> None:
        """Commit and close."""

    @property
    def directory(self) -> Path | None:
        """Where the state outlives its processes, None when it does not."""


class StudyState(HookState, Protocol):
    """What the coordinator needs of an engine, studies included."""

    def open_study(self, row: StudyRow) -> None:
        """Keep an opened (or opened again) study."""

    def forget_study(self, number: int) -> None:
        """Drop a study; ``tidy`` drops its objects."""

    def tidy(self) -> bool:
        """Drop some of what belongs to nothing any more; return whether there is more of it."""

    def end_study(self, number: int, when: float) -> None:
        """Keep an ended study, for late objects."""

    def ended_study(self, uid: str) -> StudyRow | None:
        """Return the most recently ended study of that UID."""

    def forget_ended(self, before: float, keep: int) -> None:
        """Drop what ended before that time, and the objects of all but the latest studies, up to ``keep`` objects."""

    def revision(self, uid: str) -> int:
        """Return how often the study of that UID ended, 0 for one that never did or was forgotten."""

    def set_revision(self, uid: str, revision: int, when: float) -> None:
        """Keep how often a study ended, and that it did now."""

    def remember(self, uid: str, files: Iterable[tuple[str, str]]) -> None:
        """Keep where files of an ended study are, as (SOP Instance UID, path); the latest one of an instance counts."""

    def remembered(self, uid: str) -> dict[str, str]:
        """Return the paths of an ended study's files by SOP Instance UID."""

    def add_object(self, study: int, row: ObjectRow, number: int, incarnation: str, event: int) -> None:
        """Keep an object and the event that told of it; it takes the place of an earlier one of the same name."""

    def files(self, study: int, last: int | None = None) -> list[str]:
        """Return the files of a study's objects in order of their first arrival, up to number ``last``."""

    def objects(self, study: int, files: Iterable[str]) -> list[ObjectRow]:
        """Return the objects of a study that came as ``files``, those that there are."""

    def forget_object(self, study: int, file: str) -> None:
        """Drop an object."""

    def settle_objects(self, study: int, last: int) -> None:
        """Take note that the objects up to number ``last`` belong to the study's latest end."""

    def last_caller(self, study: int) -> bytes | None:
        """Return the ``opened`` packet of the association of the most recent object."""

    def name_objects(self, study: int, names: Iterable[tuple[str, str]]) -> None:
        """Keep new names of files, given as (file, name)."""

    def gateway(self, name: str) -> str:
        """Return the name of this gateway in a fleet: the one that it was given first."""

    def entries_waiting(self) -> tuple[int, int]:
        """Return how many entries for a fleet are kept, and the highest number."""

    def add_entry(self, number: int, epoch: str, kind: str, body: bytes) -> None:
        """Keep an entry."""

    def drop_entries(self, number: int) -> None:
        """Drop the entries up to that number."""
