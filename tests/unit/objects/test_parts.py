"""Parts of long objects."""

from __future__ import annotations

import itertools

import pytest

from fastscp.objects import parts
from fastscp.objects.patience import LONGEST_S, Breaker, pause_s


@pytest.mark.parametrize("size", [0, 1, parts.THRESHOLD])
def test_short_objects_go_as_a_whole(size: int) -> None:
    assert parts.ranges(size) == [(0, size)]


@pytest.mark.parametrize("size", [parts.THRESHOLD + 1, 100 << 20, (16 << 20) * 10_000, (16 << 20) * 10_000 + 1, 5 << 40])
def test_parts_are_the_whole_and_not_too_many(size: int) -> None:
    found = parts.ranges(size)
    assert len(found) <= parts.MOST_PARTS
    assert found[0][0] == 0
    assert all(offset + length == following for (offset, length), (following, _) in itertools.pairwise(found))
    assert sum(found[-1]) == size
    assert all(length >= 5 << 20 for _, length in found[:-1])


def test_pauses_grow_to_a_limit_and_half_of_each_is_chance() -> None:
    assert [pause_s(failures, 0.0) for failures in (1, 2, 3, 100)] == [0.25, 0.5, 1.0, LONGEST_S / 2]
    assert pause_s(1, 0.999) < 0.5


def test_failures_of_what_was_under_way_count_once() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(10.0, 0.0)
    assert breaker.failures == 1
    assert not breaker.allows(10.1, 0)
    assert breaker.allows(11.0, 0)
    assert not breaker.allows(11.0, 1)
