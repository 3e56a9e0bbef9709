from __future__ import annotations

import pytest

from fastscp.coordinator.channels import PACKETS_PER_TURN, Channel
from fastscp.process import fdpass
from fastscp.process.loop import IN, OUT
from tests.support.fakes import FakeLoop, FakeSocket


class Bench:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.socket = FakeSocket()
        self.taken: list[bytes] = []
        self.lost = 0
        self.channel = Channel(self.socket, self.loop, taken=self.taken.append, lost=self.lose)

    def lose(self) -> None:
        self.lost += 1

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.channel.send(b'{"n":%d}' % number)

    @property
    def sent(self) -> list[int]:
        return [packet["n"] for packet in self.socket.sent]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_packets_are_handed_over_in_order_until_there_is_none(bench: Bench) -> None:
    bench.socket.put(b"one")
    bench.socket.put(b"two")
    assert bench.loop.fire(bench.socket.fd, IN)
    assert bench.taken == [b"one", b"two"]
    assert bench.channel.open


def test_one_channel_does_not_keep_the_others_waiting(bench: Bench) -> None:
    for _ in range(PACKETS_PER_TURN + 1):
        bench.socket.put(b"x")
    bench.loop.fire(bench.socket.fd, IN)
    assert len(bench.taken) == PACKETS_PER_TURN
    assert not bench.channel.read()
    assert len(bench.taken) == PACKETS_PER_TURN + 1


def test_reading_tells_whether_there_may_be_more(bench: Bench) -> None:
    for _ in range(PACKETS_PER_TURN):
        bench.socket.put(b"x")
    assert bench.channel.read()
    assert not bench.channel.read()


def test_blocked_packets_wait_in_order_and_go_on_when_the_worker_reads(bench: Bench) -> None:
    bench.socket.room = 1
    bench.send(1, 2, 3)
    assert bench.sent == [1]
    assert bench.loop.masks[bench.socket.fd] == IN | OUT
    bench.socket.room = 1
    assert bench.loop.fire(bench.socket.fd, OUT)
    assert bench.sent == [1, 2]
    bench.socket.room = None
    bench.loop.fire(bench.socket.fd, OUT)
    assert bench.sent == [1, 2, 3]
    assert bench.loop.masks[bench.socket.fd] == IN
    assert not bench.loop.fire(bench.socket.fd, OUT)


def test_packets_are_read_while_the_output_is_blocked(bench: Bench) -> None:
    bench.socket.room = 0
    bench.send(1)
    bench.socket.put(b"one")
    bench.loop.fire(bench.socket.fd, IN)
    assert bench.taken == [b"one"]


def test_end_of_file_closes_and_tells_once_after_the_last_packet(bench: Bench) -> None:
    bench.socket.put(b"last")
    bench.socket.dead = True
    bench.loop.fire(bench.socket.fd, IN)
    assert bench.taken == [b"last"]
    assert bench.lost == 1
    assert bench.socket.closed
    assert not bench.channel.open
    assert bench.socket.fd not in bench.loop


def test_nothing_is_sent_after_the_end(bench: Bench) -> None:
    bench.socket.dead = True
    bench.loop.fire(bench.socket.fd, IN)
    bench.send(1)
    assert bench.sent == []


def test_worker_that_died_with_answers_waiting_is_noticed_by_the_next_read(bench: Bench) -> None:
    bench.socket.room = 0
    bench.send(1, 2)
    bench.socket.dead = True
    bench.loop.fire(bench.socket.fd, IN | OUT)
    assert bench.sent == []
    assert bench.lost == 1


def test_last_packets_behind_a_reset_are_taken_before_the_end() -> None:
    """A worker that dies with unread answers leaves a reset in front of what it had told (unix(7))."""
    left, right = fdpass.channel_pair()
    taken: list[bytes] = []
    lost: list[list[bytes]] = []
    channel = Channel(right, FakeLoop(), taken=taken.append, lost=lambda: lost.append(list(taken)))
    channel.send(b"an answer")
    left.send(b"one")
    left.send(b"two")
    left.close()
    assert not channel.read()
    assert lost == [[b"one", b"two"]]
    assert not channel.open
