"""The acceptor process's view of its workers: who is there, how loaded, what was handed out.

Invariants: a connection is in exactly one place: waiting here, on its way to one worker (our copy of the
socket still open), or taken (our copy closed). A worker that dies gives back what it had not taken; from one that is
held up it is taken back: its end of the channel is open here as well, and a packet is read by one process only.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from fastscp.errors import ProcessError
from fastscp.log.names import NETWORK
from fastscp.net.peer import Peer
from fastscp.process import fdpass, packets

_log = logging.getLogger(NETWORK)

_TAKEN_WITHIN_S = 0.5  #: a worker whose loop runs takes a connection within milliseconds
#: What sending a descriptor fails with when too much is under way, besides EAGAIN (unix(7)).
_TOO_MUCH_UNDER_WAY = {errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM}


@dataclass
class AcceptedConnection:
    """An accepted socket that no worker has taken yet."""

    sock: socket.socket
    peer: Peer
    handed_out: float = 0.0  #: when it was sent to a worker, monotonic seconds
    proxied: bool = False  #: ``peer`` is a balancer, whose header says who the peer is

    def arrived_at(self) -> tuple[str, int]:
        """Return the address and port of ours that it came to."""
        address, port = self.sock.getsockname()[:2]
        return str(address), int(port)

    def sockets(self) -> tuple[socket.socket, ...]:
        """Return what a newly forked process must close."""
        return (self.sock,)

    def turn_away(self) -> None:
        """Close it."""
        self.sock.close()


@dataclass
class WorkerSlot:
    """One living worker process."""

    index: int
    pid: int
    channel: socket.socket
    far_end: socket.socket  #: the worker's own end, to take back what it does not read
    up: bool = False
    generation: int = 0  #: those of an earlier one are being replaced
    retiring: bool = False  #: it takes nothing more and ends with its last connection
    declined: bool = False  #: it had no descriptor for a connection, and none has been finished since
    event_channel: int = 0  #: number of the channel to the coordinator that it was given last
    suspect: bool = False  #: something was taken back from it, and it has given no sign of life since
    untaken: dict[int, AcceptedConnection] = field(default_factory=dict)
    open_numbers: set[int] = field(default_factory=set)
    verdicts: deque[packets.Verdict] = field(default_factory=deque)  #: not told yet: its channel is full

    @property
    def load(self) -> int:
        """Connections handed to it and not finished."""
        return len(self.open_numbers)

    def stalled(self, now: float) -> bool:
        """Whether it has left a connection untaken for so long that it must be held up (a slow disk, a stop)."""
        if self.suspect:
            return True
        oldest = next(iter(self.untaken.values()), None)
        return oldest is not None and now - oldest.handed_out > _TAKEN_WITHIN_S


class Pool:
    """Hands connections to the least-loaded worker and follows what became of them.

    ``capacity`` is the number of connections one worker has descriptors for.
    """

    def __init__(self, on_change: Callable[[], None], capacity: int | None = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self.slots: dict[int, WorkerSlot] = {}  #: by pid
        self._waiting: deque[AcceptedConnection] = deque()
        self._next_number = 1
        self._on_change = on_change
        self.on_unconnected: Callable[[WorkerSlot, int], None] = lambda _slot, _number: None  #: an event channel ended
        self.on_claim: Callable[[WorkerSlot, packets.Claim], None] = lambda _slot, _claim: None  #: a balancer said whose it is

    @property
    def held_count(self) -> int:
        """Connections that no worker has taken: their sockets are open here."""
        return len(self._waiting) + sum(len(slot.untaken) for slot in self.slots.values())

    @property
    def open_count(self) -> int:
        """Connections that are somewhere in the pool, waiting ones included."""
        return len(self._waiting) + sum(slot.load for slot in self.slots.values())

    @property
    def full(self) -> bool:
        """Whether the workers have no descriptors for another connection."""
        serving = [slot for slot in self.slots.values() if not slot.retiring]
        if self._capacity is not None and len(self._waiting) + sum(slot.load for slot in serving) >= self._capacity * len(serving):
            return True
        return all(slot.declined for slot in serving)

    @property
    def up_count(self) -> int:
        """Workers that take connections."""
        return sum(slot.up and not slot.retiring for slot in self.slots.values())

    def serves(self, index: int) -> bool:
        """Whether there is a worker of that index that does not retire."""
        return any(slot.index == index and not slot.retiring for slot in self.slots.values())

    def add(self, slot: WorkerSlot) -> None:
        """Take a newly forked worker in; it gets connections once it says it is up."""
        self.slots[slot.pid] = slot
        self._on_change()

    def remove(self, pid: int) -> WorkerSlot:
        """Drop a dead worker; its untaken connections go to others."""
        slot = self.slots.pop(pid)
        slot.channel.close()
        slot.far_end.close()
        self._waiting.extendleft(reversed(slot.untaken.values()))
        slot.untaken.clear()
        self._hand_out()
        self._on_change()
        return slot

    def submit(self, connection: AcceptedConnection) -> None:
        """Hand a connection to a worker, now or as soon as one can take it."""
        self._waiting.append(connection)
        self._hand_out()

    def name_peers(self, address: str, name: str) -> None:
        """Take note of a host name for whoever may still have to be handed out, a first or another time."""
        for connection in (*self._waiting, *(c for slot in self.slots.values() for c in slot.untaken.values())):
            if connection.peer.host_follows and connection.peer.address == address:
                connection.peer = replace(connection.peer, host=name, host_follows=False)
        for verdict in (verdict for slot in self.slots.values() for verdict in slot.verdicts):
            if verdict["host_follows"] and verdict["address"] == address:
                verdict["host"], verdict["host_follows"] = name, False

    def tell_verdict(self, slot: WorkerSlot, verdict: packets.Verdict) -> None:
        """Tell a worker who is let in, as soon as its channel takes it; one that has died has nobody any more."""
        if self.slots.get(slot.pid) is slot:
            slot.verdicts.append(verdict)
            self._send_verdicts(slot)

    @staticmethod
    def _send_verdicts(slot: WorkerSlot) -> None:
        while slot.verdicts:
            try:
                slot.channel.send(packets.encode(slot.verdicts[0]))
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                slot.verdicts.clear()
                return
            slot.verdicts.popleft()

    def _hand_out(self) -> None:
        while self._waiting:
            now = self._clock()
            ready = sorted((slot for slot in self.slots.values() if slot.up and self._has_room(slot)),
                           key=lambda slot: (slot.stalled(now), slot.load))
            connection = self._waiting.popleft()
            if not any(self._hand_to(slot, connection) for slot in ready):
                self._waiting.appendleft(connection)
                return

    def _has_room(self, slot: WorkerSlot) -> bool:
        return not (slot.declined or slot.retiring) and (self._capacity is None or slot.load < self._capacity)

    def _hand_to(self, slot: WorkerSlot, connection: AcceptedConnection) -> bool:
        """Send the socket to one worker; False when its channel is full or it is dying."""
        number = self._next_number
        peer = connection.peer
        packet = packets.encode({"kind": "connection", "number": number, "address": peer.address, "port": peer.port,
                                 "host": peer.host, "host_follows": peer.host_follows, "proxied": connection.proxied})
        try:
            fdpass.send_with_descriptor(slot.channel, packet, connection.sock.fileno())
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        except OSError as error:
            if error.errno not in _TOO_MUCH_UNDER_WAY:
                raise
            return False
        self._next_number = number % 0xFFFFFFFF + 1
        connection.handed_out = self._clock()
        slot.untaken[number] = connection
        slot.open_numbers.add(number)
        return True

    def reclaim(self, beating: Collection[int]) -> None:
        """Take back what workers do not take that are held up, where another can; ``beating`` are held up no more."""
        for pid in beating:
            slot = self.slots.get(pid)
            if slot is not None:
                slot.suspect = False
        for slot in self.slots.values():
            self._send_verdicts(slot)
        now = self._clock()
        usable = any(slot.up and self._has_room(slot) and not slot.stalled(now) for slot in self.slots.values())
        if usable:
            for slot in self.slots.values():
                if slot.untaken and slot.stalled(now):
                    self._withdraw(slot)
        self._hand_out()

    def _withdraw(self, slot: WorkerSlot) -> None:
        """Read, in the place of a worker, what is in its channel: connections come back, orders are sent again."""
        slot.suspect = True
        orders: list[tuple[bytes, int | None]] = []
        connections: list[AcceptedConnection] = []
        while True:
            try:
                packet, descriptor = fdpass.receive(slot.far_end)
            except BlockingIOError:
                break
            order = packets.decode_order(packet)
            if order["kind"] != "connection":
                orders.append((packet, descriptor))
                continue
            if descriptor is not None:
                os.close(descriptor)
            slot.open_numbers.discard(order["number"])
            connections.append(slot.untaken.pop(order["number"]))
        for packet, descriptor in orders:
            if descriptor is None:
                slot.channel.send(packet)
            else:
                fdpass.send_with_descriptor(slot.channel, packet, descriptor)
                os.close(descriptor)
        if connections:
            _log.warning("worker %d is held up, %d connections go to others", slot.index + 1, len(connections))
            self._waiting.extendleft(reversed(connections))

    def read(self, slot: WorkerSlot) -> None:
        """Follow the records of one worker. Its death shows nowhere in them."""
        news = False
        while True:
            try:
                packet, descriptor = fdpass.receive(slot.channel)
            except BlockingIOError:
                break
            if descriptor is not None:
                os.close(descriptor)
                raise ProcessError("a worker sent a descriptor")
            news = True
            try:
                self._follow(slot, packets.decode_news(packet))
            except Exception:  # noqa: BLE001 - the boundary of one packet
                _log.error("internal error, a packet of worker %d is left out", slot.index + 1, exc_info=True)
        if news:
            slot.suspect = False
            self._send_verdicts(slot)
            self._hand_out()  # a channel has room again, or a worker
            self._on_change()

    def _follow(self, slot: WorkerSlot, news: packets.WorkerNews) -> None:
        if news["kind"] == "taken":
            slot.untaken.pop(news["number"]).sock.close()
        elif news["kind"] == "finished":
            slot.open_numbers.discard(news["number"])
            slot.declined = False
        elif news["kind"] == "up":
            slot.up = True
        elif news["kind"] == "declined":
            self._take_back(slot, news["number"])
        elif news["kind"] == "unconnected":
            self.on_unconnected(slot, news["number"])
        elif news["kind"] == "claim":
            self.on_claim(slot, news)
        else:
            raise ProcessError(f"unexpected packet of a worker: {news}")

    def _take_back(self, slot: WorkerSlot, number: int) -> None:
        """Keep a connection that a worker has no descriptor for; where none will ever be given back it is lost."""
        connection = slot.untaken.pop(number)
        slot.open_numbers.discard(number)
        if slot.load:
            slot.declined = True
            self._waiting.appendleft(connection)
            return
        _log.error("worker %d has no descriptor for a connection of %s, closing it", slot.index + 1, connection.peer.name)
        connection.sock.close()

    def close_waiting(self) -> list[Peer]:
        """Drop connections that no worker took (shutdown); return whose they were."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for connection in waiting:
            connection.sock.close()
        return [connection.peer for connection in waiting]

    def inherited_sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        for slot in self.slots.values():
            yield slot.channel
            yield slot.far_end
            for connection in slot.untaken.values():
                yield connection.sock
        for connection in self._waiting:
            yield connection.sock
