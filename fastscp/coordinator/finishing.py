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
from collections.abc import Mapping
from typing import Any, TypedDict

import orjson

from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.renaming import Outcome, rename
from fastscp.coordinator.tasks import Task
from fastscp.errors import StorageError
from fastscp.log.names import APPLICATION
from fastscp.study import events, manifest
from fastscp.study.policy import LateObjects, StudyPolicy
from fastscp.study.rename import highest_number, plan
from fastscp.study.state import StudyState, TaskRow

_log = logging.getLogger(APPLICATION)

KIND = "finish"
_RENAMES_PER_ROUND = 64


class Plan(TypedDict):
    """What is to be done, as kept in the durable state."""

    uid: str
    directory: str
    reason: str
    renames: list[tuple[str, str]]  #: (name, new name)


class Finisher:
    """Finishes studies."""

    def __init__(self, policy: StudyPolicy, state: StudyState, event_log: EventLog | None) -> None:
        self._policy = policy
        self._state = state
        self._event_log = event_log
        self._renaming: dict[str, list[Task]] = {}  #: tasks with renames to do, by directory
        self._progress: dict[int, int] = {}  #: renames done, by task number

    def plan(self, study: int, uid: str, directory: str, reason: str) -> Plan:
        """Return what is to be done for a study that ends now."""
        renames: list[tuple[str, str]] = []
        if self._policy.rename:
            files = [(row.name, str(orjson.loads(row.body)["prefix"])) for row in self._state.objects(study)
                     if row.name == row.file]
            renames = plan(files, self._highest(directory))
        return {"uid": uid, "directory": directory, "reason": reason, "renames": renames}

    def take(self, task: Task) -> None:
        """Take note of a task to come; ``task.body`` is its plan."""
        if task.body["renames"]:
            self._renaming.setdefault(task.body["directory"], []).append(task)

    def settle(self, directory: str) -> None:
        """Carry out the renames in a directory that will get new objects."""
        tasks = self._renaming.pop(directory, ())
        if tasks:
            self._state.commit()  # a plan is durable before it is carried out
        for task in tasks:
            self._rename(task, limit=None)

    def step(self, task: Task) -> bool:
        """Do some of a task that is due; return True when it is done."""
        if task.body["renames"]:
            self._rename(task, limit=_RENAMES_PER_ROUND)
            if task.body["renames"]:
                return False
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
        for task in self._renaming.get(directory, ()):
            names += [new for _, new in task.body["renames"]]
        return highest_number(names)

    def _rename(self, task: Task, *, limit: int | None) -> None:
        renames = task.body["renames"]
        done = self._progress.get(task.number, 0)
        end = len(renames) if limit is None else min(len(renames), done + limit)
        while done < end:
            if self._rename_one(task, done):
                done += 1
            self._progress[task.number] = done
        if done == len(renames):
            self._all_renamed(task)

    def _all_renamed(self, task: Task) -> None:
        """Keep the new names, and that nothing is left to rename: an old name may come again with a late object."""
        self._state.name_objects(task.study, task.body["renames"])
        task.body["renames"] = []
        self._progress.pop(task.number, None)
        self._keep(task)

    def _keep(self, task: Task) -> None:
        self._state.add_task(TaskRow(task.number, task.study, KIND, orjson.dumps(task.body)))

    def _rename_one(self, task: Task, index: int) -> bool:
        """Carry out one rename; False when the names had to be chosen again."""
        directory = task.body["directory"]
        old, new = task.body["renames"][index]
        try:
            outcome = rename(directory, old, new)
        except StorageError as error:
            _log.error("%s", error)
            task.body["renames"][index] = (old, old)
            return True
        if outcome is Outcome.TAKEN:
            self._choose_again(task, index)
            return False
        if outcome is Outcome.MISSING:
            _log.warning("cannot rename %s/%s: the file is gone", directory, old)
        return True

    def _choose_again(self, task: Task, index: int) -> None:
        """Number the rest of a plan anew, after names that somebody else took meanwhile."""
        renames = task.body["renames"]
        highest = self._highest(task.body["directory"])
        renames[index:] = plan([(old, new) for old, new in renames[index:]], highest)
        self._keep(task)
        self._state.commit()

    # -- afterwards -------------------------------------------------------------------------------

    def _conclude(self, task: Task) -> None:
        body: Plan = task.body
        waiting = self._renaming.get(body["directory"])
        if waiting is not None:
            if task in waiting:
                waiting.remove(task)
            if not waiting:
                del self._renaming[body["directory"]]
        objects = [(row.name, orjson.loads(row.body)) for row in self._state.objects(task.study)]
        if self._policy.manifest:
            self._write_manifest(body, objects)
        if self._event_log is not None:
            self._event_log.put(events.study_completed(
                time.time(), body["uid"], body["directory"], body["reason"],
                [{"file": name, "series_uid": stored["series"], **events.instance(stored)}
                 for name, stored in objects]))
        if self._policy.on_late is not LateObjects.APPEND:
            self._state.forget_study(task.study)
        self._state.finish_task(task.number)

    def _write_manifest(self, body: Plan, objects: list[tuple[str, Mapping[str, Any]]]) -> None:
        completed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        content = manifest.build(body["uid"], body["directory"], completed, objects)
        path = manifest_path(body["directory"])
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
