"""The transition table against PS3.8 Table 9-10, entry by entry."""

import itertools

import pytest

from fastscp.ul.states import ARTIM_AFTER, TRANSITIONS, Action, Artim, Event, State

# PS3.8 Table 9-10, the columns of an acceptor that never requests a release; "-" has no entry.
STANDARD = """
event                  1          2          3          6          8          13
ASSOCIATE_AC           -          AA-1/13    AA-8/13    AA-8/13    AA-8/13    AA-6/13
ASSOCIATE_RJ           -          AA-1/13    AA-8/13    AA-8/13    AA-8/13    AA-6/13
TRANSPORT_INDICATION   AE-5/2     -          -          -          -          -
ASSOCIATE_RQ           -          AE-6/3     AA-8/13    AA-8/13    AA-8/13    AA-7/13
ACCEPT                 -          -          AE-7/6     -          -          -
REJECT                 -          -          AE-8/13    -          -          -
SEND_DATA              -          -          -          DT-1/6     AR-7/8     -
DATA                   -          AA-1/13    AA-8/13    DT-2/6     AA-8/13    AA-6/13
RELEASE_RQ             -          AA-1/13    AA-8/13    AR-2/8     AA-8/13    AA-6/13
RELEASE_RP             -          AA-1/13    AA-8/13    AA-8/13    AA-8/13    AA-6/13
RELEASE_RESPONSE       -          -          -          -          AR-4/13    -
ABORT_REQUEST          -          -          AA-1/13    AA-1/13    AA-1/13    -
ABORT                  -          AA-2/1     AA-3/1     AA-3/1     AA-3/1     AA-2/1
TRANSPORT_CLOSED       -          AA-5/1     AA-4/1     AA-4/1     AA-4/1     AR-5/1
ARTIM_EXPIRED          -          AA-2/1     -          -          -          AA-2/1
INVALID_PDU            -          AA-1/13    AA-8/13    AA-8/13    AA-8/13    AA-7/13
"""


def standard():
    lines = [line.split() for line in STANDARD.strip().splitlines()]
    states = [State(int(number)) for number in lines[0][1:]]
    for name, *entries in lines[1:]:
        for state, entry in zip(states, entries, strict=True):
            if entry == "-":
                yield state, Event[name], None
            else:
                action, number = entry.split("/")
                yield state, Event[name], (Action[action.replace("-", "_")], State(int(number)))


@pytest.mark.parametrize(("state", "event", "entry"), list(standard()))
def test_entry(state, event, entry):
    assert TRANSITIONS.get((state, event)) == entry


def test_table_covers_every_pair():
    assert {(state, event) for state, event, _ in standard()} == set(itertools.product(State, Event))


def test_table_has_nothing_else():
    assert len(TRANSITIONS) == sum(entry is not None for *_, entry in standard())


def test_artim_runs_exactly_where_the_peer_has_to_act():
    """Follow every path of the table: ARTIM runs in Sta2 and Sta13 and nowhere else."""
    reached = {(State.IDLE, False)}
    while True:
        more = set(reached)
        for (state, event), (action, following) in TRANSITIONS.items():
            for running in (True, False):
                if (state, running) in reached:
                    artim = ARTIM_AFTER.get(action)
                    more.add((following, running if artim is None else artim is Artim.START))
                    assert event in Event
        if more == reached:
            break
        reached = more
    assert {state for state, running in reached if running} == {
        State.AWAITING_ASSOCIATE_RQ, State.AWAITING_CLOSE}
    assert (State.AWAITING_ASSOCIATE_RQ, False) not in reached
