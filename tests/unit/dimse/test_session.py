"""Upper layer and messages together: whole sessions, damaged sessions."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.config.negotiation import standard_policy
from fastscp.dimse.provider import (
    DataEnd,
    DataFragments,
    EchoRequest,
    Provider,
    StoreRequest,
    UnrecognizedRequest,
)
from fastscp.errors import PeerError
from fastscp.ul.answers import Answers
from fastscp.ul.association import Association, Established
from fastscp.ul.states import State
from tests.corpus import wire

POLICY = standard_policy()


def serve(octets, size):
    """Run a session; return (what was served, whether it was aborted, the association)."""
    association, provider, served = Association(Answers(POLICY)), None, []
    try:
        for start in range(0, len(octets), size):
            fragments = []
            for event in association.receive(memoryview(octets)[start : start + size]):
                if isinstance(event, tuple):
                    fragments.append(event)
                elif isinstance(event, Established):
                    provider = Provider(event.contexts, event.request.max_pdu_length)
            if fragments:
                for item in provider.receive(fragments):
                    note(served, item)
    except PeerError:
        return served, True, association
    return served, False, association


def note(served, item):
    """Append what ``item`` means, the data of one data set as one entry."""
    if isinstance(item, DataFragments):
        data = b"".join(map(bytes, item.views))
        if isinstance(served[-1], bytes):
            served[-1] += data
        else:
            served.append(data)
    else:
        assert isinstance(item, EchoRequest | StoreRequest | UnrecognizedRequest | DataEnd)
        served.append((type(item), item.command.message_id))


EXPECTED = [
    (EchoRequest, 1),
    (StoreRequest, 2), wire.DATA_SET, (DataEnd, 2),
    (StoreRequest, 3), wire.DATA_SET, (DataEnd, 3),
]


@settings(deadline=None)
@given(st.integers(1, len(wire.SESSION)))
def test_w28_session_is_served_whatever_its_segments(size):
    served, aborted, association = serve(wire.SESSION, size)
    assert served == EXPECTED
    assert not aborted
    assert association.state is State.AWAITING_RELEASE_RESPONSE


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_damaged_session_is_served_or_aborted(data):
    """Whatever octets are changed, dropped or doubled, nothing but ``PeerError`` comes out."""
    octets = bytearray(wire.SESSION)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(octets) - 1))
        kind = data.draw(st.sampled_from(["change", "drop", "double"]))
        if kind == "change":
            octets[place] = data.draw(st.integers(0, 255))
        elif kind == "drop":
            del octets[place : place + data.draw(st.integers(1, 8))]
        else:
            octets[place:place] = octets[place : place + data.draw(st.integers(1, 300))]
    served, aborted, association = serve(bytes(octets), data.draw(st.integers(1, 400)))
    stores = [entry for entry in served if isinstance(entry, tuple) and entry[0] is StoreRequest]
    ends = [entry for entry in served if isinstance(entry, tuple) and entry[0] is DataEnd]
    assert len(stores) - len(ends) in {0, 1}
    if aborted and association.state is State.AWAITING_CLOSE:
        assert association.take_output()[-10:-4] == bytes.fromhex("07 00 00000004")


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.booleans(), st.integers(1, 64))
def test_noise_is_waited_for_or_aborted(noise, established, size):
    _, aborted, association = serve((wire.RQ if established else b"") + noise, size)
    if association.state is State.AWAITING_CLOSE:  # no noise is a whole A-RELEASE-RQ and its answer
        assert aborted
    elif not established:
        assert association.state in {State.AWAITING_ASSOCIATE_RQ, State.IDLE}
