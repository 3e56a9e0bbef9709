from __future__ import annotations

import random

import pytest

from fastscp.blast.histogram import Histogram, bucket, highest


@pytest.mark.parametrize("value_us", [0, 1, 2047, 2048, 2049, 4095, 4096, 123_456, 60_000_000, (1 << 40) - 1])
def test_no_value_is_off_by_more_than_a_thousandth(value_us: int) -> None:
    top = highest(bucket(value_us))
    assert value_us <= top <= value_us * 1.001


def test_buckets_follow_one_another() -> None:
    numbers = [bucket(value) for value in range(20_000)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(max(numbers) + 1))
    assert all(bucket(highest(number)) == number and bucket(highest(number) + 1) == number + 1 for number in set(numbers))


def test_quantiles_are_those_of_the_sorted_values() -> None:
    values = [random.Random(7).expovariate(100) for _ in range(5000)]
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    values.sort()
    for share in (0.5, 0.9, 0.99, 0.999):
        exact_ms = values[int(share * len(values)) - 1] * 1000
        assert histogram.quantile_ms(share) == pytest.approx(exact_ms, rel=0.0015)
    assert histogram.quantile_ms(1) == histogram.figures()["max"] == pytest.approx(values[-1] * 1000, abs=0.001)


def test_added_up_they_are_as_one() -> None:
    both, first, second = Histogram(), Histogram(), Histogram()
    for number in range(1000):
        (first if number % 3 else second).record(number / 1e5)
        both.record(number / 1e5)
    first.add(second.counts.items(), second.longest_us)
    assert (first.counts, first.longest_us, first.total) == (both.counts, both.longest_us, 1000)


def test_nothing_has_no_latency() -> None:
    assert set(Histogram().figures().values()) == {0.0}
    histogram = Histogram()
    histogram.record(-1e-6)
    assert histogram.counts == {0: 1}
