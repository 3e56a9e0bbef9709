"""Command sets: what requestors send, and what is answered."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.dimse import command as commands
from fastscp.dimse.command import Command, decode_command, encode_response_command
from fastscp.errors import PeerError
from tests.corpus import wire


def test_store_request():
    command = decode_command(memoryview(wire.store_command(7)))
    assert command == Command(
        field=commands.C_STORE_RQ, message_id=7, data_set_type=0, affected_sop_class_uid=wire.CT,
        affected_sop_instance_uid=wire.INSTANCE, priority=0)
    assert command.has_data_set
    assert not command.is_response


def test_echo_request():
    command = decode_command(wire.echo_command(9))
    assert (command.field, command.message_id, command.affected_sop_class_uid) == (0x30, 9, wire.VERIFICATION)
    assert not command.has_data_set


def test_move_originator():
    elements = [*wire.store_elements().values(), wire.element(0x1030, b" MOVER "), wire.number(0x1031, 12)]
    command = decode_command(wire.command(*elements))
    assert (command.move_originator_ae_title, command.move_originator_message_id) == ("MOVER", 12)


@pytest.mark.parametrize(("octets", "text", "padded"), [
    (b"1.2.3\0", "1.2.3", False),
    (b"1.2.34", "1.2.34", False),
    (b"1.2.3 ", "1.2.3", True),
    (b" 1.2.3", "1.2.3", True),
    (b"1.2.3 \0\0", "1.2.3", True),
    (b"1.2.3\t\0\0", "1.2.3", True),
    (b"1.2 .3\n\0", "1.2.3", True),
    (b"1.2.3\0ab\0", "1.2.3", True),
    (b"", "", False),
])
def test_padding_of_uids(octets, text, padded):
    elements = wire.store_elements() | {0x1000: wire.element(0x1000, octets)}
    command = decode_command(wire.command(*elements.values()))
    assert (command.affected_sop_instance_uid, command.uid_padding) == (text, padded)


def test_d01_command_cut_anywhere():
    octets = wire.store_command()
    whole = [0]
    while whole[-1] < len(octets):
        whole.append(whole[-1] + 8 + struct.unpack_from("<I", octets, whole[-1] + 4)[0])
    for cut in range(len(octets)):
        if cut == whole[-2]:
            assert not decode_command(octets[:cut]).affected_sop_instance_uid
            continue
        with pytest.raises(PeerError) as caught:
            decode_command(octets[:cut])
        if cut not in whole:
            assert caught.value.offset is not None
        assert (caught.value.source, caught.value.reason) == (0, 0)


def test_d02_length_negative_as_a_signed_number():
    octets = struct.pack("<HHI", 0, 2, 2164260863) + b"1.2"
    with pytest.raises(PeerError, match="longer than the command"):
        decode_command(octets)


@pytest.mark.parametrize("tag", [0x0100, 0x0110, 0x0800])
@pytest.mark.parametrize("value", [None, b"", b"\1\0\1\0", b"\1"], ids=repr)
def test_d03_without_what_every_answer_needs(tag, value):
    elements = wire.store_elements()
    if value is None:
        del elements[tag]
    else:
        elements[tag] = wire.element(tag, value)
    with pytest.raises(PeerError):
        decode_command(wire.command(*elements.values()))


@pytest.mark.parametrize("tag", [0x0002, 0x1000])
@pytest.mark.parametrize("value", [b"1.2\\1.3\0", b"1" * 66, b"1" * 255], ids=len)
def test_d03_d07_uids_that_are_none(tag, value):
    elements = wire.store_elements() | {tag: wire.element(tag, value)}
    assert decode_command(wire.command(*elements.values())).malformed == (tag,)


@pytest.mark.parametrize("uid", ["../../x", "/etc/cron.d/x", ".", "..", "1.2;id",
                                 "1.2`id`", "\xe9"], ids=repr)
def test_d07_texts_are_passed_on_as_they_came(uid):
    command = decode_command(wire.store_command(instance=uid))
    assert command.affected_sop_instance_uid == uid
    assert uid.encode("latin-1") in encode_response_command(command, 0)


@pytest.mark.parametrize("group_length", [0, 0xFFFFFFFF, len(wire.store_command()) - 12 + 8])
def test_d06_wrong_group_length_does_no_harm(group_length):
    octets = wire.element(0, struct.pack("<I", group_length)) + wire.store_command()[12:]
    assert decode_command(octets) == decode_command(wire.store_command())


def test_d06_elements_of_other_groups_are_passed_over():
    other = struct.pack("<HHI", 8, 0x0100, 2) + b"\xff\xff"
    assert decode_command(wire.store_command() + other) == decode_command(wire.store_command())


def test_d06_explicit_vr_command_is_refused():
    octets = struct.pack("<HH2sH", 0, 2, b"UI", 26) + wire.CT.encode() + b"\0"
    with pytest.raises(PeerError):
        decode_command(octets)


def test_response_and_cancel_need_no_message_id():
    for field in (0x8001, 0x0FFF):
        command = decode_command(wire.command(
            wire.number(0x100, field), wire.number(0x120, 5), wire.number(0x800, 0x101)))
        assert command.message_id_being_responded_to == 5


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_decode_or_are_a_peer_error(octets):
    try:
        command = decode_command(octets)
    except PeerError as error:
        answer = error.source
    else:
        answer = decode_command(encode_response_command(command, 0)).status
    assert answer == 0


uids = st.text("0123456789.", max_size=64)


@given(uids, uids, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.sampled_from([1, 0x30]))
def test_response_round_trip(sop_class, instance, message_id, status, field):
    request = Command(field, message_id, 0, sop_class, instance)
    octets = encode_response_command(request, status)
    assert struct.unpack_from("<I", octets, 8)[0] == len(octets) - 12
    response = decode_command(octets)
    assert response == Command(
        field | 0x8000, 0, 0x101, sop_class, instance, status=status, message_id_being_responded_to=message_id)


def read_elements(octets):
    found, offset = [], 0
    while offset < len(octets):
        group, tag, length = struct.unpack_from("<HHI", octets, offset)
        assert group == 0
        found.append((tag, octets[offset + 8 : offset + 8 + length]))
        offset += 8 + length
    return found


def test_response_elements_ascend_and_are_of_even_length():
    request = decode_command(wire.store_command())
    octets = encode_response_command(request, 0xC000, comment="Study Instance UID \\ missing \xe9" + "x" * 80,
                                     offending=(0x0020000D,))
    found = read_elements(octets)
    assert [tag for tag, _ in found] == [0, 2, 0x100, 0x120, 0x800, 0x900, 0x901, 0x902, 0x1000]
    assert all(len(value) % 2 == 0 for _, value in found)
    values = dict(found)
    assert values[0x901] == bytes.fromhex("2000 0D00")
    assert len(values[0x902]) == 64
    assert values[0x902].startswith(b"Study Instance UID / missing ?x")


def test_response_to_an_n_request_names_the_requested_instance():
    request = Command(0x0110, 3, 0x101, requested_sop_class_uid="1.2", requested_sop_instance_uid="1.3")
    response = decode_command(encode_response_command(request, 0x0211))
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == ("1.2", "1.3")


@pytest.mark.parametrize("octets", [
    wire.store_command(7), wire.store_command(65535, wire.MR, "2.25." + "9" * 59),
    wire.store_command(0, "1.2", "1"),
])
def test_usual_store_request_is_decoded_at_once(octets):
    usual = commands._usual_store_request(octets)
    assert usual is not None
    assert usual == commands._any_command(octets)


@settings(max_examples=500)
@given(st.data())
def test_a_command_that_looks_usual_is_what_it_looks_like(data):
    octets = bytearray(wire.store_command(data.draw(st.integers(0, 65535)), instance=data.draw(st.sampled_from(
        ["1.2.3", "1.2.34", "1." + "2" * 62, "1." + "2" * 63, "", "1..2", "a", "1.2 "]))))
    for _ in range(data.draw(st.integers(0, 2))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.sampled_from([0, 1, 2, 8, 32, 46, 49, 92, 255]))
    octets += data.draw(st.sampled_from([b"", b"\0", wire.number(0x1031, 5)]))
    usual = commands._usual_store_request(bytes(octets))
    if usual is not None:
        assert usual == commands._any_command(bytes(octets))
