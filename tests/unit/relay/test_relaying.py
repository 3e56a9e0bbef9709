"""Turns of relays, with an outbox and a broker of a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fastscp.fleet.database import DatabaseError
from fastscp.relay.broker import BrokerError, Message
from fastscp.relay.relaying import LEASE_S, LONGEST_PAUSE_S, Relay, Turn, relay_events


def message(position: int) -> Message:
    return Message(f"1.{position % 3}", position, f"t{position:06}", "study.opened", b"{}")


class Outbox:
    """An outbox, with the rules of ``fastscp.fleet.consuming``; ``now`` is its clock and that of the relays."""

    consumer = "relay"

    def __init__(self, events: int) -> None:
        self.events = [message(number) for number in range(1, events + 1)]
        self.now = 1000.0
        self.confirmed = 0
        self.lease: tuple[str, float] | None = None
        self.takes = 0
        self.failing: set[str] = set()
        self.reading: Callable[[], None] = lambda: None  #: what happens while somebody reads

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise DatabaseError("no route to host")

    def take(self, token: str, lease_s: float) -> int | None:
        self._fail("take")
        self.takes += 1
        if self.lease is not None and self.lease[0] != token and self.now <= self.lease[1]:
            return None
        self.lease = (token, self.now + lease_s)
        return self.confirmed

    def read(self, after: int) -> tuple[str, list[Message]]:
        self._fail("read")
        self.reading()
        return "outbox", [event for event in self.events if event.position > after][:2]

    def confirm(self, token: str, position: int) -> bool:
        self._fail("confirm")
        if self.lease is None or self.lease[0] != token:
            return False
        self.confirmed = max(self.confirmed, position)
        return True

    def give_back(self, token: str) -> None:
        if self.lease is not None and self.lease[0] == token:
            self.lease = None

    def monotonic(self) -> float:
        return self.now


class Broker:
    def __init__(self) -> None:
        self.positions: list[int] = []
        self.failures = 0
        self.sending: Callable[[], None] = lambda: None

    def send(self, source: str, messages: Sequence[Message]) -> None:
        assert source == "outbox"
        self.sending()
        if self.failures:
            self.failures -= 1
            raise BrokerError("connection refused")
        self.positions += [sent.position for sent in messages]

    def close(self) -> None:
        """Nothing is open."""


class Site:
    def __init__(self, events: int = 5) -> None:
        self.outbox = Outbox(events)
        self.broker = Broker()
        self.said: list[str] = []
        self.pauses: list[float] = []

    def relay(self) -> Relay:
        return Relay(self.outbox, self.broker, monotonic=self.outbox.monotonic)

    def turns(self, relay: Relay) -> Turn:
        while (turn := relay.turn()) is Turn.MORE:
            pass
        return turn

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.outbox.now += seconds

    def wait(self) -> None:
        raise KeyboardInterrupt

    def run(self, *, once: bool = False, relay: Relay | None = None) -> int:
        return relay_events(relay or self.relay(), self, once=once, said=self.said.append, sleep=self.sleep, chance=lambda: 0.5)


@pytest.fixture
def site() -> Site:
    return Site()


def test_everything_is_sent_in_its_order_and_confirmed(site: Site) -> None:
    assert site.turns(site.relay()) is Turn.NOTHING
    assert site.broker.positions == [1, 2, 3, 4, 5]
    assert site.outbox.confirmed == 5


def test_nothing_is_confirmed_before_the_broker_has_it(site: Site) -> None:
    site.broker.failures = 1
    relay = site.relay()
    with pytest.raises(BrokerError):
        relay.turn()
    assert site.outbox.confirmed == 0
    site.turns(relay)
    assert site.broker.positions == [1, 2, 3, 4, 5]


def test_what_could_not_be_confirmed_is_sent_again(site: Site) -> None:
    relay = site.relay()
    site.outbox.failing = {"confirm"}
    with pytest.raises(DatabaseError):
        relay.turn()
    site.outbox.failing = set()
    site.turns(relay)
    assert site.broker.positions == [1, 2, 1, 2, 3, 4, 5]


def test_a_confirmation_that_was_carried_out_though_nobody_heard_is_found(site: Site) -> None:
    relay = site.relay()
    relay.turn()
    site.outbox.confirmed = 4  # as after a commit whose answer was lost
    site.outbox.failing = {"read"}
    with pytest.raises(DatabaseError):
        relay.turn()
    site.outbox.failing = set()
    site.turns(relay)
    assert site.broker.positions == [1, 2, 5]


def test_the_next_one_goes_on_where_the_last_was(site: Site) -> None:
    first = site.relay()
    first.turn()
    first.leave()
    site.turns(site.relay())
    assert site.broker.positions == [1, 2, 3, 4, 5]


def test_one_of_a_name_works_and_the_other_stands_by(site: Site) -> None:
    first, second = site.relay(), site.relay()
    assert first.turn() is Turn.MORE
    assert second.turn() is Turn.OTHERS
    first.turn()
    site.outbox.now += LEASE_S + 1  # the first has died
    assert site.turns(second) is Turn.NOTHING
    assert site.broker.positions == [1, 2, 3, 4, 5]


def test_a_lease_is_renewed_before_it_is_over(site: Site) -> None:
    first, second = site.relay(), site.relay()
    site.turns(first)
    for _ in range(10):
        site.outbox.now += LEASE_S / 2
        assert first.turn() is Turn.NOTHING
        assert second.turn() is Turn.OTHERS


def test_a_lease_that_holds_is_not_asked_for_again(site: Site) -> None:
    relay = site.relay()
    site.turns(relay)
    assert site.outbox.takes == 1


def test_who_was_held_up_while_another_worked_sends_nothing(site: Site) -> None:
    first, second = site.relay(), site.relay()

    def hold_up() -> None:
        site.outbox.reading = lambda: None
        site.outbox.now += LEASE_S + 1
        second.turn()

    site.outbox.reading = hold_up
    assert first.turn() is Turn.OTHERS
    assert site.broker.positions == [1, 2]
    site.outbox.reading = lambda: (hold_up(), second.leave())[0]  # and gave the lease back
    site.outbox.now += LEASE_S + 1
    assert first.turn() is Turn.MORE
    assert site.broker.positions == [1, 2, 3, 4]
    site.turns(first)
    assert site.broker.positions == [1, 2, 3, 4, 5]


def test_who_was_held_up_while_it_sent_confirms_nothing(site: Site) -> None:
    first, second = site.relay(), site.relay()

    def hold_up() -> None:
        site.broker.sending = lambda: None
        site.outbox.now += LEASE_S + 1
        assert second._source.take("another", LEASE_S) == 0

    site.broker.sending = hold_up
    assert first.turn() is Turn.OTHERS
    assert site.outbox.confirmed == 0


# -- what is away ---------------------------------------------------------------------------------------------


def test_a_broker_that_is_away_is_waited_for_with_pauses_that_grow_up_to_a_limit(site: Site) -> None:
    site.broker.failures = 20
    with pytest.raises(KeyboardInterrupt):
        site.run()
    assert site.pauses[:4] == [0.375, 0.75, 1.5, 3.0]
    assert max(site.pauses) == site.pauses[-1] == 0.75 * LONGEST_PAUSE_S
    assert site.broker.positions == [1, 2, 3, 4, 5]
    assert site.said == ["the broker is away, connection refused; trying again", "relaying again"]


def test_pauses_differ_by_chance(site: Site) -> None:
    site.broker.failures = 1
    with pytest.raises(KeyboardInterrupt):
        relay_events(site.relay(), site, once=False, said=site.said.append, sleep=site.sleep, chance=lambda: 0.0)
    assert site.pauses == [0.25]


def test_a_database_that_is_away_is_told(site: Site) -> None:
    site.outbox.failing = {"take"}

    def sleep(_seconds: float) -> None:
        site.outbox.failing = set()

    with pytest.raises(KeyboardInterrupt):
        relay_events(site.relay(), site, once=False, said=site.said.append, sleep=sleep)
    assert site.said == ["the database is away, no route to host; trying again", "relaying again"]


def test_standing_by_is_said_once(site: Site) -> None:
    site.outbox.lease = ("another", site.outbox.now + 5)
    with pytest.raises(KeyboardInterrupt):
        site.run()
    assert site.said == [Turn.OTHERS.value]
    assert len(site.pauses) > 1
    assert site.broker.positions == [1, 2, 3, 4, 5]


def test_once_ends_when_nothing_is_left(site: Site) -> None:
    assert site.run(once=True) == 0
    assert site.broker.positions == [1, 2, 3, 4, 5]


def test_once_ends_when_another_works(site: Site) -> None:
    site.outbox.lease = ("another", site.outbox.now + 5)
    assert site.run(once=True) == 1


def test_once_raises_what_is_away(site: Site) -> None:
    site.broker.failures = 1
    with pytest.raises(BrokerError):
        site.run(once=True)
