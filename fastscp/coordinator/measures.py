"""What the coordinator counts, where there are metrics, and what it reports of studies and hooks.

Strategy: most of it is in the event stream, so this is one of its readers; what is a state and no event is looked at once
a second.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from fastscp.metrics import table
from fastscp.metrics.board import Ledger
from fastscp.metrics.table import Metric
from fastscp.study.event_types import Event

ROLE = "coordinator"
LOOK_S = 1.0
MOST_RECENT = 20  #: studies, and hooks, that a report describes
MOST_OPEN = 50


class Timers(Protocol):
    """What is needed of a loop."""

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> object:
        """Call back once."""


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

    def watch(self, loop: Timers, gauges: Callable[[], Mapping[Metric, float]]) -> None:
        """Take over ``gauges`` now and once a second, and report."""
        self.look(gauges())
        loop.call_later(LOOK_S, lambda: self.watch(loop, gauges))

    def look(self, gauges: Mapping[Metric, float]) -> None:
        """Take over what gauges are now, and report what has changed."""
        for metric, value in gauges.items():
            self._ledger.set(metric, value)
        if not self._changed:
            return
        self._changed = False
        most = MOST_OPEN
        while not self._ledger.report({"studies": list(self._open.values())[-most:], "completed": list(self._completed),
                                       "running": list(self._running.values())[-most:], "ended": list(self._ended)}):
            most //= 2
            self._completed.popleft()
            self._ended.popleft()
