"""Carries events from the outbox to a broker: at least once, those of one study in their order.

Strategy: a *turn* reads some events, sends them, and confirms them as a consumer of the outbox: behind the broker's answer, never
before. Whoever dies in between has another one send them again. Of the relays of one name one works at a time, by a lease
(``fastscp.fleet.consuming``); the others look whether it is over. When the broker or the database is away, the next try comes after a
pause that grows, with some chance in it.

Invariants: nothing is held between two turns but a number; a turn holds ``fastscp.fleet.outbox.MOST_OCTETS`` and one event. A relay that
was held up until its lease was over sends nothing and confirms nothing; what it had begun to send, the broker knows already.
"""

from __future__ import annotations

import enum
import random
import time
import uuid
from collections.abc import Callable
from typing import Final, Protocol

from fastscp.errors import ProcessError
from fastscp.fleet.arithmetic import Lease
from fastscp.fleet.database import DatabaseError
from fastscp.fleet.following import LOOK_S
from fastscp.relay.broker import Broker, Message

LEASE_S: Final = 30.0  #: longer than a broker may take for one batch
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0  #: while something is away


class Source(Protocol):
    """Where events come from (``fastscp.relay.source``). Each method raises DatabaseError."""

    consumer: str

    def take(self, token: str, lease_s: float) -> int | None:
        """Take or renew the lease; return up to where is confirmed, None where another has it."""

    def read(self, after: int) -> tuple[str, list[Message]]:
        """Return the name of the outbox, and the next messages."""

    def confirm(self, token: str, position: int) -> bool:
        """Take note that everything up to a position is in the broker; False where the lease is another's."""

    def give_back(self, token: str) -> None:
        """Let another relay begin at once."""


class Waker(Protocol):
    """Waits until something may have been told (``fastscp.fleet.following``)."""

    def wait(self) -> None:
        """Return soon."""


class Turn(enum.Enum):
    """What a turn came to."""

    MORE = "there may be more"
    NOTHING = "nothing to send"
    OTHERS = "another relay of this name is at work"


class Relay:
    """One relay of those of a name."""

    def __init__(self, source: Source, broker: Broker, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._broker = broker
        self._monotonic = monotonic
        self._token = uuid.uuid4().hex
        self._lease: Lease | None = None
        self._position = 0  #: confirmed; known while there is a lease

    def turn(self) -> Turn:
        """Send the next events. Raises DatabaseError, BrokerError."""
        try:
            if not self._is_ours():
                return Turn.OTHERS
            position = self._position
            outbox, messages = self._source.read(position)
            if not messages:
                return Turn.NOTHING
            if not self._is_ours():  # reading may have taken long
                return Turn.OTHERS
            if self._position != position:  # another one had it meanwhile
                return Turn.MORE
            self._broker.send(outbox, messages)
            if not self._source.confirm(self._token, messages[-1].position):
                self._lease = None
                return Turn.OTHERS
        except ProcessError:
            self._lease = None  # whether it was confirmed is not known: the database is asked again
            raise
        self._position = messages[-1].position
        return Turn.MORE

    def _is_ours(self) -> bool:
        """Whether this relay is the one that works, for long enough to send something."""
        begun = self._monotonic()
        if self._lease is not None and not self._lease.is_due(begun):
            return True
        position = self._source.take(self._token, LEASE_S)
        if position is None:
            self._lease = None
            return False
        self._lease, self._position = Lease(self._token, begun, LEASE_S), position
        return True

    def leave(self) -> None:
        """Let another relay of this name begin at once. Raises DatabaseError."""
        self._source.give_back(self._token)


def relay_events(relay: Relay, waker: Waker, *, once: bool, said: Callable[[str], None],
                 sleep: Callable[[float], None] = time.sleep, chance: Callable[[], float] = random.random) -> int:
    """Relay for ever, or with ``once`` until nothing is left; return the exit status.

    With ``once`` DatabaseError and BrokerError are raised; else they are ``said`` and waited for.
    """
    failures, away, before = 0, "", Turn.NOTHING
    while True:
        try:
            now = relay.turn()
        except ProcessError as error:
            if once:
                raise
            what = "the database" if isinstance(error, DatabaseError) else "the broker"
            if what != away:
                said(f"{what} is away, {error}; trying again")
            failures, away = failures + 1, what
            sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 10)) * (0.5 + 0.5 * chance()))
            continue
        if failures:
            said("relaying again")
            failures, away = 0, ""
        if now is Turn.OTHERS and before is not Turn.OTHERS:
            said(now.value)
        if once and now is not Turn.MORE:
            return 0 if now is Turn.NOTHING else 1
        if now is Turn.NOTHING:
            waker.wait()
        elif now is Turn.OTHERS:
            sleep(LOOK_S * (0.5 + chance()))
        before = now
