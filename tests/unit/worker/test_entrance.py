"""Connections of a balancer in a worker: whose they are, who is asked, what becomes of those that do not say it."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.process.loop import IN
from fastscp.process.slots import Slots
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy
from fastscp.worker.limits import Places
from tests.corpus import wire
from tests.support.fake_worker import Bench
from tests.support.proxy import SIGNATURE, binary, tlv, version_1, version_2
from tests.unit.worker.test_process import Acceptor

ABORT = bytes.fromhex("07000000000400000200")


@pytest.fixture
def acceptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Acceptor]:
    caplog.set_level(logging.DEBUG)
    made = Acceptor(tmp_path, monkeypatch)
    made.start()
    assert made.heard() == [{"kind": "up"}]
    yield made
    made.close()


def enter(acceptor: Acceptor, octets: bytes, number: int = 1) -> socket.socket:
    """Connect through a balancer, which sends this."""
    peer = acceptor.connect(number, proxied=True)
    send(acceptor, peer, octets)
    return peer


def send(acceptor: Acceptor, peer: socket.socket, octets: bytes) -> None:
    peer.sendall(octets)
    acceptor.serve()


def allow(acceptor: Acceptor, number: int = 1, **fields: Any) -> None:
    acceptor.order(kind="verdict", number=number,
                   **{"allowed": True, "address": "", "host": "", "host_follows": False, **fields})
    acceptor.serve()


def claims(acceptor: Acceptor) -> list[tuple[str, int]]:
    return [(news["address"], news["port"]) for news in acceptor.heard() if news["kind"] == "claim"]


def loud(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize("header", [version_1(), version_2(), version_2(tlvs=tlv(4, bytes(9000)))])
def test_peer_of_the_header_is_asked_for_and_served(acceptor: Acceptor, header: bytes) -> None:
    peer = enter(acceptor, header + wire.RQ)
    for _ in range(4):
        acceptor.serve()
    server = peer.getpeername()
    assert acceptor.heard() == [{"kind": "taken", "number": 1},
                                {"kind": "claim", "number": 1, "address": "192.0.2.7", "port": 40000,
                                 "server_address": server[0], "server_port": server[1]}]
    allow(acceptor, host="ct.example")
    assert peer.recv(4096)[:1] == b"\x02"
    (connection,) = acceptor.worker._connections
    assert (connection.peer.address, connection.peer.port, connection.peer.name) == ("192.0.2.7", 40000, "ct.example")


@pytest.mark.parametrize("header", [version_1(), version_2(), version_2(tlvs=tlv(4, bytes(40)))])
def test_octets_that_come_one_by_one_are_all_served(acceptor: Acceptor, header: bytes) -> None:
    peer = acceptor.connect(1, proxied=True)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(header)):
        send(acceptor, peer, header[at:at + 1])
    for at in range(0, len(wire.RQ), 50):
        send(acceptor, peer, wire.RQ[at:at + 50])
    assert claims(acceptor) == [("192.0.2.7", 40000)]
    allow(acceptor)
    assert peer.recv(4096)[:1] == b"\x02"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", binary(0x20, 0)])
def test_balancer_that_names_nobody_is_the_peer_himself(acceptor: Acceptor, header: bytes) -> None:
    enter(acceptor, header + wire.RQ)
    assert claims(acceptor) == [("127.0.0.1", 1)]


def test_nobody_is_asked_before_the_peer_says_something(acceptor: Acceptor) -> None:
    peer = enter(acceptor, version_1())
    assert claims(acceptor) == []
    send(acceptor, peer, wire.RQ)
    assert claims(acceptor) == [("192.0.2.7", 40000)]


def test_refused_peer_is_closed_without_a_word(acceptor: Acceptor, caplog: pytest.LogCaptureFixture) -> None:
    peer = enter(acceptor, version_1() + wire.RQ)
    allow(acceptor, allowed=False)
    assert acceptor.heard()[-1] == {"kind": "finished", "number": 1}
    with pytest.raises(ConnectionResetError):
        peer.recv(1)
    assert loud(caplog) == [], "the acceptor process has said which rule it was"


def test_name_that_follows_is_waited_for(acceptor: Acceptor) -> None:
    enter(acceptor, version_1() + wire.RQ)
    allow(acceptor, host_follows=True)
    acceptor.order(kind="host", address="192.0.2.7", host="ct.example")
    assert [connection.peer.name for connection in acceptor.worker._connections] == ["ct.example"]


@pytest.mark.parametrize(("octets", "why"), [
    (wire.RQ, "does not begin with a header"), (b"PROXY UNKNOWN" + b" " * 100, "within 107 octets"),
    (binary(0x21, 0x11, b"short"), "5 octets for addresses")])
def test_missing_malformed_and_endless_headers_are_closed_and_logged_once(
        acceptor: Acceptor, caplog: pytest.LogCaptureFixture, octets: bytes, why: str) -> None:
    enter(acceptor, octets)
    assert acceptor.heard() == [{"kind": "taken", "number": 1}, {"kind": "finished", "number": 1}]
    (line,) = loud(caplog)
    assert why in line
    assert "127.0.0.1" in line


@pytest.mark.parametrize(("octets", "why"), [(b"", "does not come in time"), (SIGNATURE, "does not end in time"),
                                             (version_1(), "no association request from 192.0.2.7 in time")])
def test_time_for_the_header_is_the_acse_timeout(acceptor: Acceptor, caplog: pytest.LogCaptureFixture, octets: bytes, why: str) -> None:
    peer = acceptor.connect(1, proxied=True)
    acceptor.loop.advance(20)
    if octets:
        send(acceptor, peer, octets)
    acceptor.loop.advance(9.9)
    assert loud(caplog) == []
    acceptor.loop.advance(0.2)
    (line,) = loud(caplog)
    assert why in line
    assert acceptor.heard()[-1] == {"kind": "finished", "number": 1}
    assert peer.recv(1) == b""


def test_time_spent_on_the_header_is_missing_for_the_association_request(acceptor: Acceptor, caplog: pytest.LogCaptureFixture) -> None:
    peer = acceptor.connect(1, proxied=True)
    acceptor.loop.advance(20)
    send(acceptor, peer, version_1() + wire.RQ[:20])
    allow(acceptor)
    acceptor.loop.advance(9.9)
    assert loud(caplog) == []
    acceptor.loop.advance(0.2)
    assert len(loud(caplog)) == 1
    assert peer.recv(1) == b""


@pytest.mark.parametrize("octets", [b"", version_1(), b"PROXY UNKNOWN\r\n", binary(0x20, 0)])
@pytest.mark.parametrize("reset", [False, True])
def test_checks_of_a_balancer_are_nothing_to_speak_of(
        acceptor: Acceptor, caplog: pytest.LogCaptureFixture, octets: bytes, reset: bool) -> None:
    peer = acceptor.connect(1, proxied=True)
    if octets:
        send(acceptor, peer, octets)
    hang_up(peer, reset=reset)
    acceptor.serve()
    assert acceptor.heard() == [{"kind": "taken", "number": 1}, {"kind": "finished", "number": 1}]
    assert loud(caplog) == []


@pytest.mark.parametrize("reset", [False, True])
def test_connects_without_a_word_are_nothing_to_speak_of_without_a_balancer_either(
        acceptor: Acceptor, caplog: pytest.LogCaptureFixture, reset: bool) -> None:
    peer = acceptor.connect(1)
    hang_up(peer, reset=reset)
    acceptor.serve()
    assert acceptor.heard()[-1] == {"kind": "finished", "number": 1}
    assert loud(caplog) == []


def test_peer_that_leaves_inside_his_request_is_spoken_of(acceptor: Acceptor, caplog: pytest.LogCaptureFixture) -> None:
    peer = acceptor.connect(1)
    send(acceptor, peer, wire.RQ[:20])
    hang_up(peer)
    acceptor.serve()
    assert loud(caplog) == ["connection closed by 127.0.0.1 before an association was requested"]


def test_end_inside_the_header_is_one(acceptor: Acceptor, caplog: pytest.LogCaptureFixture) -> None:
    peer = enter(acceptor, b"PROXY TCP4 19")
    hang_up(peer)
    acceptor.serve()
    assert len(loud(caplog)) == 1


def hang_up(peer: socket.socket, *, reset: bool = False) -> None:
    if reset:  # as haproxy ends its checks
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def test_header_on_a_connection_of_somebody_else_is_none(acceptor: Acceptor) -> None:
    peer = acceptor.connect(1)
    send(acceptor, peer, version_1() + wire.RQ)
    assert claims(acceptor) == []
    assert peer.recv(1) in {b"\x07", b""}


def test_places_are_those_of_the_peer_behind_the_balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acceptor = Acceptor(tmp_path, monkeypatch)
    acceptor.worker._context = replace(acceptor.worker._context, places=Places(Slots(1), None))
    acceptor.start()
    answers = []
    for number, address in enumerate(("192.0.2.7", "192.0.2.8", "192.0.2.7"), 1):
        peer = enter(acceptor, version_1(address) + wire.RQ, number)
        allow(acceptor, number)
        answers.append(peer.recv(1))
    assert answers == [b"\x02", b"\x02", b"\x03"]
    acceptor.close()


def test_bad_header_is_told_to_the_event_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acceptor = Acceptor(tmp_path, monkeypatch, hooks=HookPolicy(event_log=str(tmp_path / "events")))
    acceptor.start()
    told: list[Any] = []
    monkeypatch.setattr(type(acceptor.worker.reporter), "note", lambda _self, note: told.append(note))
    enter(acceptor, b"GET /")
    assert [(note["kind"], note["peer"]) for note in told] == [("turned_away", "127.0.0.1")]
    acceptor.close()


def test_drain_ends_whoever_has_not_come_to_ask_for_anything(acceptor: Acceptor) -> None:
    silent = acceptor.connect(1, proxied=True)
    acceptor.loop.advance(5)
    acceptor.order(kind="drain")
    assert silent.recv(1) == b""
    acceptor.loop.advance(1)
    assert acceptor.loop.stopped


def test_retiring_worker_waits_for_them(acceptor: Acceptor) -> None:
    peer = acceptor.connect(1, proxied=True)
    acceptor.order(kind="retire")
    acceptor.loop.advance(5)
    assert not acceptor.loop.stopped
    peer.close()
    acceptor.serve()
    acceptor.loop.advance(1)
    assert acceptor.loop.stopped


def test_stop_closes_them(acceptor: Acceptor) -> None:
    peer = acceptor.connect(1, proxied=True)
    acceptor.order(kind="stop")
    assert peer.recv(1) == b""
    assert acceptor.loop.stopped


def test_verdict_about_somebody_who_is_gone_is_of_no_consequence(acceptor: Acceptor) -> None:
    peer = enter(acceptor, version_1() + wire.RQ)
    acceptor.loop.advance(40)
    allow(acceptor)
    assert not acceptor.worker._connections
    with pytest.raises(ConnectionResetError):
        peer.recv(1)


def test_socket_is_not_watched_while_it_is_decided_about_its_peer(acceptor: Acceptor) -> None:
    peer = enter(acceptor, version_1() + wire.RQ)
    assert all(fd == acceptor.control or not acceptor.loop.watched(fd) & IN for fd in acceptor.loop.masks)
    send(acceptor, peer, wire.RELEASE_RQ)
    allow(acceptor)
    acceptor.serve()
    assert peer.recv(4096)[:1] == b"\x02"


def test_time_spent_on_the_header_is_part_of_the_association(tmp_path: Path) -> None:
    bench = Bench(Config(network=NetworkPolicy(association_timeout_s=100, socket_timeout_s=None), store=StorePolicy(str(tmp_path))))
    bench.connection.start(20.0)
    bench.arrive(wire.RQ)
    bench.loop.advance(79)
    assert not bench.transport.sent.endswith(ABORT)
    bench.loop.advance(2)
    assert bench.transport.sent.endswith(ABORT)
