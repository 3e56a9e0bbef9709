"""What one peer does again and again is counted, and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from fastscp.log import limit as limit_module
from fastscp.log import names
from fastscp.log.limit import LINES_PER_OBJECT, MOST, MOST_LINES, MOST_OBJECTS, PERIOD_S, STORED, PeerLimit
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


def test_what_nobody_caused_is_written(
        limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    limit.peer = ""
    for _ in range(MOST_LINES + 50):
        LOG.error("our own")
        LOG.info("our own")
    assert len(lines()) == 2 * (MOST_LINES + 50)


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


def test_lines_below_a_warning_count_together_and_what_is_left_out_is_told(
        limit: PeerLimit, timers: Timers, lines: Callable[[], list[str]]) -> None:
    for number in range(MOST_LINES // 2 + 5):
        LOG.info("request %d", number)
        LOG.debug("details")
    assert len(lines()) == MOST_LINES
    limit.peer = "10.0.0.2"
    LOG.info("another peer")
    LOG.error("not among them")
    assert lines() == ["another peer", "not among them"]
    timers.advance(PERIOD_S + 1)
    assert lines() == ["10 further lines about 10.0.0.1 are left out"]
    timers.advance(PERIOD_S)
    assert (lines(), timers.calls) == ([], [])
    limit.peer = "10.0.0.1"
    LOG.info("again")
    assert lines() == ["again"]


def test_message_of_many_lines_counts_as_many(limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    assert limit.peer
    for _ in range(20):
        LOG.debug("%s", "\n".join(["line"] * (MOST_LINES // 10)))
    assert len(lines()) == 10
    LOG.info("no more")
    limit.detach()
    assert lines() == [f"{MOST_LINES + 1} further lines about 10.0.0.1 are left out"]


def test_whoever_brings_objects_has_all_lines_of_them(limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    assert limit.peer
    count = MOST_LINES // 20
    for number in range(count):
        for _ in range(LINES_PER_OBJECT - 1):
            LOG.debug("details")
        LOG.info("stored %d", number, extra=STORED)
    assert len(lines()) == count * LINES_PER_OBJECT


def test_object_that_another_process_stores_counts_too(limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    limit.credit()
    for _ in range(MOST_LINES):
        LOG.info("line")
    limit.credit()
    for _ in range(LINES_PER_OBJECT + 5):
        LOG.info("line")
    assert len(lines()) == MOST_LINES + LINES_PER_OBJECT


def test_memory_of_lines_is_bounded_and_nothing_is_left_out_untold(
        limit: PeerLimit, lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_module, "_MOST_TEXTS", 3)
    for number in range(5):
        limit.peer = f"10.0.0.{number}"
        for _ in range(MOST_LINES + number + 2):
            LOG.info("line")
    told = [line for line in lines() if line != "line"]
    assert told == [f"{number + 2} further lines about 10.0.0.{number} are left out" for number in (0, 1)]


def test_next_period_begins_with_how_many_lines_of_the_last_were_left_out(
        clock: Clock, limit: PeerLimit, lines: Callable[[], list[str]]) -> None:
    assert limit.peer
    for _ in range(MOST_LINES + 3):
        LOG.info("line")
    lines()
    clock.now += PERIOD_S
    LOG.info("next")
    assert lines() == ["3 further lines about 10.0.0.1 are left out", "next"]


def test_process_that_was_forked_counts_for_itself(clock: Clock, timers: Timers, limit: PeerLimit,
                                                   lines: Callable[[], list[str]]) -> None:
    own = PeerLimit(clock, timers.call_later)
    own.attach()
    with own.about("10.0.0.9"):
        for _ in range(MOST_LINES + 1):
            LOG.info("line")
    assert own.peer == ""
    assert len(lines()) == MOST_LINES, "no filter of its parent is asked"
    own.detach()
    limit.attach()
