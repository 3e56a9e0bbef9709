from __future__ import annotations

import contextlib
import errno
import socket
from typing import Any

import orjson
import pytest

from fastscp.acceptor.pool import AcceptedConnection, Pool, WorkerSlot
from fastscp.errors import ProcessError
from fastscp.net.peer import Peer
from fastscp.process import fdpass, packets


class FakeWorker:
    """The far end of a control channel."""

    def __init__(self, pool: Pool, pid: int) -> None:
        ours, self.channel = fdpass.channel_pair()
        self.slot = WorkerSlot(pid, pid, ours, self.channel.dup())
        self.pool = pool
        pool.add(self.slot)

    def say(self, kind: str, number: int = 0) -> None:
        self.channel.send(orjson.dumps({"kind": kind, "number": number}))
        self.pool.read(self.slot)

    def take(self) -> int | None:
        """Receive a connection without taking it; return its number."""
        try:
            packet, descriptor = fdpass.receive(self.channel)
        except BlockingIOError:
            return None
        assert descriptor is not None
        socket.socket(fileno=descriptor).close()
        return int(orjson.loads(packet)["number"])


def connection() -> AcceptedConnection:
    sock, other = socket.socketpair()
    other.close()
    return AcceptedConnection(sock, Peer("127.0.0.1", 1))


@pytest.fixture
def pool() -> Pool:
    return Pool(lambda: None)


