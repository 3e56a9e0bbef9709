from __future__ import annotations

import io
from typing import Any

import pytest

from fastscp.blast import busy
from fastscp.blast.busy import Busy
from fastscp.blast.hostile import KINDS, Hostile
from fastscp.blast.kit import Address
from fastscp.blast.plan import Plan, Target
from fastscp.blast.run import order_of, permit
from fastscp.blast.sender import Part, hostile_associations
from fastscp.errors import UsageError
from fastscp.process.loop import IN, OUT
from tests.support.blast_peer import TEMPLATE, Peer

HERE = [Address(2, ("127.0.0.1", 104)), Address(10, ("::1", 104, 0, 0))]
THERE = [Address(2, ("127.0.0.1", 104)), Address(2, ("192.0.2.1", 104))]


def plan(**more: Any) -> Plan:
    return Plan(Target("pacs", 104), **more)


@pytest.mark.parametrize(("addresses", "more"), [
    (HERE, {"hostile_percent": 10}), (THERE, {}), (THERE, {"hostile_percent": 10, "hostile_host": "pacs"}),
    ([Address(10, ("fe80::1%eth0", 104, 0, 2))], {})])
def test_harm_may_be_done_here_or_to_who_is_named_twice(addresses: list[Address], more: dict[str, Any]) -> None:
    permit(plan(**more), addresses)


@pytest.mark.parametrize(("addresses", "named"), [(THERE, None), (THERE, "other"), (THERE[1:], None), ([Address(10, ("fe80::1%eth0", 104, 0, 2))], None)])
def test_no_harm_is_done_to_others(addresses: list[Address], named: str | None) -> None:
    with pytest.raises(UsageError, match="--hostile-host pacs"):
        permit(plan(hostile_percent=10, hostile_host=named), addresses)


@pytest.mark.parametrize(("more", "templates", "total"), [
    ({}, 1, 100), ({"paths": ("x",)}, 7, 7), ({"objects": 3, "series": 2, "studies": 4}, 1, 24), ({"duration_s": 5}, 1, None),
    ({"duration_s": 5, "studies": 2}, 1, 200)])
def test_how_many_objects_there_are(more: dict[str, Any], templates: int, total: int | None) -> None:
    assert order_of(plan(**more), (TEMPLATE,) * templates).total == total


def test_every_association_is_somebodys() -> None:
    for total in range(20):
        assert sum(Part(number, 3).share(total) for number in range(3)) == total


@pytest.mark.parametrize(("associations", "percent", "harm"), [(7, 30, 3), (1, 10, 1), (90, 10, 10), (10, 50, 10), (5, 0, 0)])
def test_hostile_associations_are_their_share_of_all(associations: int, percent: int, harm: int) -> None:
    assert hostile_associations(plan(associations=associations, hostile_percent=percent)) == harm


@pytest.mark.parametrize(("more", "senders"), [({}, 1), ({"associations": 9, "processes": 4}, 4), ({"associations": 3, "processes": 8}, 3)])
def test_no_process_is_without_an_association(more: dict[str, Any], senders: int) -> None:
    assert plan(**more).senders == senders


def test_who_wants_a_cpu_and_has_none_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter(["1000000000 500000000 7\n", "1300000000 900000000 9\n", "nonsense"])
    clock = iter([10.0, 11.0])
    monkeypatch.setattr(busy, "open", lambda *_arguments, **_more: io.StringIO(next(told)), raising=False)
    monkeypatch.setattr(busy.time, "monotonic", lambda: next(clock))
    assert Busy().share() == pytest.approx(0.7)
    assert busy.wanted_s() >= 0


def hostile(kind: str) -> Peer:
    peer = Peer()
    Hostile(peer.kit, KINDS.index(kind)).begin()
    peer.connect()
    return peer


@pytest.mark.parametrize("kind", KINDS)
def test_harm_is_done_and_over_after_a_while(kind: str) -> None:
    peer = hostile(kind)
    assert peer.kit.tally.hostile == {kind: 1}
    octets = bytes(peer.sock.sent)
    assert {"garbage": len(octets) == 2000, "length": octets[2:6] == b"\xff" * 4, "early": octets[:1] == b"\4", "silent": octets == b""}.get(
        kind, octets[:1] == b"\1")
    first = peer.sock
    peer.loop.advance(2.1)
    assert first.closed
    assert len(peer.kit.sockets) == 2


@pytest.mark.parametrize(("kind", "aborts"), [("cut", False), ("abort", True)])
def test_an_object_is_cut_in_the_middle(kind: str, aborts: bool) -> None:
    peer = hostile(kind)
    peer.sock.sent.clear()
    peer.say(b"\2" + bytes(100))
    assert peer.sock.closed
    assert peer.sock.sent[:1] == b"\4"
    assert (peer.sock.sent[-10:-4] == b"\7\0\0\0\0\4") == aborts


def test_an_object_comes_an_octet_at_a_time() -> None:
    peer = hostile("slow")
    peer.sock.sent.clear()
    peer.say(b"\2" + bytes(100))
    assert len(peer.sock.sent) == 1
    peer.loop.advance(0.5)
    assert 20 <= len(peer.sock.sent) <= 27


def test_who_is_thrown_out_comes_back() -> None:
    peer = hostile("garbage")
    first = peer.sock
    peer.say(b"")
    assert first.closed
    assert first.number not in peer.loop
    peer.loop.advance(0.05)
    assert peer.sock is not first
    assert peer.loop.watched(peer.sock.number) == OUT
    peer.connect()
    assert peer.loop.watched(peer.sock.number) == IN


def test_nobody_comes_back_when_the_run_is_over() -> None:
    peer = Peer()
    one = Hostile(peer.kit, 0)
    one.begin()
    peer.connect()
    one.close()
    peer.loop.advance(10)
    assert (len(peer.kit.sockets), peer.sock.closed) == (1, True)
