"""Carries out tasks: files of finished studies in this process, a few at a time, and hooks in their pool.

Strategy: a hook that the system cannot start now is the first to be started after a pause, and the others wait behind
it; a hook that ends with a status other than 0 runs again after a pause of its own, as often as configured, while
others go on. Pauses grow.

Invariants: a task is dropped from the durable state after it was carried out, never before; a hook is done when it
succeeded or is kept as failed. What comes after it in its lane waits until then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.finishing import Step
from fastscp.coordinator.hooks import HookRunner
from fastscp.coordinator.host_names import HostNames
from fastscp.coordinator.lending import Borrowed
from fastscp.coordinator.tasks import FinishTask, HookTask, Lanes, Task
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process.loop import Loop
from fastscp.study import event_types, events, variables
from fastscp.study.commands import Commands, command_line

_log = logging.getLogger(APPLICATION)

Notice = Callable[[Task], None]
Clock = Callable[[], float]

TURN_S = 0.002  #: of a round go to tasks of one kind, and a step more
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0  #: for the system to have what a start needs
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 300.0  #: for whatever a hook failed by


class AnyCommands(Protocol):
    """Commands, of one section or of several."""

    def of(self, call: variables.Call) -> Commands:
        """Return the commands that a call is one of."""


class AnyFinisher(Protocol):
    """What finishes studies, of one section or of several."""

    def hurry(self) -> bool:
        """Do a piece of what somebody waits for; return whether there is more."""

    def step(self, task: FinishTask) -> Step:
        """Do some of a task that is due."""


class Dispatcher:
    """Takes ready tasks from the lanes. ``finisher`` is None where no studies are tracked.

    ``started`` is told of hooks, ``finished`` of tasks that are done, ``changed`` when some are ready later. ``clock`` is
    what turns are measured with, ``monotonic`` the time of the loop.
    """

    def __init__(self, loop: Loop, lanes: Lanes, commands: AnyCommands, runner: HookRunner, backlog: Backlog, *,
                 names: HostNames, retries: int, finisher: AnyFinisher | None, sink: events.EventSink | None,
                 started: Notice, finished: Notice, changed: Callable[[], None], last_recovered: int = 0,
                 monotonic: Clock = time.monotonic, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._loop = loop
        self._lanes = lanes
        self._commands = commands
        self._runner = runner
        self._backlog = backlog
        self._names = names
        self._retries = retries
        self._finisher = finisher
        self._sink = sink
        self._started = started
        self._finished = finished
        self._changed = changed
        self._monotonic = monotonic
        self._clock = clock
        self._wall = wall
        self.borrowed = Borrowed(last_recovered, ended=self._borrowed_ended, again=self._ready, changed=changed)
        self._lent_end: Callable[[int, int], None] | None = None  #: told how hooks end, once they are lent
        self._running: set[int] = set()  #: numbers of hooks, as in the state
        self._number = 0  #: hooks started
        self._pause_s = _FIRST_PAUSE_S  #: after the next start that fails
        self._pausing = False
        self._nameless = 0  #: hooks that wait for a host name
        self._resting = 0  #: hooks that wait to be retried
        self._paused: list[tuple[float, FinishTask]] = []  #: to be tried again, and when

    def run_kept(self, last: int) -> None:
        """Start only hooks that are in the state, those up to number ``last``, while that takes nothing new."""
        hooks = self._lanes.ready_hooks
        for _ in range(len(hooks)):
            if not self._runner.has_room or self._pausing:
                return
            task = hooks.popleft()
            if task.number <= last:
                self._start(task)
            else:
                hooks.append(task)

    def run(self) -> bool:
        """Do and start what is ready, for some milliseconds of each; return whether there is more of it."""
        finishes, hooks = self._lanes.ready_finishes, self._lanes.ready_hooks
        self._resume()
        wanted = self._hurry()
        end = self._clock() + TURN_S
        for _ in range(len(finishes)):
            self._work(finishes.popleft())
            if self._clock() >= end:
                break
        end = self._clock() + TURN_S
        while self._startable:
            self._start_surely(hooks.popleft())
            if self._clock() >= end:
                break
        return wanted or bool(finishes) or self._startable

    def _hurry(self) -> bool:
        """Do what a worker waits for; return whether there is more of it."""
        if self._finisher is None:
            return False
        end = self._clock() + TURN_S
        while self._finisher.hurry():
            if self._clock() >= end:
                return True
        return False

    @property
    def _startable(self) -> bool:
        """Whether a hook can be started now."""
        held_up = self._pausing or self.borrowed.undecided
        return bool(self._lanes.ready_hooks) and self._runner.has_room and not held_up

    @property
    def deadline(self) -> float | None:
        """When ``run`` has to be called next for files that wait to be worked on again."""
        return min((when for when, _ in self._paused), default=None)

    @property
    def goes_on(self) -> bool:
        """Whether anything gets done before a task that waits to be tried again."""
        busy = (self._runner.busy or self._lanes.ready_finishes or self._lanes.ready_hooks or self._nameless
                or self.borrowed.waiting)
        return bool(busy) or not (self._paused or self._resting)

    @property
    def retries_hooks(self) -> bool:
        """Whether a hook waits to be retried."""
        return bool(self._resting)

    @property
    def running(self) -> list[int]:
        """Return the numbers, in the state, of the hooks that run."""
        return sorted(self._running)

    def lend(self, told: Callable[[int, int], None]) -> list[int]:
        """Start nothing more; return the hooks that run, and tell how they end."""
        self._lent_end = told
        return self.running

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

    # -- starting ---------------------------------------------------------------------------------

    def _start_surely(self, task: HookTask) -> None:
        """Start a hook; one at which something fails that nobody expected stays in the state, for the next start."""
        try:
            self._start(task)
        except ProcessError:  # of the state: without it nothing can be promised
            raise
        except Exception:  # noqa: BLE001 - the boundary of one task
            _log.error("internal error, %s hook %d is left to the next start", task.kind, task.number, exc_info=True)
            self._finish(task)

    def _start(self, task: HookTask) -> None:
        if self.borrowed.take(task):
            return
        kept = self._backlog.call(task)
        commands = self._commands.of(kept)
        if not commands.has(task.kind):  # kept by an earlier coordinator that had this hook
            self._backlog.done(task)
            self._finish(task)
            return
        call = self._with_host_name(task, kept, commands)
        if call is None:
            return
        number = self._number + 1
        arguments = commands.arguments(task.kind, call["values"])
        hook = _described(task.kind, call, number, arguments)
        began = self._monotonic()

        def ended(status: int) -> None:
            if self._sink is not None:
                duration = self._monotonic() - began
                self._sink.put(events.hook_ended(self._wall(), hook, status, duration))
            self._running.discard(task.number)
            if self._lent_end is None:
                self._ended(task, arguments, status)
            else:
                self._lent_end(task.number, status)

        if not self._runner.start(_name(hook), arguments, call["environment"], ended):
            self._pause(task)
            return
        self._number = number
        self._running.add(task.number)
        self._pause_s = _FIRST_PAUSE_S
        if self._sink is not None:
            self._sink.put(events.hook_started(self._wall(), hook, arguments))
        self._backlog.started(task)
        self._started(task)

    def _with_host_name(self, task: HookTask, call: variables.Call, commands: Commands) -> variables.Call | None:
        """Return the call as it is to be made; None when the hook waits for the name of its peer."""
        address = call.get("host_of")
        if address is None:
            return call
        name = self._names.get(address)
        if name is None and commands.names_peer(task.kind):
            self._nameless += 1
            self._names.when_known(address, lambda: self._named(task))
            return None
        return variables.with_host_name(call, name or address)

    def _named(self, task: HookTask) -> None:
        self._nameless -= 1
        self._ready(task)

    def _ready(self, task: HookTask) -> None:
        self._lanes.ready_hooks.append(task)
        self._changed()

    def _pause(self, task: HookTask) -> None:
        """Start nothing for a while, and then this one first."""
        self._lanes.ready_hooks.appendleft(task)
        self._pausing = True
        self._loop.call_later(self._pause_s, self._go_on)
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)

    def _go_on(self) -> None:
        self._pausing = False
        self._changed()

    # -- ends -------------------------------------------------------------------------------------

    def _ended(self, task: HookTask, arguments: list[str], status: int) -> None:
        if not status:
            self._backlog.done(task)
            self._finish(task)
            return
        task.attempts += 1
        if task.attempts <= self._retries:
            self._rest(task)
            return
        self._backlog.fail(task, arguments, status)
        self._finish(task)

    def _borrowed_ended(self, task: HookTask, status: int) -> None:
        """Go on after a hook that an earlier coordinator started."""
        call = self._backlog.call(task)
        self._ended(task, self._commands.of(call).arguments(task.kind, call["values"]), status)
        self._changed()

    def _rest(self, task: HookTask) -> None:
        """Retry a hook later; until then it is in the state."""
        self._backlog.rest(task)
        self._resting += 1
        pause_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(task.attempts - 1, 20))
        self._loop.call_later(pause_s, lambda: self._rested(task))
        self._changed()

    def _rested(self, task: HookTask) -> None:
        self._resting -= 1
        self._ready(task)

    def _finish(self, task: Task) -> None:
        self._lanes.finish(task)
        self._finished(task)


def _described(kind: str, call: variables.Call, number: int, arguments: list[str]) -> event_types.Hook:
    """Return which hook is run, for which study, where, and by which command."""
    return {"hook": kind, "number": number, "study_uid": call["environment"].get("FASTSCP_STUDY_UID", ""),
            "directory": call["values"].get("p", ""), "command": command_line(arguments), "sender": variables.sender_of(call)}


def _name(hook: event_types.Hook) -> str:
    """Name a hook for the log."""
    return (f"{hook['hook']} hook {hook['number']} of study {hook['study_uid'] or 'unknown'} in {hook['directory'] or 'no directory'}"
            f" ({printable(hook['command'])})")
