"""Carries out tasks: files of finished studies in this process, a few at a time, and hooks in their pool.

Invariant: a task is dropped from the durable state after it was carried out, never before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fastscp.coordinator.finishing import Finisher
from fastscp.coordinator.hooks import HookRunner
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes, Task
from fastscp.study import events
from fastscp.study.commands import Commands
from fastscp.study.state import StudyState

Notice = Callable[[Task], None]
Clock = Callable[[], float]


class Dispatcher:
    """Takes ready tasks from the lanes. ``state`` and ``finisher`` are None where no studies are tracked."""

    def __init__(self, lanes: Lanes, commands: Commands, runner: HookRunner, *, state: StudyState | None,
                 finisher: Finisher | None, sink: events.EventSink | None, started: Notice, finished: Notice,
                 monotonic: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._lanes = lanes
        self._commands = commands
        self._runner = runner
        self._state = state
        self._finisher = finisher
        self._sink = sink
        self._started = started
        self._finished = finished
        self._monotonic = monotonic
        self._wall = wall
        self._number = 0  #: hooks started
        self._running = 0
        self._paused: list[tuple[float, FinishTask]] = []  #: to be tried again, and when

    def run(self) -> bool:
        """Do and start what is ready; return whether some of it is to be continued at once."""
        finishes, hooks = self._lanes.ready_finishes, self._lanes.ready_hooks
        self._resume()
        for _ in range(len(finishes)):
            self._work(finishes.popleft())
        while hooks and self._runner.has_room:
            self._start(hooks.popleft())
        return bool(finishes)

    @property
    def deadline(self) -> float | None:
        """When ``run`` has to be called next for a task that waits to be tried again."""
        return min((when for when, _ in self._paused), default=None)

    @property
    def goes_on(self) -> bool:
        """Whether anything gets done before a task that waits to be tried again."""
        return not self._paused or bool(self._running or self._lanes.ready_finishes or self._lanes.ready_hooks)

    def _resume(self) -> None:
        if self._paused:
            now = self._monotonic()
            self._lanes.ready_finishes.extend(task for when, task in self._paused if when <= now)
            self._paused = [(when, task) for when, task in self._paused if when > now]

    def _work(self, task: FinishTask) -> None:
        """Do a piece of a task."""
        if self._finisher is None:
            self._finish(task)
            return
        step = self._finisher.step(task)
        if step.pause_s:
            self._paused.append((self._monotonic() + step.pause_s, task))
        elif not step.done:
            self._lanes.ready_finishes.append(task)
        elif step.then is not None:
            self._lanes.replace(task, step.then)
        else:
            self._finish(task)

    def _start(self, task: HookTask) -> None:
        if not self._commands.has(task.kind):  # kept by an earlier coordinator that had this hook
            self._hook_done(task)
            return
        self._number = number = self._number + 1
        arguments = self._commands.arguments(task.kind, task.call["values"])
        began = self._monotonic()
        if self._sink is not None:
            self._sink.put(events.hook_started(self._wall(), task.kind, number, arguments))

        self._running += 1

        def ended(status: int) -> None:
            self._running -= 1
            if self._sink is not None:
                duration = self._monotonic() - began
                self._sink.put(events.hook_ended(self._wall(), task.kind, number, status, duration))
            self._hook_done(task)

        self._runner.start(f"{task.kind} hook {number}", arguments, task.call["environment"], ended)
        self._started(task)

    def _hook_done(self, task: HookTask) -> None:
        if self._state is not None:
            self._state.finish_task(task.number)
        self._finish(task)

    def _finish(self, task: Task) -> None:
        self._lanes.finish(task)
        self._finished(task)
