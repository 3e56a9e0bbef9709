"""How often each latency was met: log-linear buckets, as HdrHistogram has them.

Up to 2,048 µs a bucket is one microsecond wide; above, each power of two has 1,024 buckets, so no value is off by more than
a thousandth. Only buckets that were met take memory, and histograms add up, which mean values of percentiles do not.
"""

from __future__ import annotations

from collections.abc import Iterable

_EXACT_BITS = 11  #: values of so many bits have a bucket of their own
_HALF = 1 << _EXACT_BITS - 1


def bucket(value_us: int) -> int:
    """Return the number of the bucket of a value."""
    shift = value_us.bit_length() - _EXACT_BITS
    return value_us if shift <= 0 else shift * _HALF + (value_us >> shift)


def highest(number: int) -> int:
    """Return the highest value of a bucket, in microseconds."""
    if number < 2 * _HALF:
        return number
    shift = number // _HALF - 1
    return ((number - shift * _HALF) << shift) + (1 << shift) - 1


class Histogram:
    """Counts of latencies."""

    __slots__ = ("counts", "longest_us")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.longest_us = 0

    def record(self, seconds: float) -> None:
        """Count one latency; one that is negative, by the clock's grain, counts as nothing."""
        value_us = int(seconds * 1e6)
        if value_us > self.longest_us:
            self.longest_us = value_us
        elif value_us < 0:
            value_us = 0
        number = bucket(value_us)
        self.counts[number] = self.counts.get(number, 0) + 1

    def add(self, counts: Iterable[tuple[int, int]], longest_us: int) -> None:
        """Take in another one."""
        mine = self.counts
        for number, count in counts:
            mine[number] = mine.get(number, 0) + count
        self.longest_us = max(self.longest_us, longest_us)

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts.values())

    def quantile_ms(self, share: float) -> float:
        """Return the least latency, in milliseconds, that ``share`` of all do not exceed; 0 when there is none."""
        wanted = share * self.total
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= wanted:
                return min(highest(number), self.longest_us) / 1000
        return 0.0

    def figures(self) -> dict[str, float]:
        """Return what is told of it, in milliseconds."""
        return {"p50": self.quantile_ms(0.5), "p90": self.quantile_ms(0.9), "p99": self.quantile_ms(0.99),
                "p99.9": self.quantile_ms(0.999), "max": self.longest_us / 1000}
