#!/usr/bin/env python3
"""Draw results of perf/bench.py: CPU per object beside a peer, one bar for each server, as SVG.

    python3 perf/plot.py result.json > result.svg
    python3 perf/plot.py result.json --figure p99_ms --peer "storescp +B" --output latency.svg

A bar is as long as the ratio of the figure to the peer's, the median over rounds; the thin line in it leads from the
least of the rounds to the most. Bars begin at 0. What is longer than three times the peer ends in a zigzag.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from perf.report import FIGURES, Report, ratio

_LEFT, _UNIT, _MOST = 230, 180, 3.0
_BAR, _GAP, _TOP = 15, 14, 54
_COLOURS = ("#1b6ca8", "#5aa9e6", "#8a8a8a", "#c4c4c4", "#d98324", "#e8b26a", "#7b5ea7", "#4c956c", "#333333")


def draw(report: Report, figure: str = "cpu_us", peer: str = "storescp") -> str:
    """Return the drawing of a figure beside a peer; rows in which the peer took no part are left out."""
    bars: list[str] = []
    at = _TOP
    servers = list(dict.fromkeys(found["server"] for found in report.rows))
    for name in dict.fromkeys(found["row"] for found in report.rows):
        base = report.rounds(name, peer)
        if not base:
            continue
        bars.append(f'<text x="4" y="{at + 12}" font-weight="bold">{escape(name)}</text>')
        for number, server in enumerate(servers):
            rounds = report.rounds(name, server)
            if rounds:
                ratios = [ratio([one], [other], figure) for one, other in zip(rounds, base, strict=True)]
                bars += _bar(at, server, ratios, _COLOURS[number % len(_COLOURS)])
                at += _BAR
        at += _GAP
    better = "more" if FIGURES[figure][2] else "less"
    width, line = _LEFT + int(_UNIT * _MOST) + 70, _LEFT + _UNIT
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{at}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(FIGURES[figure][0])} beside {escape(peer)}</title>",
        f'<rect width="{width}" height="{at}" fill="#ffffff"/>',
        f'<text x="4" y="18" font-size="14">{escape(FIGURES[figure][0])} / {escape(peer)} of the same run, {better} is better</text>',
        f'<text x="4" y="36" fill="#666666">{escape(_facts(report))}</text>',
        *bars, f'<line x1="{line}" y1="{_TOP - 8}" x2="{line}" y2="{at}" stroke="#c0392b" stroke-dasharray="3 3"/>', "</svg>", ""))


def _bar(at: int, server: str, ratios: list[float], colour: str) -> list[str]:
    """Draw one server's bar, its name and its number."""
    found = statistics.median(ratios)
    length, least, most = (int(_UNIT * min(value, _MOST)) for value in (found, min(ratios), max(ratios)))
    middle, end = at + _BAR // 2, _LEFT + length
    zigzag = f"M{end - 8} {at} l4 4 l-4 4 l4 4" if found > _MOST else ""
    return [
        f'<text x="{_LEFT - 6}" y="{at + 11}" text-anchor="end">{escape(server)}</text>',
        f'<rect x="{_LEFT}" y="{at + 1}" width="{length}" height="{_BAR - 2}" fill="{colour}"/>',
        f'<path d="M{_LEFT + least} {middle} H{_LEFT + most} {zigzag}" stroke="#000000" stroke-opacity="0.5" fill="none"/>',
        f'<text x="{max(end, _LEFT + most) + 4}" y="{at + 11}">{found:.2f}</text>']


def _facts(report: Report) -> str:
    facts = report.machine
    return f"{facts['machine']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, Python {facts['python']}, {facts['date']}"


def main() -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", help="JSON of perf/bench.py")
    parser.add_argument("--figure", default="cpu_us", choices=FIGURES)
    parser.add_argument("--peer", default="storescp")
    parser.add_argument("--output", default="/dev/stdout")
    arguments = parser.parse_args()
    Path(arguments.output).write_text(draw(Report.read(arguments.result), arguments.figure, arguments.peer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
