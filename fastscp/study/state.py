"""What the coordinator keeps: open studies, their objects, tasks to be done, events taken over. Pure.

Invariants: what a worker was told (a directory, an acknowledgement) is in the state; a task is in it from the
moment its cause is until it was carried out, so tasks run at least once.

``StudyState`` is all that the coordinator knows of an engine; ``fastscp.coordinator.state`` is the one there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol


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
    """An object as kept: ``name`` is its file's name now, ``body`` its ``stored`` packet, ``caller`` its ``opened``."""

    file: str
    name: str
    association: str
    caller: bytes
    body: bytes


@dataclass(frozen=True)
class TaskRow:
    """Something still to be carried out; tasks of one study are done in the order of their numbers."""

    number: int
    study: int
    kind: str
    body: bytes


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


class StudyState(Protocol):
    """What the coordinator needs of an engine. Writes are durable after ``commit``; all raise ``ProcessError``."""

    def recover(self) -> Recovered:
        """Return everything kept."""

    def open_study(self, row: StudyRow) -> None:
        """Keep an opened (or opened again) study."""

    def forget_study(self, number: int) -> None:
        """Drop a study and its objects."""

    def end_study(self, number: int, when: float) -> None:
        """Keep an ended study, for late objects."""

    def ended_study(self, uid: str) -> StudyRow | None:
        """Return the most recently ended study of that UID."""

    def forget_ended(self, before: float) -> None:
        """Drop what ended before that time."""

    def add_object(self, study: int, row: ObjectRow, number: int, incarnation: str, event: int) -> None:
        """Keep an object and the event that told of it; it takes the place of an earlier one of the same name."""

    def objects(self, study: int) -> list[ObjectRow]:
        """Return the objects of a study in order of their first arrival."""

    def last_caller(self, study: int) -> bytes | None:
        """Return the ``opened`` packet of the association of the most recent object."""

    def name_objects(self, study: int, names: Iterable[tuple[str, str]]) -> None:
        """Keep new names of files, given as (file, name)."""

    def add_task(self, row: TaskRow) -> None:
        """Keep a task until ``finish_task``; an existing one gets the new body."""

    def finish_task(self, number: int) -> None:
        """Drop a task that was carried out."""

    def forget_events(self, incarnations: Iterable[str]) -> None:
        """Drop what is kept of workers that are gone."""

    def commit(self) -> None:
        """Make everything since the last call durable."""

    def close(self) -> None:
        """Commit and close."""