def test_nobody_gets_a_connection_before_he_is_up(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    pool.submit(connection())
    assert worker.take() is None
    assert pool.open_count == 1
    worker.say("up")
    assert worker.take() == 1
    assert pool.open_count == 1


def test_least_loaded_worker_first(pool: Pool) -> None:
    first, second = FakeWorker(pool, 1), FakeWorker(pool, 2)
    first.say("up")
    second.say("up")
    for _ in range(4):
        pool.submit(connection())
    taken = [first.take(), first.take(), second.take(), second.take()]
    assert sorted(number for number in taken if number) == [1, 2, 3, 4]
    second.say("taken", taken[2] or 0)
    second.say("finished", taken[2] or 0)
    pool.submit(connection())
    assert second.take() == 5
    assert first.take() is None


def test_untaken_connection_of_a_dead_worker_goes_to_another(pool: Pool) -> None:
    first, second = FakeWorker(pool, 1), FakeWorker(pool, 2)
    first.say("up")
    kept, lost = connection(), connection()
    pool.submit(lost)
    pool.submit(kept)
    first.say("taken", first.take() or 0)
    second.say("up")
    pool.remove(1)
    assert second.take() == 3
    assert lost.sock.fileno() == -1
    assert kept.sock.fileno() >= 0
    assert pool.open_count == 1


def test_taken_socket_is_the_workers_alone(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    mine = connection()
    pool.submit(mine)
    number = worker.take()
    assert mine.sock.fileno() >= 0
    worker.say("taken", number or 0)
    assert mine.sock.fileno() == -1


def test_worker_with_a_full_channel_is_passed_over(pool: Pool) -> None:
    deaf = FakeWorker(pool, 1)
    deaf.say("up")
    with pytest.raises(BlockingIOError):  # noqa: PT012 - which send fills the channel is open
        while True:
            deaf.slot.channel.send(b"x" * 1000)
    pool.submit(connection())
    assert pool.open_count == 1
    other = FakeWorker(pool, 2)
    other.say("up")
    assert other.take() == 1


def test_descriptor_from_a_worker_is_a_bug(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    fdpass.send_with_descriptor(worker.channel, packets.encode({"kind": "up"}), 0)
    with pytest.raises(ProcessError):
        pool.read(worker.slot)


def test_connection_goes_on_its_way_as_soon_as_a_full_channel_has_room(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    submitted = 0
    while submitted < 5000 and not pool._waiting:  # until the channel is full
        pool.submit(connection())
        submitted += 1
    assert pool._waiting
    seen = 0
    while (number := worker.take()) is not None:
        seen += 1
        worker.say("taken", number)
    assert seen == submitted


def test_connection_taken_by_a_worker_that_died_does_not_go_to_another(pool: Pool) -> None:
    first, second = FakeWorker(pool, 1), FakeWorker(pool, 2)
    first.say("up")
    taken, untaken = connection(), connection()
    pool.submit(taken)
    pool.submit(untaken)
    first.channel.send(packets.encode({"kind": "taken", "number": first.take() or 0}))
    first.channel.close()  # with an unread order
    pool.read(first.slot)
    pool.remove(1)
    second.say("up")
    assert second.take() == 3
    assert second.take() is None
    assert taken.sock.fileno() == -1


def test_worker_gets_no_more_connections_than_it_has_descriptors_for() -> None:
    pool = Pool(lambda: None, capacity=1)
    worker = FakeWorker(pool, 1)
    worker.say("up")
    assert not pool.full
    for _ in range(2):
        pool.submit(connection())
    assert pool.full
    number = worker.take() or 0
    assert worker.take() is None
    worker.say("taken", number)
    worker.say("finished", number)
    assert worker.take() == 2


def test_worker_that_does_not_take_what_it_got_gets_nothing_more_while_another_does(pool: Pool) -> None:
    held_up, other = FakeWorker(pool, 1), FakeWorker(pool, 2)
    held_up.say("up")
    first = connection()
    pool.submit(first)
    other.say("up")
    first.handed_out -= 10  # as if ten seconds had passed
    for _ in range(3):
        pool.submit(connection())
    assert [other.take() for _ in range(3)] == [2, 3, 4]
    held_up.say("taken", held_up.take() or 0)
    pool.submit(connection())
    assert held_up.take() == 5


def test_numbers_begin_again_after_the_last_one(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    pool._next_number = 0xFFFFFFFF
    for _ in range(2):
        pool.submit(connection())
    assert [worker.take(), worker.take()] == [0xFFFFFFFF, 1]


@pytest.mark.parametrize("number", [errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM])
def test_too_much_under_way_makes_a_connection_wait(pool: Pool, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    outcomes = [OSError(number, "too much")]
    send = fdpass.send_with_descriptor

    def send_or_fail(*arguments: object) -> None:
        if outcomes:
            raise outcomes.pop()
        send(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fdpass, "send_with_descriptor", send_or_fail)
    pool.submit(connection())
    assert worker.take() is None
    worker.say("finished", 99)  # any news is a reason to try again
    assert worker.take() == 1


def test_other_errors_of_a_channel_are_bugs(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    broken = connection()
    broken.sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        pool.submit(broken)


def test_packet_that_no_worker_sends_is_left_out(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker(pool, 1)
    worker.channel.send(packets.encode({"kind": "ready"}))
    worker.channel.send(b"{")
    worker.channel.send(packets.encode({"kind": "taken", "number": 5}))
    worker.say("up")
    assert [record.message for record in caplog.records] == 3 * ["internal error, a packet of worker 2 is left out"]
    assert all(record.exc_info for record in caplog.records)
    assert worker.slot.up, "what comes behind them counts"


def test_every_socket_is_known_to_whoever_forks_and_waiting_ones_are_closed_at_the_end(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    handed = connection()
    pool.submit(handed)
    worker.slot.up = False
    waiting = connection()
    pool.submit(waiting)
    assert list(pool.inherited_sockets()) == [worker.slot.channel, worker.slot.far_end, handed.sock, waiting.sock]
    pool.close_waiting()
    assert waiting.sock.fileno() == -1
    assert handed.sock.fileno() >= 0
    assert pool.open_count == 1


def test_change_is_told_once_for_all_records_of_a_worker() -> None:
    changes: list[int] = []
    pool = Pool(lambda: changes.append(pool.open_count))
    worker = FakeWorker(pool, 1)
    worker.say("up")
    for _ in range(2):
        pool.submit(connection())
    changes.clear()
    for number in (1, 2):
        worker.channel.send(packets.encode({"kind": "taken", "number": number}))
        worker.channel.send(packets.encode({"kind": "finished", "number": number}))
    pool.read(worker.slot)
    assert changes == [0]
    pool.read(worker.slot)
    assert changes == [0]


def test_worker_is_held_up_only_after_its_time() -> None:
    now = 1000.0
    pool = Pool(lambda: None, None, lambda: now)
    slow, busy = FakeWorker(pool, 1), FakeWorker(pool, 2)
    busy.say("up")
    for number in (1, 2, 3):
        pool.submit(connection())
        busy.say("taken", busy.take() or 0)
        assert pool.open_count == number
    slow.say("up")
    pool.submit(connection())
    now += 0.4
    pool.submit(connection())  # the less loaded one is not late yet
    assert [slow.take(), slow.take()] == [4, 5]
    now += 0.2
    pool.submit(connection())
    assert slow.take() is None
    assert busy.take() == 6


def test_connections_of_a_dead_worker_keep_their_order_before_later_ones(pool: Pool) -> None:
    dead = FakeWorker(pool, 1)
    dead.say("up")
    for port in (1, 2):
        pool.submit(AcceptedConnection(socket.socketpair()[0], Peer("127.0.0.1", port)))
    dead.slot.up = False
    pool.submit(AcceptedConnection(socket.socketpair()[0], Peer("127.0.0.1", 3)))
    other = FakeWorker(pool, 2)
    pool.remove(1)
    other.say("up")
    ports = []
    for _ in range(3):
        packet, descriptor = fdpass.receive(other.channel)
        ports.append(orjson.loads(packet)["port"])
        socket.socket(fileno=descriptor).close()
    assert ports == [1, 2, 3]


def test_host_name_goes_along_with_whoever_is_handed_out_later() -> None:
    pool = Pool(lambda: None)
    sockets = [socket.socket(), socket.socket()]
    for sock, address in zip(sockets, ("10.0.0.9", "10.0.0.8"), strict=True):
        pool.submit(AcceptedConnection(sock, Peer(address, 1, host_follows=True)))
    pool.name_peers("10.0.0.9", "pacs.example")
    assert [connection.peer for connection in pool._waiting] == [
        Peer("10.0.0.9", 1, "pacs.example"), Peer("10.0.0.8", 1, host_follows=True)]
    pool.close_waiting()
# -- taking back ----------------------------------------------------------------------------------


class Clocked:
    """A pool whose time a test moves."""

    def __init__(self, workers: int = 2, capacity: int | None = None) -> None:
        self.now = 1000.0
        self.pool = Pool(lambda: None, capacity, lambda: self.now)
        self.workers = [FakeWorker(self.pool, pid) for pid in range(1, workers + 1)]


def test_connections_that_a_stopped_worker_does_not_take_go_to_another() -> None:
    clocked = Clocked()
    stopped, other = clocked.workers
    stopped.say("up")
    accepted = [connection(), connection()]
    for each in accepted:
        clocked.pool.submit(each)
    other.say("up")
    clocked.now += 0.6
    clocked.pool.reclaim([])
    assert [other.take(), other.take(), other.take()] == [3, 4, None]
    assert stopped.take() is None
    assert stopped.slot.load == 0
    assert all(each.sock.fileno() >= 0 for each in accepted)


def test_connection_that_the_worker_has_read_is_not_taken_back() -> None:
    clocked = Clocked()
    slow, other = clocked.workers
    slow.say("up")
    clocked.pool.submit(connection())
    assert slow.take() == 1  # and says so later
    other.say("up")
    clocked.now += 0.6
    clocked.pool.reclaim([])
    assert other.take() is None
    slow.say("taken", 1)
    assert clocked.pool.open_count == 1


def test_orders_stay_in_the_channel_of_a_stopped_worker() -> None:
    clocked = Clocked()
    stopped, other = clocked.workers
    stopped.say("up")
    reader, writer = socket.socketpair()
    stopped.slot.channel.send(packets.encode({"kind": "reload"}))
    clocked.pool.submit(connection())
    fdpass.send_with_descriptor(stopped.slot.channel, packets.encode({"kind": "event_channel", "number": 1}), writer.fileno())
    writer.close()
    other.say("up")
    clocked.now += 0.6
    clocked.pool.reclaim([])
    assert orjson.loads(fdpass.receive(stopped.channel)[0])["kind"] == "reload"
    packet, descriptor = fdpass.receive(stopped.channel)
    assert orjson.loads(packet)["kind"] == "event_channel"
    with socket.socket(fileno=descriptor) as end:
        end.send(b"x")
    assert reader.recv(1) == b"x"
    assert reader.recv(1) == b""  # nobody else has kept the other end


def test_nothing_is_taken_back_for_nobody() -> None:
    clocked = Clocked(capacity=1)
    stopped, other = clocked.workers
    stopped.say("up")
    other.say("up")
    clocked.pool.submit(connection())
    clocked.pool.submit(connection())
    other.say("taken", other.take() or 0)  # has no room for another
    clocked.now += 0.6
    clocked.pool.reclaim([])
    assert stopped.take() == 1


@pytest.mark.parametrize("sign", ["heartbeat", "news"])
def test_worker_held_up_gets_nothing_until_it_gives_a_sign_of_life(sign: str) -> None:
    clocked = Clocked()
    stopped, other = clocked.workers
    stopped.say("up")
    clocked.pool.submit(connection())
    other.say("up")
    clocked.now += 0.6
    clocked.pool.reclaim([])
    clocked.pool.submit(connection())  # though it has less to do
    assert [other.take(), other.take()] == [2, 3]
    if sign == "heartbeat":
        clocked.pool.reclaim([1])
    else:
        stopped.say("finished", 99)
    clocked.pool.submit(connection())
    assert stopped.take() == 4


# -- no descriptor left ---------------------------------------------------------------------------


def test_connection_that_a_worker_has_no_descriptor_for_waits_until_it_has(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    for _ in range(2):
        pool.submit(connection())
    worker.say("taken", worker.take() or 0)
    worker.say("declined", worker.take() or 0)
    assert pool.full
    assert pool.held_count == 1
    assert worker.take() is None
    worker.say("finished", 1)
    assert not pool.full
    assert worker.take() == 3


def test_connection_that_one_worker_declines_goes_to_another(pool: Pool) -> None:
    first, second = FakeWorker(pool, 1), FakeWorker(pool, 2)
    first.say("up")
    for _ in range(2):
        pool.submit(connection())
    first.say("taken", first.take() or 0)
    second.say("up")
    first.say("declined", first.take() or 0)
    assert second.take() == 3
    assert not pool.full


def test_worker_that_declines_though_it_has_nothing_costs_one_connection(
        pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker(pool, 1)
    worker.say("up")
    lost = connection()
    pool.submit(lost)
    worker.say("declined", worker.take() or 0)
    assert lost.sock.fileno() == -1
    assert "worker 2 has no descriptor for a connection of 127.0.0.1, closing it" in caplog.messages
    pool.submit(connection())
    assert worker.take() == 2


def verdict(number: int, address: str = "192.0.2.7", *, host_follows: bool = False) -> packets.Verdict:
    return {"kind": "verdict", "number": number, "allowed": True, "address": address, "host": "", "host_follows": host_follows}


def fill(worker: FakeWorker) -> None:
    """Leave no room in the channel."""
    filler = packets.encode({"kind": "host", "address": "", "host": "x" * 2000})
    with contextlib.suppress(BlockingIOError):
        while True:
            worker.slot.channel.send(filler)


def verdicts(worker: FakeWorker) -> list[Any]:
    found = []
    while True:
        try:
            packet = orjson.loads(worker.channel.recv(fdpass.PACKET_OCTETS))
        except BlockingIOError:
            return found
        if packet["kind"] == "verdict":
            found.append((packet["number"], packet["host"]))


def test_verdict_waits_for_a_channel_that_is_full_and_learns_the_name_meanwhile(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    fill(worker)
    pool.tell_verdict(worker.slot, verdict(1))
    pool.tell_verdict(worker.slot, verdict(2, host_follows=True))
    pool.tell_verdict(worker.slot, verdict(3, "192.0.2.8", host_follows=True))
    pool.name_peers("192.0.2.7", "ct.example")
    assert verdicts(worker) == []
    pool.reclaim([])
    assert verdicts(worker) == [(1, ""), (2, "ct.example"), (3, "")]


def test_verdict_that_waits_is_told_when_the_worker_reads_again(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    fill(worker)
    pool.tell_verdict(worker.slot, verdict(1))
    assert verdicts(worker) == []
    worker.say("up")
    assert verdicts(worker) == [(1, "")]


def test_verdict_for_a_dead_worker_is_nobodys(pool: Pool) -> None:
    worker = FakeWorker(pool, 1)
    pool.remove(1)
    pool.tell_verdict(worker.slot, verdict(1))
    assert not worker.slot.verdicts


def test_claim_is_handed_on(pool: Pool) -> None:
    worker, claims = FakeWorker(pool, 1), []
    pool.on_claim = lambda slot, claim: claims.append((slot, claim["number"]))
    worker.say("claim", 5)
    assert claims == [(worker.slot, 5)]
