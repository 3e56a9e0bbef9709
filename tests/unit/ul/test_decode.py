"""Round trips of every PDU, and items that are strange but true."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.errors import PeerError
from fastscp.ul import decode, encode, pdu
from tests.corpus import wire

uids = st.text("0123456789.", min_size=1, max_size=64)
titles = st.binary(min_size=16, max_size=16)
octets = st.binary(max_size=40)
u16 = st.integers(0, 0xFFFF)

user_informations = st.builds(
    pdu.UserInformation,
    maximum_length=st.none() | st.integers(0, 0xFFFFFFFF),
    implementation_class_uid=st.just("") | uids,
    implementation_version_name=st.text("ABC_123", max_size=16),
    window=st.none() | st.builds(pdu.AsynchronousOperationsWindow, u16, u16),
    roles=st.lists(st.builds(pdu.RoleSelection, uids, st.booleans(), st.booleans()), max_size=3).map(tuple),
    extended=st.lists(st.builds(pdu.ExtendedNegotiation, uids, octets), max_size=3).map(tuple),
    common_extended=st.lists(
        st.builds(pdu.CommonExtendedNegotiation, uids, uids, st.lists(uids, max_size=3).map(tuple),
                  st.integers(0, 255)), max_size=2).map(tuple),
    user_identity=st.none() | st.builds(pdu.UserIdentity, st.integers(0, 255), st.booleans(), octets, octets),
    user_identity_response=st.none() | octets,
)
proposed = st.builds(pdu.ProposedContext, st.integers(0, 255), uids, st.lists(uids, max_size=4).map(tuple))
results = st.builds(pdu.ContextResult, st.integers(0, 255), st.integers(0, 4), uids)


@settings(deadline=None)
@given(st.builds(
    pdu.AAssociateRQ, titles, titles, st.lists(proposed, max_size=5).map(tuple), user_informations, uids, u16,
    st.binary(min_size=32, max_size=32)))
def test_associate_rq_round_trip(request):
    wire_octets = encode.encode_associate_rq(request)
    assert int.from_bytes(wire_octets[2:6], "big") == len(wire_octets) - 6
    assert decode.decode_associate_rq(wire_octets[6:]) == request


@settings(deadline=None)
@given(st.builds(
    pdu.AAssociateAC, titles, titles, st.lists(results, max_size=5).map(tuple), user_informations, uids, u16,
    st.binary(min_size=32, max_size=32)))
def test_associate_ac_round_trip(accept):
    assert decode.decode_associate_ac(encode.encode_associate_ac(accept)[6:]) == accept


@given(st.builds(pdu.AAssociateRJ, *[st.integers(0, 255)] * 3))
def test_associate_rj_round_trip(reject):
    assert decode.decode_associate_rj(encode.encode_associate_rj(reject)[6:]) == reject


@given(st.builds(pdu.AAbort, *[st.integers(0, 255)] * 2))
def test_abort_round_trip(abort):
    assert decode.decode_abort(encode.encode_abort(abort)[6:]) == abort


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_request_decodes_or_is_a_peer_error(data):
    body = bytearray(wire.RQ[6:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(68, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        request = decode.decode_associate_rq(body)
    except PeerError as error:
        violation = error
    else:
        assert decode.decode_associate_rq(encode.encode_associate_rq(request)[6:]) == request
        return
    assert (violation.source, violation.reason) == (2, 6)
    assert 6 <= violation.offset <= len(body) + 6


@pytest.mark.parametrize("length", [0, 3, 5])
def test_fixed_body_of_another_length(length):
    with pytest.raises(PeerError):
        decode.decode_abort(bytes(length))
    with pytest.raises(PeerError):
        decode.decode_associate_rj(bytes(length))


def test_second_user_information_adds_to_the_first():
    user = decode.decode_associate_rq(wire.ODD_REQUESTS["N07-two-user-informations"][6:]).user_information
    assert (user.maximum_length, user.implementation_class_uid) == (16384, "1.2.3")


def test_padding_of_uids_is_dropped():
    context = wire.item(0x20, b"\1\0\0\0" + wire.item(0x30, b"1.2.3\0") + wire.item(0x40, b"1.2 "))
    (decoded,) = decode.decode_associate_rq(wire.associate_rq_octets(context)[6:]).contexts
    assert decoded == pdu.ProposedContext(1, "1.2.3", ("1.2",))


@pytest.mark.parametrize(("raw", "text"), [
    (b"  TITLE         ", "TITLE"),
    (b"TITLE\0\0\0\0\0\0\0\0\0\0\0", "TITLE"),
    (b" " * 16, ""),
    (bytes(16), ""),
    (b"\xff" * 16, "\xff" * 16),
    (b"../secret/VICTIM", "../secret/VICTIM"),
    (b"`id`            ", "`id`"),
    (b"A\x1b[31mB        ", "A\x1b[31mB"),
], ids=repr)
def test_n11_titles_are_octets_and_text(raw, text):
    request = wire.associate_request(called=raw, calling=raw)
    assert request.called_ae_title == request.calling_ae_title == text
    assert encode.encode_associate_rq(request)[10:26] == raw.ljust(16)


def test_credentials_do_not_show_in_the_representation():
    assert "secret" not in repr(pdu.UserIdentity(2, True, b"user", b"secret"))
