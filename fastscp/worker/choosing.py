"""Which section of the configuration file an association belongs to: decided by its request, before it is answered.

Strategy: until the request is there a connection uses what is for all; then the section's context takes its place, or
the request is refused. The titles stand at fixed places, so each section remembers its answers like a service by itself.

Where there are no sections nothing of this exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastscp.config.senders import Refusal
from fastscp.net.peer import Peer
from fastscp.ul.answers import Answer, Answers
from fastscp.ul.decode import decode_associate_rq
from fastscp.ul.encode import encode_associate_rj
from fastscp.ul.events import Rejected
from fastscp.ul.pdu import (
    REJECT_SOURCE_PRESENTATION,
    REJECT_SOURCE_USER,
    REJECTED_PERMANENT,
    REJECTED_TRANSIENT,
    AAssociateRJ,
    title_text,
)
from fastscp.worker.context import ConnectionContext, Sections
from fastscp.worker.limits import Admittance, answers_within

#: where the titles stand in a request without its PDU header (PS3.8 Table 9-11)
_CALLED: Final = slice(4, 20)
_CALLING: Final = slice(20, 36)
#: reasons of the service user (PS3.8 Table 9-21); what is refused for its address gets no answer
_REASONS: Final = {Refusal.CALLING: 3, Refusal.CALLED: 7, Refusal.NETWORK: 3}
_LOCAL_LIMIT_EXCEEDED: Final = 2


#: what is told of a connection whose address no section accepts
DENIED = "access denied by the sections of the configuration file"


def answers_to(context: ConnectionContext, admittance: Admittance | None, peer: Peer,
               chosen: Callable[[ConnectionContext | None], None]) -> Answers:
    """Return what answers the request of a connection."""
    if context.sections is None or admittance is None:
        return answers_within(context.answers, admittance)
    return Choosing(context.answers, context.sections, admittance, peer.address, chosen=chosen)


class Choosing(Answers):
    """Answers the one request of a connection: as its section does.

    ``chosen`` is told the context of the section, None where the address is to blame: the peer gets no word then.
    """

    __slots__ = ("_address", "_admittance", "_answers", "_chosen", "_sections")

    def __init__(self, answers: Answers, sections: Sections, admittance: Admittance, address: str, *,
                 chosen: Callable[[ConnectionContext | None], None]) -> None:
        super().__init__(answers.policy)
        self._answers = answers
        self._sections = sections
        self._admittance = admittance
        self._address = address
        self._chosen = chosen

    def to(self, body: bytes) -> Answer:
        """Return the answer to an A-ASSOCIATE-RQ, given without its PDU header. Raises ``PeerError``."""
        senders = self._sections.senders
        choice = senders.choose(title_text(body[_CALLING]), title_text(body[_CALLED]), self._address)
        if isinstance(choice, Refusal):
            return self._refuse(body, choice)
        answers = self._answers
        if choice is not None:
            context = self._sections.contexts[choice.name]
            self._chosen(context)
            answers = context.answers
        answer = answers.to(body)
        if isinstance(answer.event, Rejected):
            return answer
        joins = choice is None or self._admittance.may_join(choice.name, choice.max_associations)
        if joins and self._admittance.may_associate(answer.event.request):
            return answer
        return _rejected(body, AAssociateRJ(REJECTED_TRANSIENT, REJECT_SOURCE_PRESENTATION, _LOCAL_LIMIT_EXCEEDED))

    def _refuse(self, body: bytes, why: Refusal) -> Answer:
        answer = _rejected(body, AAssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_USER, _REASONS[why]))
        if why is Refusal.NETWORK:
            self._chosen(None)
        return answer


def _rejected(body: bytes, reject: AAssociateRJ) -> Answer:
    return Answer(Rejected(decode_associate_rq(body), reject), encode_associate_rj(reject))
