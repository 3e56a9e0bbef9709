"""The run over time as an SVG: objects a second, and latencies on a logarithmic scale; failures are marked.

Nothing but text is needed to make it, and any browser shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from fastscp.blast.histogram import Histogram
from fastscp.blast.result import Result
from fastscp.blast.tally import SLICE_S, Slice

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _GAP, _TOP = 900, 220, 70, 20, 60, 50
_MOST_COLUMNS = 400
_STYLE = ("text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.rate{fill:none;stroke:#1764ab;stroke-width:1.5}"
          ".p50{fill:none;stroke:#2a8a4a;stroke-width:1.5}.p99{fill:none;stroke:#c0392b;stroke-width:1.5}.failed{stroke:#e67e22;stroke-width:2}")


@dataclass
class Column:
    """Some slices that are shown as one."""

    second: float
    rate: float
    p50_ms: float
    p99_ms: float
    failures: int


def columns(slices: dict[int, Slice], most: int = _MOST_COLUMNS) -> list[Column]:
    """Put slices together until there are no more than ``most``; slices in which nothing happened count too."""
    if not slices:
        return []
    last = max(slices)
    width = math.ceil((last + 1) / most)
    made = []
    for first in range(0, last + 1, width):
        parts = [slices.get(number, Slice()) for number in range(first, min(first + width, last + 1))]
        latency = Histogram()
        for part in parts:
            latency.add(part.latency.counts.items(), part.latency.longest_us)
        made.append(Column(first * SLICE_S, sum(part.objects for part in parts) / (len(parts) * SLICE_S), latency.quantile_ms(0.5),
                           latency.quantile_ms(0.99), sum(part.failures for part in parts)))
    return made


def svg(result: Result) -> str:
    """Return the plot."""
    shown = columns(result.book.slices)
    seconds = max((column.second for column in shown), default=0.0) + SLICE_S
    height = _TOP + 2 * _HEIGHT + 2 * _GAP
    title = f"{result.book.objects} objects, {result.objects_per_s:.1f}/s, {result.octets_per_s / 1e6:.1f} MB/s"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
             f"<style>{_STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>',
             f'<text x="{_LEFT}" y="24" font-weight="bold">{escape(title)}</text>']
    highest = _round_up(max((column.rate for column in shown), default=0.0) or 1.0)
    parts += _panel(_TOP, "objects/s", [(highest * part / 4, f"{highest * part / 4:g}") for part in range(5)], highest, seconds)
    parts.append(_curve("rate", [(column.second, column.rate / highest) for column in shown], _TOP, seconds))
    parts += (f'<line class="failed" x1="{_x(column.second, seconds)}" x2="{_x(column.second, seconds)}" y1="{_TOP}" '
              f'y2="{_TOP + _HEIGHT}"><title>{column.failures} failed</title></line>' for column in shown if column.failures)
    parts += _latencies(shown, seconds)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _latencies(shown: Sequence[Column], seconds: float) -> Iterable[str]:
    top = _TOP + _HEIGHT + _GAP
    values = [value for column in shown for value in (column.p50_ms, column.p99_ms) if value > 0]
    low = math.floor(math.log10(min(values, default=1.0)))
    high = max(math.ceil(math.log10(max(values, default=10.0))), low + 1)
    marks = [(float(power - low), f"{10.0 ** power:g}") for power in range(low, high + 1)]
    yield from _panel(top, "latency, ms: p50 green, p99 red", marks, float(high - low), seconds)
    for name in ("p50", "p99"):
        points = [(column.second, (math.log10(getattr(column, f"{name}_ms")) - low) / (high - low))
                  for column in shown if getattr(column, f"{name}_ms") > 0]
        yield _curve(name, points, top, seconds)


def _panel(top: int, title: str, marks: Sequence[tuple[float, str]], highest: float, seconds: float) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="{top - 8}">{escape(title)}</text>']
    for value, label in marks:
        y = top + _HEIGHT * (1 - value / highest)
        parts += (f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
                  f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    step = _round_up(seconds / 10)
    for number in range(int(seconds / step) + 1):
        parts.append(f'<text x="{_x(number * step, seconds)}" y="{top + _HEIGHT + 18}" text-anchor="middle">{number * step:g} s</text>')
    return parts


def _x(second: float, seconds: float) -> str:
    return f"{_LEFT + (_WIDTH - _LEFT - _RIGHT) * second / seconds:.1f}"


def _curve(name: str, points: Iterable[tuple[float, float]], top: int, seconds: float) -> str:
    drawn = " ".join(f"{_x(second, seconds)},{top + _HEIGHT * (1 - share):.1f}" for second, share in points)
    return f'<polyline class="{name}" points="{drawn}"/>'


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10 and so on."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= value * 0.999999)
