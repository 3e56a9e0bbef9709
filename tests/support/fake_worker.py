"""What surrounds a connection in a worker process, as plain classes: a transport, a reporter, a whole bench."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastscp.config import Config
from fastscp.net.peer import Peer
from fastscp.net.transport import HandshakeState, TransportError
from fastscp.process.loop import IN, OUT
from fastscp.ul.encode import encode_data
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy
from fastscp.worker.connection import Connection
from fastscp.worker.context import ConnectionContext, worker_context
from tests.corpus import wire
from tests.support.fakes import FakeLoop

FD = 77
RULES = {uid: AbstractSyntaxRule((wire.IMPLICIT, wire.EXPLICIT)) for uid in (wire.CT, wire.MR, wire.VERIFICATION)}
NEGOTIATION = NegotiationPolicy(RULES, implementation_class_uid="1.2.3", implementation_version_name="TEST")


class FakeTransport:
    """A peer in memory: ``arrive`` is what it sends, ``sent`` what it got."""

    def __init__(self, fd: int = FD) -> None:
        self.fd = fd
        self.connected = True
        self.wants_write = False
        self.silent = True
        self.handshake_states: list[HandshakeState] = []
        self.arriving: list[bytes | TransportError] = []
        self.inside = 0  #: what ``pending`` says
        self.expected: list[int] = []
        self.sent = bytearray()
        self.room = 1 << 30  #: octets that the peer's window takes
        self.broken = False
        self.closes = 0

    def fileno(self) -> int:
        return self.fd

    def handshake(self) -> HandshakeState:
        state = self.handshake_states.pop(0)
        self.connected = state is HandshakeState.DONE
        return state

    def receive_into(self, buffer: memoryview) -> int:
        if not self.arriving:
            return -1
        octets = self.arriving.pop(0)
        self.silent = self.silent and not (isinstance(octets, bytes) and octets)
        if isinstance(octets, TransportError):
            raise octets
        taken = octets[: len(buffer)]
        if len(octets) > len(taken):
            self.arriving.insert(0, octets[len(taken) :])
        buffer[: len(taken)] = taken
        return len(taken)

    def send(self, octets: bytes | bytearray | memoryview) -> int:
        if self.broken:
            raise TransportError("Broken pipe")
        count = min(len(octets), self.room)
        if not count:
            return -1
        self.room -= count
        self.sent += octets[:count]
        return count

    def peek(self) -> int:
        return self.arriving[0][0] if self.arriving and isinstance(self.arriving[0], bytes) and self.arriving[0] else -1

    def pending(self) -> int:
        return self.inside

    def expect(self, octets: int) -> None:
        self.expected.append(octets)

    def close(self) -> None:
        self.closes += 1


class FakeReporter:
    """Notes what is told, and answers when a test says so."""

    def __init__(self) -> None:
        self.trouble = ""
        self.told: list[tuple[str, Any]] = []
        self.answers: dict[int, Callable[[Any], None]] = {}
        self.notices: dict[int, dict[str, Callable[[], None] | None]] = {}
        self.packets: dict[int, Any] = {}
        self.notes: list[Any] = []
        self.numbers: dict[str, int] = {}
        self.kept: set[int] = set()
        self.recalled: set[int] = set()
        self._requests = itertools.count(1)
        self._events = itertools.count(1)

    def opened(self, packet: Any) -> None:
        self.told.append(("opened", packet))

    def closed(self, name: str, how: str, **numbers: int) -> None:
        self.told.append(("closed", how))
        self.numbers = numbers

    def note(self, packet: Any) -> None:
        self.notes.append(packet)

    def place(self, name: str, study: str, patient: str, charset: str, answer: Callable[[Any], None]) -> int:
        request = next(self._requests)
        self.told.append(("place", study))
        self.answers[request] = answer
        return request

    def begin_again(self, request: int) -> bool:
        if request not in self.kept:
            return False
        self.kept.discard(request)
        self.told.append(("again", request))
        return True

    def is_kept(self, request: int) -> bool:
        return request in self.kept

    def may_keep(self, request: int) -> bool:
        return request not in self.recalled

    def abandoned(self, request: int) -> None:
        self.told.append(("abandoned", request))

    def next_event(self) -> int:
        return next(self._events)

    def stored(self, packet: Any, **notices: Callable[[], None] | None) -> None:
        self.told.append(("stored", packet["sop_instance"]))
        self.packets[packet["event"]] = packet
        if packet["keeps"]:
            self.kept.add(packet["request"])
        self.notices[packet["event"]] = notices

    def placed(self, directory: Path, request: int = 1, status: int = 0, *, late: bool = False, lasting: bool = False) -> None:
        """Answer a question for a place."""
        self.answers.pop(request)({"kind": "placed", "request": request, "directory": str(directory),
                                   "status": status, "message": "no" if status else "", "late": late, "lasting": lasting})

    def notify(self, what: str, event: int = 1) -> None:
        """Follow an event to ``on_sent``, ``on_acknowledged`` or ``on_ran``."""
        notice = self.notices[event][what]
        assert notice is not None, f"nobody waits for {what}"
        notice()

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


class Bench:
    """One connection between a fake transport, a fake loop and a fake reporter."""

    def __init__(self, config: Config, **context: Any) -> None:
        self.loop = FakeLoop()
        self.reporter = FakeReporter()
        self.transport = FakeTransport()
        made: ConnectionContext = worker_context(replace(config, negotiation=NEGOTIATION), self.loop, self.reporter,  # type: ignore[arg-type]
                                                 "worker-1")
        self.context = replace(made, **{"clock": lambda: 0.0, **context})  # turns do not end by themselves
        self.finished: list[Connection] = []
        self.connection = Connection(self.context, 7, self.transport, Peer("10.0.0.9", 4711), self.finished.append)

    def start(self) -> Bench:
        self.connection.start()
        return self

    def established(self) -> Bench:
        """Open an association; its A-ASSOCIATE-AC is taken off what was sent."""
        self.start()
        self.arrive(wire.RQ)
        assert self.transport.sent[:1] == b"\x02"
        self.transport.sent.clear()
        return self

    def reconnected(self) -> Bench:
        """Close the connection and open another association in the same process."""
        self.connection.close("gone")
        self.transport = FakeTransport()
        self.connection = Connection(self.context, 8, self.transport, Peer("10.0.0.9", 4712), self.finished.append)
        return self.established()

    def arrive(self, *octets: bytes) -> None:
        """Let the peer send; one read each, while the connection reads."""
        for part in octets:
            self.transport.arriving.append(part)
        while self.transport.arriving and self.loop.watched(FD) & IN:
            self.loop.fire(FD, IN)

    def rounds(self) -> int:
        """Let the rounds of the loop go on until nothing waits for the next; return how many there were."""
        count = 0
        while self.loop.next_round():
            count += 1
        return count

    def make_room(self, octets: int) -> None:
        self.transport.room = octets
        self.loop.fire(FD, OUT)

    def hang_up(self) -> None:
        self.arrive(b"")

    @property
    def watched(self) -> int:
        return self.loop.watched(FD)

    def statuses(self) -> list[int]:
        """Status of each response that was sent, in order, and forget them; the rest must be whole PDUs."""
        found, sent = [], bytes(self.transport.sent)
        while sent:
            length = int.from_bytes(sent[2:6], "big")
            if sent[0] == 4:
                at = sent.rindex(bytes.fromhex("00000009 02000000"), 0, 6 + length)
                found.append(int.from_bytes(sent[at + 8 : at + 10], "little"))
            else:
                found.append(-sent[0])
            sent = sent[6 + length :]
        self.transport.sent.clear()
        return found


def store(message_id: int = 1, instance: str = wire.INSTANCE, data: bytes | None = None) -> bytes:
    """A whole C-STORE-RQ of a CT image on presentation context 3, implicit VR."""
    return (encode_data(3, 3, wire.store_command(message_id, instance=instance))
            + encode_data(3, 2, data_set(instance) if data is None else data))


def data_set(instance: str = wire.INSTANCE, study: str = "1.2.99") -> bytes:
    """A small CT image in implicit VR with SOP class, instance and study."""
    def ui(tag: int, text: str) -> bytes:
        octets = text.encode() + b"\0" * (len(text) & 1)
        return tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1] + len(octets).to_bytes(4, "little") + octets

    return ui(0x00080016, wire.CT) + ui(0x00080018, instance) + (ui(0x0020000D, study) if study else b"")


def echo(message_id: int = 1) -> bytes:
    """A C-ECHO-RQ on presentation context 1."""
    return encode_data(1, 3, wire.echo_command(message_id))
