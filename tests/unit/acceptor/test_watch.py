"""Who hangs, and who only waits for a disk, starts, or was not seen because the watch itself stood still."""

from __future__ import annotations

import pytest

from fastscp.acceptor.watch import PATIENCE, TICK_S, Watch
from fastscp.process.heartbeat import Heartbeat


class Ward:
    """One child under watch, whose state a test sets."""

    def __init__(self, limit_s: float | None = 2.0) -> None:
        self.state = "S"
        self.watch = Watch(limit_s, lambda _pid: self.state)
        self.heart = Heartbeat()
        self.watch.add(7, self.heart)

    def look(self, seconds: float, step_s: float = TICK_S) -> list[int]:
        found: list[int] = []
        for _ in range(round(seconds / step_s)):
            found += self.watch.look(step_s)[1]
        return found


@pytest.mark.parametrize("state", ["S", "R", "T", "t"])
def test_heart_that_stands_still_for_the_limit_hangs(state: str) -> None:
    ward = Ward()
    ward.state = state
    ward.heart.beat()
    assert ward.look(2.0) == []  # the first look saw a beat
    assert ward.look(0.25) == [7]


def test_every_beat_is_a_new_life() -> None:
    ward = Ward()
    for _ in range(20):
        ward.heart.beat()
        assert ward.watch.look(TICK_S) == ([7], [])
        assert ward.look(1.75) == []


def test_child_that_starts_or_waits_for_a_disk_gets_more_patience() -> None:
    starting, writing = Ward(), Ward()
    writing.heart.beat()
    writing.look(TICK_S)
    writing.state = "D"
    for ward in (starting, writing):
        assert ward.look(2.0 * PATIENCE - TICK_S) == []
        assert ward.look(TICK_S) == [7]


def test_time_at_the_disk_does_not_count_as_hanging() -> None:
    ward = Ward()
    ward.heart.beat()
    ward.look(1.0)
    ward.state = "D"
    assert ward.look(5.0) == []
    ward.state = "S"
    assert ward.look(1.0) == []
    assert ward.look(0.25) == [7]


def test_time_that_the_watch_did_not_see_is_nobodys_fault() -> None:
    ward = Ward()
    ward.heart.beat()
    ward.look(TICK_S)
    assert ward.watch.look(3600.0) == ([], [])


def test_without_a_limit_nobody_hangs() -> None:
    ward = Ward(None)
    assert ward.look(100.0) == []


def test_child_that_cannot_be_killed_is_told_of_once_in_every_limit() -> None:
    ward = Ward()
    ward.heart.beat()
    ward.look(TICK_S)
    assert ward.look(6.0) == [7, 7, 7]


def test_gone_child_is_watched_no_more() -> None:
    ward = Ward()
    ward.heart.beat()
    ward.watch.remove(7)
    assert ward.look(10.0) == []
