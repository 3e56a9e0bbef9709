"""Hooks that an earlier coordinator started."""

from __future__ import annotations

import pytest

from fastscp.coordinator.lending import Borrowed
from fastscp.coordinator.tasks import HookTask

LENDER, OTHER = object(), object()


class Bench:
    def __init__(self, last: int = 10) -> None:
        self.ended: list[tuple[int, int]] = []
        self.again: list[int] = []
        self.changes = 0
        self.borrowed = Borrowed(last, ended=lambda task, status: self.ended.append((task.number, status)),
                                 again=lambda task: self.again.append(task.number), changed=self._changed)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def task(number: int) -> HookTask:
    return HookTask("reception", 0, None, number)


def test_nothing_is_decided_until_every_lender_has_told(bench: Bench) -> None:
    assert not bench.borrowed.undecided
    bench.borrowed.expect(LENDER)
    bench.borrowed.expect(OTHER)
    bench.borrowed.lend(LENDER, [])
    assert bench.borrowed.undecided
    bench.borrowed.lost(OTHER)
    assert not bench.borrowed.undecided
    assert bench.changes == 2


def test_lent_hook_is_not_started_and_its_end_counts(bench: Bench) -> None:
    bench.borrowed.lend(LENDER, [(3, None)])
    assert bench.borrowed.take(task(3))
    assert not bench.borrowed.take(task(4))
    assert bench.borrowed.waiting
    bench.borrowed.tell_end(3, 7)
    assert bench.ended == [(3, 7)]
    assert not bench.borrowed.waiting
    assert not bench.borrowed.take(task(3))  # to be retried: it is an ordinary hook now


@pytest.mark.parametrize("told_at_once", [True, False])
def test_hook_whose_turn_comes_after_its_end_has_ended(bench: Bench, told_at_once: bool) -> None:
    bench.borrowed.lend(LENDER, [(3, 0 if told_at_once else None)])
    if not told_at_once:
        bench.borrowed.tell_end(3, 0)
    assert bench.ended == []
    assert bench.borrowed.take(task(3))
    assert bench.ended == [(3, 0)]
    assert not bench.borrowed.take(task(3))


def test_number_of_a_new_hook_is_no_lent_one(bench: Bench) -> None:
    """Numbers are used again: a hook that ended long ago may have had it."""
    bench.borrowed.lend(LENDER, [(11, 0), (12, None)])
    assert not bench.borrowed.take(task(11))
    assert not bench.borrowed.take(task(12))


@pytest.mark.parametrize("lost", [True, False])
def test_hook_of_unknown_end_is_started_again(bench: Bench, lost: bool) -> None:
    bench.borrowed.lend(LENDER, [(3, None), (4, None), (5, 0)])
    assert bench.borrowed.take(task(3))
    if lost:
        bench.borrowed.lost(LENDER)
    else:
        bench.borrowed.tell_end(3, None)
        bench.borrowed.tell_end(4, None)
    assert bench.again == [3]
    assert not bench.borrowed.take(task(3))
    assert not bench.borrowed.take(task(4))  # its turn had not come
    assert bench.borrowed.take(task(5))  # its end is known


def test_end_of_a_hook_that_was_never_lent_is_nothing(bench: Bench) -> None:
    bench.borrowed.tell_end(9, 0)
    bench.borrowed.tell_end(9, None)
    assert not bench.borrowed.take(task(9))
    assert bench.ended == bench.again == []
