"""Messages assembled from fragments, and responses cut to what the peer takes."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.dimse import status
from fastscp.dimse.command import decode_command
from fastscp.dimse.provider import (
    MAX_COMMAND_OCTETS,
    DataEnd,
    DataFragments,
    EchoRequest,
    Provider,
    StoreRequest,
    UnrecognizedRequest,
)
from fastscp.errors import PeerError
from fastscp.ul.pdu import AcceptedContext
from tests.corpus import wire

CONTEXTS = {
    1: AcceptedContext(1, wire.VERIFICATION, wire.IMPLICIT),
    3: AcceptedContext(3, wire.CT, wire.EXPLICIT),
    5: AcceptedContext(5, wire.MR, wire.IMPLICIT),
}
COMMAND, LAST = 1, 2
WHOLE = COMMAND | LAST


def fragment(context_id, flags, *payloads):
    return context_id, flags, list(map(memoryview, payloads))


def store(message_id=1, context_id=3, sop_class=wire.CT):
    return fragment(context_id, WHOLE, wire.store_command(message_id, sop_class))


def kinds(items):
    return [type(item) for item in items]


def data_of(items):
    return b"".join(bytes(view) for item in items if isinstance(item, DataFragments) for view in item.views)


def test_echo_is_served_on_any_accepted_context():
    provider = Provider(CONTEXTS)
    items = provider.receive([fragment(1, WHOLE, wire.echo_command(1)), fragment(3, WHOLE, wire.echo_command(2))])
    assert kinds(items) == [EchoRequest, EchoRequest]
    assert [(item.context.id, item.command.message_id) for item in items] == [(1, 1), (3, 2)]


def test_store_with_its_data_set():
    items = Provider(CONTEXTS).receive([store(7), fragment(3, LAST, b"abcd", b"ef")])
    assert kinds(items) == [StoreRequest, DataFragments, DataEnd]
    assert len(items[1].views) == 2
    assert data_of(items) == b"abcdef"
    assert items[0].context == CONTEXTS[3]
    assert items[2].command is items[0].command
    assert items[0].command.message_id == 7


def test_fragments_that_came_together_are_one_item_and_not_copied():
    provider = Provider(CONTEXTS)
    provider.receive([store()])
    buffer = bytearray(b"abcd")
    (item,) = provider.receive([fragment(3, 0, buffer, buffer)])
    buffer[:] = b"wxyz"
    assert data_of([item]) == b"wxyzwxyz"


def test_pipelined_requests_come_in_order():
    fragments = [part for number in (1, 2, 3) for part in (
        store(number), fragment(3, LAST, b"%d." % number))]
    items = Provider(CONTEXTS).receive(fragments)
    assert kinds(items) == [StoreRequest, DataFragments, DataEnd] * 3
    assert data_of(items) == b"1.2.3."


def test_empty_data_set():
    items = Provider(CONTEXTS).receive([store(), fragment(3, LAST, b"")])
    assert kinds(items) == [StoreRequest, DataFragments, DataEnd]
    assert data_of(items) == b""


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_command_in_any_fragments(sizes):
    octets = wire.store_command(5)
    provider, items, offset, turn = Provider(CONTEXTS), [], 0, 0
    while offset < len(octets):
        size = sizes[turn % len(sizes)]
        last = offset + size >= len(octets)
        items += provider.receive([fragment(3, COMMAND | (LAST if last else 0), octets[offset : offset + size])])
        offset, turn = offset + size, turn + 1
    assert kinds(items) == [StoreRequest]
    assert items[0].command == decode_command(octets)


@pytest.mark.parametrize("field", [0xFFFF & 0x7FFF, 0x0020, 0x0021, 0x0010, 0x0110, 0x0140, 0x0000])
@pytest.mark.parametrize("data_set", [False, True])
def test_d05_other_operations_are_answered_after_their_data_set(field, data_set):
    provider = Provider(CONTEXTS)
    items = provider.receive([fragment(3, WHOLE, wire.other_command(field, 4, data_set=data_set))])
    if data_set:
        assert items == []
        assert provider.receive([fragment(3, 0, b"query")]) == []
        items = provider.receive([fragment(3, LAST, b"query")])
    (item,) = items
    assert (type(item), item.status, item.command.message_id) == (UnrecognizedRequest, 0x0211, 4)
    assert kinds(provider.receive([fragment(1, WHOLE, wire.echo_command())])) == [EchoRequest]


@pytest.mark.parametrize("field", [0x8001, 0x8030, 0xFFFF])
def test_d05_responses_to_nothing_abort(field):
    octets = wire.command(wire.number(0x100, field), wire.number(0x120, 1), wire.number(0x800, 0x101))
    with pytest.raises(PeerError):
        Provider(CONTEXTS).receive([fragment(3, WHOLE, octets)])


def test_d05_cancel_of_nothing_has_no_answer():
    octets = wire.command(wire.number(0x100, 0x0FFF), wire.number(0x120, 1), wire.number(0x800, 0x101))
    provider = Provider(CONTEXTS)
    assert provider.receive([fragment(3, WHOLE, octets)]) == []
    assert kinds(provider.receive([store()])) == [StoreRequest]


def test_d05_store_on_the_verification_context():
    provider = Provider(CONTEXTS)
    items = provider.receive([store(context_id=1), fragment(1, LAST, b"data")])
    assert [(type(item), item.status) for item in items] == [
        (UnrecognizedRequest, status.SOP_CLASS_NOT_SUPPORTED)]


def test_echo_with_a_data_set_is_answered_after_it():
    octets = wire.command(wire.number(0x100, 0x30), wire.number(0x110, 1), wire.number(0x800, 0))
    items = Provider(CONTEXTS).receive([fragment(1, WHOLE, octets), fragment(1, LAST, b"data")])
    assert kinds(items) == [EchoRequest]


@pytest.mark.parametrize(("tag", "value", "code"), [
    (0x0002, None, 0x0120), (0x0002, b"", 0x0120), (0x0002, b"1.2\\1.3\0", 0x0115), (0x0002, b"1" * 66, 0x0115),
    (0x1000, None, 0x0120), (0x1000, b"", 0x0120), (0x1000, b"1.2\\1.3\0", 0x0117), (0x1000, b"1" * 66, 0x0117),
], ids=repr)
def test_d03_store_without_usable_uids(tag, value, code):
    elements = wire.store_elements()
    del elements[tag]
    if value is not None:
        elements[tag] = wire.element(tag, value)
    provider = Provider(CONTEXTS)
    items = provider.receive([fragment(3, WHOLE, wire.command(*elements.values())), fragment(3, LAST, b"data")])
    assert [(type(item), item.status, item.offending) for item in items] == [(UnrecognizedRequest, code, (tag,))]


def test_store_without_a_data_set():
    elements = wire.store_elements() | {0x800: wire.number(0x800, 0x101)}
    (item,) = Provider(CONTEXTS).receive([fragment(3, WHOLE, wire.command(*elements.values()))])
    assert item.status == status.CANNOT_UNDERSTAND


@pytest.mark.parametrize("context_id", [0, 2, 7, 99, 255])
@pytest.mark.parametrize("flags", [0, COMMAND, WHOLE])
def test_w18_context_that_was_not_accepted(context_id, flags):
    with pytest.raises(PeerError) as caught:
        Provider(CONTEXTS).receive([fragment(context_id, flags, wire.echo_command())])
    assert (caught.value.source, caught.value.reason) == (2, 6)


@pytest.mark.parametrize("wrong", [
    fragment(5, 0, b"data"), fragment(5, LAST, b"data"), fragment(9, LAST, b"data"),
    fragment(3, WHOLE, wire.echo_command()), fragment(3, COMMAND, b"\0\0"),
], ids=["other-context", "other-context-last", "no-context", "command", "part-of-a-command"])
def test_w20_what_may_not_come_inside_a_data_set(wrong):
    provider = Provider(CONTEXTS)
    with pytest.raises(PeerError) as caught:
        provider.receive([store(), fragment(3, 0, b"ab"), wrong])
    assert kinds(caught.value.items) == [StoreRequest, DataFragments]


@pytest.mark.parametrize("context_id", [1, 3])
def test_data_without_a_command(context_id):
    provider = Provider(CONTEXTS)
    provider.receive([store(), fragment(3, LAST, b"ab")])
    with pytest.raises(PeerError):
        provider.receive([fragment(context_id, LAST, b"ab")])


def test_data_inside_a_command():
    with pytest.raises(PeerError):
        Provider(CONTEXTS).receive([fragment(3, COMMAND, b"\0\0"), fragment(3, 0, b"ab")])


def test_command_that_changes_its_context():
    octets = wire.store_command()
    with pytest.raises(PeerError):
        Provider(CONTEXTS).receive([fragment(3, COMMAND, octets[:20]), fragment(5, WHOLE, octets[20:])])


def test_command_without_end_is_bounded():
    provider = Provider(CONTEXTS)
    piece = fragment(3, COMMAND, bytes(16384))
    for _ in range(MAX_COMMAND_OCTETS // 16384):
        assert provider.receive([piece]) == []
    with pytest.raises(PeerError):
        provider.receive([fragment(3, COMMAND, b"\0")])


def unpack(octets):
    """Return the payload of the command in ``octets`` and the lengths of its P-DATA-TF PDUs."""
    payload, lengths, offset = b"", [], 0
    while offset < len(octets):
        kind, pdu_length, item_length, context_id, flags = struct.unpack_from(">BxIIBB", octets, offset)
        assert (kind, item_length, context_id) == (4, pdu_length - 4, 3)
        payload += octets[offset + 12 : offset + 6 + pdu_length]
        offset += 6 + pdu_length
        assert flags == (WHOLE if offset == len(octets) else COMMAND)
        lengths.append(pdu_length)
    return payload, lengths


@pytest.mark.parametrize("maximum", [0, 8, 9, 20, 100, 134, 135, 136, 137, 16384, 0xFFFFFFFF])
def test_n12_response_fits_what_the_peer_takes(maximum):
    request = decode_command(wire.store_command(9))
    octets, lengths = unpack(Provider(CONTEXTS, maximum).encode_response(3, request, 0xA700, "disk is full"))
    assert all(length <= (maximum or length) for length in lengths)
    response = decode_command(octets)
    assert (response.status, response.message_id_being_responded_to) == (0xA700, 9)
    assert response.affected_sop_instance_uid == wire.INSTANCE


@settings(deadline=None)
@given(st.integers(8, 300))
def test_fragments_of_a_response_are_even(maximum):
    request = decode_command(wire.store_command(9))
    octets, lengths = unpack(Provider(CONTEXTS, maximum).encode_response(3, request, 0))
    assert max(lengths) <= maximum
    assert all(length % 2 == 0 for length in lengths)
    assert decode_command(octets).status == 0


@pytest.mark.parametrize("maximum", [1, 6, 7])
def test_n12_maximum_that_carries_nothing_ends_the_association(maximum):
    with pytest.raises(PeerError):
        Provider(CONTEXTS, maximum).encode_response(3, decode_command(wire.echo_command()), 0)
