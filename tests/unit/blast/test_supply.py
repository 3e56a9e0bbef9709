from __future__ import annotations

import pytest

from fastscp.blast.supply import Eager, Timed
from tests.support.fakes import FakeLoop


def drained(supply: Timed, now: float) -> list[float]:
    found = []
    while (planned := supply.take(now)) is not None:
        found.append(planned)
    return found


def test_objects_fall_due_at_their_rate_whether_they_are_taken_or_not() -> None:
    loop = FakeLoop(0.0)
    supply = Timed(loop, 20.0, 0.0, 0.0)
    loop.advance(1.0)
    assert drained(supply, loop.now) == pytest.approx([number / 20 for number in range(21)])
    loop.advance(0.1)
    assert drained(supply, loop.now) == pytest.approx([1.05, 1.1])


def test_a_ramp_rises_from_nothing_to_the_rate() -> None:
    loop = FakeLoop(0.0)
    supply = Timed(loop, 100.0, 4.0, 0.0)
    counts = []
    for _ in range(6):
        loop.advance(1.0)
        counts.append(len(drained(supply, loop.now)))
    assert counts == pytest.approx([12.5, 37.5, 62.5, 87.5, 100, 100], abs=1.5)


def test_who_waits_is_called_when_something_is_due() -> None:
    loop = FakeLoop(0.0)
    supply = Timed(loop, 10.0, 0.0, 0.5)
    taken: list[float | None] = []
    for _ in range(2):
        supply.wait(lambda: taken.append(supply.take(loop.now)))
    loop.advance(0.45)
    assert taken == []
    loop.advance(0.1)
    assert taken == [0.5]
    loop.advance(0.1)
    assert taken == pytest.approx([0.5, 0.6])


def test_what_is_due_at_the_end_is_still_sent() -> None:
    loop = FakeLoop(0.0)
    supply = Timed(loop, 10.0, 0.0, 0.0)
    loop.advance(0.25)
    supply.close()
    loop.advance(10)
    assert not supply.ended
    assert len(drained(supply, loop.now)) == 3
    assert supply.ended


def test_stopped_nothing_is_taken_and_who_waits_is_told() -> None:
    loop = FakeLoop(0.0)
    supply = Timed(loop, 10.0, 0.0, 0.0)
    loop.advance(0.25)
    told: list[bool] = []
    supply.stop()
    assert supply.ended
    assert supply.take(loop.now) is None
    waiting = Timed(loop, 10.0, 0.0, 99.0)
    waiting.wait(lambda: told.append(waiting.ended))
    waiting.close()
    assert told == [True]


def test_a_closed_loop_has_always_something_until_it_ends() -> None:
    supply = Eager()
    assert [supply.take(5.0), supply.take(6.0)] == [5.0, 6.0]
    supply.close()
    assert (supply.take(7.0), supply.ended) == (None, True)
    told: list[int] = []
    supply.wait(lambda: told.append(1))
    assert told == [1]
