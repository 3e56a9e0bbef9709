"""The acceptor's machine, fed whole messages, single octets, and messages with more behind them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.config.negotiation import standard_policy
from fastscp.errors import PeerError
from fastscp.ul.answers import Answers
from fastscp.ul.association import (
    MAX_ASSOCIATE_OCTETS,
    Aborted,
    Association,
    AssociationError,
    Established,
    Rejected,
    ReleaseRequested,
)
from fastscp.ul.decode import decode_abort, decode_associate_ac
from fastscp.ul.encode import encode_data
from fastscp.ul.states import State
from tests.corpus import wire

POLICY = standard_policy(implementation_class_uid="1.2.3", implementation_version_name="V")
RELEASE_RP = bytes.fromhex("06 00 00000004 00000000")


def established():
    association = Association(Answers(POLICY))
    association.receive(memoryview(wire.RQ))
    association.take_output()
    assert association.state is State.ESTABLISHED
    return association


def feed(association, octets, sizes=None):
    """Feed ``octets`` in pieces of ``sizes`` (cyclic) through one buffer that is wiped after each read.

    Fragments of one message are joined up to its last one, because their number depends on the pieces.
    """
    events = []
    sizes = sizes or [len(octets)]
    offset = turn = 0
    buffer = bytearray(max(sizes))
    while offset < len(octets):
        piece = octets[offset : offset + sizes[turn % len(sizes)]]
        buffer[: len(piece)] = piece
        with memoryview(buffer) as view:
            for event in association.receive(view[: len(piece)]):
                if not isinstance(event, tuple):
                    events.append(event)
                    continue
                context_id, flags, views = event
                payload = b"".join(views)
                last = events[-1] if events else None
                if isinstance(last, tuple) and not last[1] & 2 and (last[0], last[1] & 1) == (context_id, flags & 1):
                    events[-1] = (context_id, flags, last[2] + payload)
                else:
                    events.append((context_id, flags, payload))
                for fragment in views:
                    fragment.release()
        offset += len(piece)
        turn += 1
    return events


WHOLE = feed(Association(Answers(POLICY)), wire.SESSION)


def test_session_is_read_as_it_was_sent():
    kinds = [type(event) for event in WHOLE]
    assert kinds == [Established, *[tuple] * 5, ReleaseRequested]
    messages = [event for event in WHOLE if isinstance(event, tuple)]
    assert messages == [
        (1, 3, wire.echo_command(1)),
        (3, 3, wire.store_command(2)),
        (3, 2, wire.DATA_SET),
        (5, 3, wire.store_command(3, wire.MR)),
        (5, 2, wire.DATA_SET),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 1000])
def test_w28_session_in_pieces(size):
    assert feed(Association(Answers(POLICY)), wire.SESSION, [size]) == WHOLE


def test_w28_session_cut_once_at_every_boundary():
    for cut in range(1, len(wire.SESSION)):
        assert feed(Association(Answers(POLICY)), wire.SESSION, [cut, len(wire.SESSION)]) == WHOLE


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_any_fragmentation_means_the_same(sizes):
    assert feed(Association(Answers(POLICY)), wire.SESSION, sizes) == WHOLE


def test_request_is_acknowledged_with_the_titles_of_the_caller():
    association = Association(Answers(POLICY))
    assert association.artim_running
    (event,) = association.receive(memoryview(wire.RQ))
    assert not association.artim_running
    output = association.take_output()
    assert output[0] == 2
    accept = decode_associate_ac(output[6:])
    assert accept == event.accept
    assert output[10:42] == wire.RQ[10:42]
    assert accept.user_information.maximum_length == 16384
    assert {context.id: context.result for context in accept.contexts} == {1: 0, 3: 0, 5: 0, 7: 3}
    assert sorted(event.contexts) == [1, 3, 5]
    assert association.take_output() == b""


def test_request_with_data_behind_it():
    events = Association(Answers(POLICY)).receive(memoryview(wire.RQ + encode_data(1, 3, b"abcd")))
    assert isinstance(events[0], Established)
    assert [list(event[2]) for event in events[1:]] == [[b"abcd"]]


def test_payload_is_a_view_of_the_read_and_not_a_copy():
    buffer = bytearray(encode_data(1, 0, b"abcd"))
    ((_, _, (payload,)),) = established().receive(memoryview(buffer))
    buffer[-4:] = b"wxyz"
    assert payload == b"wxyz"


def test_last_flag_only_on_the_fragment_that_completes_the_pdv():
    association = established()
    octets = encode_data(3, 3, b"abcdef")
    first = association.receive(memoryview(octets[:-2]))
    second = association.receive(memoryview(octets[-2:]))
    assert [event[:2] for event in first] == [(3, 1)]
    assert [event[:2] for event in second] == [(3, 3)]


def test_fragments_of_one_message_come_together():
    octets = encode_data(3, 3, b"command") + encode_data(3, 0, b"ab") * 2 + encode_data(3, 2, b"cd")
    events = established().receive(memoryview(octets + encode_data(3, 0, b"ef")))
    assert [(context_id, flags, b"|".join(views)) for context_id, flags, views in events] == [
        (3, 3, b"command"), (3, 2, b"ab|ab|cd"), (3, 0, b"ef")]


ALIKE = encode_data(3, 0, bytes(range(100)))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
@pytest.mark.parametrize(("behind", "fragments"), [
    (b"", [0]),
    (encode_data(3, 2, bytes(range(100))), [1]),  # the last fragment is of the same length
    (encode_data(3, 0, bytes(98)) + encode_data(3, 2, b"end."), [2]),
    (encode_data(5, 0, bytes(100)), [0, 1]),
    (encode_data(3, 1, bytes(100)), [0, 1]),
    (ALIKE[:50], [1]),
    (ALIKE[:7], [0]),
])
def test_pdus_that_are_built_alike(count, behind, fragments):
    """They mean what they mean octet by octet; ``fragments`` joins the ones alike, and forms further events."""
    octets = ALIKE * count + behind
    events = established().receive(memoryview(octets))
    assert [(context_id, flags, b"".join(views)) for context_id, flags, views in events] == feed(established(), octets, [1])
    assert [len(views) for _, _, views in events] == [count + fragments[0], *fragments[1:]]


def test_what_precedes_a_violation_behind_pdus_alike_is_told():
    with pytest.raises(PeerError) as caught:
        established().receive(memoryview(ALIKE * 5 + b"\4\0\xff\xff\xff\xff" + bytes(6)))
    assert [(event[:2], len(event[2])) for event in caught.value.events] == [((3, 0), 5)]


def test_reserved_bits_of_the_control_header_are_not_checked():
    ((context_id, flags, _),) = established().receive(memoryview(encode_data(3, 0xFF, b"ab")))
    assert (context_id, flags) == (3, 3)


def test_empty_last_fragment_is_told():
    ((_, flags, (payload,)),) = established().receive(memoryview(encode_data(3, 2, b"")))
    assert (flags, len(payload)) == (2, 0)


def test_odd_pdv_length_is_taken():
    ((_, _, (payload,)),) = established().receive(memoryview(encode_data(3, 0, b"abc")))
    assert payload == b"abc"


def test_data_of_exactly_the_announced_length_is_taken():
    octets = encode_data(3, 2, bytes(16384 - 6))
    ((_, _, (payload,)),) = established().receive(memoryview(octets))
    assert len(payload) == 16378


def test_no_announced_maximum_allows_any_length():
    association = Association(Answers(standard_policy(max_pdu=0)))
    association.receive(memoryview(wire.RQ))
    ((_, _, (payload,)),) = association.receive(memoryview(b"\4\0\xff\xff\xff\xff" + b"\xff\xff\xff\xfb\3\0" + b"data"))
    assert payload == b"data"


def test_pdu_of_any_size_is_never_held():
    policy = standard_policy(max_pdu=131072)
    association = Association(Answers(policy))
    association.receive(memoryview(wire.RQ))
    octets = encode_data(3, 2, bytes(131066))
    total = 0
    for start in range(0, len(octets), 1000):
        for _, _, (payload,) in association.receive(memoryview(octets)[start : start + 1000]):
            total += len(payload)
            assert len(payload) <= 1000
    assert total == 131066


@pytest.mark.parametrize("case", wire.HOSTILE, ids=lambda case: case.name)
@pytest.mark.parametrize("size", [1, 4, 1 << 20])
def test_hostile(case, size):
    association = established() if case.established else Association(Answers(POLICY))
    if case.abort is None:
        assert feed(association, case.octets, [size]) == []
        assert association.take_output() == b""
        return
    with pytest.raises(PeerError) as caught:
        feed(association, case.octets, [size])
    output = association.take_output()
    assert output[:6] == bytes.fromhex("07 00 00000004")
    abort = decode_abort(output[6:])
    assert (abort.source, abort.reason) == case.abort == (caught.value.source, caught.value.reason)
    assert association.state is State.AWAITING_CLOSE
    assert association.artim_running
    assert association.receive(memoryview(case.octets)) == []
    assert association.take_output() == b""


@pytest.mark.parametrize("name", wire.MALFORMED_REQUESTS)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_malformed_request_is_aborted(name, size):
    association = Association(Answers(POLICY))
    with pytest.raises(PeerError) as caught:
        feed(association, wire.MALFORMED_REQUESTS[name], [size])
    assert caught.value.offset is not None
    assert association.take_output() == bytes.fromhex("07 00 00000004 0000 00 00")
    assert association.state is State.AWAITING_CLOSE


@pytest.mark.parametrize("name", wire.ODD_REQUESTS)
def test_odd_request_is_answered(name):
    (event,) = Association(Answers(POLICY)).receive(memoryview(wire.ODD_REQUESTS[name]))
    assert isinstance(event, Established)
    assert list(event.contexts) == [1]


def test_events_before_a_violation_are_not_lost():
    association = established()
    with pytest.raises(PeerError) as caught:
        association.receive(memoryview(encode_data(1, 3, b"ab") + b"\x08" + bytes(5)))
    assert [event[:2] for event in caught.value.events] == [(1, 3)]


def test_w08_body_of_a_request_is_bounded():
    association = Association(Answers(POLICY))
    header = b"\x01\0" + (MAX_ASSOCIATE_OCTETS + 1).to_bytes(4, "big")
    with pytest.raises(PeerError):
        association.receive(memoryview(header))


def test_release_is_answered_when_the_caller_says_so():
    association = established()
    assert association.receive(memoryview(wire.RELEASE_RQ)) == [ReleaseRequested()]
    assert association.take_output() == b""
    assert association.state is State.AWAITING_RELEASE_RESPONSE
    association.release()
    assert association.take_output() == RELEASE_RP
    assert association.state is State.AWAITING_CLOSE
    assert association.artim_running
    association.transport_closed()
    assert association.finished
    assert not association.artim_running


def test_w25_hundred_release_requests_get_one_response():
    association = established()
    association.receive(memoryview(wire.RELEASE_RQ))
    association.release()
    assert association.receive(memoryview(wire.RELEASE_RQ * 99)) == []
    assert association.take_output() == RELEASE_RP


def test_w23_release_in_the_middle_of_a_data_set():
    association = established()
    events = association.receive(memoryview(encode_data(3, 0, b"abcd") + wire.RELEASE_RQ))
    assert events[-1] == ReleaseRequested()


@pytest.mark.parametrize("behind", [wire.RELEASE_RQ, encode_data(1, 3, b"ab"), b"\x08" + bytes(5)], ids=len)
def test_w25_violation_behind_a_release_request_leaves_nothing_to_release(behind):
    association = established()
    with pytest.raises(PeerError) as caught:
        association.receive(memoryview(wire.RELEASE_RQ + behind))
    assert caught.value.events == [ReleaseRequested()]
    association.release()
    assert association.take_output()[0] == 7


def test_abort_behind_a_release_request_leaves_nothing_to_release():
    association = established()
    assert association.receive(memoryview(wire.RELEASE_RQ + wire.ABORT)) == [ReleaseRequested(), Aborted(2, 1)]
    association.release()
    assert association.take_output() == b""
    assert association.finished


def test_release_without_a_request_is_the_callers_fault():
    with pytest.raises(AssociationError):
        established().release()


def test_w25_data_after_abort_is_dropped():
    association = established()
    assert association.receive(memoryview(wire.ABORT + encode_data(1, 3, b"ab"))) == [Aborted(2, 1)]
    assert association.finished
    assert association.take_output() == b""


def test_w10_abort_instead_of_a_request_just_closes():
    association = Association(Answers(POLICY))
    assert association.receive(memoryview(wire.ABORT)) == [Aborted(2, 1)]
    assert association.finished
    assert association.take_output() == b""


def test_own_abort_is_sent_once():
    association = established()
    association.abort(0, 0)
    association.abort(2, 2)
    assert association.take_output() == bytes.fromhex("07 00 00000004 00000000")
    assert association.receive(memoryview(encode_data(1, 3, b"ab"))) == []


def test_abort_without_an_association_sends_nothing():
    association = Association(Answers(POLICY))
    association.abort()
    assert association.take_output() == b""
    association.artim_expired()
    assert association.finished


def test_artim_that_does_not_run_cannot_expire():
    association = established()
    association.artim_expired()
    assert association.state is State.ESTABLISHED


@pytest.mark.parametrize("count", [1, 5, 100])
def test_w24_connection_lost_before_or_inside_the_request(count):
    association = Association(Answers(POLICY))
    association.receive(memoryview(wire.RQ[:count]))
    association.transport_closed()
    association.transport_closed()
    assert association.finished
    assert not association.artim_running


def test_rejection_is_told_and_sent():
    association = Association(Answers(standard_policy(refuse=True)))
    (event,) = association.receive(memoryview(wire.RQ))
    assert isinstance(event, Rejected)
    assert association.take_output() == bytes.fromhex("03 00 00000004 00 01 01 01")
    assert association.state is State.AWAITING_CLOSE
    assert association.artim_running
