"""What all processes have counted, as one: read from the memory that they count in.

Invariant: a counter never goes back: blocks stay when their processes have died, and only gauges go with them.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import Any

from fastscp.metrics.board import Block, Board, Series
from fastscp.metrics.table import METRICS, Kind, Metric

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Process:
    """A process that counts."""

    role: str
    pid: int
    since: float  #: seconds since 1970
    report: Any  #: what it has under way; None: nothing


@dataclass
class Totals:
    """Values at one time. Those of a histogram are one for each bound, one beyond, and the sum."""

    values: dict[Metric, dict[Labels, list[float]]] = field(default_factory=lambda: {metric: {} for metric in METRICS})

    def of(self, metric: Metric, *labels: str) -> float:
        """Return one value, 0 where there is none."""
        return self.values[metric].get(labels, [0.0])[0]

    def sum(self, metric: Metric) -> float:
        """Return the sum over all labels."""
        return sum(values[0] for values in self.values[metric].values())

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Say what a gauge is that no process tells."""
        self.values[metric][labels] = [value]

    def by(self, metric: Metric) -> dict[str, float]:
        """Return the values by their labels, written together."""
        return {" ".join(labels): values[0] for labels, values in self.values[metric].items()}

    def quantile(self, metric: Metric, share: float) -> float | None:
        """Return an estimate, the upper bound in which so much of a histogram lies; None where there is nothing."""
        merged = [sum(cells) for cells in zip(*self.values[metric].values(), strict=True)][: len(metric.bounds) + 1]
        total = sum(merged)
        if not total:
            return None
        reached, sums = 0.0, []
        for count in merged:
            reached += count
            sums.append(reached)
        index = bisect.bisect_left(sums, share * total)
        return metric.bounds[min(index, len(metric.bounds) - 1)]


class Reader:
    """Reads ``board``. What series a block has is read once; their values each time."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._known: dict[int, tuple[int, list[Series]]] = {}

    def totals(self) -> Totals:
        """Return what was counted until now."""
        totals = Totals()
        for block in self._board.used():
            living = bool(self._board.holder(block.index))
            for series in self._series(block):
                if living or series.metric.kind is not Kind.GAUGE:
                    self._add(totals, series, block)
        return totals

    @staticmethod
    def _add(totals: Totals, series: Series, block: Block) -> None:
        cells = list(block.cells[series.first : series.first + series.metric.cells])
        before = totals.values[series.metric].get(series.labels)
        totals.values[series.metric][series.labels] = (
            cells if before is None else [old + new for old, new in zip(before, cells, strict=True)])

    def _series(self, block: Block) -> list[Series]:
        read, series = self._known.get(block.index, (0, []))
        if (end := block.list_end) != read:
            series = [*series, *block.series(read)]
            self._known[block.index] = end, series
        return series

    def processes(self, *, reports: bool = False) -> list[Process]:
        """Return the processes that live, with their reports where those are wanted."""
        found = []
        for block in self._board.used():
            pid = self._board.holder(block.index)
            if pid:
                found.append(Process(block.role, pid, block.claimed, block.report() if reports else None))
        return found
