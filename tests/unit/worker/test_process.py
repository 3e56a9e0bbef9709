"""The worker's orders, its connections and its end, without a fork, a peer or a wait."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.net.peer import Peer
from fastscp.process import fdpass
from fastscp.process.loop import IN, OUT
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy
from fastscp.worker import process
from fastscp.worker.process import Worker, WorkerSettings
from tests.corpus import wire
from tests.support.fake_worker import NEGOTIATION, echo, store
from tests.support.fakes import FakeLoop


class Acceptor:
    """The far end of a worker's control channel, and of its peers' connections."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, **policies: Any) -> None:
        monkeypatch.setattr(process, "Loop", FakeLoop)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        ours, self.channel = fdpass.channel_pair()
        self.config = Config(network=NetworkPolicy(drain_timeout_s=30), negotiation=NEGOTIATION,
                             store=StorePolicy(str(directory)), **policies)
        self.control = ours.fileno()
        self.worker = Worker(ours, self.config, WorkerSettings())
        self.loop: FakeLoop = self.worker.loop  # type: ignore[assignment]
        self.peers: list[socket.socket] = []
        self.started = False

    def start(self) -> None:
        assert self.worker.run() == 0
        self.loop.stopped = False

    def heard(self) -> list[dict[str, Any]]:
        news = []
        while True:
            try:
                octets = self.channel.recv(fdpass.PACKET_OCTETS)
            except BlockingIOError:
                return news
            news.append(orjson.loads(octets))

    def order(self, descriptor: int | None = None, **packet: Any) -> None:
        octets = orjson.dumps(packet)
        if descriptor is None:
            self.channel.send(octets)
        else:
            fdpass.send_with_descriptor(self.channel, octets, descriptor)
        self.loop.fire(self.control, IN)

    def connect(self, number: int, address: str = "127.0.0.1", *, host_follows: bool = False, proxied: bool = False) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0))
        peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        listener.close()
        self.order(accepted.fileno(), kind="connection", number=number, address=address, port=1, host="",
                   host_follows=host_follows, proxied=proxied)
        accepted.close()
        peer.settimeout(10)
        self.peers.append(peer)
        return peer

    def serve(self) -> None:
        """Let the worker read what is there."""
        for fd in [fd for fd in self.loop.masks if fd != self.control]:
            if fd in self.loop.masks and self.loop.watched(fd) & IN:
                self.loop.fire(fd, IN)

    def associate(self, number: int) -> socket.socket:
        peer = self.connect(number)
        peer.sendall(wire.RQ)
        self.serve()
        assert peer.recv(4096)[:1] == b"\x02"
        return peer

    def close(self) -> None:
        self.channel.close()
        for peer in self.peers:
            peer.close()


@pytest.fixture
def acceptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Acceptor]:
    made = Acceptor(tmp_path, monkeypatch)
    made.start()
    assert made.heard() == [{"kind": "up"}]
    yield made
    made.close()


def test_connection_is_taken_before_it_is_read_and_its_end_told(acceptor: Acceptor) -> None:
    peer = acceptor.associate(3)
    assert acceptor.heard() == [{"kind": "taken", "number": 3}]
    peer.close()
    acceptor.serve()
    assert acceptor.heard() == [{"kind": "finished", "number": 3}]


def test_host_name_that_follows_is_taken_by_the_connections_that_wait_for_it(acceptor: Acceptor) -> None:
    acceptor.connect(1, host_follows=True)
    acceptor.connect(2)
    acceptor.connect(3, "127.0.0.9", host_follows=True)
    acceptor.order(kind="host", address="127.0.0.1", host="pacs.example")
    names = {connection.number: (connection.peer.name, connection.peer.host_follows)
             for connection in acceptor.worker._connections}
    assert names == {1: ("pacs.example", False), 2: ("127.0.0.1", False), 3: ("127.0.0.9", True)}


def test_descriptor_of_an_unknown_order_is_not_kept(acceptor: Acceptor) -> None:
    reader, writer = os.pipe()
    acceptor.order(writer, kind="something new")
    os.close(writer)
    assert os.read(reader, 1) == b"", "the last copy of the writing end is closed"
    os.close(reader)


def test_stop_stops(acceptor: Acceptor) -> None:
    acceptor.order(kind="stop")
    assert acceptor.loop.stopped


def test_stop_tells_of_what_is_under_way(acceptor: Acceptor, caplog: pytest.LogCaptureFixture) -> None:
    peer = acceptor.associate(1)
    peer.sendall(store()[:-3])
    acceptor.serve()
    acceptor.order(kind="stop")
    assert acceptor.loop.stopped
    assert peer.recv(1) == b"\x07"
    assert "cut off: the service stops" in caplog.text


