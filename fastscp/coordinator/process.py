"""The coordinator process: one total order of the events of all workers, and what follows from it.

Strategy: one loop. A round reads every packet that is there, from all channels; at its end the durable state is
committed once, then answers leave and tasks start. With study features on, an object is acknowledged only after
it is in the state; without, when its hook was started or is in the state (at once when there is none), so that the
workers keep what a dying coordinator had not begun.

Invariants: answers leave and hooks start after the commit; hooks, the event log, slow workers and a state that takes
nothing (``coordinator.rounds``) never block a round; it ends by what it was told, or, when the acceptor process is gone,
with the last worker.

What it does not do: receive, name or publish objects (workers), start processes other than hooks.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.beside import Beside
from fastscp.coordinator.by_sender import CommandsBySender, StudiesBySender
from fastscp.coordinator.channels import Transport, adopt
from fastscp.coordinator.dispatch import Dispatcher
from fastscp.coordinator.event_readers import Reader, open_readers
from fastscp.coordinator.guests import Guests
from fastscp.coordinator.handing_over import HandingOver
from fastscp.coordinator.heir import Heir
from fastscp.coordinator.hooks import HookProcesses, HookRunner, Processes
from fastscp.coordinator.host_names import HostNames
from fastscp.coordinator.inheriting import Inheriting, Returning
from fastscp.coordinator.measures import Measures, depths, measures_of
from fastscp.coordinator.opening import open_beside, open_hook_state, open_state
from fastscp.coordinator.operators import Operators
from fastscp.coordinator.patience import Patience
from fastscp.coordinator.reloading import Reloading
from fastscp.coordinator.rounds import Alarm, Commits
from fastscp.coordinator.rules import rules_of
from fastscp.coordinator.sessions import Sessions
from fastscp.coordinator.state_directory import make_completed_directory
from fastscp.coordinator.tasks import Lanes
from fastscp.coordinator.valve import Valve
from fastscp.errors import PacketError, ProcessError, StorageError
from fastscp.log.limit import PeerLimit
from fastscp.log.names import APPLICATION
from fastscp.metrics.board import Board
from fastscp.process import fdpass, journal, packets
from fastscp.process.heartbeat import Heartbeat
from fastscp.process.journal import Journals
from fastscp.process.loop import IN, Loop
from fastscp.study.events import stream_to
from fastscp.study.state import HookState, StudyState

_log = logging.getLogger(APPLICATION)

ORPHAN_GRACE_S = 5.0  #: beyond the drain timeout, which a worker without an acceptor process keeps to
PAUSE_S = 0.001  #: between two portions of renames, for a look at the channels
_IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def main(control: socket.socket, config: Config, heartbeat: Heartbeat | None = None, board: Board | None = None) -> int:
    """Run the process until it is drained or stopped; return its exit status. Owns ``control``.

    ``heartbeat`` gives the signs of life that its parent wants. A state directory or an event log that cannot be used is
    logged and ends the process with status 1.
    """
    for number in _IGNORED_SIGNALS:  # the acceptor process tells what they mean
        signal.signal(number, signal.SIG_IGN)
    try:
        loop = Loop()
        coordinator = _build(control, config, loop, heartbeat, measures_of(board))
        if heartbeat is not None:
            heartbeat.beat_in(loop)
        try:
            coordinator.run()
        finally:
            coordinator.close()
    except (ProcessError, StorageError) as error:
        _log.critical("%s", error)
        return 1
    return 0


def _build(control: socket.socket, config: Config, loop: Loop, heartbeat: Heartbeat | None,
           measures: Measures | None) -> Coordinator:
    event_log = open_readers(config, loop)
    state = open_state(config, Patience(control, heartbeat)) if any(own.keeps_studies for own in config.every) else None
    hook_state = state or open_hook_state(config)
    for own in config.every:
        if own.study.completed_directory is not None:
            make_completed_directory(own.study.completed_directory, own.store.output_directory)
    processes = HookProcesses(sockets_as_output=config.network.mode is not ProcessMode.INETD)
    return Coordinator(control, config, loop=loop, state=state, hook_state=hook_state, event_log=event_log,
                       processes=processes, adopt=adopt, beside=open_beside(config, loop, state), measures=measures)


class Coordinator:
    """The rounds of the process. Owns what it is given.

    ``state`` is there while studies are tracked. ``hook_state`` is the same then, else where hooks that wait are kept.
    """

    def __init__(self, control: socket.socket, config: Config, *, loop: Loop, state: StudyState | None,
                 hook_state: HookState, event_log: Reader | None, processes: Processes,
                 adopt: Callable[[int], Transport], beside: Beside | None = None,
                 clock: Callable[[], float] = time.monotonic, measures: Measures | None = None) -> None:
        self._control = control
        self._loop = loop
        self._state = hook_state
        self._event_log = event_log
        self._measures = measures
        stream = stream_to(event_log, measures)
        self._adopt = adopt
        self._beside = beside = beside or Beside()
        self._round_pending = False
        self._draining = False
        self._orphan = False  #: the acceptor process is gone; the last worker's end is ours
        self._resumed = config.study.resumed
        self._heir = Heir(loop, hook_state, self._stop)
        self._orphan_limit_s = config.network.drain_timeout_s + ORPHAN_GRACE_S
        self._alarm = Alarm(loop, self._schedule_round)
        self._said = PeerLimit(clock, loop.call_later)
        self._lanes = Lanes()
        self._valve = Valve(config.hooks.most_waiting)
        self._names = HostNames(loop)
        self._studies: StudiesBySender | None = None
        rules = rules_of(config)
        commands = CommandsBySender(rules)
        recovered = hook_state.recover()
        self._inheriting = Inheriting(Journals(hook_state.directory / journal.DIRECTORY if state and hook_state.directory else None))
        if state is not None:
            self._studies = StudiesBySender(rules, state, self._lanes, stream, files=beside.files, journal=beside.journal)
            self._backlog = Backlog(self._lanes, hook_state, numbers=self._studies.numbers)
            self._studies.recover(recovered, loop.now)
        else:
            self._backlog = Backlog(self._lanes, hook_state, last_task=recovered.last_task)
            self._backlog.recover(recovered.tasks)
        self._sessions = Sessions(loop, self._lanes, self._studies, self._backlog, stream, rules, known=recovered.events,
                                  changed=self._schedule_round, said=self._said, journal_of=self._inheriting.of, committing=beside.committing,
                                  files=beside.files)
        self._backlog.kept = self._sessions.hook_taken
        self._dispatcher = Dispatcher(
            loop, self._lanes, commands,
            HookRunner(loop, processes, jobs=config.hooks.jobs, timeout_s=config.hooks.timeout_s), self._backlog,
            names=self._names, retries=config.hooks.retries, finisher=self._studies, sink=stream,
            started=self._sessions.hook_taken, finished=self._sessions.task_finished, changed=self._schedule_round,
            last_recovered=recovered.last_task, monotonic=lambda: loop.now, clock=clock)
        self._reloading = Reloading(event_log, self._schedule_round, commands, self._sessions, self._studies, beside)
        self._commits = Commits(loop, hook_state, self._sessions.answers, lambda: self._studies.last_task if self._studies else 0,
                                self._schedule_round)
        self._guests = Guests(loop, adopt, self._dispatcher.borrowed, hear=self._hear, stop=self._stop,
                              left=self._schedule_round)
        self._handing_over = HandingOver(control, hook_state, self._lanes, self._sessions, self._backlog,
                                         self._dispatcher, self._commits, self._schedule_round)
        self._operators = Operators(loop, hook_state, self._backlog, self._commits, self._schedule_round)
        forget = self._studies.forget_unheard if self._studies else None
        Returning(loop, hook_state, self._sessions, lambda: self._handing_over.done, self._schedule_round).expect(
            recovered, self._inheriting.all(self._sessions.inherit), forget)
        self._operators.begin()
        beside.begin(self._sessions, self._commits, self._schedule_round, self._studies, self._lanes)

    def run(self) -> None:
        """Serve until drained or stopped."""
        self._control.setblocking(False)
        self._said.attach()
        self._loop.register(self._control.fileno(), IN, self._control_ready)
        while self._read_control():  # what is said at the start has to be known before any hook starts
            pass
        with contextlib.suppress(BrokenPipeError):  # it has died meanwhile: end of file is read next, if it was not yet
            self._control.send(packets.encode({"kind": "ready"}))
        if self._measures is not None:
            self._measures.watch(self._loop, lambda: depths(self._studies, self._lanes, self._dispatcher, self._event_log, self._beside))
        self._schedule_round()
        self._loop.run()

    def close(self) -> None:
        """Commit and give everything back. Raises StorageError when what is left cannot be committed."""
        self._said.detach()
        try:
            self._beside.close()
            if not self._handing_over.done:
                self._state.close()
        finally:
            self._beside.end()
            if self._event_log is not None:
                self._event_log.close()
            self._sessions.close()
            self._loop.close()
            self._control.close()

    # -- acceptor process -------------------------------------------------------------------------

    def _control_ready(self, _mask: int) -> None:
        self._read_control()

    def _read_control(self) -> bool:
        """Follow one packet; False when there was none."""
        try:
            octets, descriptor = fdpass.receive(self._control)
        except BlockingIOError:
            return False
        if not octets:
            self._loop.unregister(self._control.fileno())
            self._abandoned()
            return False
        try:
            self._follow(packets.decode_control(octets), descriptor)
        except PacketError as error:
            _log.error("a packet of the acceptor process is left out: %s", error)
        return True

    def _follow(self, packet: packets.ControlPacket, descriptor: int | None) -> None:
        if self._handing_over.done:
            if packet["kind"] == "stop":
                self._loop.stop()
        elif packet["kind"] == "drain":
            self._drain()
        elif packet["kind"] == "suspend":
            self._drain(with_studies=False)
        elif packet["kind"] == "stop":
            self._stop()
        elif packet["kind"] == "hand_over":
            self._hand_over()
        elif packet["kind"] == "reload":
            self._reloading.take(descriptor)
        elif packet["kind"] == "guest" and descriptor is not None:
            self._guests.welcome(descriptor)
        else:
            self._hear(self, packet, descriptor)

    def _hear(self, speaker: object, packet: packets.ControlPacket, descriptor: int | None) -> None:
        """Take what the own acceptor process tells, or a guest."""
        if packet["kind"] == "worker":
            if descriptor is not None:
                self._sessions.add(packet["name"], self._adopt(descriptor))
        elif packet["kind"] == "host":
            self._names.heard(packet["address"], packet["host"])
            self._sessions.host_known(packet["address"], packet["host"])
        elif packet["kind"] == "lent":
            self._dispatcher.borrowed.lend(speaker, packet["hooks"])
        elif packet["kind"] == "hook_ended":
            self._dispatcher.borrowed.tell_end(packet["number"], packet["status"])

    def _abandoned(self) -> None:
        """Stay for the workers, which finish what is under way; nobody will tell when they have."""
        if self._draining or self._handing_over.done:
            return
        _log.error("the acceptor process is gone, finishing what is under way")
        self._orphan = True
        self._loop.call_later(self._orphan_limit_s, lambda: self._drain(with_studies=not self._resumed))
        if not self._resumed:  # hooks that run are not for the next start
            self._heir.look()
        self._schedule_round()

    def _hand_over(self) -> None:
        """Leave the state to the coordinator of another program, unless it has come to its end already."""
        if not self._draining:
            self._handing_over.attempt()
        if self._handing_over.done:
            self._guests.leave()
            self._operators.end()
            self._beside.end()

    def _drain(self, *, with_studies: bool = True) -> None:
        """Take over what is still in the channels, end the open studies, or leave them to the next start, stop when every task is done."""
        if self._draining:
            return
        self._draining = True
        self._sessions.read_all()
        if self._studies is not None and with_studies:
            self._studies.drain()
            self._beside.for_good()
        self._schedule_round()

    def _stop(self) -> None:
        """End now: what workers told and hooks that have not ended are for the next start."""
        self._sessions.read_all()
        self._leave()

    def _leave(self) -> None:
        if left := self._backlog.keep_all():
            lost = self._state.directory is None
            _log.log(logging.ERROR if lost else logging.WARNING, "%d hooks have not ended%s", left,
                     " and are lost" if lost else ", they run at the next start")
        self._loop.stop()

    # -- rounds -----------------------------------------------------------------------------------

    def _schedule_round(self) -> None:
        if not self._round_pending:
            self._round_pending = True
            self._loop.call_at(0.0, self._round)

    def _round(self) -> None:
        self._round_pending = False
        if not self._handing_over.done:
            self._end_round()
            return
        if self._event_log is not None:
            self._event_log.flush()
        if self._handing_over.over:
            self._loop.stop()

    def _end_round(self) -> None:
        """Commit, answer, start what is ready."""
        if self._orphan and not (self._sessions.connected or self._guests.present):
            self._drain(with_studies=not self._resumed)
        if self._studies is not None:
            self._sessions.recall(self._studies.due(self._loop.now))
        if not self._commits.commit() and self._studies is not None:
            self._dispatcher.run_kept(self._commits.kept_task)
        elif self._dispatcher.run() | (self._studies is not None and self._studies.tidy()):
            self._loop.call_later(PAUSE_S, self._schedule_round)
        if self._studies is None:
            self._sessions.answers.send()  # a hook that runs is acknowledged, whatever becomes of the state
        self._backlog.settle()
        if self._beside.valve_moved(self._valve, self._lanes.pending):
            self._sessions.hold_objects(on=self._beside.closed(self._valve))
        if self._commits.commit():
            self._inheriting.durable()
            self._beside.committed()
        if self._event_log is not None:
            self._event_log.flush()
        self._watch_deadline()
        self._operators.begin()
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
        self._alarm.set(None if self._studies is None else self._studies.deadline(), self._dispatcher.deadline)
