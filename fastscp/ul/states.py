"""The acceptor's half of the upper layer state machine as data.

``TRANSITIONS`` is PS3.8 Table 9-10 restricted to what an association acceptor that never requests a
release can meet: the states 1, 2, 3, 6, 8 and 13. A pair that is not in it cannot happen; asking for it is
a fault of the caller, not of the peer. Timers are the caller's: ``ARTIM_AFTER`` says what each action
does with it.
"""

from __future__ import annotations

import enum
from types import MappingProxyType


class State(enum.IntEnum):
    """States of PS3.8 Tables 9-1 to 9-5 by their numbers."""

    IDLE = 1
    AWAITING_ASSOCIATE_RQ = 2
    AWAITING_ASSOCIATE_RESPONSE = 3
    ESTABLISHED = 6
    AWAITING_RELEASE_RESPONSE = 8
    AWAITING_CLOSE = 13


class Event(enum.IntEnum):
    """Events of PS3.8 Table 9-10 by their numbers."""

    ASSOCIATE_AC = 3
    ASSOCIATE_RJ = 4
    TRANSPORT_INDICATION = 5
    ASSOCIATE_RQ = 6
    ACCEPT = 7
    REJECT = 8
    SEND_DATA = 9
    DATA = 10
    RELEASE_RQ = 12
    RELEASE_RP = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT = 16
    TRANSPORT_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Action(enum.Enum):
    """Actions of PS3.8 Tables 9-6 to 9-9 by their names."""

    __hash__ = object.__hash__  # looked up several times per association, and Enum's own is not in C

    AE_5 = "start ARTIM"
    AE_6 = "stop ARTIM; indicate A-ASSOCIATE or reject"
    AE_7 = "send A-ASSOCIATE-AC"
    AE_8 = "send A-ASSOCIATE-RJ, start ARTIM"
    DT_1 = "send P-DATA-TF"
    DT_2 = "indicate P-DATA"
    AR_2 = "indicate A-RELEASE"
    AR_4 = "send A-RELEASE-RP, start ARTIM"
    AR_5 = "stop ARTIM"
    AR_7 = "send P-DATA-TF while a release is open"
    AA_1 = "send A-ABORT (service user), start ARTIM"
    AA_2 = "stop ARTIM, close"
    AA_3 = "indicate A-ABORT, close"
    AA_4 = "indicate A-P-ABORT"
    AA_5 = "stop ARTIM; nothing was lost"
    AA_6 = "ignore"
    AA_7 = "send A-ABORT once more"
    AA_8 = "send A-ABORT (service provider), indicate A-P-ABORT, start ARTIM"


class Artim(enum.Enum):
    """What an action does with the Association Request/Reject/Release Timer."""

    START = "start"
    STOP = "stop"


ARTIM_AFTER = MappingProxyType({
    Action.AE_5: Artim.START,
    Action.AE_6: Artim.STOP,
    Action.AE_8: Artim.START,
    Action.AR_4: Artim.START,
    Action.AR_5: Artim.STOP,
    Action.AA_1: Artim.START,
    Action.AA_2: Artim.STOP,
    Action.AA_5: Artim.STOP,
    Action.AA_8: Artim.START,
})

_1 = State.IDLE
_2 = State.AWAITING_ASSOCIATE_RQ
_3 = State.AWAITING_ASSOCIATE_RESPONSE
_6 = State.ESTABLISHED
_8 = State.AWAITING_RELEASE_RESPONSE
_13 = State.AWAITING_CLOSE

# One row per event, one entry per state in which the table has one: (action, next state).
# AE-6 of a request that is rejected at once goes on with AE-8, which has the table's next state for it.
_ROWS = {
    Event.ASSOCIATE_AC: {
        _2: (Action.AA_1, _13), _3: (Action.AA_8, _13), _6: (Action.AA_8, _13), _8: (Action.AA_8, _13),
        _13: (Action.AA_6, _13),
    },
    Event.ASSOCIATE_RJ: {
        _2: (Action.AA_1, _13), _3: (Action.AA_8, _13), _6: (Action.AA_8, _13), _8: (Action.AA_8, _13),
        _13: (Action.AA_6, _13),
    },
    Event.TRANSPORT_INDICATION: {_1: (Action.AE_5, _2)},
    Event.ASSOCIATE_RQ: {
        _2: (Action.AE_6, _3), _3: (Action.AA_8, _13), _6: (Action.AA_8, _13), _8: (Action.AA_8, _13),
        _13: (Action.AA_7, _13),
    },
    Event.ACCEPT: {_3: (Action.AE_7, _6)},
    Event.REJECT: {_3: (Action.AE_8, _13)},
    Event.SEND_DATA: {_6: (Action.DT_1, _6), _8: (Action.AR_7, _8)},
    Event.DATA: {
        _2: (Action.AA_1, _13), _3: (Action.AA_8, _13), _6: (Action.DT_2, _6), _8: (Action.AA_8, _13),
        _13: (Action.AA_6, _13),
    },
    Event.RELEASE_RQ: {
        _2: (Action.AA_1, _13), _3: (Action.AA_8, _13), _6: (Action.AR_2, _8), _8: (Action.AA_8, _13),
        _13: (Action.AA_6, _13),
    },
    Event.RELEASE_RP: {
        _2: (Action.AA_1, _13), _3: (Action.AA_8, _13), _6: (Action.AA_8, _13), _8: (Action.AA_8, _13),
        _13: (Action.AA_6, _13),
    },
    Event.RELEASE_RESPONSE: {_8: (Action.AR_4, _13)},
    Event.ABORT_REQUEST: {_3: (Action.AA_1, _13), _6: (Action.AA_1, _13), _8: (Action.AA_1, _13)},
    Event.ABORT: {
        _2: (Action.AA_2, _1), _3: (Action.AA_3, _1), _6: (Action.AA_3, _1), _8: (Action.AA_3, _1),
        _13: (Action.AA_2, _1),
    },
    Event.TRANSPORT_CLOSED: {
        _2: (Action.AA_5, _1), _3: (Action.AA_4, _1), _6: (Action.AA_4, _1), _8: (Action.AA_4, _1),
        _13: (Action.AR_5, _1),
    },
    Event.ARTIM_EXPIRED: {_2: (Action.AA_2, _1), _13: (Action.AA_2, _1)},
    Event.INVALID_PDU: {
        _2: (Action.AA_1, _13), _3: (Action.AA_8, _13), _6: (Action.AA_8, _13), _8: (Action.AA_8, _13),
        _13: (Action.AA_7, _13),
    },
}

TRANSITIONS = MappingProxyType({
    (state, event): entry for event, row in _ROWS.items() for state, entry in row.items()
})
