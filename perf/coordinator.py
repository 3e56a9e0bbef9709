#!/usr/bin/env python3
"""What the coordinator costs per object: plain, with ``-su P``, with an event log, with ``-xcr true``, beside storescp.

Interleaved rounds of the same run, one association, files on a tmpfs. CPU is that of the whole process tree (hooks
included), and of the coordinator alone (without hooks). The rows ``sorted-*`` and ``hooked-*`` of perf/bench.py
compare the same with several senders.

    python3 perf/coordinator.py
    python3 perf/coordinator.py --rounds 1 --objects 200 --json result.json
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

MODES = (("plain", ()), ("-su P", ("-su", "P")), ("--event-log", ("--event-log", "/dev/null")), ("-xcr true", ("-xcr", "true")),
         ("-su P -xcr true", ("-su", "P", "-xcr", "true")))


def rows() -> list[Row]:
    """Return a row for each mode; an event log storescp does not have."""
    return [Row(name, ("mr",), senders=1, options=("-dhl", *options), peers=("fastscp", "storescp") if name != "--event-log" else ("fastscp",))
            for name, options in MODES]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--directory", default="/dev/shm", help="where files go (default: a tmpfs)")
    parser.add_argument("--json", help="write every figure to this file")
    arguments = parser.parse_args()
    report = Report(arguments.directory)
    with contextlib.ExitStack() as stack:
        traffic = {}
        for row in rows():
            for name in row.peers:
                server = Running(name, row, arguments.directory)
                stack.callback(server.stop)
                traffic[row, name] = Traffic(server)
        results: dict[Row, dict[str, list[Round]]] = {}
        for number in range(arguments.rounds + 1):  # the first one warms up
            for (row, name), one in traffic.items():
                figures = one.round(arguments.objects if number else min(50, arguments.objects), title="coordinator")
                if number:
                    results.setdefault(row, {}).setdefault(name, []).append(figures)
    for row, found in results.items():
        report.add(row, found, {})
    print(text(report), end="")
    if arguments.json:
        report.write(arguments.json)
    return 0


def text(report: Report) -> str:
    """Return medians, and the ratio to storescp in the same mode."""
    lines = ["| mode | server | objects/s | CPU µs/object | of it coordinator | CPU / storescp |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for found in report.rows:
        rounds, base = found["rounds"], report.beside(found["row"], found["server"])
        lines.append(f"| {found['row']} | {found['server']} | {median(rounds, 'objects_per_s'):.0f} | {median(rounds, 'cpu_us'):.0f} "
                     f"| {median(rounds, 'own_us'):.0f} | {f'{ratio(rounds, base):.2f}' if base else ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
