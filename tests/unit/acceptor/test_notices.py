"""Notes of refused connections: never waited for, bounded, and told to a coordinator that is there."""

from __future__ import annotations

import errno
import socket

import pytest

from fastscp.acceptor.notices import MOST_NOTES, Notices
from fastscp.net.peer import Peer
from fastscp.process import packets
from fastscp.process.loop import OUT
from tests.support.fakes import FakeLoop

PEER = Peer("192.0.2.7", 40000, "evil.example")


class Desk:
    """The notices, and the coordinator's end of their channel."""

    def __init__(self, *, wanted=True):
        self.loop = FakeLoop()
        self.far = None
        self.introduced = []
        self.refuse = None
        self.notices = Notices(self.loop, self.introduce, wanted=wanted)

    def introduce(self, name, descriptor):
        if self.refuse is not None:
            raise self.refuse
        self.introduced.append(name)
        self.far = socket.socket(fileno=socket.dup(descriptor))
        self.far.setblocking(False)

    def hear(self):
        heard = []
        while True:
            try:
                octets = self.far.recv(65536)
            except BlockingIOError:
                return heard
            heard.append(packets.decode_worker(octets))


@pytest.fixture
def desk():
    return Desk()


def test_refused_connection_is_told_at_once(desk):
    desk.notices.connect()
    desk.notices.turned_away(PEER, "access denied by /etc/hosts.deny:1")
    assert desk.introduced == ["acceptor"]
    assert desk.hear() == [{"kind": "turned_away", "peer": "192.0.2.7", "peer_host": "evil.example", "port": 40000,
                            "reason": "access denied by /etc/hosts.deny:1"}]
    assert desk.loop.masks == {}


def test_nobody_who_reads_means_no_channel_and_no_note():
    desk = Desk(wanted=False)
    desk.notices.connect()
    desk.notices.turned_away(PEER, "no")
    assert desk.introduced == []
    assert list(desk.notices.sockets()) == []
    assert not desk.notices._notes


def test_notes_wait_for_the_coordinator(desk):
    desk.notices.turned_away(PEER, "first")
    desk.notices.turned_away(PEER, "second")
    desk.notices.connect()
    assert [note["reason"] for note in desk.hear()] == ["first", "second"]


def test_flood_is_bounded_counted_and_blocks_nobody(desk):
    desk.notices.connect()
    for number in range(5000):
        desk.notices.turned_away(PEER, str(number))
    (channel,) = desk.notices.sockets()
    assert desk.loop.watched(channel.fileno()) == OUT
    heard = []
    while desk.loop.watched(channel.fileno()):
        heard += desk.hear()
        desk.loop.fire(channel.fileno(), OUT)
    heard += desk.hear()
    told = [note["reason"] for note in heard if note["kind"] == "turned_away"]
    assert told == [str(number) for number in range(len(told))]
    assert len(told) >= MOST_NOTES
    assert heard[-1] == {"kind": "missed", "count": 5000 - len(told)}


def test_next_coordinator_gets_what_the_dead_one_did_not_take(desk):
    desk.notices.connect()
    desk.far.close()
    desk.notices.turned_away(PEER, "late")
    assert list(desk.notices.sockets()) == []
    desk.notices.connect()
    assert [note["reason"] for note in desk.hear()] == ["late"]


def test_coordinator_that_dies_while_its_channel_is_full_leaves_nothing_behind(desk):
    desk.notices.connect()
    for number in range(2000):
        desk.notices.turned_away(PEER, str(number))
    (channel,) = desk.notices.sockets()
    desk.far.close()
    desk.loop.fire(channel.fileno(), OUT)
    assert desk.loop.masks == {}
    assert channel.fileno() < 0


def test_channel_that_cannot_be_handed_over_is_closed(desk):
    desk.refuse = BlockingIOError(errno.EAGAIN, "full")
    with pytest.raises(BlockingIOError):
        desk.notices.connect()
    assert list(desk.notices.sockets()) == []


def test_close_gives_everything_back(desk):
    desk.notices.connect()
    for number in range(2000):
        desk.notices.turned_away(PEER, str(number))
    (channel,) = desk.notices.sockets()
    desk.notices.close()
    desk.notices.close()
    assert channel.fileno() < 0
    assert desk.loop.masks == {}
