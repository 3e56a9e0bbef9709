"""What the workers tell the coordinator, and what they are told.

Strategy: each worker's channel is a session. Its packets go to the studies and the event stream, or, where no
study is tracked, straight to the backlog of hooks; answers gather until they are durable
(``fastscp.coordinator.answers``). The host name of a peer may come after its association.

Invariants: a ``stored`` that a worker repeats after the death of an earlier coordinator counts once, by
(incarnation, event); it is answered each time. When a worker dies its associations end and its transfers are void.
A packet that cannot be handled is logged and left out, and its worker is told: the next coordinator would fail at it, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal

import orjson

from fastscp.coordinator.answers import Answers
from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.by_sender import StudiesBySender
from fastscp.coordinator.channels import Transport
from fastscp.coordinator.committing import Committing
from fastscp.coordinator.followers import Followers
from fastscp.coordinator.rules import AllRules
from fastscp.coordinator.session import (
    PROCESSING_FAILURE,
    Session,
    caller_of,
    leave_out,
    noted,
    peer_of,
    refusal,
)
from fastscp.coordinator.tasks import Cause, Lanes, Task
from fastscp.errors import PacketError, ProcessError
from fastscp.log.limit import PeerLimit
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process import packets
from fastscp.process.loop import Loop
from fastscp.study import events, variables
from fastscp.study.commands import RECEPTION
from fastscp.study.tracker import Transfer

_log = logging.getLogger(APPLICATION)


class Sessions:
    """The workers that are connected.

    ``studies`` is None where none are tracked; objects then go into the output directory, their hooks into the ``backlog``. ``known`` holds the
    highest event taken over from each worker of an earlier coordinator, ``changed`` is called when a round has work, ``said`` counts what is
    logged for each peer, ``journal_of`` returns what a worker that died had not told any more.
    """

    def __init__(self, loop: Loop, lanes: Lanes, studies: StudiesBySender | None, backlog: Backlog,
                 sink: events.EventSink | None, rules: AllRules, *, known: Mapping[str, int],
                 changed: Callable[[], None], said: PeerLimit | None = None,
                 journal_of: Callable[[str], Iterable[bytes]] = lambda _name: (), committing: Committing | None = None,
                 files: Followers | None = None, wall: Callable[[], float] = time.time) -> None:
        self._loop = loop
        self._lanes = lanes
        self._studies = studies
        self._backlog = backlog
        self._sink, self._rules = sink, rules
        self._changed = changed
        self._said = said or PeerLimit(time.monotonic, loop.call_later)
        self._wall, self._journal_of = wall, journal_of
        self._committing, self._files = committing, files
        self._events = dict(known)  #: highest event taken over, by incarnation
        self._sessions: dict[int, Session] = {}
        self._last_key = 0
        self._holding = False  #: objects are held back
        self.answers = Answers(lambda: list(self._sessions.values()), self._abandon, sorts=studies is not None)

    def add(self, name: str, transport: Transport) -> None:
        """Take the channel of a worker."""
        self._last_key += 1
        session = self._sessions[self._last_key] = Session(self._last_key, name, transport, self._loop, taken=self._take,
                                                           lost=self._lose)
        if self._holding:
            self._answer(session, {"kind": "hold", "on": True})
            self._changed()
        if self.answers.trouble:
            self.answers.tell_trouble(session)

    def hold_objects(self, *, on: bool) -> None:
        """Tell every worker whether no object is to be begun."""
        self._holding = on
        for session in self._sessions.values():
            self._answer(session, {"kind": "hold", "on": on})

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on."""
        self._rules = rules

    @property
    def connected(self) -> int:
        """How many workers there are."""
        return len(self._sessions)

    @property
    def behind(self) -> bool:
        """Whether workers have told more than was read."""
        return any(session.channel.behind for session in self._sessions.values())

    def read_all(self) -> None:
        """Take over everything that is in the channels."""
        for session in list(self._sessions.values()):
            while session.channel.open and session.channel.read():
                pass

    def close(self) -> None:
        """Close every channel."""
        for session in self._sessions.values():
            session.channel.close()

    def leave(self) -> list[tuple[str, int, bool]]:
        """Close every channel, while the loop goes on.

        Return each worker, the latest event that it has told, and whether an answer waits that it will not get.
        """
        told = [(session.incarnation, session.highest_event, session.channel.blocked) for session in self._sessions.values()]
        for session in self._sessions.values():
            session.channel.leave()
        self._sessions.clear()
        return told

    # -- what workers tell ------------------------------------------------------------------------

    def _take(self, session: Session, together: bytes) -> None:
        """Take what came as one packet; more than one packet of a worker may be in it."""
        self._changed()
        for octets in together.split(b"\n"):
            self._take_one(session, octets)

    def _take_one(self, session: Session, octets: bytes) -> None:
        try:
            packet = packets.decode_worker(octets)
        except PacketError:
            leave_out(octets)
            return
        self._said.peer = peer_of(session, packet)
        try:
            self._handle(session, packet, octets)
        except PacketError:
            self._fail(session, packet, octets)
        except ProcessError:  # of the state: without it nothing can be promised
            raise
        except Exception:  # noqa: BLE001 - the boundary of one packet
            self._fail(session, packet, octets)
        finally:
            self._said.peer = ""

    def _fail(self, session: Session, packet: packets.WorkerPacket, octets: bytes) -> None:
        """Leave out a packet after an error that is being handled; who waits for an answer gets one."""
        leave_out(octets)
        if packet["kind"] == "place":
            self._answer(session, refusal(packet["request"], "internal error", PROCESSING_FAILURE))
        elif packet["kind"] == "stored":
            self._answer(session, {"kind": "failed", "event": packet["event"]})

    def _handle(self, session: Session, packet: packets.WorkerPacket, octets: bytes) -> None:
        if packet["kind"] == "stored":
            self._take_stored(session, packet, octets)
        elif packet["kind"] == "place":
            self._take_place(session, packet)
        elif packet["kind"] == "opened":
            self._take_opened(session, packet, octets)
        elif packet["kind"] == "closed":
            self._take_closed(session, packet)
        elif packet["kind"] == "abandoned":
            self._abandon(session, packet["request"])
        elif packet["kind"] == "hello":
            session.incarnation = packet["incarnation"]
            session.highest_event = self._events.get(session.incarnation, 0)
        elif self._committing is None or not self._committing.heard(packet):
            noted(self._sink, self._wall(), packet)

    def _take_opened(self, session: Session, packet: packets.Opened, octets: bytes) -> None:
        session.associations[packet["association"]] = dict(packet), octets
        if self._rules.of(packet.get("sender", "")).hooks.configured:
            for name, text, reduced in variables.reductions(packet):
                _log.warning('Sanitized unusual characters in %s, converted from "%s" to "%s".', name,
                             printable(text), reduced)
        if self._studies is not None:
            self._studies.opened(packet["association"], packet.get("sender", ""))
        if self._sink is not None:
            self._sink.put(events.association_opened(self._wall(), packet))

    def _take_place(self, session: Session, packet: packets.Place) -> None:
        if self._studies is None:
            self._answer(session, {"kind": "placed", "request": packet["request"], "status": 0, "message": "",
                                   "directory": self._rules.of("").output_directory, "late": False, "lasting": False})
        elif self.answers.trouble:
            self._answer(session, refusal(packet["request"], self.answers.trouble))
        else:
            session.requests.add(packet["request"])
            self._studies.place(packet, session.incarnation, self._loop.now, partial(self._placed, session))

    def _placed(self, session: Session, packet: packets.Placed) -> None:
        if packet["status"]:
            session.requests.discard(packet["request"])
        self._answer(session, packet)

    def recall(self, transfers: Iterable[Transfer]) -> None:
        """Have workers give back transfers that they keep."""
        for incarnation, request in transfers:
            for session in self._sessions.values():
                if session.incarnation == incarnation:
                    self._answer(session, {"kind": "recall", "request": request})

    def _abandon(self, session: Session, request: int) -> None:
        if request in session.requests and self._studies is not None:
            session.requests.discard(request)
            self._studies.abandoned((session.incarnation, request), self._loop.now)

    def _take_stored(self, session: Session, packet: packets.Stored, octets: bytes) -> None:
        event = packet["event"]
        cause = session.key, event
        if event > session.highest_event:
            session.highest_event = event
            self._store(session, packet, octets, cause)
        if self._studies is not None or not self._lanes.caused(cause):
            self.answers.acknowledge(session, event)
        if self._rules.synchronous and not self._lanes.caused(cause):
            self._answer(session, {"kind": "ran", "event": event})

    def _store(self, session: Session, packet: packets.Stored, octets: bytes, cause: Cause) -> None:
        opened, caller = caller_of(session, packet["association"])
        self._said.credit()
        sender = opened.get("sender", "")
        if self._files is not None:
            self._files.stored(packet, sender)
        if self._sink is not None:
            self._sink.put(events.object_stored(self._wall(), opened, packet))
        rules = self._rules.of(sender)
        if self._studies is not None and (rules.keeps_studies or packet["request"] is not None):
            session.stored(packet)
            self._studies.stored(packet, octets, opened, caller, session.incarnation,
                                 cause if self._rules.synchronous else None, self._loop.now)
        elif rules.hooks.on_reception is not None:
            self._backlog.add(RECEPTION, variables.reception(opened, packet), cause, session.incarnation)
            if self._studies is not None:  # the events of others are in the state at the end of the round: so is this one
                self._backlog.settle()
        if self._studies is not None:
            self._events[session.incarnation] = packet["event"]

    def _take_closed(self, session: Session, packet: packets.Closed) -> None:
        self._close_association(session, packet["association"])
        if self._sink is not None:
            self._sink.put(events.association_closed(self._wall(), packet))

    def _close_association(self, session: Session, association: str) -> None:
        session.associations.pop(association, None)
        kept = session.kept.pop(association, None)
        if kept is not None:
            self._abandon(session, kept)
        if self._studies is not None:
            self._studies.closed(association)

    def _lose(self, session: Session) -> None:
        """Take note that a worker died: its associations ended, its transfers are void."""
        self._inherit(session, self._journal_of(session.incarnation))
        del self._sessions[session.key]
        for request in sorted(session.requests):
            self._abandon(session, request)
        for association in list(session.associations):
            self._close_association(session, association)
            if self._sink is not None:
                self._sink.put(events.association_lost(self._wall(), association))
        self._changed()

    def host_known(self, address: str, name: str) -> None:
        """Take note of the name of a host whose associations may be open already."""
        for session in self._sessions.values():
            for association, (packet, _) in session.associations.items():
                if packet["peer"] == address and not packet["peer_host"]:
                    named = {**packet, "peer_host": name or address}
                    session.associations[association] = named, orjson.dumps(named)

    # -- an earlier coordinator --------------------------------------------------------------------------

    def inherit(self, incarnation: str, journal: Iterable[bytes]) -> list[str]:
        """Take over the journal of a worker that may be gone; return its associations, which may be open."""
        self._last_key += 1
        session = Session(self._last_key, incarnation, None, self._loop, taken=self._take, lost=self._lose)
        session.highest_event = self._events.get(incarnation, 0)
        self._inherit(session, journal)
        return list(session.associations)

    def _inherit(self, session: Session, journal: Iterable[bytes]) -> None:
        """Take over what a worker answered and could not tell."""
        for octets in journal:
            try:
                packet = packets.decode_worker(octets)
            except PacketError:
                leave_out(octets)
                continue
            if packet["kind"] == "opened":
                session.associations.setdefault(packet["association"], (dict(packet), octets))
                if self._studies is not None:
                    self._studies.opened(packet["association"], packet.get("sender", ""))
            elif packet["kind"] == "stored":
                self._take_one(session, octets)

    def unheard(self, associations: Iterable[str]) -> list[str]:
        """Return those of ``associations`` that no worker has open."""
        heard = {name for session in self._sessions.values() for name in session.associations}
        return [name for name in associations if name not in heard]

    def forget_gone(self) -> list[str]:
        """Drop the event numbers of workers that are not connected; return their incarnations."""
        here = {session.incarnation for session in self._sessions.values()}
        gone = [incarnation for incarnation in self._events if incarnation not in here]
        for incarnation in gone:
            del self._events[incarnation]
        return gone

    # -- what workers are told --------------------------------------------------------------------

    def hook_taken(self, task: Task) -> None:
        """Acknowledge the event that caused a hook, where it was not at once: it was started, or is in the state."""
        if self._studies is None:
            self._answer_cause(task, "ack")
            if not self._rules.synchronous:
                self._lanes.forget_cause(task)

    def task_finished(self, task: Task) -> None:
        """With ``--exec-sync``: tell the worker when everything that its event caused is done."""
        if task.cause is not None and self._rules.synchronous and not self._lanes.caused(task.cause):
            self._answer_cause(task, "ran")
        self._changed()

    def _answer_cause(self, task: Task, kind: Literal["ack", "ran"]) -> None:
        """Tell the worker whose event caused ``task``, if it is still there."""
        session = None if task.cause is None else self._sessions.get(task.cause[0])
        if session is not None and task.cause is not None:
            event = task.cause[1]
            if kind == "ack":
                self.answers.acknowledge(session, event)
            else:
                self._answer(session, {"kind": "ran", "event": event})

    def _answer(self, session: Session, packet: packets.CoordinatorPacket) -> None:
        self.answers.put(session, packet)
