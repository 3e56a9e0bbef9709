"""The studies of the service: joins tracker, durable state, directories and tasks.

Strategy: each packet of a worker becomes a change of the tracker, the same change in the durable state, and tasks
in the lane of its study, in this order: hooks of its objects, hooks of its series, what is done to its files,
whose place its end-of-study hook takes. The caller commits the state before it answers anybody or starts any task.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import orjson

from fastscp import jsontext
from fastscp.coordinator.finishing import Finisher
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.placing import Placer, remove_unused
from fastscp.coordinator.tasks import Cause, FinishTask, HookTask, Lanes, Numbers, Task, row_of, task_of
from fastscp.errors import InstanceError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.process import packets
from fastscp.study import events, naming, variables
from fastscp.study.commands import RECEPTION, SERIES
from fastscp.study.policy import HookPolicy, LateObjects, StudyPolicy
from fastscp.study.state import ObjectRow, Recovered, StudyRow, StudyState
from fastscp.study.tracker import Holders, Study, Tracker, Transfer

_log = logging.getLogger(APPLICATION)

#: an ended study is remembered that long, and its objects, of the latest studies, up to that many
REMEMBER_S = 7 * 86400.0
REMEMBER_OBJECTS = 200_000
#: studies that end in one round because their time is over
MOST_ENDS = 64
#: between two looks at what is to be forgotten
FORGET_EVERY_S = 60.0
#: stands for the associations that an earlier coordinator knew, until those that are left were heard of
UNHEARD = ""


class Studies:
    """Every study of a ``sender`` that is open.

    ``numbers`` are shared with others, ``elsewhere`` tells which directories their studies have, ``journal`` tells a fleet.
    """

    def __init__(self, policy: StudyPolicy, hooks: HookPolicy, state: StudyState, lanes: Lanes, placer: Placer,
                 finisher: Finisher, sink: events.EventSink | None, *, sender: str = "", numbers: Numbers | None = None,
                 elsewhere: Callable[[], Collection[str]] = tuple, journal: FleetJournal | None = None,
                 wall: Callable[[], float] = time.time) -> None:
        self._policy, self._hooks = policy, hooks
        self._state, self._journal = state, journal
        self._lanes = lanes
        self._placer, self._finisher = placer, finisher
        self._sink = sink
        self._sender = sender
        self._numbers = numbers or Numbers()
        self._elsewhere = elsewhere
        self._wall = wall
        self._tracker = Tracker(timeout_s=policy.timeout_s, max_age_s=policy.max_age_s,
                                literal_rule=policy.literal_rule)
        self._series: Holders[tuple[int, str]] = Holders()
        self._series_of: dict[int, dict[str, bytes]] = {}  #: last caller of each open series, by study
        self._callers: dict[int, bytes] = {}  #: last caller by study
        self._forgot = 0.0  #: when the last look was

    @property
    def open_count(self) -> int:
        """How many are open."""
        return len(self._tracker)

    def use(self, policy: StudyPolicy, hooks: HookPolicy, placer: Placer) -> None:
        """Go by other rules from now on; the studies that are open do, too."""
        self._policy, self._hooks, self._placer = policy, hooks, placer
        self._tracker.use(timeout_s=policy.timeout_s, max_age_s=policy.max_age_s)
        self._finisher.use(policy, has_hook=hooks.on_end_of_study is not None)

    def directories(self) -> Collection[str]:
        """Return the directories in which there is something to come, or to be done."""
        return {*self._tracker.directories(), *self._finisher.occupied}

    # -- recovery ---------------------------------------------------------------------------------

    def recover(self, recovered: Recovered, now: float) -> None:
        """Take over what an earlier coordinator left: open studies, their holders, tasks."""
        numbers = self._numbers
        numbers.study, numbers.task, numbers.object = recovered.last_study, recovered.last_task, recovered.last_object
        wall = self._wall()
        self._forget_ended(wall)
        if recovered.studies or recovered.events:
            self._tracker.open(UNHEARD)
        for row in recovered.studies:
            opened = now - max(0.0, wall - row.opened)
            uid = naming.of_study_key(row.uid)[1]
            study = Study(row.number, uid, row.directory, opened, now, row.objects, directory_made=row.made,
                          late=self._has_ended(uid))
            self._tracker.add(study)
            self._tell_fleet(study)
            self._callers[study.number] = self._state.last_caller(study.number) or orjson.dumps(variables.NOBODY)
            self._recover_series(study)
        for association, number in recovered.holders.items():
            held = self._tracker.numbered(number)
            if held is not None:
                self._tracker.hold(association, held)
        for task_row in recovered.tasks:
            self.take_back(task_of(task_row))
        if recovered.studies or recovered.tasks:
            _log.info("taking over %d open studies and %d pending tasks", len(self._tracker), len(recovered.tasks))

    def forget_unheard(self, associations: Iterable[str]) -> None:
        """Drop associations and placed objects of an earlier coordinator that no worker has reported since."""
        for association in (*associations, UNHEARD):
            self.closed(association)
        for study in self._tracker.drop_void():
            self._forget_void(study)

    def _recover_series(self, study: Study) -> None:
        if self._hooks.on_end_of_series is None and self._sink is None:
            return
        for row in self._state.objects(study.number, self._state.files(study.number)):
            series = jsontext.loads(row.body)["series"]
            self._series_of.setdefault(study.number, {})[series] = row.caller
            self._series.add_free((study.number, series))

    # -- what workers tell ------------------------------------------------------------------------

    def place(self, packet: packets.Place, incarnation: str, now: float, answer: Callable[[packets.Placed], None]) -> None:
        """Answer where an object goes; its study is open from here on.

        The answer comes at once, or when what is under way in that directory is done.
        """
        try:
            uid = naming.study_uid(packet["study"])
            study = self._tracker.find(uid)
            if study is None:
                study = self._open(uid, packet, now)
            else:
                self._placer.ensure(study.directory)
        except (InstanceError, StorageError) as error:
            answer({"kind": "placed", "request": packet["request"], "directory": "", "status": error.status,
                    "message": str(error), "late": False, "lasting": False})
            return
        self._tracker.begin((incarnation, packet["request"]), study)
        placed: packets.Placed = {"kind": "placed", "request": packet["request"], "directory": study.directory, "status": 0,
                                  "message": "", "late": study.late,
                                  "lasting": self._tracker.lasting and not study.late}
        self._finisher.settle(study.directory, partial(answer, placed))

    def _open(self, uid: str, packet: packets.Place, now: float) -> Study:
        late = None
        if self._policy.on_late is LateObjects.APPEND:
            late = self._state.ended_study(self._key(uid))
        if late is not None:
            self._placer.ensure(late.directory)
            study = Study(late.number, uid, late.directory, now, now, late=True)
        else:
            directory, made = self._placer.open_directory(uid, packet["patient"], packet["charset"], self._occupied())
            study = self._new_study(uid, directory, now, made=made)
        self._keep_open(study)
        return study

    def _occupied(self) -> Collection[str]:
        """Return directories that no other study may share: what is in one moves away with it."""
        elsewhere = self._elsewhere()
        if self._policy.completed_directory is None:
            return elsewhere
        return {*self.directories(), *elsewhere}

    def _key(self, uid: str) -> str:
        return naming.study_key(self._sender, uid)

    def _has_ended(self, uid: str) -> bool:
        return self._state.revision(self._key(uid)) > 0

    def _new_study(self, uid: str, directory: str, now: float, *, made: bool) -> Study:
        self._numbers.study += 1
        return Study(self._numbers.study, uid, directory, now, now, directory_made=made, late=self._has_ended(uid))

    def _keep_open(self, study: Study) -> None:
        wall = self._wall()
        self._state.open_study(StudyRow(study.number, self._key(study.uid), study.directory, wall, study.directory_made))
        self._tracker.add(study)
        self._tell_fleet(study)
        if self._sink is not None:
            self._sink.put(events.study_opened(wall, study.uid, study.directory, self._sender))

    def _tell_fleet(self, study: Study) -> None:
        if self._journal is not None:
            self._journal.hold(study.number, self._key(study.uid), study.uid, self._policy.timeout_s)

    def abandoned(self, transfer: Transfer, now: float) -> None:
        """Take note of a transfer that failed."""
        study = self._tracker.of_transfer(transfer)
        if study is None:
            return
        self._end(self._tracker.cancel(transfer, now), "maximum-age")
        if self._tracker.is_void(study):
            self._forget_void(study)

    def _forget_void(self, study: Study) -> None:
        """Drop a study that never got an object; one that ended before stays ended."""
        if self._journal is not None:
            self._journal.void(study.number, self._key(study.uid))
        if self._state.files(study.number):
            self._state.end_study(study.number, self._wall())
            return
        self._state.forget_study(study.number)
        if study.directory_made:
            remove_unused(study.directory)

    def stored(self, packet: packets.Stored, octets: bytes, opened: Mapping[str, Any], caller: bytes,
               incarnation: str, cause: Cause | None, now: float) -> None:
        """Take over an object: keep it, and add the tasks it causes."""
        transfer = None if packet["request"] is None else (incarnation, packet["request"])
        study = self._study_of(packet, transfer, now)
        self._numbers.object += 1
        association = packet["association"]
        row = ObjectRow(packet["file"], packet["file"], association, caller, octets, not packet["unchanged"])
        self._state.add_object(study.number, row, self._numbers.object, incarnation, packet["event"])
        if self._journal is not None:
            self._journal.stored(study.number, self._key(study.uid), study.uid, self._policy.timeout_s, packet, opened)
        self._callers[study.number] = caller
        first = None
        if self._hooks.on_reception is not None:
            first = self._add_hook(RECEPTION, study.number, variables.reception(opened, packet), cause=cause)
        keeps = packet["keeps"]
        ended = self._tracker.stored(study, association, transfer, now, keeps=keeps)
        self._series_stored(study, packet, caller, cause, first, keeps=keeps)
        self._end(ended, "other-study", cause=cause, after=first)

    def _study_of(self, packet: packets.Stored, transfer: Transfer | None, now: float) -> Study:
        study = self._tracker.of_transfer(transfer) if transfer is not None else None
        uid = naming.study_uid(packet["study"])
        study = study or self._tracker.find(uid)
        if study is None or study.directory != packet["directory"]:
            study = self._new_study(uid, packet["directory"], now, made=False)
            self._keep_open(study)
        return study

    def opened(self, association: str) -> None:
        """Take note that an association is open; an earlier coordinator may have known it."""
        self._tracker.open(association)

    def closed(self, association: str) -> None:
        """Take note that an association ended."""
        self._tracker.close(association)
        self._series.release(association)

    # -- series -----------------------------------------------------------------------------------

    def _series_stored(self, study: Study, packet: packets.Stored, caller: bytes, cause: Cause | None,
                       after: Task | None, *, keeps: bool) -> None:
        if self._hooks.on_end_of_series is None and self._sink is None:
            return
        association, series = packet["association"], packet["series"]
        self._series_of.setdefault(study.number, {})[series] = caller
        self._series.hold(association, (study.number, series))
        for number, other in sorted(self._series.free):
            owner = self._tracker.numbered(number)
            # without a study it ended with this object; under another transfer it may get another object of the series
            if (owner is not None and owner.transfers == (keeps and owner is study)
                    and self._tracker.may_end_at_once(owner)):
                self._end_series(owner, other, cause, after)

    def _end_series(self, study: Study, series: str, cause: Cause | None, after: Task | None) -> None:
        self._series.forget((study.number, series))
        last = self._series_of[study.number].pop(series)
        if self._sink is not None:
            self._sink.put(events.series_completed(self._wall(), study.uid, series, study.directory, self._sender))
        if self._hooks.on_end_of_series is not None:
            call = variables.end_of_series(orjson.loads(last), study.directory, study.uid, series)
            self._add_hook(SERIES, study.number, call, cause=cause, after=after)

    # -- ends -------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Transfer]:
        """End the studies whose time is over, or some of a great many; ``deadline`` is over while there are more.

        Returns, once, the transfers that have to be given back before their study can end.
        """
        for study in self._tracker.due(now, MOST_ENDS):
            self._end([study], "maximum-age" if study.closing else "timeout")
        return self._tracker.recalls()

    def deadline(self) -> float | None:
        """Return when ``due`` has to be called next."""
        return self._tracker.deadline()

    def drain(self) -> None:
        """End every study."""
        self._end(self._tracker.drain(), "shutdown")

    def _end(self, studies: Iterable[Study], reason: str, *, cause: Cause | None = None,
             after: Task | None = None) -> None:
        wall = self._wall()
        if wall - self._forgot >= FORGET_EVERY_S:
            self._forget_ended(wall)
        for study in studies:
            caller = orjson.loads(self._callers.pop(study.number))
            self._state.end_study(study.number, wall)
            for series in list(self._series_of.get(study.number, ())):
                self._end_series(study, series, cause, after)
            self._series_of.pop(study.number, None)
            plan = self._finisher.plan(study, reason, caller=caller, last=self._numbers.object)
            self._add_new(FinishTask(study.number, plan, self._next_task(), cause), after=after)

    def tidy(self) -> bool:
        """Drop some of what belongs to studies that were forgotten; return whether there is more."""
        return self._state.tidy()

    def _forget_ended(self, wall: float) -> None:
        self._forgot = wall
        self._state.forget_ended(wall - REMEMBER_S, REMEMBER_OBJECTS)

    # -- tasks ------------------------------------------------------------------------------------

    def _next_task(self) -> int:
        self._numbers.task += 1
        return self._numbers.task

    def _add_hook(self, kind: str, study: int, call: variables.Call, *, cause: Cause | None,
                  after: Task | None = None) -> Task:
        return self._add_new(HookTask(kind, study, call, self._next_task(), cause), after=after)

    def _add_new(self, task: Task, *, after: Task | None) -> Task:
        """Keep a task and add it."""
        self._state.add_task(row_of(task))
        return self._add(task, after=after)

    def take_back(self, task: Task) -> None:
        """Take a task that an earlier coordinator kept."""
        self._add(task, after=None)

    def _add(self, task: Task, *, after: Task | None) -> Task:
        self._lanes.add(task, lane=task.study or None, after=after)
        if isinstance(task, FinishTask):
            self._finisher.take(task)
        return task
