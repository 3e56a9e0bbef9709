"""What is done to the files of a study that ended: repeats go, renames, the manifest, the move; then it is told.

Strategy: the plan is in the durable state before anything is done, and changes with what was done; it is carried out a piece of a few milliseconds
at a time. A directory that is asked for again is made free for new objects first; who asked for it is answered then.

Invariant: carrying a plan out twice, or the rest of it after a crash, changes nothing that was done.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastscp.coordinator import beneath, repeats
from fastscp.coordinator.descriptions import Descriptions, manifest_path
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.followers import Followers
from fastscp.coordinator.moving import Mover, flush_logged
from fastscp.coordinator.placing import remove_unused
from fastscp.coordinator.progress import COMMIT_PAUSE_S, Progress, advance
from fastscp.coordinator.renaming import Outcome, Renames
from fastscp.coordinator.tasks import FinishTask, HookTask, Plan, row_of
from fastscp.errors import StorageError
from fastscp.log.names import APPLICATION
from fastscp.study import event_types, events, numbering, variables
from fastscp.study.commands import STUDY
from fastscp.study.policy import LateObjects, Sorting, StudyPolicy
from fastscp.study.state import StudyState
from fastscp.study.tracker import Study

_log = logging.getLogger(APPLICATION)

RENAMES_PER_STEP = 64
STORE_PAUSE_S = 1.0  #: between two looks whether an object store has what is to leave


@dataclass(frozen=True)
class Step:
    """What became of one piece of work."""

    done: bool  #: the task is done
    pause_s: float = 0.0  #: until the next piece
    then: HookTask | None = None  #: what takes the place of the task that is done


class Finisher:
    """Finishes the studies of a ``sender``. ``has_hook`` tells whether a hook comes after the end of a study."""

    def __init__(self, policy: StudyPolicy, state: StudyState, sink: events.EventSink | None, *,
                 has_hook: bool = False, sender: str = "", wall: Callable[[], float] = time.time) -> None:
        self._state = state
        self._sink = sink
        self.files: Followers | None = None  #: follow what is done to files
        self.journal: FleetJournal | None = None  #: tells a fleet, which then decides on the end of the study and runs its hook
        self._sender = sender
        self._wall = wall
        self.use(policy, has_hook=has_hook)
        self._progress: dict[int, Progress] = {}  #: by task number
        self._waiting: dict[str, list[Progress]] = {}  #: that occupy a directory
        self._wanted: dict[str, list[Callable[[], None]]] = {}  #: directories, and whom to tell that they are free

    def use(self, policy: StudyPolicy, *, has_hook: bool) -> None:
        """Go by another policy from now on."""
        self._policy = policy
        self._has_hook = has_hook
        self._appends = policy.on_late is LateObjects.APPEND
        self._descriptions = Descriptions(self._wall, durable=policy.durable) if policy.manifest else None
        self._mover = Mover(policy.completed_directory, self._describe_again, durable=policy.durable)

    def plan(self, study: Study, reason: str, *, caller: Mapping[str, Any], last: int) -> Plan:
        """Return what is to be done for a study that ends now: ``last`` is the number of its last object."""
        plan = Plan(study.uid, study.directory, reason, caller=caller, last=last, sender=self._sender)
        if self.journal is not None:
            self.journal.ended(study.number)
        if self._state.revision(plan.key):
            return replace(plan, decided=False, revision=0)
        self._state.set_revision(plan.key, 1, self._wall())
        return replace(plan, named=not self._policy.rename)

    def take(self, task: FinishTask) -> None:
        """Take note of a task to come."""
        if self.journal is not None:
            self.journal.finishing(task.study)
        progress = self._progress[task.number] = Progress(task, self._state)
        progress.steps = self._steps(progress)
        self._waiting.setdefault(task.plan.directory, []).append(progress)

    def settle(self, directory: str, then: Callable[[], None]) -> None:
        """Call back when what has to be done in a directory before it gets new objects is done: at once, or by ``hurry``."""
        waiting = self._waiting.get(directory)
        if not waiting:
            then()
            return
        for progress in waiting:
            progress.hurried = True
        self._wanted.setdefault(directory, []).append(then)

    def hurry(self) -> bool:
        """Do a piece of what somebody waits for, the caller has committed its plan; return whether there is more."""
        for directory in list(self._wanted):
            progress = next((progress for progress in self._waiting.get(directory, ()) if not progress.stuck), None)
            if progress is None:
                for then in self._wanted.pop(directory):
                    then()
            else:
                pause_s = advance(progress)
                progress.stuck = bool(pause_s) and pause_s != COMMIT_PAUSE_S  # it cannot leave now
                if progress.failed:
                    self._vacate(progress)
        return bool(self._wanted)

    @property
    def occupied(self) -> Collection[str]:
        """Directories in which something is still to be done."""
        return self._waiting

    def step(self, task: FinishTask) -> Step:
        """Do some of a task that is due."""
        progress = self._progress[task.number]
        progress.stuck = False
        pause_s = advance(progress)
        if pause_s is not None:
            return Step(done=False, pause_s=pause_s)
        self._vacate(progress)
        del self._progress[task.number]
        return Step(done=True, then=progress.hook)

    # -- the work, in order -----------------------------------------------------------------------

    def _steps(self, progress: Progress) -> Iterator[float]:
        if not progress.plan.decided:
            yield from self._decide(progress)
        if not progress.plan.named:
            yield from self._name(progress)
        yield from self._remove_repeats(progress)
        if not progress.plan.revision:
            if self.files is not None:
                yield from self.files.ended(progress.task.study, progress.plan, progress.pages())
            self._conclude_unchanged(progress)
            return
        yield from self._rename_all(progress)
        while self._policy.completed_directory is not None and self.files is not None and not self.files.may_leave(progress.plan.directory):
            yield STORE_PAUSE_S
        yield from self._mover.choose(progress)
        if progress.plan.move is None:
            self._vacate(progress)
            if progress.hurried:
                yield 0.0  # the rest has time
        if self._descriptions is not None:
            yield from self._descriptions.write(progress, progress.plan.directory)
        yield from self._mover.steps(progress)
        if self.files is not None and progress.plan.move is not None:
            self.files.moved(progress.plan.directory, progress.plan.final_directory)
        self._vacate(progress)
        yield from self._conclude(progress)

    def _vacate(self, progress: Progress) -> None:
        """New objects may come into the directory from here on."""
        if progress.occupies:
            progress.occupies = False
            waiting = self._waiting[progress.task.plan.directory]
            waiting.remove(progress)
            if not waiting:
                del self._waiting[progress.task.plan.directory]

    def _describe_again(self, progress: Progress, directory: str) -> None:
        """Write the manifest at once: the place to which its directory moves is another one."""
        if self._descriptions is not None:
            for _ in self._descriptions.write(progress, directory):
                pass

    # -- repeats ----------------------------------------------------------------------------------

    def _decide(self, progress: Progress) -> Iterator[float]:
        """Find out whether a study that has ended before has changed since."""
        findings = yield from repeats.find(self._state, progress, self.files)
        plan, revision = progress.plan, 0
        if findings.changed:
            revision = self._state.revision(plan.key) + 1
            self._state.set_revision(plan.key, revision, self._wall())
        progress.keep(decided=True, revision=revision, repeats=tuple(findings.repeats),
                      named=not (revision and self._policy.rename))
        yield from progress.committed()

    def _remove_repeats(self, progress: Progress) -> Iterator[float]:
        plan, study = progress.plan, progress.task.study
        if not plan.repeats:
            return
        packets = {}
        for page, more in progress.pages():
            packets.update({row.file: stored for row, stored in page})
            if more:
                yield 0.0
        for count, (file, kept) in enumerate(plan.repeats, 1):
            self._remove_repeat(plan, file, kept, packets.get(file))
            directory, name = os.path.split(kept)
            if self._appends and directory == plan.directory:
                self._state.name_objects(study, [(file, name)])
            else:
                self._state.forget_object(study, file)
            if self._sink is not None and file in packets:
                self._sink.put(events.object_repeated(self._wall(), plan.uid, packets[file]["sop_instance"], kept=(directory, name),
                                                      removed=f"{plan.directory}/{file}", sender=plan.sender))
            if not count % RENAMES_PER_STEP:
                yield 0.0
        _log.info("study %s: %d repeated objects removed", plan.uid, len(plan.repeats))
        progress.keep(repeats=())  # an old name may come again with a late object

    def _remove_repeat(self, plan: Plan, file: str, kept: str, stored: Mapping[str, Any] | None) -> None:
        try:
            beneath.remove(plan.directory, file)
        except OSError as error:
            if error.errno != errno.ENOENT:
                _log.error("cannot remove repeated %s/%s: %s", plan.directory, file, error.strerror)
        if self.files is not None and stored is not None:
            self.files.repeated(plan, file, kept, stored)

    def _conclude_unchanged(self, progress: Progress) -> None:
        plan = progress.plan
        _log.info("study %s: nothing but repeated objects came, it is as it was", plan.uid)
        if not self._appends and self._policy.sorting is not Sorting.NONE:
            remove_unused(plan.directory)
        self._vacate(progress)
        self._leave(progress)
        self._state.finish_task(progress.task.number)

    # -- renames ----------------------------------------------------------------------------------

    def _name(self, progress: Progress) -> Iterator[float]:
        """Choose new names for the files that have not got one yet; they are durable afterwards."""
        repeated = {file for file, _ in progress.plan.repeats}
        files: list[tuple[str, str]] = []
        for page, more in progress.pages():
            files += [(row.name, str(stored["prefix"])) for row, stored in page
                      if row.name == row.file and row.file not in repeated]
            if more:
                yield 0.0
        progress.renames = numbering.plan(files, self._highest(progress.plan.directory))
        progress.keep(named=True, renames=tuple(progress.renames))
        yield from progress.committed()

    def _highest(self, directory: str) -> int:
        """Return the highest number in a directory, with what is planned."""
        try:
            names = os.listdir(directory)
        except OSError as error:
            _log.warning("cannot list %s: %s", directory, error.strerror)
            names = []
        for progress in self._waiting.get(directory, ()):
            names += [new for _, new in progress.renames]
        return numbering.highest_number(names)

    def _rename_all(self, progress: Progress) -> Iterator[float]:
        names = progress.renames
        if not names:
            return
        told = 0
        while progress.renamed < len(names):
            if not self._rename_some(progress):
                self._choose_again(progress)
                yield from progress.committed()
            elif progress.renamed < len(names):
                told = self._keep_names(progress, told)
                yield 0.0
        if self._policy.durable:
            flush_logged(progress.plan.directory)
        # the new names, and that nothing is left to rename: an old name may come again with a late object
        self._keep_names(progress, told)
        progress.keep(renames=())

    def _keep_names(self, progress: Progress, told: int) -> int:
        """Note the names that files have got since the first ``told``; return how many have got one."""
        self._state.name_objects(progress.task.study, progress.renames[told:progress.renamed])
        if self.files is not None:
            self.files.renamed(progress.plan.directory, progress.renames[told:progress.renamed])
        return progress.renamed

    def _rename_some(self, progress: Progress) -> bool:
        """Carry out the next renames; False when the names of the rest have to be chosen again."""
        directory, names = progress.plan.directory, progress.renames
        with Renames(directory) as renames:
            for old, new in names[progress.renamed : progress.renamed + RENAMES_PER_STEP]:
                try:
                    outcome = renames.rename(old, new)
                except StorageError as error:
                    _log.error("%s", error)
                    names[progress.renamed] = old, old
                else:
                    if outcome is Outcome.TAKEN:
                        return False
                    if outcome is Outcome.MISSING:
                        _log.warning("cannot rename %s/%s: the file is gone", directory, old)
                progress.renamed += 1
        return True

    def _choose_again(self, progress: Progress) -> None:
        """Number the rest of a plan anew, after names that somebody else took meanwhile."""
        rest = progress.renames[progress.renamed :]
        progress.renames[progress.renamed :] = numbering.plan(rest, self._highest(progress.plan.directory))
        progress.keep(renames=tuple(progress.renames))

    # -- afterwards -------------------------------------------------------------------------------

    def _conclude(self, progress: Progress) -> Iterator[float]:
        """Tell the end of a study, and go on with its hook."""
        plan, task = progress.plan, progress.task
        directory = plan.final_directory
        count = 0
        objects: list[event_types.StudyObject] = []
        for page, more in progress.pages():
            count += len(page)
            self._state.remember(plan.key, [(stored["sop_instance"], f"{directory}/{row.name}") for row, stored in page])
            if self.journal is not None:
                self.journal.final(task.study, plan.key, directory, page)
            elif self._sink is not None:
                objects += [events.study_object(row.name, stored) for row, stored in page]
            if more:
                yield 0.0
        if self.files is not None:
            yield from self.files.ended(task.study, plan, progress.pages())
        if self.journal is not None and self._sink is not None:
            self._sink.put(events.study_released(self._wall(), plan.uid, directory, plan.reason, count, sender=plan.sender))
        elif self._sink is not None:
            end: event_types.StudyEnd = {"study_uid": plan.uid, "directory": directory, "reason": plan.reason,
                                    "revision": plan.revision}
            self._sink.put(events.study_completed(
                self._wall(), end, plan.caller or variables.NOBODY, objects))
        self._leave(progress)
        if plan.caller is None or not self._has_hook or self.journal is not None:
            self._state.finish_task(task.number)
            return
        call = variables.end_of_study(
            plan.caller, directory, plan.uid, reason=plan.reason, objects=count, revision=plan.revision,
            manifest=manifest_path(directory) if self._policy.manifest else None)
        progress.hook = HookTask(STUDY, task.study, call, task.number, task.cause)
        self._state.add_task(row_of(progress.hook))

    def _leave(self, progress: Progress) -> None:
        """Drop the objects of a study that ended, or keep them for the next end."""
        if self.journal is not None:
            self.journal.finished(progress.task.study, progress.plan.key, progress.plan.reason)
        if not self._appends:
            self._state.forget_study(progress.task.study)
        elif progress.plan.last is not None:
            self._state.settle_objects(progress.task.study, progress.plan.last)
