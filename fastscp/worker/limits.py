"""What an association is allowed beside the rules of the protocol: a place among its like, and time in total.

Where no such limit is set nothing of this exists.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import dataclass

from fastscp.config.network import NetworkPolicy
from fastscp.net.peer import Peer
from fastscp.process.loop import Loop
from fastscp.process.slots import Slots
from fastscp.ul.answers import Answers
from fastscp.ul.pdu import AAssociateRQ
from fastscp.worker.deadline import Deadline

PEER_LEFT = select.EPOLLRDHUP


@dataclass(frozen=True)
class Places:
    """Places of all workers together; None: unlimited."""

    hosts: Slots | None = None
    titles: Slots | None = None
    sections: Slots | None = None  #: each section of the configuration file has a number of its own

    def __bool__(self) -> bool:
        """Whether hosts or titles are limited."""
        return self.hosts is not None or self.titles is not None


class Admittance:
    """The places of one connection.

    A connection has a place of its host from its begin. One that has none may wait, within as many places again, for
    the association request that is then rejected; beyond that it is ``flooding``.
    """

    def __init__(self, places: Places, peer: Peer) -> None:
        self._places = places
        self._held: list[tuple[Slots, str, int]] = []
        self._host_is_full = not self._take(places.hosts, f"host {peer.address}")
        self.flooding = self._host_is_full and not self._take(places.hosts, f"rejected {peer.address}")

    def may_associate(self, request: AAssociateRQ) -> bool:
        """Take the place of an association; False when there is none (PS3.8 Table 9-21, local limit exceeded)."""
        return not self._host_is_full and self._take(self._places.titles, f"title {request.calling_ae_title}")

    def may_join(self, section: str, limit: int | None) -> bool:
        """Take a place of a section; False when there is none."""
        return limit is None or self._take(self._places.sections, f"section {section}", limit)

    def _take(self, slots: Slots | None, key: str, limit: int | None = None) -> bool:
        if slots is None:
            return True
        number = slots.take(key, limit)
        if number is None:
            return False
        self._held.append((slots, key, number))
        return True

    def give_back(self) -> None:
        """Give up every place."""
        while self._held:
            slots, key, number = self._held.pop()
            slots.give_back(key, number)


def answers_within(answers: Answers, admittance: Admittance | None) -> Answers:
    """Return what answers the request of a connection."""
    return answers if admittance is None else answers.within(admittance.may_associate)


class Patience:
    """How long a peer may take: for its next step, for a message, and for all of its association.

    ``late`` is called when the next step is overdue, ``expired`` (with a reason) when a total limit is.
    """

    __slots__ = ("_association", "_begun", "_expired", "_loop", "_mark", "_message", "_network", "_step")

    def __init__(self, loop: Loop, network: NetworkPolicy, late: Callable[[], None], expired: Callable[[str], None]) -> None:
        self._loop = loop
        self._network = network
        self._expired = expired
        self._begun = loop.now
        self._step = Deadline(loop, late)
        self._association: Deadline | None = None
        self._message: Deadline | None = None
        self._mark: float | None = None
        self._limit_totals()

    def _limit_totals(self) -> None:
        """Make the limits on an association and on a message anew."""
        network = self._network
        for deadline in (self._association, self._message):
            if deadline is not None:
                deadline.cancel()
        self._association = self._message = self._mark = None
        if network.association_timeout_s is not None:
            why = f"the association takes longer than {network.association_timeout_s:g} seconds"
            self._association = Deadline(self._loop, lambda: self._expired(why))
            self._association.set(max(0.0, self._begun + network.association_timeout_s - self._loop.now))
        if network.object_timeout_s is not None:
            reason = f"a message takes longer than {network.object_timeout_s:g} seconds"
            self._message = Deadline(self._loop, lambda: self._expired(reason))

    def step(self, limit_s: float | None) -> None:
        """Give the next step so long, from now on."""
        self._step.set(limit_s)

    def follow(self, mark: float, *, inside: bool, unread: bool, blocked: bool) -> None:
        """Put the next step off, as an open association demands.

        ``inside``: a PDU, a command or a data set has begun and not ended; ``unread``: answers are not taken;
        ``blocked``: the peer waits for us, also in the middle of a message. Where ``mark`` changes another message has begun.
        """
        network = self._network
        if (inside and not blocked) or unread:
            limits = [limit for limit in (network.socket_timeout_s, network.dimse_timeout_s) if limit]
            self._step.set(min(limits) if limits else None)
        else:
            self._step.set(None if blocked else network.socket_timeout_s)  # storescp's -td is for a message begun
        message = self._message
        if message is not None and self._mark != (mark if inside else None):
            self._mark = mark if inside else None
            message.set(network.object_timeout_s if inside else None)

    def use(self, network: NetworkPolicy) -> None:
        """Keep to other limits from now on; the time that the association has had counts."""
        if network == self._network:
            return
        self._network = network
        self._limit_totals()

    def cancel(self) -> None:
        """Limit nothing any more."""
        for deadline in (self._step, self._association, self._message):
            if deadline is not None:
                deadline.cancel()
