"""The coordinator process: one total order of the events of all workers, and what follows from it.

Strategy: one loop. A round reads every packet that is there, from all channels; at its end the durable state is
committed once, then answers leave and tasks start. With study features on, an object is acknowledged only after
it is in the state; without, there is no state, and it is acknowledged when its hook was started (at once when
there is none), so that the workers keep what a dying coordinator had not begun.

Invariants: answers leave and hooks start after the commit; a packet repeated by a worker after the death of an
earlier coordinator counts once, by (incarnation, event); hooks, the event log and slow workers never block a
round.

What it does not do: receive, name or publish objects (workers), start processes other than hooks.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.coordinator.channels import Channel
from fastscp.coordinator.dispatch import Dispatcher
from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.state_directory import RESERVED_NAMES, StateDirectory
from fastscp.coordinator.studies import NOBODY, RECEPTION, Studies
from fastscp.coordinator.tasks import Cause, Lanes, Task
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.process import fdpass, packets
from fastscp.process.loop import IN, Loop, Timer
from fastscp.study import events, variables
from fastscp.study.state import SqliteState

_log = logging.getLogger(APPLICATION)

#: associations known from the state keep their studies open that long until a worker reports them
_RECOVERY_S = 5.0
#: events of workers known from the state are remembered that long until the worker is back
_FORGET_WORKERS_S = 60.0
#: between two portions of renames, for a look at the channels
_PAUSE_S = 0.001
_IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(control: socket.socket, config: Config) -> int:
    """Run the process until it is drained or stopped; return its exit status. Owns ``control``.

    A state directory or an event log that cannot be used is logged and ends the process with status 1.
    """
    for number in _IGNORED_SIGNALS:  # the acceptor process tells what they mean
        signal.signal(number, signal.SIG_IGN)
    try:
        coordinator = Coordinator(control, config)
        try:
            coordinator.run()
        finally:
            coordinator.close()
    except ProcessError as error:
        _log.critical("%s", error)
        return 1
    return 0


class Coordinator:
    """The state of the process."""

    def __init__(self, control: socket.socket, config: Config) -> None:
        self._config = config
        self._control = control
        self._loop = Loop()
        self._channels: dict[int, Channel] = {}
        self._last_key = 0
        self._lanes = Lanes()
        self._event_log = EventLog(config.hooks.event_log, self._loop) if config.hooks.event_log else None
        self._dispatcher = Dispatcher(config, self._loop, self._lanes, self._event_log,
                                      started=self._hook_started, finished=self._task_finished)
        self._state: SqliteState | None = None
        self._studies: Studies | None = None
        self._events: dict[str, int] = {}  #: highest event taken over, by incarnation
        self._outgoing: list[tuple[Channel, bytes]] = []
        self._round_pending = False
        self._draining = False
        self._deadline: float | None = None
        self._deadline_timer: Timer | None = None
        if config.keeps_studies:
            self._open_state()

    def _open_state(self) -> None:
        store, study = self._config.store, self._config.study
        if self._config.network.mode is ProcessMode.INETD:  # lives as long as its one association
            self._state = SqliteState(None)
        else:
            self._directory = StateDirectory(study.state_directory, store.output_directory)
            self._state = SqliteState(self._directory.path)
        placer = Placer(study, store.output_directory, RESERVED_NAMES)
        self._studies = Studies(self._config, self._state, self._lanes, self._event_log, placer)
        self._dispatcher.state, self._dispatcher.finisher = self._state, self._studies.finisher
        recovered = self._state.recover()
        self._events = recovered.events
        self._studies.recover(recovered, self._loop.now)
        if recovered.events:
            self._loop.call_later(_FORGET_WORKERS_S, self._forget_workers)
        if recovered.studies:
            associations = list(recovered.holders)
            self._loop.call_later(_RECOVERY_S, lambda: self._forget_unheard(associations))

    def run(self) -> None:
        """Serve until drained or stopped."""
        self._control.setblocking(False)
        self._loop.register(self._control.fileno(), IN, self._read_control)
        self._control.send(packets.encode({"kind": "ready"}))
        self._schedule_round()
        self._loop.run()

    def close(self) -> None:
        """Commit and give everything back."""
        if self._state is not None:
            self._state.close()
        if self._event_log is not None:
            self._event_log.close()
        for channel in self._channels.values():
            channel.close()
        self._loop.close()
        self._control.close()

    # -- acceptor process -------------------------------------------------------------------------

    def _read_control(self, _mask: int) -> None:
        try:
            octets, descriptor = fdpass.receive(self._control)
        except BlockingIOError:
            return
        except ConnectionResetError:
            octets, descriptor = b"", None
        if not octets:
            self._loop.unregister(self._control.fileno())
            self._drain()
            return
        packet = packets.decode_control(octets)
        if packet["kind"] == "worker":
            if descriptor is not None:
                self._add_channel(packet["name"], descriptor)
        elif packet["kind"] == "drain":
            self._drain()
        elif packet["kind"] == "stop":
            self._loop.stop()
        elif packet["kind"] == "reload" and self._event_log is not None:
            self._event_log.reopen()

    def _drain(self) -> None:
        """Take over what is still in the channels, end the open studies, stop when every task is done."""
        if self._draining:
            return
        self._draining = True
        for channel in list(self._channels.values()):
            while channel.open and channel.read():
                pass
        if self._studies is not None:
            self._studies.drain()
        self._schedule_round()

    # -- workers ----------------------------------------------------------------------------------

    def _add_channel(self, name: str, descriptor: int) -> None:
        self._last_key += 1
        self._channels[self._last_key] = Channel(descriptor, name, self._last_key, self._loop, taken=self._take,
                                                 lost=self._lose_channel)

    def _take(self, channel: Channel, octets: bytes) -> None:
        packet = packets.decode_worker(octets)
        self._schedule_round()
        if packet["kind"] == "stored":
            self._take_stored(channel, packet, octets)
        elif packet["kind"] == "place":
            self._take_place(channel, packet)
        elif packet["kind"] == "opened":
            self._take_opened(channel, packet, octets)
        elif packet["kind"] == "closed":
            self._close_association(channel, packet["association"], packet["how"])
        elif packet["kind"] == "abandoned":
            self._abandon(channel, packet["request"])
        elif packet["kind"] == "hello":
            channel.incarnation = packet["incarnation"]
            channel.highest_event = self._events.get(channel.incarnation, 0)

    def _take_opened(self, channel: Channel, packet: packets.Opened, octets: bytes) -> None:
        channel.associations[packet["association"]] = dict(packet), octets
        if self._event_log is not None:
            self._event_log.put(events.association_opened(time.time(), packet))

    def _take_place(self, channel: Channel, packet: packets.Place) -> None:
        if self._studies is None:
            answer: packets.Placed = {"kind": "placed", "request": packet["request"], "status": 0, "message": "",
                                      "directory": self._config.store.output_directory}
        else:
            answer = self._studies.place(packet, channel.incarnation, self._loop.now)
            if not answer["status"]:
                channel.requests.add(packet["request"])
        self._answer(channel, answer)

    def _abandon(self, channel: Channel, request: int) -> None:
        if request in channel.requests and self._studies is not None:
            channel.requests.discard(request)
            self._studies.abandoned((channel.incarnation, request), self._loop.now)

    def _take_stored(self, channel: Channel, packet: packets.Stored, octets: bytes) -> None:
        event = packet["event"]
        cause = channel.key, event
        if event > channel.highest_event:
            channel.highest_event = event
            self._store(channel, packet, octets, cause)
        if self._state is not None or not self._lanes.caused(cause):
            self._answer(channel, {"kind": "ack", "event": event})
        if self._config.hooks.synchronous and not self._lanes.caused(cause):
            self._answer(channel, {"kind": "ran", "event": event})

    def _store(self, channel: Channel, packet: packets.Stored, octets: bytes, cause: Cause) -> None:
        opened, caller = self._caller(channel, packet["association"])
        if self._event_log is not None:
            self._event_log.put(events.object_stored(time.time(), opened, packet))
        if self._studies is not None:
            if packet["request"] is not None:
                channel.requests.discard(packet["request"])
            self._studies.stored(packet, octets, opened, caller, channel.incarnation, cause, self._loop.now)
            self._events[channel.incarnation] = packet["event"]
        elif self._config.hooks.on_reception is not None:
            self._lanes.add(Task(RECEPTION, 0, variables.reception(opened, packet), cause=cause), lane=None)

    def _caller(self, channel: Channel, association: str) -> tuple[Mapping[str, Any], bytes]:
        """Return the ``opened`` packet of an association and its octets."""
        known = channel.associations.get(association)
        if known is not None:
            return known
        _log.error("object of association %s, which was never opened", association)
        return NOBODY, orjson.dumps(NOBODY)

    def _close_association(self, channel: Channel, association: str, how: str) -> None:
        channel.associations.pop(association, None)
        if self._studies is not None:
            self._studies.closed(association)
        if self._event_log is not None:
            self._event_log.put(events.association_closed(time.time(), association, how))

    def _lose_channel(self, channel: Channel) -> None:
        """Take note that a worker died: its associations ended, its transfers are void."""
        del self._channels[channel.key]
        for request in sorted(channel.requests):
            self._abandon(channel, request)
        for association in list(channel.associations):
            self._close_association(channel, association, "failed")
        self._schedule_round()

    def _forget_unheard(self, associations: list[str]) -> None:
        heard = {name for channel in self._channels.values() for name in channel.associations}
        if self._studies is not None:
            self._studies.forget_unheard(name for name in associations if name not in heard)
            self._schedule_round()

    def _forget_workers(self) -> None:
        """Drop the event numbers of workers that did not come back after the death of a coordinator."""
        here = {channel.incarnation for channel in self._channels.values()}
        gone = [incarnation for incarnation in self._events if incarnation not in here]
        for incarnation in gone:
            del self._events[incarnation]
        if self._state is not None:
            self._state.forget_events(gone)
        self._schedule_round()

    # -- answers ----------------------------------------------------------------------------------

    def _answer(self, channel: Channel, packet: packets.CoordinatorPacket) -> None:
        """Send at the end of the round, when what it says is durable."""
        self._outgoing.append((channel, packets.encode(packet)))

    def _send_answers(self) -> None:
        for channel, octets in self._outgoing:
            channel.send(octets)
        self._outgoing.clear()

    # -- rounds and tasks -------------------------------------------------------------------------

    def _schedule_round(self) -> None:
        if not self._round_pending:
            self._round_pending = True
            self._loop.call_at(0.0, self._end_round)

    def _end_round(self) -> None:
        """Commit, answer, start what is ready."""
        self._round_pending = False
        if self._studies is not None:
            self._studies.due(self._loop.now)
        if self._state is not None:
            self._state.commit()
        self._send_answers()
        if self._dispatcher.run():
            self._loop.call_later(_PAUSE_S, self._schedule_round)
        if self._state is not None:
            self._state.commit()
        self._send_answers()
        if self._event_log is not None:
            self._event_log.flush()
        self._watch_deadline()
        if self._draining and not self._lanes.pending:
            self._loop.stop()

    def _hook_started(self, task: Task) -> None:
        if self._state is None:  # from here on the hook runs, whatever becomes of this process
            self._answer_cause(task, "ack")

    def _task_finished(self, task: Task) -> None:
        if task.cause is not None and self._config.hooks.synchronous and not self._lanes.caused(task.cause):
            self._answer_cause(task, "ran")
        self._schedule_round()

    def _answer_cause(self, task: Task, kind: Literal["ack", "ran"]) -> None:
        """Tell the worker whose event caused ``task``, if it is still there."""
        channel = None if task.cause is None else self._channels.get(task.cause[0])
        if channel is not None and task.cause is not None:
            event = task.cause[1]
            self._answer(channel, {"kind": "ack", "event": event} if kind == "ack" else {"kind": "ran", "event": event})

    def _watch_deadline(self) -> None:
        """Wake up when a study's time is over."""
        deadline = None if self._studies is None else self._studies.deadline()
        if deadline == self._deadline:
            return
        self._deadline = deadline
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._deadline_timer = None if deadline is None else self._loop.call_at(deadline, self._deadline_passed)

    def _deadline_passed(self) -> None:
        self._deadline = self._deadline_timer = None
        self._schedule_round()
