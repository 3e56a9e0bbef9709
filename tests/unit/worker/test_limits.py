"""Places among one's like, total times, and peers that leave while a hook runs."""

from __future__ import annotations

import select
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.net.peer import Peer
from fastscp.process.loop import IN, OUT
from fastscp.process.slots import Slots
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy
from fastscp.ul.encode import encode_data
from fastscp.worker.connection import Connection
from fastscp.worker.limits import Places
from tests.corpus import wire
from tests.support.fake_worker import FD, Bench, FakeTransport, data_set, echo, store

LOCAL_LIMIT_EXCEEDED = bytes.fromhex("03 00 00000004 00 02 03 02")
HUNG_UP = select.EPOLLRDHUP


def bench(directory: Path, places: Places | None = None, hooks: HookPolicy | None = None, **network: float | None) -> Bench:
    policy = replace(NetworkPolicy(acse_timeout_s=30, socket_timeout_s=60), **network)
    made = Bench(Config(network=policy, store=StorePolicy(str(directory)), hooks=hooks or HookPolicy()),
                 **({"places": places} if places else {}))
    made.loop.now = 1000.0
    return made


def another(first: Bench, address: str = "10.0.0.9") -> tuple[FakeTransport, list[Connection]]:
    """Connect once more and request an association."""
    transport, finished = FakeTransport(FD + 1), []
    Connection(first.context, 8, transport, Peer(address, 1), finished.append).start()
    transport.arriving.append(wire.RQ)
    if FD + 1 in first.loop:
        first.loop.fire(FD + 1, IN)
    return transport, finished


@pytest.mark.parametrize("places", [Places(hosts=Slots(1)), Places(titles=Slots(1))])
def test_second_association_of_its_like_is_rejected_for_the_time_being(tmp_path: Path, places: Places) -> None:
    first = bench(tmp_path, places).established()
    transport, _ = another(first)
    assert bytes(transport.sent) == LOCAL_LIMIT_EXCEEDED
    first.arrive(wire.RELEASE_RQ)  # its place is free before the release is answered
    assert first.transport.sent[:1] == b"\x06"
    first.loop.unregister(FD + 1)
    transport, _ = another(first)
    assert transport.sent[:1] == b"\x02"


def test_place_of_a_host_is_given_back_with_its_association(tmp_path: Path) -> None:
    first = bench(tmp_path, Places(hosts=Slots(1), titles=Slots(1))).established()
    first.arrive(wire.RELEASE_RQ)
    transport, _ = another(first)
    assert transport.sent[:1] == b"\x02"


def test_other_hosts_are_not_limited_by_it(tmp_path: Path) -> None:
    first = bench(tmp_path, Places(hosts=Slots(1))).established()
    transport, _ = another(first, "10.0.0.10")
    assert transport.sent[:1] == b"\x02"


def test_host_that_goes_on_connecting_is_closed_at_once(tmp_path: Path) -> None:
    first = bench(tmp_path, Places(hosts=Slots(1))).established()
    another(first)
    first.loop.unregister(FD + 1)
    transport, finished = another(first)
    assert transport.closes == 1
    assert len(finished) == 1
    assert not transport.sent


def test_connection_that_ends_before_its_request_gives_its_place_back(tmp_path: Path) -> None:
    first = bench(tmp_path, Places(hosts=Slots(1))).start()
    first.hang_up()
    transport, _ = another(first)
    assert transport.sent[:1] == b"\x02"


def test_rejection_for_another_reason_takes_no_place_of_a_title(tmp_path: Path) -> None:
    titles = Slots(1)
    made = bench(tmp_path, Places(titles=titles)).start()
    made.arrive(wire.RQ[:6] + b"\0\2" + wire.RQ[8:])  # another protocol version
    assert made.transport.sent[:1] == b"\x03"
    assert titles._held == {}


# -- total times ----------------------------------------------------------------------------------


def trickle(made: Bench, octets: bytes, seconds: float) -> None:
    """Send some octets, one a second."""
    for number in range(round(seconds)):
        made.arrive(octets[number:number + 1])
        made.loop.advance(1.0)


