"""What is done to the files of a study that ended: renames, then the manifest, then its event.

Strategy: the plan of the renames is in the durable state before the first of them; they are carried out a few
at a time, so that a study of ten thousand files does not keep the coordinator from its channels. A directory
that is asked for again first gets its renames, all at once.

Invariant: carrying a plan out twice, or the rest of it after a crash, changes nothing that was done.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from fastscp.coordinator.renaming import Outcome, rename
from fastscp.coordinator.tasks import FinishTask, Plan, row_of
from fastscp.errors import StorageError
from fastscp.log.names import APPLICATION
from fastscp.study import events, manifest, numbering, variables
from fastscp.study.policy import LateObjects, StudyPolicy
from fastscp.study.state import StudyState

_log = logging.getLogger(APPLICATION)

RENAMES_PER_STEP = 64


@dataclass(eq=False)
class _Renaming:
    """How far the renames of a task have come. They change when a name turns out to be taken."""

    task: FinishTask
    renames: list[tuple[str, str]]
    done: int = 0

    @property
    def directory(self) -> str:
        return self.task.plan.directory


class Finisher:
    """Finishes studies."""

    def __init__(self, policy: StudyPolicy, state: StudyState, sink: events.EventSink | None, *,
                 wall: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._state = state
        self._sink = sink
        self._wall = wall
        self._renamings: dict[int, _Renaming] = {}  #: by task number
        self._waiting: dict[str, list[_Renaming]] = {}  #: by directory

    def plan(self, study: int, uid: str, directory: str, reason: str) -> Plan:
        """Return what is to be done for a study that ends now."""
        if not self._policy.rename:
            return Plan(uid, directory, reason)
        files = [(row.name, str(orjson.loads(row.body)["prefix"])) for row in self._state.objects(study)
                 if row.name == row.file]
        return Plan(uid, directory, reason, tuple(numbering.plan(files, self._highest(directory))))

    def take(self, task: FinishTask) -> None:
        """Take note of a task to come."""
        if task.plan.renames:
            renaming = self._renamings[task.number] = _Renaming(task, list(task.plan.renames))
            self._waiting.setdefault(renaming.directory, []).append(renaming)

    def settle(self, directory: str) -> None:
        """Carry out the renames in a directory that will get new objects."""
        waiting = self._waiting.pop(directory, ())
        if waiting:
            self._state.commit()  # a plan is durable before it is carried out
        for renaming in waiting:
            self._rename(renaming, limit=None)

    def step(self, task: FinishTask) -> bool:
        """Do some of a task that is due; return True when it is done."""
        renaming = self._renamings.get(task.number)
        if renaming is not None:
            self._rename(renaming, limit=RENAMES_PER_STEP)
            if task.number in self._renamings:
                return False
            self._stop_waiting(renaming)
        self._conclude(task)
        return True

    # -- renames ----------------------------------------------------------------------------------

    def _highest(self, directory: str) -> int:
        """Return the highest number in a directory, with what is planned."""
        try:
            names = os.listdir(directory)
        except OSError as error:
            _log.warning("cannot list %s: %s", directory, error.strerror)
            names = []
        for renaming in self._waiting.get(directory, ()):
            names += [new for _, new in renaming.renames]
        return numbering.highest_number(names)

    def _rename(self, renaming: _Renaming, *, limit: int | None) -> None:
        count = len(renaming.renames)
        end = count if limit is None else min(count, renaming.done + limit)
        while renaming.done < end:
            if self._rename_one(renaming):
                renaming.done += 1
        if renaming.done == count:
            self._all_renamed(renaming)

    def _all_renamed(self, renaming: _Renaming) -> None:
        """Keep the new names, and that nothing is left to rename: an old name may come again with a late object."""
        del self._renamings[renaming.task.number]
        self._state.name_objects(renaming.task.study, renaming.renames)
        self._keep(renaming.task, ())

    def _keep(self, task: FinishTask, renames: tuple[tuple[str, str], ...]) -> None:
        self._state.add_task(row_of(replace(task, plan=replace(task.plan, renames=renames))))

    def _rename_one(self, renaming: _Renaming) -> bool:
        """Carry out the next rename; False when the names had to be chosen again."""
        old, new = renaming.renames[renaming.done]
        try:
            outcome = rename(renaming.directory, old, new)
        except StorageError as error:
            _log.error("%s", error)
            renaming.renames[renaming.done] = old, old
            return True
        if outcome is Outcome.TAKEN:
            self._choose_again(renaming)
            return False
        if outcome is Outcome.MISSING:
            _log.warning("cannot rename %s/%s: the file is gone", renaming.directory, old)
        return True

    def _choose_again(self, renaming: _Renaming) -> None:
        """Number the rest of a plan anew, after names that somebody else took meanwhile."""
        rest = renaming.renames[renaming.done :]
        renaming.renames[renaming.done :] = numbering.plan(rest, self._highest(renaming.directory))
        self._keep(renaming.task, tuple(renaming.renames))
        self._state.commit()

    def _stop_waiting(self, renaming: _Renaming) -> None:
        waiting = self._waiting[renaming.directory]
        waiting.remove(renaming)
        if not waiting:
            del self._waiting[renaming.directory]

    # -- afterwards -------------------------------------------------------------------------------

    def _conclude(self, task: FinishTask) -> None:
        plan = task.plan
        rows = self._state.objects(task.study)
        objects = [(row.name, orjson.loads(row.body)) for row in rows]
        if self._policy.manifest:
            self._write_manifest(plan, objects)
        if self._sink is not None:
            caller = orjson.loads(rows[-1].caller) if rows else variables.NOBODY
            end: events.StudyEnd = {"study_uid": plan.uid, "directory": plan.directory, "reason": plan.reason}
            self._sink.put(events.study_completed(
                self._wall(), end, caller, [events.study_object(name, stored) for name, stored in objects]))
        if self._policy.on_late is not LateObjects.APPEND:
            self._state.forget_study(task.study)
        self._state.finish_task(task.number)

    def _write_manifest(self, plan: Plan, objects: list[tuple[str, Mapping[str, Any]]]) -> None:
        completed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall()))
        content = manifest.build(plan.uid, plan.directory, completed, objects)
        path = manifest_path(plan.directory)
        temporary = f"{path}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            os.replace(temporary, path)
        except OSError as error:
            _log.error("cannot write %s: %s", path, error.strerror)


def manifest_path(directory: str) -> str:
    """Return where the manifest of a study in ``directory`` is."""
    return f"{directory}/{manifest.FILE_NAME}"
