#!/usr/bin/env python3
"""What it costs to have objects on the disk: ``--sync none``, ``object`` and ``group``, in rounds of the same run.

One worker, since only objects of one worker share flushes; 1 and 16 senders at once; plain, and with ``-su P``, where the durable
state is synchronised as well. Ratios are objects per second beside ``none``. The directory has to be on a disk: on a tmpfs
there is nothing to flush.

    python3 perf/durability.py --directory /var/tmp
    python3 perf/durability.py --rounds 1 --objects 200 --json result.json
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from perf.report import Report, Round, median, ratio
from perf.rows import Row
from perf.running import Running, Traffic

SYNC = ("none", "object", "group")
SORTING: dict[str, tuple[str, ...]] = {"plain": (), "-su P": ("-su", "P")}
SENDERS = (1, 16)


def rows() -> list[Row]:
    """Return a row for each combination; its name has all of them."""
    return [Row(f"{sorting} | {senders} | {sync}", ("mr",), senders=senders, options=("-dhl", "--workers", "1", "--sync", sync, *options),
                peers=("fastscp",))
            for sorting, options in SORTING.items() for senders in SENDERS for sync in SYNC]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, default=640)
    parser.add_argument("--directory", default="/var/tmp", help="where files go (default: /var/tmp)")
    parser.add_argument("--json", help="write every figure to this file")
    arguments = parser.parse_args()
    results: dict[Row, list[Round]] = {}
    with contextlib.ExitStack() as stack:
        traffic = {}
        for row in rows():
            server = Running("fastscp", row, arguments.directory)
            stack.callback(server.stop)
            traffic[row] = Traffic(server)
        for number in range(arguments.rounds + 1):  # the first one warms up
            for row, one in traffic.items():
                figures = one.round(max(row.senders, arguments.objects) if number else 2 * row.senders)
                if number:
                    results.setdefault(row, []).append(figures)
    report = Report(arguments.directory)
    for row, rounds in results.items():
        report.add(row, {"fastscp": rounds}, {})
    print(text(report), end="")
    if arguments.json:
        report.write(arguments.json)
    return 0


def text(report: Report) -> str:
    """Return medians, and the ratio to ``none`` of the same round."""
    lines = ["| mode | senders | `--sync` | objects/s | beside none |", "| --- | ---: | --- | ---: | ---: |"]
    for found in report.rows:
        base = report.rounds(f"{found['row'].rpartition(' ')[0]} none", "fastscp")
        lines.append(f"| {found['row']} | {median(found['rounds'], 'objects_per_s'):.0f} "
                     f"| {ratio(found['rounds'], base, 'objects_per_s'):.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
