"""A worker's end of the event channel to the coordinator.

Strategy: packets leave in the order in which they are given, at once while the channel takes them, else from
a queue as soon as it does. What the coordinator has not answered is kept, and told again to the next
coordinator after the death of one: associations, events without ``ack``, ``place`` requests of transfers under
way (answered ones too: a study must not end under its transfers), in this order. Transfers that are kept between two
objects are given up then. Callbacks fire once, whatever is repeated. Notes for the event stream go in between, and wait for a coordinator, a bounded number of them; each is
told at most once. Events that are in the journal (``fastscp.process.journal``) have been answered, so they may gather
for a moment and travel together.

Invariants: ``on_sent`` of an event fires only when its packet is in a channel. A callback runs after the loop that found
it, never inside it, and never inside another callback: what it leads to may be any number of further packets.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from fastscp.log.names import NETWORK
from fastscp.process import fdpass, notes, packets
from fastscp.process.loop import IN, OUT, Loop
from fastscp.worker.intake import HOOKS, PACKETS
from fastscp.worker.outgoing import Outgoing
from fastscp.worker.told import Answer, Memory, Notice, ToldAssociation, ToldEvent
from fastscp.worker.transfers import Transfers

_log = logging.getLogger(NETWORK)

GATHER_S = 0.002  #: how long an event in the journal may wait for others
MOST_GATHERED = 32


class Reporter:
    """Tells the coordinator what happens in one worker process."""

    def __init__(self, loop: Loop, incarnation: str, on_lost: Callable[[], None] = lambda: None,
                 on_full: Callable[[str, bool], None] = lambda _reason, _full: None, memory: Memory | None = None) -> None:
        """``on_lost`` is called when a channel has ended; ``on_full`` when too much waits, and when it does no more.

        Its argument is what waits: ``HOOKS`` or ``PACKETS`` of ``fastscp.worker.intake``.
        """
        memory = memory or Memory()
        self.on_report: Callable[[str, str], None] = lambda _association, _file: None  #: a result is to be told
        self.trouble = ""  #: why nothing can be kept in the durable state now
        self._on_full = on_full
        self._loop = loop
        self._on_lost = on_lost
        self._incarnation = incarnation
        self._channel: socket.socket | None = None
        self._outgoing = Outgoing(self._sent, partial(on_full, PACKETS))
        self._transfers = transfers = Transfers(self._put)
        self.begin_again, self.is_kept, self.may_keep = transfers.begin_again, transfers.is_kept, transfers.may_keep
        self.abandoned = transfers.abandon
        self._associations: dict[str, ToldAssociation] = {}
        self._events: dict[int, ToldEvent] = {}
        self._awaiting_hooks: dict[int, Notice] = {}
        self._event_number = memory.events
        self._acknowledged = 0
        self._watching_out = False
        self._due: deque[Notice] = deque()  #: callbacks to be made
        self._calling = False
        self._journal = memory.journal
        self._gathering = False

    # -- channel ----------------------------------------------------------------------------------

    def attach(self, descriptor: int) -> None:
        """Use a new channel and tell its coordinator everything that is open."""
        self._take_what_is_there()  # of the coordinator before: what it acknowledged is not told again
        self._detach()
        channel = socket.socket(fileno=descriptor)
        channel.setblocking(False)
        self._channel = channel
        self._watching_out = False
        self._loop.register(channel.fileno(), IN, self._ready)
        # everything is queued before anything is sent: an answer that goes out with a repeated event may lead
        # to the next event, and that has to follow the others
        notes_that_wait = self._outgoing.begin_again()
        self._on_full(HOOKS, False)  # the coordinator says so again if it still holds
        self._enqueue({"kind": "hello", "incarnation": self._incarnation, "unacknowledged": self._acknowledged})
        for association in self._associations.values():
            self._outgoing.put(association.octets)
        for number, event in self._events.items():
            self._enqueue(event.packet, number)
        for place in self._transfers.told_again():
            self._enqueue(place)
        self._outgoing.end_again(notes_that_wait)
        for name, association in list(self._associations.items()):
            if association.closed is not None:
                self._enqueue(association.closed)
                self._forget(name)
        # hooks of acknowledged events are run by the new coordinator; their peers are answered without waiting
        waiting, self._awaiting_hooks = self._awaiting_hooks, {}
        self._flush(then=waiting.values())

    def _detach(self) -> None:
        self.trouble = ""  # the next coordinator tells its own
        if self._channel is not None:
            self._loop.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _enqueue(self, packet: packets.WorkerPacket, event_number: int = 0) -> None:
        self._outgoing.put(packets.encode(packet), event_number)

    def _put(self, packet: packets.WorkerPacket) -> None:
        self._send(packets.encode(packet))

    def _send(self, octets: bytes, event_number: int = 0) -> None:
        if self._channel is not None:  # else ``attach`` tells it
            self._outgoing.put(octets, event_number)
            self._flush()

    def _flush(self, then: Iterable[Notice] = ()) -> None:
        """Send what the channel takes, then make the callbacks."""
        self._send_queue()
        self._due.extend(then)
        self._call_back()

    def _call_back(self) -> None:
        """Make the callbacks that are due, those included that become due meanwhile."""
        if self._calling:
            return
        self._calling = True
        try:
            while self._due:
                self._due.popleft()()
        finally:
            self._calling = False

    def _gather(self) -> None:
        """Send what is queued in a moment, with what comes until then."""
        if len(self._outgoing) >= MOST_GATHERED:
            self._flush()
        elif not self._gathering:
            self._gathering = True
            self._loop.call_later(GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        self._flush()

    def _send_queue(self) -> None:
        channel = self._channel
        if channel is None:
            return
        if not self._outgoing.send(channel):
            self._read()  # what the coordinator said last counts; a new channel repeats what it did not acknowledge
            return
        if self._watching_out != bool(self._outgoing):
            self._watching_out = bool(self._outgoing)
            self._loop.modify(channel.fileno(), IN | OUT if self._watching_out else IN)

    def _sent(self, number: int) -> None:
        event = self._events.get(number)
        if event is not None and event.on_sent is not None:
            self._due.append(event.on_sent)
            event.on_sent = None

    def _ready(self, mask: int) -> None:
        if mask & OUT:
            self._flush()
        if mask & ~OUT:
            self._read()
            self._call_back()

    def _read(self) -> None:
        if self._take_what_is_there():
            self._detach()
            self._on_lost()

    def _take_what_is_there(self) -> bool:
        """Take every answer that has arrived; return whether the channel has ended."""
        while self._channel is not None and (octets := _next_packet(self._channel)) is not None:
            if not octets:
                return True
            try:
                self._take(packets.decode_coordinator(octets))
            except Exception:  # noqa: BLE001 - the boundary of one packet
                _log.error("internal error, a packet of the coordinator is left out", exc_info=True)
        return False

    def _take(self, packet: packets.CoordinatorPacket) -> None:
        if packet["kind"] == "placed":
            self._due.append(self._transfers.answered(packet))
        elif packet["kind"] == "ack":
            for event in range(packet["first"], packet["event"] + 1):
                self._acknowledge(event)
        elif packet["kind"] == "failed":
            self._fail(packet["event"])
        elif packet["kind"] == "hold":
            self._on_full(HOOKS, packet["on"])
        elif packet["kind"] == "trouble":
            self.trouble = packet["reason"]
        elif packet["kind"] == "recall":
            self._transfers.recall(packet["request"])
        elif packet["kind"] == "report":
            self.on_report(packet["association"], packet["file"])
        else:
            self._hooks_ran(packet["event"])

    def _hooks_ran(self, number: int) -> None:
        notice = self._awaiting_hooks.pop(number, None)
        event = self._events.get(number)
        if event is not None:  # the hooks were quicker than the acknowledgement
            notice, event.on_ran = event.on_ran, None
        if notice is not None:
            self._due.append(notice)

    def _acknowledge(self, number: int) -> None:
        event = self._settle(number)
        if event is None:
            return
        if event.on_ran is not None:
            self._awaiting_hooks[number] = event.on_ran
        if event.on_acknowledged is not None:
            self._due.append(event.on_acknowledged)

    def _fail(self, number: int) -> None:
        """Forget an event that the coordinator cannot take over; no hook of it will ever run."""
        event = self._settle(number)
        notice = None if event is None else event.on_failed or event.on_ran
        if notice is not None:
            self._due.append(notice)

    def _settle(self, number: int) -> ToldEvent | None:
        """Forget an event that needs not be repeated, and its association with the last one."""
        event = self._events.pop(number, None)
        if event is None:
            return None
        self._acknowledged = max(self._acknowledged, number)
        name = event.packet["association"]
        association = self._associations.get(name)
        if association is not None:
            association.unacknowledged -= 1
            if association.closed is not None:
                self._forget(name)
        if not self._events and self._journal is not None:
            self._journal.settled()
        return event

    def _forget(self, name: str) -> None:
        """Forget an association that has ended, once all of its events are acknowledged; that may have been just now."""
        association = self._associations.get(name)
        if association is not None and not association.unacknowledged:
            del self._associations[name]

    # -- what a worker tells ----------------------------------------------------------------------

    def opened(self, packet: packets.Opened) -> None:
        """Tell that an association is established."""
        octets = packets.encode(packet)
        self._associations[packet["association"]] = ToldAssociation(packet, octets)
        self._send(octets)

    def closed(self, name: str, how: str, *, stored: int, refused: int, octets: int) -> None:
        """Tell that an association ended, with the objects and the octets of files that came of it."""
        association = self._associations[name]
        association.closed = {"kind": "closed", "association": name, "how": how, "stored": stored, "refused": refused,
                              "octets": octets}
        self._transfers.left(name)
        self._put(association.closed)
        self._forget(name)

    def place(self, name: str, study: str, patient: str, charset: str, answer: Answer) -> int:
        """Ask where an object of ``study`` goes; ``answer`` is called with the reply. Returns the request."""
        return self._transfers.begin(name, study, patient, charset, answer)

    def next_event(self) -> int:
        """Return the number of the next event, for its packet."""
        self._event_number += 1
        return self._event_number

    def stored(self, packet: packets.Stored, *, on_sent: Notice | None = None,
               on_acknowledged: Notice | None = None, on_ran: Notice | None = None,
               on_failed: Notice | None = None) -> None:
        """Tell that an object is published; the callbacks follow its way through the coordinator.

        ``on_acknowledged`` is called when the event is safe: in the state, or in the journal before. ``on_failed`` comes in
        its place.
        """
        number = packet["event"]
        octets = packets.encode(packet)
        self._transfers.stored(packet)
        association = self._associations.get(packet["association"])
        kept = (on_acknowledged is not None and self._journal is not None and association is not None
                and self._journal.keep(packet["association"], association.octets, octets))
        self._events[number] = ToldEvent(packet, on_sent, None if kept else on_acknowledged, on_ran, None if kept else on_failed)
        if association is not None:
            association.unacknowledged += 1
        if not kept or on_acknowledged is None:
            self._send(octets, number)
            return
        self._due.append(on_acknowledged)
        if self._channel is not None:
            self._outgoing.put(octets, number)
            if on_ran is None and on_sent is None:
                self._gather()
            else:
                self._send_queue()
        self._call_back()

    def note(self, packet: notes.Note) -> None:
        """Tell something to the event stream that nothing follows from."""
        if not self._outgoing.note(packets.encode(packet)):
            return
        self._flush()

    @property
    def connected(self) -> bool:
        """Whether there is a channel to a coordinator."""
        return self._channel is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or unacknowledged."""
        return not self.waiting

    @property
    def waiting(self) -> int:
        """How much is queued or unacknowledged."""
        return len(self._outgoing) + len(self._events)

    def close(self) -> None:
        """Tell what is left and close the channel: end of file tells the coordinator that this worker is gone."""
        self._send_queue()
        self._detach()
        if self._journal is not None:
            self._journal.close(settled=not self._events)


def _next_packet(channel: socket.socket) -> bytes | None:
    """Return the next packet, b"" at the end, None when nothing is there."""
    try:
        return channel.recv(fdpass.PACKET_OCTETS)
    except BlockingIOError:
        return None
    except ConnectionResetError:  # once, in front of the last answers of a coordinator that died
        return _next_packet(channel)
