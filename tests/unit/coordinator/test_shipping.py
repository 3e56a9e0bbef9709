"""The coordinator's part in a fleet: when the process is started, what goes to it and comes from it. No process runs."""

from __future__ import annotations

import logging

import pytest

from fastscp.config import Config
from fastscp.coordinator.beside import Beside
from fastscp.coordinator.fleet_journal import MOST_WAITING, FleetJournal
from fastscp.coordinator.rules import rules_of
from fastscp.coordinator.shipping import MARGIN_S, PULSE_S, Shipping
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.valve import Valve
from fastscp.study.policy import HookPolicy
from tests.support.fakes import FakeLoop
from tests.support.started import Started


class Site(Started):
    def __init__(self) -> None:
        self.loop = FakeLoop()
        super().__init__(self.loop)
        self.journal = FleetJournal(SqliteState(None))
        self.rounds = 0
        self.behind = False
        self.shipping = Shipping(self.loop, self.journal, {"kind": "begin", "hooks": {}}, self.start)  # type: ignore[arg-type]
        self.shipping.changed = self.round
        self.shipping.caught_up = lambda: not self.behind

    def round(self) -> None:
        self.rounds += 1

    def shipped(self, number: int, *, connected: bool = True) -> None:
        self.say(kind="shipped", number=number, connected=connected)


@pytest.fixture
def site() -> Site:
    site = Site()
    site.shipping.begin()
    return site


def test_it_is_told_first_what_to_do(site: Site) -> None:
    assert site.heard() == [{"kind": "begin", "hooks": {}}]


def test_a_pulse_comes_after_the_commit_and_says_what_is_in_the_journal(site: Site) -> None:
    site.heard()
    site.journal.hold(1, "1.1", "1.1", 2)
    assert site.rounds == 1
    assert site.heard() == []
    site.shipping.committed()
    assert site.heard() == [{"kind": "pulse", "number": 1, "at": site.loop.now - MARGIN_S}]
    site.shipping.committed()
    assert site.heard() == []
    site.loop.advance(PULSE_S)
    site.shipping.committed()
    assert len(site.heard()) == 1


def test_no_pulse_promises_what_is_still_in_a_channel(site: Site) -> None:
    site.heard()
    site.behind = True
    site.shipping.committed()
    assert site.heard() == []
    site.behind = False
    site.shipping.committed()
    assert [packet["kind"] for packet in site.heard()] == ["pulse"]


def test_what_is_shipped_is_dropped_from_the_journal(site: Site) -> None:
    site.journal.hold(1, "1.1", "1.1", 2)
    before = site.rounds
    site.shipped(1)
    assert site.journal.waiting == 0
    assert site.rounds == before + 1
    assert site.shipping.connected
    site.shipped(1, connected=False)
    assert site.rounds == before + 1
    assert not site.shipping.connected


def test_one_that_died_is_replaced_after_pauses_that_grow(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.die()
    assert "starting another" in caplog.text
    assert len(site.processes) == 1
    site.loop.advance(1.0)
    assert len(site.processes) == 2
    site.die()
    site.loop.advance(1.0)
    assert len(site.processes) == 2
    site.loop.advance(1.0)
    assert len(site.processes) == 3
    assert site.heard()[0]["kind"] == "begin"


def test_one_that_cannot_be_started_is_tried_again() -> None:
    site = Site()
    site.refuses = True
    site.shipping.begin()
    site.refuses = False
    site.loop.advance(1.0)
    assert len(site.processes) == 1


def test_a_reload_is_told_and_holds_for_one_that_is_started_later(site: Site) -> None:
    site.heard()
    site.shipping.use(rules_of(Config(hooks=HookPolicy(on_end_of_study="true", argv=True))))
    hooks = {"": {"command": "true", "argv": True}}
    assert site.heard() == [{"kind": "hooks", "hooks": hooks}]
    site.die()
    site.loop.advance(1.0)
    assert site.heard()[0]["hooks"] == hooks


def test_the_end_is_told_and_waited_for(site: Site) -> None:
    site.heard()
    site.shipping.end()
    assert site.heard() == [None]
    assert site.processes[0].waited == 1
    site.loop.advance(100)
    assert len(site.processes) == 1


def test_the_end_for_good_is_told_as_such(site: Site) -> None:
    site.heard()
    site.shipping.for_good = True
    site.shipping.end()
    site.shipping.end()
    assert site.heard() == [{"kind": "leave"}, None]


def test_a_full_journal_holds_objects_back(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    beside, hooks = Beside(shipping=site.shipping), Valve(10)
    assert not beside.valve_moved(hooks, 0)
    site.journal.last += MOST_WAITING
    assert beside.valve_moved(hooks, 0)
    assert beside.closed(hooks)
    assert "1000000 entries of the fleet's journal wait" in caplog.text
    site.journal.shipped(site.journal.last)
    assert beside.valve_moved(hooks, 0)
    assert not beside.closed(hooks)
    assert beside.valve_moved(hooks, 10)
    assert beside.closed(hooks)
