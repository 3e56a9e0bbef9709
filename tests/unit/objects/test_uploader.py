"""What is uploaded when: failures, rests, what was told; with hands that do a job when the test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fastscp.errors import ProcessError
from fastscp.objects.journal import Complete, Waiting
from fastscp.objects.patience import AWAY_AFTER
from fastscp.objects.store import AwayError, DamagedError
from fastscp.objects.uploader import LOGGED_AT, WRITTEN_DOWN_S, Uploader
from fastscp.objects.uploading import UnreadableError, Wanted


class Journal:
    def __init__(self) -> None:
        self.rows: dict[int, Wanted] = {}
        self.failing = False

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.rows[number] = Wanted(number, f"/in/{number}", "00" * 32, 10, f"p/{number}")

    def wanted(self, after: int, most: int) -> list[Wanted]:
        if self.failing:
            raise ProcessError("no journal")
        return [self.rows[number] for number in sorted(self.rows) if number > after][:most]

    def waiting(self) -> Waiting:
        return Waiting(len(self.rows), 10 * len(self.rows))


class Ends:
    pause_s = 0.25

    def __init__(self) -> None:
        self.found: list[Complete] = []
        self.error: Exception | None = None
        self.written: list[Complete] = []

    def look(self, known: Iterable[int]) -> list[Complete]:
        known = set(known)
        return [one for one in self.found if not known & set(one.parts)]

    def write(self, complete: Complete) -> list[int]:
        if self.error is not None:
            raise self.error
        self.written.append(complete)
        return list(complete.parts)


class Hands:
    """Does what it was given when ``work`` is called."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = deque()

    def give(self, job: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self.jobs.append((job, done))

    def work(self) -> bool:
        if not self.jobs:
            return False
        job, done = self.jobs.popleft()
        try:
            result = job()
        except Exception as error:
            done(None, error)
        else:
            done(result, None)
        return True


class Bench:
    def __init__(self, jobs: int = 2) -> None:
        self.now = 1000.0
        self.journal, self.ends, self.hands = Journal(), Ends(), Hands()
        self.errors: dict[int, Exception] = {}
        self.away = False
        self.sent: list[int] = []
        self.probes = 0
        self.told: list[dict[str, Any]] = []
        self.listens = True
        self.uploader = Uploader(self.journal, self.ends, self.upload, self.hands, self.tell, jobs=jobs, probe=self.probe,
                                 monotonic=lambda: self.now, chance=lambda: 0.5)

    def upload(self, wanted: Wanted) -> str:
        self.sent.append(wanted.number)
        if self.away:
            raise AwayError("no route")
        if wanted.number in self.errors:
            raise self.errors[wanted.number]
        return "1:2:3:4"

    def probe(self) -> None:
        self.probes += 1
        if self.away:
            raise AwayError("no route")

    def tell(self, packet: dict[str, Any]) -> bool:
        if self.listens:
            self.told.append(packet)
        return self.listens

    def run(self, seconds: float = 0.0, *, written_down: bool = True) -> None:
        """Let time pass, and everything be done that can be."""
        end = self.now + seconds
        while True:
            self.uploader.turn()
            while self.hands.work():
                pass
            if written_down:
                for packet in self.of("confirmed"):
                    self.journal.rows.pop(packet["number"], None)
                for packet in self.of("written"):
                    self.ends.found = [one for one in self.ends.found if packet["part"] not in one.parts]
            if self.now >= end:
                return
            self.now += 0.25

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [packet for packet in self.told if packet["kind"] == kind]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_everything_is_uploaded_once_and_told(bench: Bench) -> None:
    bench.journal.add(*range(1, 600))
    bench.run(2)
    assert sorted(bench.sent) == list(range(1, 600))
    assert [packet["number"] for packet in bench.of("confirmed")] == bench.sent


def test_no_more_is_given_out_than_there_are_hands(bench: Bench) -> None:
    bench.journal.add(*range(1, 10))
    bench.uploader.turn()
    assert len(bench.hands.jobs) == 2


def test_what_was_told_is_done_again_when_it_is_not_written_down(bench: Bench) -> None:
    bench.journal.add(1)
    bench.run(WRITTEN_DOWN_S - 1, written_down=False)
    assert bench.sent == [1]
    bench.run(2, written_down=False)
    assert bench.sent == [1, 1]


def test_a_coordinator_that_does_not_read_is_told_later(bench: Bench) -> None:
    bench.journal.add(1)
    bench.listens = False
    bench.run(1)
    assert bench.of("confirmed") == []
    assert bench.uploader.busy
    bench.listens = True
    bench.run()
    assert len(bench.of("confirmed")) == 1


def test_a_store_that_is_away_is_tried_one_at_a_time_after_growing_pauses(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.journal.add(*range(1, 100))
    bench.away = True
    bench.run(600)
    assert len(bench.sent) < 25
    assert bench.of("state")[-1]["away"] is True
    assert caplog.text.count("the object store is away") == 1
    bench.away = False
    bench.run(61)
    assert bench.journal.rows == {}
    assert bench.of("state")[-1] == {"kind": "state", "away": False, "objects": 0, "octets": 0, "unreadable": 0}
    assert caplog.text.count("the object store is there again") == 1


def test_one_failure_is_no_news(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.journal.add(1)
    bench.away = True
    bench.run(0.25)
    bench.away = False
    bench.run(5)
    assert len(bench.of("confirmed")) == 1
    assert "object store" not in caplog.text
    assert not any(packet["away"] for packet in bench.of("state"))


def test_a_store_is_found_to_be_there_again_when_nothing_waits(bench: Bench) -> None:
    bench.journal.add(1)
    bench.away = True
    bench.run(20)
    bench.journal.rows.clear()
    bench.run(70)
    assert bench.of("state")[-1]["away"] is True
    bench.away = False
    bench.run(70)
    assert bench.of("state")[-1]["away"] is False
    assert bench.probes > 0


def test_ends_are_looked_for_again_after_a_failure_when_no_file_waits(bench: Bench) -> None:
    bench.ends.found = [Complete("1.2", (7,), 1, ())]
    bench.ends.error = AwayError("no route")
    bench.run(1)
    bench.ends.error = None
    bench.run(10)
    assert [packet["part"] for packet in bench.of("written")] == [7]
    assert len(bench.ends.written) == 1


def test_a_file_that_cannot_be_read_rests_and_holds_nothing_up(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.journal.add(1, 2, 3)
    bench.errors[1] = UnreadableError("/in/1: No such file or directory")
    bench.run(1)
    assert {packet["number"] for packet in bench.of("confirmed")} == {2, 3}
    assert "cannot be uploaded" not in caplog.text  # it may be on its way to another name
    bench.run(600)
    assert bench.sent.count(1) < 20
    assert caplog.text.count("cannot be uploaded") == 1
    assert bench.of("state")[-1]["unreadable"] == 1
    assert bench.sent.count(1) >= LOGGED_AT
    del bench.errors[1]
    bench.run(300)
    assert bench.journal.rows == {}


def test_damage_is_not_the_stores_absence(bench: Bench) -> None:
    bench.journal.add(1, 2)
    bench.errors[1] = DamagedError("other octets")
    bench.run(AWAY_AFTER * 10)
    assert not any(packet["away"] for packet in bench.of("state"))
    assert [packet["number"] for packet in bench.of("confirmed")] == [2]


def test_the_end_begins_nothing_more(bench: Bench) -> None:
    bench.journal.add(1, 2, 3)
    bench.uploader.turn()
    bench.uploader.end()
    assert bench.uploader.busy
    bench.run(5)
    assert len(bench.sent) <= 2
    assert not bench.uploader.busy


def test_a_journal_that_cannot_be_read_is_told_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.journal.add(1)
    bench.journal.failing = True
    bench.run(5)
    assert caplog.text.count("no journal") == 1
    bench.journal.failing = False
    bench.run(1)
    assert len(bench.of("confirmed")) == 1
