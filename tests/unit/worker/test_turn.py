"""Turns, and work that goes on over several of them."""

from __future__ import annotations

from collections.abc import Callable, Generator

from fastscp.worker.turn import TURN_S, Steps, Turn
from tests.support.fakes import Clock, FakeLoop


def test_turn_is_over_when_its_time_is() -> None:
    clock = Clock(100.0)
    turn = Turn(FakeLoop(), clock)  # type: ignore[arg-type]
    turn.begin()
    assert not turn.over()
    clock.now += TURN_S * 1.01
    assert turn.over()


def test_there_is_one_turn_in_a_round_however_often_it_begins() -> None:
    loop, clock = FakeLoop(), Clock(100.0)
    turn = Turn(loop, clock)  # type: ignore[arg-type]
    turn.begin()
    clock.now += TURN_S * 1.01
    turn.begin()
    assert turn.over()
    loop.next_round()
    turn.begin()
    assert not turn.over()


class Host:
    """Where work is done: turns are over when a test says so."""

    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.turn = Turn(FakeLoop(), self.clock)  # type: ignore[arg-type]
        self.turn.begin()
        self.steps: list[Callable[[], None]] = []

    def next_turn(self, step: Callable[[], None]) -> None:
        self.steps.append(step)

    def end_turn(self) -> None:
        self.clock.now += 1.0


class Work:
    """Counts its steps, and notes its end."""

    def __init__(self, steps: int) -> None:
        self.done = 0
        self.closed = False
        self._steps = steps

    def run(self) -> Generator[None, None, str]:
        try:
            while self.done < self._steps:
                self.done += 1
                yield
        finally:
            self.closed = True
        return "result"


def test_short_work_is_done_at_once() -> None:
    host, work, results = Host(), Work(10), list[str]()
    Steps(host).run(work.run(), results.append)
    assert (work.done, results, host.steps) == (10, ["result"], [])


def test_long_work_takes_a_step_in_every_turn_that_is_over_at_once() -> None:
    host, work, results = Host(), Work(5), list[str]()
    host.end_turn()
    Steps(host).run(work.run(), results.append)
    for turns in range(1, 6):
        assert (work.done, results) == (turns, [])
        host.steps.pop()()
    assert results == ["result"]
    assert host.steps == []


def test_work_that_is_stopped_ends_there() -> None:
    host, work, results = Host(), Work(5), list[str]()
    host.end_turn()
    steps = Steps(host)
    steps.run(work.run(), results.append)
    steps.stop()
    assert work.closed
    host.steps.pop()()
    assert (work.done, results, host.steps) == (1, [], [])
    steps.stop()


def test_other_work_is_not_disturbed_by_what_was_stopped() -> None:
    host, first, second, results = Host(), Work(5), Work(5), list[str]()
    host.end_turn()
    steps = Steps(host)
    steps.run(first.run(), results.append)
    steps.stop()
    steps.run(second.run(), results.append)
    stale, fresh = host.steps
    stale()
    assert (first.done, second.done) == (1, 1)
    fresh()
    assert (first.done, second.done) == (1, 2)
