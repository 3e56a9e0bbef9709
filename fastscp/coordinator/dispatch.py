"""Carries out tasks: files of finished studies in this process, a few at a time, and hooks in their pool.

Invariant: a task is dropped from the durable state after it was carried out, never before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.finishing import Finisher
from fastscp.coordinator.hooks import HookRunner
from fastscp.coordinator.tasks import Lanes, Task
from fastscp.process.loop import Loop
from fastscp.study import events
from fastscp.study.commands import Commands
from fastscp.study.state import StudyState

Notice = Callable[[Task], None]


class Dispatcher:
    """Takes ready tasks from the lanes. ``state`` and ``finisher`` are there while studies are tracked."""

    def __init__(self, config: Config, loop: Loop, lanes: Lanes, event_log: EventLog | None, *,
                 started: Notice, finished: Notice) -> None:
        self.state: StudyState | None = None
        self.finisher: Finisher | None = None
        self._lanes = lanes
        self._event_log = event_log
        self._started = started
        self._finished = finished
        self._commands = Commands(config.hooks, ignore=config.store.ignore)
        self._runner = HookRunner(loop, jobs=config.hooks.jobs, timeout_s=config.hooks.timeout_s,
                                  sockets_as_output=config.network.mode is not ProcessMode.INETD)
        self._number = 0  #: hooks started

    def run(self) -> bool:
        """Do and start what is ready; return whether some of it is to be continued at once."""
        lanes = self._lanes
        for _ in range(len(lanes.ready_inline)):
            task = lanes.ready_inline.popleft()
            if self.finisher is None or self.finisher.step(task):
                self._finish(task)
            else:
                lanes.ready_inline.append(task)
        while lanes.ready and self._runner.has_room:
            self._start(lanes.ready.popleft())
        return bool(lanes.ready_inline)

    def _start(self, task: Task) -> None:
        if not self._commands.has(task.kind):  # kept by an earlier coordinator that had this hook
            self._hook_done(task)
            return
        self._number = number = self._number + 1
        arguments = self._commands.arguments(task.kind, task.body["values"])
        began = time.monotonic()
        if self._event_log is not None:
            self._event_log.put(events.hook_started(time.time(), task.kind, number, arguments))

        def ended(status: int) -> None:
            if self._event_log is not None:
                self._event_log.put(events.hook_ended(time.time(), task.kind, number, status, time.monotonic() - began))
            self._hook_done(task)

        self._runner.start(f"{task.kind} hook {number}", arguments, task.body["environment"], ended)
        self._started(task)

    def _hook_done(self, task: Task) -> None:
        if self.state is not None:
            self.state.finish_task(task.number)
        self._finish(task)

    def _finish(self, task: Task) -> None:
        self._lanes.finish(task)
        self._finished(task)
