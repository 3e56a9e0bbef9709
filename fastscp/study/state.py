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

    def objects(self, study: int, last: int | None = None) -> list[ObjectRow]:
        """Return the objects of a study in order of their first arrival, up to number ``last``."""

    def forget_object(self, study: int, file: str) -> None:
        """Drop an object."""

    def settle_objects(self, study: int, last: int) -> None:
        """Take note that the objects up to number ``last`` belong to the study's latest end."""

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