def test_drain_without_connections_stops_at_once(acceptor: Acceptor) -> None:
    acceptor.order(kind="drain")
    assert acceptor.loop.stopped


def test_drain_ends_idle_associations_and_waits_for_busy_ones(acceptor: Acceptor) -> None:
    idle, busy = acceptor.associate(1), acceptor.associate(2)
    acceptor.order(kind="drain")
    acceptor.loop.advance(0.5)
    assert not acceptor.loop.stopped
    busy.sendall(echo(1))
    acceptor.serve()
    acceptor.loop.advance(0.6)
    assert idle.recv(100)[:1] == b"\x07", "nothing was asked for a second: aborted"
    assert busy.recv(4096)[:1] == b"\x04"
    busy.setblocking(False)
    with pytest.raises(BlockingIOError):
        busy.recv(100)
    assert not acceptor.loop.stopped


def test_drain_ends_an_association_whose_object_is_held_back(acceptor: Acceptor) -> None:
    held = acceptor.associate(1)
    acceptor.worker._hold("hooks", True)
    held.sendall(store(1))
    acceptor.serve()
    acceptor.order(kind="drain")
    acceptor.loop.advance(2)
    assert held.recv(100)[:1] == b"\x07", "nothing of it was taken"
    held.close()
    acceptor.serve()
    acceptor.worker._hold("hooks", False)
    acceptor.loop.next_round()
    acceptor.loop.advance(0.1)
    assert acceptor.loop.stopped


def test_drain_gives_up_after_its_time(acceptor: Acceptor) -> None:
    acceptor.associate(1).sendall(wire.RQ[:0] + echo(1)[:5])
    acceptor.serve()
    acceptor.order(kind="drain")
    acceptor.loop.advance(30.1)
    assert acceptor.loop.stopped
    assert {"kind": "finished", "number": 1} in acceptor.heard()


def test_sigterm_is_a_drain_and_a_second_one_changes_nothing(acceptor: Acceptor) -> None:
    acceptor.associate(1)
    acceptor.loop.send_signal(signal.SIGTERM)
    acceptor.loop.send_signal(signal.SIGTERM)
    assert not acceptor.loop.stopped


def test_death_of_the_acceptor_process_is_a_drain(acceptor: Acceptor, caplog: pytest.LogCaptureFixture) -> None:
    peer = acceptor.associate(1)
    acceptor.channel.close()
    acceptor.loop.fire(acceptor.control, IN)
    assert acceptor.control not in acceptor.loop
    assert not acceptor.loop.stopped
    assert caplog.messages == [], "every worker would say so; the coordinator does"
    peer.sendall(wire.RELEASE_RQ)
    acceptor.serve()
    assert peer.recv(100)[:1] == b"\x06"
    peer.close()
    acceptor.serve()
    acceptor.loop.advance(0.1)
    assert acceptor.loop.stopped


def test_full_channel_to_the_acceptor_process_loses_no_news(acceptor: Acceptor) -> None:
    peers = [acceptor.associate(number) for number in range(1, 4)]
    acceptor.heard()
    for peer in peers:
        peer.close()
    acceptor.serve()
    assert sorted(packet["number"] for packet in acceptor.heard()) == [1, 2, 3]


def test_worker_that_retires_goes_on_with_idle_associations_and_ends_with_the_last(acceptor: Acceptor) -> None:
    peers = [acceptor.associate(number) for number in (1, 2)]
    acceptor.order(kind="retire")
    acceptor.loop.advance(20)  # an idle one would be ended at a drain
    assert not acceptor.loop.stopped
    for peer in peers:
        assert not acceptor.loop.stopped
        peer.sendall(echo())
        acceptor.serve()
        assert peer.recv(4096)[:1] == b"\x04"
        peer.close()
        acceptor.serve()
        acceptor.loop.advance(0)
    assert acceptor.loop.stopped


def test_worker_that_retires_without_associations_ends_at_once(acceptor: Acceptor) -> None:
    acceptor.order(kind="retire")
    acceptor.loop.advance(0)
    assert acceptor.loop.stopped


def test_worker_that_retires_can_still_be_drained(acceptor: Acceptor) -> None:
    acceptor.associate(1)
    acceptor.order(kind="retire")
    acceptor.order(kind="drain")
    acceptor.loop.advance(31)
    assert acceptor.loop.stopped


def test_connection_without_its_descriptor_is_declined(acceptor: Acceptor) -> None:
    acceptor.order(kind="connection", number=7, address="127.0.0.1", port=1, host="")
    assert acceptor.heard() == [{"kind": "declined", "number": 7}]


