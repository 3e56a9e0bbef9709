"""The coordinator process: one total order of the events of all workers, and what follows from it.

Strategy: one loop. A round reads every packet that is there, from all channels; at its end the durable state is
committed once, then answers leave and tasks start. With study features on, an object is acknowledged only after
it is in the state; without, when its hook was started or is in the state (at once when there is none), so that the
workers keep what a dying coordinator had not begun.

Invariants: answers leave and hooks start after the commit; hooks, the event log and slow workers never block a
round; it ends by what it was told, or, when the acceptor process is gone, with the last worker.

What it does not do: receive, name or publish objects (workers), start processes other than hooks.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.coordinator import requests
from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.channels import Transport
from fastscp.coordinator.destination import Destination
from fastscp.coordinator.dispatch import Dispatcher
from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.finishing import Finisher
from fastscp.coordinator.hooks import HookProcesses, HookRunner, Processes
from fastscp.coordinator.host_names import HostNames
from fastscp.coordinator.opening import open_hook_state, open_state
from fastscp.coordinator.patience import Patience
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.sessions import Sessions
from fastscp.coordinator.state_directory import make_completed_directory
from fastscp.coordinator.studies import Studies
from fastscp.coordinator.tasks import Lanes
from fastscp.errors import ProcessError
from fastscp.log import setup as log
from fastscp.log.names import APPLICATION
from fastscp.process import fdpass, packets
from fastscp.process.heartbeat import Heartbeat
from fastscp.process.loop import IN, Loop, Timer
from fastscp.store.own_paths import OwnPaths
from fastscp.study.commands import Commands
from fastscp.study.events import stream_to
from fastscp.study.state import HookState, Recovered, StudyState

_log = logging.getLogger(APPLICATION)

#: associations known from the state keep their studies open that long until a worker reports them
RECOVERY_S = 5.0
#: events of workers known from the state are remembered that long until the worker is back
FORGET_WORKERS_S = 60.0
#: beyond the drain timeout, which a worker without an acceptor process keeps to
ORPHAN_GRACE_S = 5.0
#: between two looks for what operators ask of hooks that failed
REQUESTS_S = 1.0
#: between two portions of renames, for a look at the channels
PAUSE_S = 0.001
_IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(control: socket.socket, config: Config, heartbeat: Heartbeat | None = None) -> int:
    """Run the process until it is drained or stopped; return its exit status. Owns ``control``.

    ``heartbeat`` gives the signs of life that its parent wants.

    A state directory or an event log that cannot be used is logged and ends the process with status 1.
    """
    for number in _IGNORED_SIGNALS:  # the acceptor process tells what they mean
        signal.signal(number, signal.SIG_IGN)
    try:
        loop = Loop()
        coordinator = _build(control, config, loop, heartbeat)
        if heartbeat is not None:
            heartbeat.beat_in(loop)
        try:
            coordinator.run()
        finally:
            coordinator.close()
    except ProcessError as error:
        _log.critical("%s", error)
        return 1
    return 0


def _build(control: socket.socket, config: Config, loop: Loop, heartbeat: Heartbeat | None) -> Coordinator:
    destination = config.hooks.event_log
    event_log = EventLog(Destination(destination), loop) if destination else None
    state = open_state(config, Patience(control, heartbeat)) if config.keeps_studies else None
    hook_state = state or open_hook_state(config)
    if config.study.completed_directory is not None:
        make_completed_directory(config.study.completed_directory, config.store.output_directory)
    processes = HookProcesses(sockets_as_output=config.network.mode is not ProcessMode.INETD)
    return Coordinator(control, config, loop=loop, state=state, hook_state=hook_state, event_log=event_log,
                       processes=processes, adopt=adopt)


def adopt(descriptor: int) -> Transport:
    """Return the socket that came as ``descriptor``."""
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


class Coordinator:
    """The rounds of the process. Owns what it is given.

    ``state`` is there while studies are tracked. ``hook_state`` is the same then, else where hooks that wait are kept.
    """

    def __init__(self, control: socket.socket, config: Config, *, loop: Loop, state: StudyState | None,
                 hook_state: HookState, event_log: EventLog | None, processes: Processes,
                 adopt: Callable[[int], Transport]) -> None:
        self._control = control
        self._loop = loop
        self._state = hook_state
        self._event_log = event_log
        stream = stream_to(event_log)
        self._adopt = adopt
        self._round_pending = False
        self._draining = False
        self._orphan = False  #: the acceptor process is gone; the last worker's end is ours
        self._resumed = config.study.resumed
        self._orphan_limit_s = config.network.drain_timeout_s + ORPHAN_GRACE_S
        self._deadline: float | None = None
        self._deadline_timer: Timer | None = None
        self._lanes = Lanes()
        self._names = HostNames(loop)
        self._studies: Studies | None = None
        finisher = None
        output_directory = config.store.output_directory
        recovered = hook_state.recover()
        self._backlog = Backlog(self._lanes, hook_state, last_task=recovered.last_task)
        if state is not None:
            finisher = Finisher(config.study, state, stream, has_hook=config.hooks.on_end_of_study is not None)
            placer = Placer(config.study, output_directory,
                            OwnPaths(config.own_directories, (*config.own_files, *log.files())))
            self._studies = Studies(config.study, config.hooks, state, self._lanes, placer, finisher, stream)
            self._studies.recover(recovered, loop.now)
        else:
            self._backlog.recover(recovered.tasks)
        self._sessions = Sessions(loop, self._lanes, self._studies, self._backlog, stream, config.hooks,
                                  output_directory, known=recovered.events, changed=self._schedule_round)
        self._backlog.kept = self._sessions.hook_taken
        self._dispatcher = Dispatcher(
            loop, self._lanes, Commands(config.hooks, ignore=config.store.ignore),
            HookRunner(loop, processes, jobs=config.hooks.jobs, timeout_s=config.hooks.timeout_s), self._backlog,
            names=self._names, retries=config.hooks.retries, finisher=finisher, sink=stream,
            started=self._sessions.hook_taken, finished=self._sessions.task_finished, changed=self._schedule_round,
            monotonic=lambda: loop.now)
        self._watching_requests = False
        self._expect_back(recovered)
        self._take_requests()

    def run(self) -> None:
        """Serve until drained or stopped."""
        self._control.setblocking(False)
        self._loop.register(self._control.fileno(), IN, self._read_control)
        self._control.send(packets.encode({"kind": "ready"}))
        self._schedule_round()
        self._loop.run()

    def close(self) -> None:
        """Commit and give everything back."""
        self._state.close()
        if self._event_log is not None:
            self._event_log.close()
        self._sessions.close()
        self._loop.close()
        self._control.close()

    # -- acceptor process -------------------------------------------------------------------------

    def _read_control(self, _mask: int) -> None:
        try:
            octets, descriptor = fdpass.receive(self._control)
        except BlockingIOError:
            return
        if not octets:
            self._loop.unregister(self._control.fileno())
            self._abandoned()
            return
        self._follow(packets.decode_control(octets), descriptor)

    def _follow(self, packet: packets.ControlPacket, descriptor: int | None) -> None:
        if packet["kind"] == "worker":
            if descriptor is not None:
                self._sessions.add(packet["name"], self._adopt(descriptor))
        elif packet["kind"] == "drain":
            self._drain()
        elif packet["kind"] == "suspend":
            self._end_tasks()
        elif packet["kind"] == "host":
            self._names.heard(packet["address"], packet["host"])
            self._sessions.host_known(packet["address"], packet["host"])
        elif packet["kind"] == "stop":
            self._stop()
        elif packet["kind"] == "reload" and self._event_log is not None:
            self._event_log.reopen()

    def _abandoned(self) -> None:
        """Stay for the workers, which finish what is under way; nobody will tell when they have."""
        if self._draining:
            return
        _log.error("the acceptor process is gone, finishing what is under way")
        self._orphan = True
        self._loop.call_later(self._orphan_limit_s, lambda: self._end_tasks(with_studies=not self._resumed))
        self._schedule_round()

    def _drain(self) -> None:
        """Take over what is still in the channels, end the open studies, stop when every task is done."""
        self._end_tasks(with_studies=True)

    def _end_tasks(self, *, with_studies: bool = False) -> None:
        """Take over what is still in the channels, stop when every task is done; open studies are for the next start."""
        if self._draining:
            return
        self._draining = True
        self._sessions.read_all()
        if self._studies is not None and with_studies:
            self._studies.drain()
        self._schedule_round()

    def _stop(self) -> None:
        """End now: what workers told and hooks that have not ended are for the next start."""
        self._sessions.read_all()
        self._leave()

    def _leave(self) -> None:
        left = self._backlog.keep_all()
        if left and self._state.directory is not None:
            _log.warning("%d hooks have not ended, they run at the next start", left)
        elif left:
            _log.error("%d hooks have not ended and are lost", left)
        self._loop.stop()

    # -- operators --------------------------------------------------------------------------------

    def _take_requests(self) -> None:
        """Do what operators ask of hooks that failed, and look again in a while."""
        directory = self._state.directory
        if directory is None:
            return
        for request in requests.waiting(directory, discard=True):
            carry_out = self._backlog.retry if request.kind == requests.RETRY else self._backlog.forget
            count = carry_out(request.numbers)
            _log.info("%s: %d hooks that failed", request.kind, count)
            self._state.commit()
            requests.remove(request)
            self._schedule_round()
        self._watching_requests = True
        self._loop.call_later(REQUESTS_S, self._take_requests)

    # -- an earlier coordinator --------------------------------------------------------------------------

    def _expect_back(self, recovered: Recovered) -> None:
        """Give the workers and associations of an earlier coordinator time to be heard of."""
        if recovered.events:
            self._loop.call_later(FORGET_WORKERS_S, self._forget_workers)
        if recovered.studies or recovered.events:
            associations = list(recovered.holders)
            self._loop.call_later(RECOVERY_S, lambda: self._forget_unheard(associations))

    def _forget_unheard(self, associations: list[str]) -> None:
        if self._studies is not None:
            self._studies.forget_unheard(self._sessions.unheard(associations))
            self._schedule_round()

    def _forget_workers(self) -> None:
        self._state.forget_events(self._sessions.forget_gone())
        self._schedule_round()

    # -- rounds -----------------------------------------------------------------------------------

    def _schedule_round(self) -> None:
        if not self._round_pending:
            self._round_pending = True
            self._loop.call_at(0.0, self._end_round)

    def _end_round(self) -> None:
        """Commit, answer, start what is ready."""
        self._round_pending = False
        if self._orphan and not self._sessions.connected:
            self._end_tasks(with_studies=not self._resumed)
        if self._studies is not None:
            self._studies.due(self._loop.now)
        self._state.commit()
        self._sessions.send_answers()
        if self._dispatcher.run():
            self._loop.call_later(PAUSE_S, self._schedule_round)
        if self._studies is None:
            self._sessions.send_answers()  # a hook that runs is acknowledged, whatever becomes of the state
        self._backlog.settle()
        self._state.commit()
        self._sessions.send_answers()
        if self._event_log is not None:
            self._event_log.flush()
        self._watch_deadline()
        if not self._watching_requests:
            self._take_requests()
        if self._draining:
            self._end_drain()

    def _end_drain(self) -> None:
        """Stop when every task is done. What only waits to be tried again is for the next start."""
        lasting = self._state.directory is not None or not self._dispatcher.retries_hooks
        if not self._lanes.pending:
            self._loop.stop()
        elif lasting and not self._dispatcher.goes_on:
            self._leave()

    def _watch_deadline(self) -> None:
        """Wake up when a study's time is over, or a task is to be tried again."""
        times = (None if self._studies is None else self._studies.deadline(), self._dispatcher.deadline)
        deadline = min((time for time in times if time is not None), default=None)
        if deadline == self._deadline:
            return
        self._deadline = deadline
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._deadline_timer = None if deadline is None else self._loop.call_at(deadline, self._deadline_passed)

    def _deadline_passed(self) -> None:
        self._deadline = self._deadline_timer = None
        self._schedule_round()
