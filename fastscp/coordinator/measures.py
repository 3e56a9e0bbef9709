"""What the coordinator counts, where there are metrics, and what it reports of studies and hooks.

Strategy: most of it is in the event stream, so this is one of its readers; what is a state and no event is looked at once
a second.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fastscp.coordinator.beside import Beside
from fastscp.coordinator.by_sender import StudiesBySender
from fastscp.coordinator.dispatch import Dispatcher
from fastscp.coordinator.event_readers import Reader
from fastscp.coordinator.tasks import Lanes
from fastscp.coordinator.uploading import Uploading
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.metrics import table
from fastscp.metrics.board import Board, Ledger
from fastscp.study.event_types import Event

_log = logging.getLogger(APPLICATION)

ROLE = "coordinator"
LOOK_S = 1.0
MOST_RECENT = 20  #: studies, and hooks, that a report describes
MOST_OPEN = 50


class Timers(Protocol):
    """What is needed of a loop."""

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> object:
        """Call back once."""


@dataclass(frozen=True)
class Depths:
    """How much there is, now."""

    studies: int = 0  #: open
    running: int = 0  #: hooks
    waiting: int = 0  #: tasks
    event_octets: int = 0
    events_dropped: int = 0  #: since this process began
    fleet: tuple[bool, int] | None = None  #: whether its database is there, and how many entries wait for it; None without a fleet
    store: Uploading | None = None  #: what knows of the object store


def depths(studies: StudiesBySender | None, lanes: Lanes, dispatcher: Dispatcher, log: Reader | None,
           beside: Beside | None = None) -> Depths:
    """Return how much there is, now."""
    shipping, uploading = (None, None) if beside is None else (beside.shipping, beside.uploading)
    running = len(dispatcher.running)
    octets, dropped = (0, 0) if log is None else (log.waiting_octets, log.dropped_ever)
    return Depths(0 if studies is None else studies.open_count, running, lanes.pending - running, octets, dropped,
                  None if shipping is None else (shipping.connected, shipping.journal.waiting), uploading)


def measures_of(board: Board | None) -> Measures | None:
    """Return what the coordinator counts with; without room it counts nothing."""
    if board is None:
        return None
    try:
        return Measures(board.claim(ROLE))
    except ProcessError as error:
        _log.error("the coordinator counts nothing: %s", error)
        return None


class Measures:
    """A reader of the event stream that counts in ``ledger``."""

    def __init__(self, ledger: Ledger, wall: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._wall = wall
        self._open: dict[str, dict[str, object]] = {}  #: studies by directory, the latest last
        self._completed: deque[dict[str, object]] = deque(maxlen=MOST_RECENT)
        self._running: dict[int, dict[str, object]] = {}
        self._ended: deque[dict[str, object]] = deque(maxlen=MOST_RECENT)
        self._changed = True
        self._dropped = 0  #: events that are counted
        self._stored = (0, 0, 0)  #: objects and octets that were uploaded, files that were removed since, that are counted

    def put(self, event: Event) -> None:
        """Take one event."""
        if event["event"] == "object.stored":
            study = self._open.get(event["directory"])
            if study is not None:
                study["objects"] = int(str(study["objects"])) + 1
                study["last"] = self._wall()
        elif event["event"] == "study.opened":
            self._open.pop(event["directory"], None)
            self._open[event["directory"]] = {"study_uid": event["study_uid"], "directory": event["directory"], "objects": 0,
                                              "opened": self._wall(), "last": self._wall()}
            if len(self._open) > 4 * MOST_OPEN:
                del self._open[next(iter(self._open))]
        elif event["event"] == "study.completed":
            self._ledger.add(table.STUDIES_COMPLETED, event["reason"])
            self._completed.append({"time": self._wall(), "study_uid": event["study_uid"], "directory": event["directory"],
                                    "reason": event["reason"], "objects": event["count"]})
            self._open = {directory: study for directory, study in self._open.items() if study["study_uid"] != event["study_uid"]}
        elif event["event"] == "study.released":
            self._open.pop(event["directory"], None)
        elif event["event"] == "hook.started":
            self._ledger.add(table.HOOKS_STARTED, event["hook"])
            self._running[event["number"]] = {"hook": event["hook"], "number": event["number"], "study_uid": event["study_uid"],
                                              "directory": event["directory"], "started": self._wall()}
        elif event["event"] == "hook.ended":
            self._ledger.add(table.HOOKS_ENDED, event["hook"], str(event["status"]))
            self._ledger.observe(table.HOOK_SECONDS, event["duration_s"], event["hook"])
            self._running.pop(event["number"], None)
            self._ended.append({"time": self._wall(), "hook": event["hook"], "study_uid": event["study_uid"],
                                "directory": event["directory"], "status": event["status"], "seconds": event["duration_s"]})
        else:
            return
        self._changed = True

    def watch(self, loop: Timers, depths: Callable[[], Depths]) -> None:
        """Take over how much there is of everything, now and once a second, and report."""
        self.look(depths())
        loop.call_later(LOOK_S, lambda: self.watch(loop, depths))

    def look(self, depths: Depths) -> None:
        """Take over how much there is of everything, and report what has changed."""
        self._ledger.set(table.STUDIES_OPEN, depths.studies)
        self._ledger.set(table.HOOKS_RUNNING, depths.running)
        self._ledger.set(table.HOOKS_QUEUED, depths.waiting)
        self._ledger.set(table.EVENTS_WAITING, depths.event_octets)
        if depths.fleet is not None:
            connected, waiting = depths.fleet
            self._ledger.set(table.FLEET_AWAY, 0 if connected else 1)
            self._ledger.set(table.FLEET_WAITING, waiting)
        if depths.store is not None:
            self._look_at_store(depths.store)
        self._ledger.add(table.EVENTS_DROPPED, by=depths.events_dropped - self._dropped)
        self._dropped = depths.events_dropped
        if not self._changed:
            return
        self._changed = False
        lists = {"studies": list(self._open.values())[-MOST_OPEN:], "completed": list(self._completed),
                 "running": list(self._running.values())[-MOST_OPEN:], "ended": list(self._ended)}
        while not self._ledger.report(lists):  # the paths are long: the latest half of each will do
            lists = {name: rows[(len(rows) + 1) // 2 :] for name, rows in lists.items()}

    def _look_at_store(self, uploading: Uploading) -> None:
        state = uploading.state
        self._ledger.set(table.STORE_AWAY, 1 if state.away else 0)
        self._ledger.set(table.STORE_WAITING, state.objects)
        self._ledger.set(table.STORE_WAITING_BYTES, state.octets)
        self._ledger.set(table.STORE_UNREADABLE, state.unreadable)
        now = uploading.uploaded, uploading.uploaded_octets, uploading.retention.removed
        for metric, count, before in zip((table.STORE_OBJECTS, table.STORE_BYTES, table.STORE_REMOVED), now, self._stored, strict=True):
            self._ledger.add(metric, by=count - before)
        self._stored = now