def test_event_channel_that_is_lost_is_told(acceptor: Acceptor) -> None:
    acceptor.order(kind="event_channel", number=3)
    assert acceptor.heard() == [{"kind": "unconnected", "number": 3}]
    ours, theirs = fdpass.channel_pair()
    acceptor.order(theirs.fileno(), kind="event_channel", number=4)
    theirs.close()
    channel = next(fd for fd in acceptor.loop.masks if fd != acceptor.control)
    ours.close()
    acceptor.loop.fire(channel, IN)
    assert acceptor.heard() == [{"kind": "unconnected", "number": 4}]


def test_acceptor_process_that_does_not_read_holds_nobody_up(acceptor: Acceptor) -> None:
    """What it is not told now it is told later, in order."""
    filled = 0
    try:
        while True:
            acceptor.worker._channel.send(b'{"kind":"up"}')
            filled += 1
    except BlockingIOError:
        pass
    acceptor.worker._tell({"kind": "finished", "number": 1})
    acceptor.worker._tell({"kind": "finished", "number": 2})
    assert acceptor.loop.watched(acceptor.control) == IN | OUT
    acceptor.heard()
    acceptor.loop.fire(acceptor.control, OUT)
    assert [packet["number"] for packet in acceptor.heard()] == [1, 2]
    assert acceptor.loop.watched(acceptor.control) == IN


def test_worker_for_one_connection_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "Loop", FakeLoop)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    worker = Worker(None, Config(negotiation=NEGOTIATION, store=StorePolicy(str(tmp_path))), WorkerSettings(), only_one=True)
    ours, theirs = socket.socketpair()
    worker.adopt(1, ours, Peer("127.0.0.1", 1))
    loop: FakeLoop = worker.loop  # type: ignore[assignment]
    theirs.close()
    assert not loop.stopped
    loop.fire(ours.fileno(), IN)
    loop.advance(0)
    assert loop.stopped


def test_last_event_is_acknowledged_before_a_drained_worker_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acceptor = Acceptor(tmp_path, monkeypatch, hooks=HookPolicy(event_log="-"))
    acceptor.start()
    ours, theirs = fdpass.channel_pair()
    acceptor.order(theirs.fileno(), kind="event_channel", number=1)
    theirs.close()
    reporter = acceptor.worker.reporter
    reporter.opened({"kind": "opened", "association": "a", "calling_aet": "", "called_aet": "", "peer": "",
                     "peer_host": "", "port": 1, "max_pdu": 0})
    reporter.stored({"kind": "stored", "event": reporter.next_event(), "request": None, "keeps": False, "association": "a",  # type: ignore[typeddict-item]
                     "directory": "", "file": "x"})
    acceptor.order(kind="drain")
    acceptor.loop.advance(1)
    assert not acceptor.loop.stopped
    ours.send(orjson.dumps({"kind": "ack", "first": 1, "event": 1}))
    channel = next(fd for fd in acceptor.loop.masks if fd != acceptor.control)
    acceptor.loop.fire(channel, IN)
    acceptor.loop.advance(0.1)
    assert acceptor.loop.stopped
    ours.close()
    acceptor.close()


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Acceptor, socket.socket]]:
    """A worker that needs a coordinator, and the coordinator's end of its channel."""
    made = Acceptor(tmp_path, monkeypatch, hooks=HookPolicy(on_reception="true"))
    made.start()
    ours, theirs = fdpass.channel_pair()
    made.order(theirs.fileno(), kind="event_channel", number=1)
    theirs.close()
    yield made, ours
    ours.close()
    made.close()


@pytest.mark.parametrize("first", ["acceptor", "coordinator"])
def test_worker_whom_nobody_can_bring_a_coordinator_lets_no_peer_wait(hooked: tuple[Acceptor, socket.socket], first: str) -> None:
    acceptor, coordinator = hooked
    peer = acceptor.associate(1)
    channel = next(fd for fd in acceptor.loop.masks if fd == acceptor.worker.reporter._channel.fileno())  # type: ignore[union-attr]

    def coordinator_dies() -> None:
        coordinator.close()
        acceptor.loop.fire(channel, IN)

    def acceptor_dies() -> None:
        acceptor.channel.close()
        acceptor.loop.fire(acceptor.control, IN)

    deaths = [acceptor_dies, coordinator_dies]
    for death in deaths if first == "acceptor" else reversed(deaths):
        assert not acceptor.loop.stopped
        death()
    acceptor.loop.advance(0)
    assert acceptor.loop.stopped
    assert peer.recv(4096)[:1] == b"\x07"


def test_worker_whose_acceptor_process_died_goes_on_while_there_is_a_coordinator(hooked: tuple[Acceptor, socket.socket]) -> None:
    acceptor, _ = hooked
    peer = acceptor.associate(1)
    acceptor.channel.close()
    acceptor.loop.fire(acceptor.control, IN)
    acceptor.loop.advance(0)
    assert not acceptor.loop.stopped
    peer.sendall(echo())
    acceptor.serve()
    assert peer.recv(4096)[:1] == b"\x04"