def test_object_that_trickles_is_limited_in_total(tmp_path: Path) -> None:
    made = bench(tmp_path, object_timeout_s=10).established()
    trickle(made, store(), 9)
    assert made.transport.sent == b""
    trickle(made, store()[9:], 2)
    assert made.transport.sent[:1] == b"\x07"


def test_every_object_has_its_own_time(tmp_path: Path) -> None:
    made = bench(tmp_path, object_timeout_s=10).established()
    for number in range(5):
        made.arrive(store(number + 1)[:100])
        made.loop.advance(6)
        made.arrive(store(number + 1)[100:] + store(number + 2)[:50])  # the next one has begun in the same read
        assert made.statuses() == [0]
        made.loop.advance(6)
        made.arrive(store(number + 2)[50:])
        assert made.statuses() == [0]
    made.loop.advance(15)
    made.arrive(echo())
    assert made.statuses() == [0]


def test_association_is_limited_in_total_whatever_it_does(tmp_path: Path) -> None:
    made = bench(tmp_path, association_timeout_s=20).established()
    for _ in range(19):
        made.arrive(echo())
        made.loop.advance(1)
    assert set(made.statuses()) == {0}
    made.loop.advance(1)
    assert made.transport.sent[:1] == b"\x07"
    made.hang_up()
    assert made.finished == [made.connection]
    assert made.loop.timers == 0


def test_connection_without_a_request_is_limited_too(tmp_path: Path) -> None:
    made = bench(tmp_path, association_timeout_s=20).start()
    made.loop.advance(20)
    assert made.finished == [made.connection]


def test_without_total_limits_nothing_of_them_is_in_the_loop(tmp_path: Path) -> None:
    made = bench(tmp_path).established()
    made.arrive(store()[:100])
    assert made.loop.timers == 1


# -- peers that leave while a hook runs -----------------------------------------------------------


def waiting_for_a_hook(directory: Path, *behind: bytes) -> Bench:
    made = bench(directory, hooks=HookPolicy(on_reception="h", synchronous=True)).established()
    made.arrive(store())
    made.reporter.notify("on_sent")
    assert made.statuses() == [0]
    made.transport.arriving += behind
    return made


@pytest.mark.parametrize("behind", [(), (wire.RELEASE_RQ,), (wire.ABORT,)])
def test_peer_that_leaves_while_its_hook_runs_is_given_up(tmp_path: Path, behind: tuple[bytes, ...]) -> None:
    made = waiting_for_a_hook(tmp_path, *behind)
    assert made.watched == HUNG_UP
    assert made.loop.fire(FD, HUNG_UP)
    assert made.finished == [made.connection]
    made.reporter.notify("on_ran")


def test_objects_of_a_peer_that_left_are_stored_when_the_hook_has_ended(tmp_path: Path) -> None:
    made = waiting_for_a_hook(tmp_path, store(2, "1.2.3.77", data_set("1.2.3.77")))
    made.loop.fire(FD, HUNG_UP)
    assert made.watched == 0  # it would be told for ever
    assert made.finished == []
    made.reporter.notify("on_ran")
    made.arrive(b"")
    assert ("stored", "1.2.3.77") in made.reporter.told


def test_reset_while_a_hook_runs_is_noticed(tmp_path: Path) -> None:
    made = waiting_for_a_hook(tmp_path)
    made.loop.fire(FD, select.EPOLLERR | select.EPOLLHUP)
    assert made.finished == [made.connection]


# -- answers that nobody reads --------------------------------------------------------------------


def test_peer_that_reads_no_answers_is_soon_read_no_more(tmp_path: Path) -> None:
    """What it sent in one read is answered; the rest stays with it."""
    made = bench(tmp_path).established()
    made.transport.room = 0
    request = encode_data(1, 3, wire.echo_command(1))
    for _ in range(10_000):
        made.transport.arriving.append(request)
    made.arrive()
    unread = len(made.transport.arriving)
    assert unread > 9000
    assert len(made.connection._stream.output) < (1 << 16) + 200
    assert made.watched == OUT
    made.transport.room = 1 << 30
    made.loop.fire(FD, OUT)
    made.arrive()
    assert len(made.statuses()) == 10_000
