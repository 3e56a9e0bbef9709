from __future__ import annotations

import errno

import pytest

from fastscp.blast.association import Association
from fastscp.blast.kit import Numbers
from fastscp.blast.plan import Line
from fastscp.blast.template import template
from fastscp.process.loop import IN, OUT
from tests.support import datasets as ds
from tests.support.blast_peer import ABORT, CLASS, OBJECT, RELEASE_RQ, Peer, response
from tests.support.blast_peer import TEMPLATE as ONE


class Started:
    """An association that has begun."""

    def __init__(self, peer: Peer, numbers: int = 3, **options: bool) -> None:
        self.ended: list[str] = []
        self.numbers = Numbers(iter(range(numbers)))
        self.association = Association(peer.kit, self.numbers, peer.loop.now, self.ended.append, **options)
        self.association.begin()


def kinds(peer: Peer) -> list[int]:
    return [kind for kind, _ in peer.heard()]


def test_objects_go_one_after_another_and_then_it_is_released() -> None:
    peer = Peer()
    started = Started(peer, 2)
    peer.accept()
    assert kinds(peer) == [4, 4]
    peer.respond(1)
    assert kinds(peer) == [4, 4]
    peer.respond(2)
    assert kinds(peer) == [RELEASE_RQ]
    assert started.ended == []
    peer.release()
    assert (started.ended, peer.sock.closed, peer.kit.open) == ([""], True, 0)
    tally = peer.kit.tally
    assert (tally.objects, tally.octets, tally.associations, tally.stored, tally.sent) == (2, 2 * len(OBJECT), 1, [0, 1], [0, 1])
    assert tally.latency.total == 2
    assert tally.setup.total == 1
    assert peer.sock.number not in peer.loop


def test_so_many_are_on_their_way_as_are_wanted() -> None:
    peer = Peer(pipeline=3)
    Started(peer, 5)
    peer.accept()
    assert kinds(peer) == [4, 4] * 3
    peer.respond(2)
    assert kinds(peer) == [4, 4]
    peer.say(response(1) + response(3) + response(4))
    assert kinds(peer) == [4, 4]
    peer.respond(5)
    assert kinds(peer) == [RELEASE_RQ]
    assert peer.kit.tally.stored == [1, 0, 2, 3, 4]


def test_message_ids_go_round() -> None:
    peer = Peer()
    started = Started(peer, 2)
    started.association._message_id = 0xFFFE
    peer.accept()
    peer.respond(0xFFFF)
    peer.respond(1)
    assert peer.kit.tally.objects == 2


@pytest.mark.parametrize("step", [1, 7])
def test_answers_may_come_in_pieces(step: int) -> None:
    peer = Peer()
    Started(peer, 2)
    peer.accept()
    for octets in (response(1), response(2)):
        for start in range(0, len(octets), step):
            peer.say(octets[start:start + step])
    assert peer.kit.tally.objects == 2


def test_a_full_socket_is_waited_for() -> None:
    peer = Peer()
    Started(peer, 1)
    peer.connect()
    request = bytes(peer.sock.sent)
    assert peer.loop.watched(peer.sock.number) == IN
    peer.sock.sent.clear()
    del request
    peer.sock.room = 50
    from fastscp.ul.encode import encode_associate_ac
    from fastscp.ul.pdu import AAssociateAC, ContextResult, UserInformation

    peer.say(encode_associate_ac(AAssociateAC(b" " * 16, b" " * 16, (ContextResult(1, 0, ds.EXPLICIT),), UserInformation(16384))))
    assert len(peer.sock.sent) == 50
    assert peer.loop.watched(peer.sock.number) == IN | OUT
    peer.sock.room = None
    peer.loop.fire(peer.sock.number, OUT)
    assert peer.loop.watched(peer.sock.number) == IN
    assert OBJECT[-250:] in peer.sock.sent


@pytest.mark.parametrize(("status", "stored"), [(0, True), (0xB007, True), (0xA700, False), (0xC123, False), (0x0122, False)])
def test_a_warning_is_an_acknowledgement_and_a_failure_is_not(status: int, stored: bool) -> None:
    peer = Peer()
    Started(peer, 1)
    peer.accept()
    peer.respond(1, status)
    tally = peer.kit.tally
    assert (tally.stored, tally.objects) == (([0], 1) if stored else ([], 0))
    assert [reason.split()[1] for reason in tally.failed_objects] == ([] if stored else [f"{status:04X}H"])
    assert bool(tally.warnings) == (status == 0xB007)


