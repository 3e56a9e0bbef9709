"""Two results of perf/bench.py beside each other: what changed by more than 5 %, and which of that is noise.

Figures of two runs are compared by their ratios to a peer that was measured in both (``storescp``, or what a row has),
so that a machine that was slower that day does not show; where no peer was, by the figures themselves. A change is
noise where the rounds of the two runs overlap: some round of the one is at least as good as some round of the other.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from perf.report import FIGURES, Report

LIMIT = 0.05
#: figures that are compared as they are: a peer's memory or calls say nothing about the machine
_ABSOLUTE = {"peak_mb"}


@dataclass(frozen=True)
class Change:
    """One figure of one server in one row, before and after."""

    row: str
    server: str
    figure: str
    before: float
    after: float
    beside: str  #: the peer, or ""
    overlap: bool

    @property
    def part(self) -> float:
        """How much larger the figure is; -0.1: a tenth smaller."""
        return self.after / self.before - 1 if self.before else 0.0

    @property
    def verdict(self) -> str:
        """Tell what to think of it."""
        if abs(self.part) <= LIMIT:
            return "same"
        if self.overlap:
            return "noise"
        return "better" if (self.part > 0) == FIGURES[self.figure][2] else "worse"


def changes(before: Report, after: Report) -> Iterator[Change]:
    """Compare whatever both runs have."""
    for found in after.rows:
        row, server = found["row"], found["server"]
        if not before.rounds(row, server):
            continue
        for figure in FIGURES:
            peer = "" if figure in _ABSOLUTE else _peer(before, after, row, server)
            old, new = (_values(report, row, server, peer, figure) for report in (before, after))
            yield Change(row, server, figure, statistics.median(old), statistics.median(new), peer,
                         min(old) <= max(new) and min(new) <= max(old))


def _peer(before: Report, after: Report, row: str, server: str) -> str:
    """Return whom the figures of both runs can be seen beside: what is not ours."""
    if not server.startswith("fastscp"):
        return ""
    names = ("storescp +B", "storescp", "floor") if server.endswith("+B") else ("storescp", "floor")
    return next((name for name in names if before.rounds(row, name) and after.rounds(row, name)), "")


def _values(report: Report, row: str, server: str, peer: str, figure: str) -> Sequence[float]:
    rounds = report.rounds(row, server)
    if not peer:
        return [found[figure] for found in rounds]
    return [ours[figure] / theirs[figure] if theirs[figure] else float("nan")
            for ours, theirs in zip(rounds, report.rounds(row, peer), strict=True)]


def text(found: Sequence[Change], *, everything: bool = False) -> str:
    """Return a table of what changed, and how many figures did not."""
    lines = ["| row | server | figure | before | after | change | |", "| --- | --- | --- | ---: | ---: | ---: | --- |"]
    for change in found:
        if change.verdict == "same" and not everything:
            continue
        heading = FIGURES[change.figure][0] + (f" / {change.beside}" if change.beside else "")
        lines.append(f"| {change.row} | {change.server} | {heading} | {change.before:.3g} | {change.after:.3g} "
                     f"| {change.part:+.0%} | {change.verdict} |")
    counts = {verdict: sum(change.verdict == verdict for change in found) for verdict in ("worse", "better", "noise", "same")}
    return "\n".join((*lines, "", ", ".join(f"{count} {verdict}" for verdict, count in counts.items()), ""))
