"""Answers to A-ASSOCIATE-RQ, remembered.

A modality asks for the same association every time, octet for octet, and the same question has the same answer
as long as the policy is the same. So a request is decoded and negotiated once, and its answer is looked up
afterwards: where every object comes on an association of its own, that is a good part of the work.

Invariants: the answer is the same with and without memory; memory is bounded; a request that carries a user
identity is never kept.

perf/bench.py shows what it saves (shape "1 object per association").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastscp.ul.decode import decode_associate_rq
from fastscp.ul.encode import encode_associate_ac, encode_associate_rj
from fastscp.ul.events import Established, Rejected
from fastscp.ul.negotiate import negotiate
from fastscp.ul.pdu import REJECT_SOURCE_PRESENTATION, REJECTED_TRANSIENT, AAssociateRJ, AAssociateRQ
from fastscp.ul.policy import NegotiationPolicy

_LOCAL_LIMIT_EXCEEDED: Final = 2  #: reason of that source (PS3.8 Table 9-21)
_CAPACITY: Final = 64
#: Octets of all requests that are remembered; decoded, the worst of them take some sixteen times as much.
_CAPACITY_OCTETS: Final = 1 << 18
_LONGEST: Final = 1 << 15  #: longer requests are answered, and forgotten


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request means for the association, and the PDU that answers it."""

    event: Established | Rejected
    octets: bytes


class Answers:
    """Answers requests by one policy; shared by the associations of a process."""

    __slots__ = ("_octets", "_remembered", "policy")

    def __init__(self, policy: NegotiationPolicy) -> None:
        self.policy = policy
        self._remembered: dict[bytes, Answer] = {}  #: by request; the one used last is the last
        self._octets = 0  #: of all requests that are remembered

    def to(self, body: bytes) -> Answer:
        """Return the answer to an A-ASSOCIATE-RQ, given without its PDU header.

        Raises ``PeerError`` for one that cannot be understood.
        """
        answer = self._remembered.pop(body, None)
        if answer is None:
            answer = self._negotiate(body)
            if len(body) > _LONGEST or answer.event.request.user_information.user_identity is not None:
                return answer
            self._make_room(len(body))
        self._remembered[body] = answer
        return answer

    def within(self, may_associate: Callable[[AAssociateRQ], bool]) -> Answers:
        """Return answers for one association, which is rejected for the time being unless ``may_associate``."""
        return _Limited(self, may_associate)

    def _make_room(self, octets: int) -> None:
        """Forget what was not asked for longest, for a request of so many octets."""
        remembered = self._remembered
        self._octets += octets
        while len(remembered) >= _CAPACITY or self._octets > _CAPACITY_OCTETS:
            oldest = next(iter(remembered))
            del remembered[oldest]
            self._octets -= len(oldest)

    def _negotiate(self, body: bytes) -> Answer:
        request = decode_associate_rq(body)
        outcome = negotiate(request, self.policy)
        if isinstance(outcome, AAssociateRJ):
            return Answer(Rejected(request, outcome), encode_associate_rj(outcome))
        return Answer(Established(request, outcome.accept, outcome.contexts), encode_associate_ac(outcome.accept))


class _Limited(Answers):
    """Remembers nothing itself."""

    __slots__ = ("_answers", "_may_associate")

    def __init__(self, answers: Answers, may_associate: Callable[[AAssociateRQ], bool]) -> None:
        super().__init__(answers.policy)
        self._answers = answers
        self._may_associate = may_associate

    def to(self, body: bytes) -> Answer:
        answer = self._answers.to(body)
        request = answer.event.request
        if isinstance(answer.event, Rejected) or self._may_associate(request):
            return answer
        reject = AAssociateRJ(REJECTED_TRANSIENT, REJECT_SOURCE_PRESENTATION, _LOCAL_LIMIT_EXCEEDED)
        return Answer(Rejected(request, reject), encode_associate_rj(reject))