@pytest.mark.parametrize(("what", "reason"), [
    (lambda peer: peer.abort(), "aborted by the peer (source 2, reason 1)"), (lambda peer: peer.say(b""), "connection closed by the peer"),
    (lambda peer: (peer.sock.inbox.append(ConnectionResetError(errno.ECONNRESET, "x")), peer.loop.fire(peer.sock.number, IN)),
     "connection reset by peer"),
    (lambda peer: peer.respond(77), "the peer sent a response to message 77, which nobody waits for"),
    (lambda peer: peer.say(b"\x09\0\0\0\0\0"), "the peer sent a PDU of type 09H"),
    (lambda peer: peer.say(b"\x04\0\0\0\0\x06\0\0\0\x99\1\3"), "the peer sent a PDV is longer than its PDU"),
    (lambda peer: peer.say(b"\x04\0\xff\0\0\x06"), "the peer sent a PDU of 4278190086 octets"),
    (lambda peer: peer.loop.advance(61), "no answer for 60 s")])
def test_each_object_under_way_fails_with_its_association(what, reason) -> None:
    peer = Peer(pipeline=2)
    started = Started(peer, 5)
    peer.accept()
    what(peer)
    assert started.ended == [reason]
    assert peer.kit.tally.failed_objects == {reason: 2}
    assert (peer.kit.open, peer.sock.closed, started.numbers.next) == (0, True, 2)


def test_who_gives_up_says_so() -> None:
    peer = Peer()
    Started(peer, 1)
    peer.accept()
    peer.heard()
    peer.loop.advance(61)
    assert kinds(peer) == [ABORT]


def test_patience_begins_anew_with_each_sign_of_life() -> None:
    peer = Peer(timeout_s=10)
    started = Started(peer, 3)
    peer.accept()
    for message_id in (1, 2):
        peer.loop.advance(8)
        peer.respond(message_id)
    assert started.ended == []
    peer.loop.advance(10.1)
    assert started.ended == ["no answer for 10 s"]


def test_what_the_peer_said_before_it_closed_counts() -> None:
    peer = Peer()
    started = Started(peer, 5)
    peer.accept()
    peer.sock.broken = BrokenPipeError(errno.EPIPE, "x")
    from fastscp.ul.encode import encode_abort
    from fastscp.ul.pdu import AAbort

    peer.sock.inbox.append(response(1))
    peer.say(encode_abort(AAbort(2, 6)))
    assert started.ended == ["aborted by the peer (source 2, reason 6)"]
    assert peer.kit.tally.objects == 1


def test_a_rejection_is_no_association() -> None:
    peer = Peer()
    started = Started(peer)
    peer.reject()
    assert started.ended[0].startswith("rejected: ")
    assert "Called AE Title Not Recognized" in started.ended[0]
    assert (started.association.established, peer.kit.tally.associations, peer.kit.tally.failed_objects) == (False, 0, {})


def test_a_connection_that_fails_says_why() -> None:
    peer = Peer()
    peer.kit.codes.append(errno.ECONNREFUSED)
    started = Started(peer)
    peer.connect()
    assert started.ended == ["connection refused"]


def test_what_is_not_accepted_is_not_sent() -> None:
    other = template("1.2.840.10008.5.1.4.1.1.4", ds.EXPLICIT, OBJECT)
    peer = Peer(templates=(ONE, other))
    Started(peer, 4)
    peer.accept(contexts=1)
    peer.respond(1)
    peer.respond(2)
    assert peer.kit.tally.stored == [0, 2]
    assert peer.kit.tally.failed_objects == {"presentation context not accepted": 2}


def test_pdus_are_as_long_as_the_peer_takes_or_we_want() -> None:
    for peer, longest in ((Peer(), 100), (Peer(pdu=80), 80)):
        Started(peer, 1)
        peer.accept(max_pdu=100)
        data = [len(body) for kind, body in peer.heard() if kind == 4][1:]
        assert max(data) == longest
    unlimited = Peer()
    Started(unlimited, 1)
    unlimited.accept(max_pdu=0)
    assert len(unlimited.heard()) == 2


def test_idle_it_stays_until_it_is_told() -> None:
    peer = Peer()
    started = Started(peer, 0, idle=True)
    peer.accept()
    peer.loop.advance(300)
    assert (started.ended, kinds(peer)) == ([], [])
    started.association.finish()
    assert kinds(peer) == [RELEASE_RQ]


def test_a_long_line_holds_everything_back() -> None:
    peer = Peer(line=Line(delay_s=0.2))
    Started(peer, 1)
    peer.connect()
    assert peer.heard() == []
    peer.loop.advance(0.21)
    assert kinds(peer) == [1]


def test_the_class_of_the_object_is_requested() -> None:
    peer = Peer(pipeline=4)
    Started(peer)
    peer.connect()
    (_, body), = peer.heard()
    from fastscp.ul.decode import decode_associate_rq

    request = decode_associate_rq(body)
    assert [(context.abstract_syntax, context.transfer_syntaxes) for context in request.contexts] == [(CLASS, (ds.EXPLICIT,))]
    assert request.calling_ae_title == "FASTSCP-BLAST"
    assert request.user_information.window is not None
    assert request.user_information.window.invoked == 4
