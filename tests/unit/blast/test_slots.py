from __future__ import annotations

import errno
import itertools

from fastscp.blast.numbering import Order
from fastscp.blast.slots import Blocks, IdleSlot, Slot
from fastscp.blast.supply import Timed
from tests.support.blast_peer import RELEASE_RQ, Peer


class Done:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def started(peer: Peer) -> Done:
    done = Done()
    Slot(peer.kit, Blocks(peer.kit, 0, 1), done).begin()
    return done


def serve(peer: Peer, count: int) -> None:
    """Take so many objects, and the release behind them."""
    peer.accept()
    for message_id in range(1, count + 1):
        peer.respond(message_id)
    assert peer.heard()[-1][0] == RELEASE_RQ
    peer.release()
    peer.loop.next_round()


def test_one_association_after_another() -> None:
    peer = Peer(objects=5, per_association=2)
    done = started(peer)
    for count in (2, 2, 1):
        assert done.times == 0
        serve(peer, count)
    assert done.times == 1
    assert (peer.kit.tally.objects, len(peer.kit.sockets)) == (5, 3)


def test_slots_of_all_processes_share_the_associations() -> None:
    peer = Peer(objects=10, per_association=2, associations=2)
    taken = [[list(block) for block in iter(Blocks(peer.kit, sender, 2).take, None)] for sender in range(2)]
    assert taken == [[[0, 1], [4, 5], [8, 9]], [[2, 3], [6, 7]]]


def test_what_is_left_goes_over_another_association() -> None:
    peer = Peer(objects=4)
    done = started(peer)
    peer.accept()
    peer.respond(1)
    peer.abort()
    peer.loop.advance(0)
    assert len(peer.kit.sockets) == 2
    serve(peer, 2)
    assert (done.times, peer.kit.tally.stored) == (1, [0, 2, 3])
    assert peer.kit.tally.failed_objects == {"aborted by the peer (source 2, reason 1)": 1}
    assert peer.kit.tally.failed_associations == {"aborted by the peer (source 2, reason 1)": 1}


def test_nobody_there_is_tried_again_with_growing_pauses_and_then_given_up() -> None:
    peer = Peer(objects=4)
    peer.kit.codes.extend([errno.ECONNREFUSED] * 9)
    done = started(peer)
    peer.connect()
    begun = peer.loop.now
    pauses = []
    while not done.times:
        before = peer.loop.now
        tries = len(peer.kit.sockets)
        while len(peer.kit.sockets) == tries and not done.times:
            peer.loop.advance(0.01)
        pauses.append(peer.loop.now - before)
        if not done.times:
            peer.connect()
    assert len(peer.kit.sockets) == 5
    assert all(later > sooner for sooner, later in itertools.pairwise(pauses[:-1]))
    assert peer.loop.now - begun < 5
    assert peer.kit.tally.failed_associations == {"connection refused": 5}
    assert peer.kit.tally.failed_objects == {"not sent: no association": 4}


def test_with_a_duration_nobody_gives_up() -> None:
    peer = Peer(objects=4, duration_s=60)
    peer.kit.codes.extend([errno.ECONNREFUSED] * 9)
    started(peer)
    for _ in range(9):
        peer.connect()
        peer.loop.advance(2)
    peer.accept()
    assert peer.kit.tally.failed_objects == {}
    assert peer.kit.tally.associations == 1


def test_arrivals_open_associations() -> None:
    """With a rate and a size of associations, the first of each is opened when its first object is due, and timed from then."""
    peer = Peer(objects=4, per_association=1, rate=10.0)
    peer.kit.supply = Timed(peer.loop, 10.0, 0.0, peer.loop.now + 0.5)
    done = started(peer)
    assert peer.kit.sockets == []
    peer.loop.advance(0.51)
    assert len(peer.kit.sockets) == 1
    serve(peer, 1)
    assert len(peer.kit.sockets) == 1
    peer.loop.advance(0.1)
    assert len(peer.kit.sockets) == 2
    peer.kit.supply.stop()
    peer.sock.inbox.clear()
    peer.reject()
    peer.loop.advance(1)
    assert done.times == 1


def test_an_object_that_was_due_keeps_its_time_when_its_association_fails() -> None:
    peer = Peer(objects=4, per_association=1, rate=10.0)
    peer.kit.supply = Timed(peer.loop, 10.0, 0.0, peer.loop.now)
    slot = Slot(peer.kit, Blocks(peer.kit, 0, 1), Done())
    peer.loop.advance(0)
    slot.begin()
    planned = slot._planned
    peer.reject()
    assert slot._planned == planned is not None
    peer.loop.advance(0.15)
    peer.accept()
    assert slot._association is not None
    assert slot._association.planned is None


def test_an_idle_association_that_the_peer_ends_has_failed() -> None:
    peer, done = Peer(idle=1), Done()
    slot = IdleSlot(peer.kit, done)
    slot.begin()
    peer.accept()
    peer.say(b"")
    assert (done.times, peer.kit.tally.failed_associations) == (1, {"idle: connection closed by the peer": 1})
    peer, done = Peer(idle=1, order=Order(1, 1, 1, 1)), Done()
    slot = IdleSlot(peer.kit, done)
    slot.begin()
    peer.accept()
    slot.close()
    peer.release()
    assert (done.times, peer.kit.tally.failed_associations) == (1, {})
