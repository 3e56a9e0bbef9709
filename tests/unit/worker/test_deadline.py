from __future__ import annotations

import pytest

from fastscp.worker.deadline import Deadline
from tests.support.fakes import FakeLoop


class Watched:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.expired: list[float] = []
        self.deadline = Deadline(self.loop, lambda: self.expired.append(self.loop.now))  # type: ignore[arg-type]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_expires_once_at_its_time(watched: Watched) -> None:
    watched.deadline.set(5)
    watched.loop.advance(4.9)
    assert watched.expired == []
    watched.loop.advance(10)
    assert watched.expired == [1005.0]


def test_putting_it_off_costs_no_timer(watched: Watched) -> None:
    watched.deadline.set(5)
    for _ in range(100):
        watched.loop.advance(1)
        watched.deadline.set(5)
        assert watched.loop.timers == 1
    assert watched.expired == []
    watched.loop.advance(5)
    assert watched.expired == [1105.0]


def test_a_nearer_limit_counts(watched: Watched) -> None:
    watched.deadline.set(50)
    watched.deadline.set(5)
    assert watched.loop.timers == 1
    watched.loop.advance(5)
    assert watched.expired == [1005.0]


def test_none_is_for_ever(watched: Watched) -> None:
    watched.deadline.set(5)
    watched.deadline.set(None)
    watched.loop.advance(1000)
    assert watched.expired == []


def test_can_be_set_again_after_never_and_after_it_expired(watched: Watched) -> None:
    watched.deadline.set(5)
    watched.deadline.set(None)
    watched.loop.advance(100)
    watched.deadline.set(5)
    watched.loop.advance(5)
    watched.deadline.set(1)
    watched.loop.advance(1)
    assert watched.expired == [1105.0, 1106.0]


def test_cancelled_it_leaves_nothing_in_the_loop(watched: Watched) -> None:
    watched.deadline.set(5)
    watched.deadline.cancel()
    assert watched.loop.timers == 0
    watched.loop.advance(10)
    assert watched.expired == []
