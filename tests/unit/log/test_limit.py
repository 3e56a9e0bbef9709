"""What one peer does again and again is counted, and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from fastscp.log import limit as limit_module
from fastscp.log import names
from fastscp.log.limit import MOST, MOST_OBJECTS, PERIOD_S, PeerLimit
from tests.support.fakes import Clock

LOG = logging.getLogger(names.NETWORK)


class Timers:
    """Calls that are to be made later."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((self._clock.now + delay_s, call))

    def advance(self, seconds: float) -> None:
        self._clock.now += seconds
        due = [entry for entry in self.calls if entry[0] <= self._clock.now]
        self.calls = [entry for entry in self.calls if entry[0] > self._clock.now]
        for _, call in due:
            call()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def timers(clock: Clock) -> Timers:
    return Timers(clock)


@pytest.fixture
def limit(clock: Clock, timers: Timers) -> Iterator[PeerLimit]:
    made = PeerLimit(clock, timers.call_later)
    made.attach()
    made.peer = "10.0.0.1"
    yield made
    made.detach()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG)

    def take() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return take


def test_what_is_beyond_is_told_in_one_line_when_the_period_is_over(
        limit: PeerLimit, timers: Timers, lines: Callable[[], list[str]]) -> None:
    for number in range(MOST + 7):
        LOG.error("request %d", number)
    assert lines() == [f"request {number}" for number in range(MOST)]
    timers.advance(PERIOD_S - 1)
    assert lines() == []
    timers.advance(2)
    assert lines() == [f"request {MOST + 6} (repeated 7 times)"]
    timers.advance(PERIOD_S)
    assert (lines(), timers.calls) == ([], [])
    assert limit.filter(logging.makeLogRecord({"levelno": logging.ERROR, "msg": "request %d", "args": (1,)}))


def test_next_period_begins_with_what_was_left_out_of_the_last(
        clock: Clock, limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    assert limit.peer
    for _ in range(MOST + 1):
        LOG.warning("again")
    lines()
    clock.now += PERIOD_S
    for _ in range(MOST + 2):
        LOG.warning("again")
    assert lines() == ["again (repeated once more)"] + ["again"] * MOST


def test_peers_texts_and_loggers_count_apart(limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    for address in ("10.0.0.1", "10.0.0.2"):
        limit.peer = address
        for name in (names.NETWORK, names.APPLICATION):
            for text in ("one %d", "two %d"):
                for number in range(MOST):
                    logging.getLogger(name).error(text, number)
    assert len(lines()) == 8 * MOST


def test_what_nobody_caused_and_what_the_operator_asked_for_is_written(
        limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    for _ in range(MOST + 50):
        LOG.info("every one")
        LOG.debug("every one")
    limit.peer = ""
    for _ in range(MOST + 50):
        LOG.error("our own")
    assert len(lines()) == 3 * (MOST + 50)


def test_memory_is_bounded_and_nothing_is_left_out_untold(
        limit: PeerLimit, lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_module, "_MOST_TEXTS", 3)
    for number in range(5):
        limit.peer = f"10.0.0.{number}"
        for _ in range(MOST + number + 2):
            LOG.error("text of %s", limit.peer)
    told = [line for line in lines() if "repeated" in line]
    assert told == ["text of 10.0.0.0 (repeated 2 times)", "text of 10.0.0.1 (repeated 3 times)"]
    limit.detach()
    told = [line for line in lines() if "repeated" in line]
    assert told == [f"text of 10.0.0.{number} (repeated {number + 2} times)" for number in (2, 3, 4)]


def test_summary_keeps_the_level_and_tells_no_fact_twice(
        limit: PeerLimit, timers: Timers, caplog: pytest.LogCaptureFixture) -> None:
    assert limit.peer
    for _ in range(MOST_OBJECTS + 2):
        LOG.error("refused", extra={"fields": {"event": "object.refused"}})
    assert len(caplog.records) == MOST_OBJECTS
    timers.advance(PERIOD_S + 1)
    summary = caplog.records[-1]
    assert (summary.levelno, summary.name, summary.getMessage()) == (logging.ERROR, names.NETWORK,
                                                                     "refused (repeated 2 times)")
    assert not hasattr(summary, "fields")
