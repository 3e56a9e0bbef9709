#!/usr/bin/env python3
"""What it costs to have objects on the disk: ``--sync none``, ``object`` and ``group``, in rounds of the same run.

One worker, since only objects of one worker share flushes; 1 and 16 senders at once; plain, and with ``-su P``, where the durable
state is synchronised as well. Ratios are objects per second beside ``none``. The directory has to be on a disk: on a tmpfs
there is nothing to flush.

    python perf/durability.py --directory /var/tmp
    python perf/durability.py --rounds 1 --objects 200 --json result.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import send_all
from coordinator import Server
from loads import Load, loads

SYNC = ("none", "object", "group")
SORTING = {"plain": [], "-su P": ["-su", "P"]}
SENDERS = (1, 16)


def objects_per_second(server: Server, load: Load, senders: int, objects: int, first: int) -> float:
    """Send ``objects`` over so many associations at once."""
    fork = multiprocessing.get_context("fork")
    each = max(1, objects // senders)
    processes = [fork.Process(target=send_all, args=(load, server.port, number, each, 0, first)) for number in range(senders)]
    start = time.monotonic()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds = time.monotonic() - start
    if any(process.exitcode for process in processes):
        raise RuntimeError("a sender failed")
    return each * senders / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, default=640)
    parser.add_argument("--directory", default="/var/tmp", help="where files go (default: /var/tmp)")
    parser.add_argument("--json", help="write every figure to this file")
    arguments = parser.parse_args()
    load = next(load for load in loads() if "38 kB" in load.name)
    servers = {(sorting, sync): Server("fastscp", ["--workers", "1", "--sync", sync, *options], arguments.directory)
               for sorting, options in SORTING.items() for sync in SYNC}
    results: dict[tuple[str, int, str], list[float]] = {}
    try:
        for number in range(arguments.rounds + 1):  # the first one warms up
            for (sorting, sync), server in servers.items():
                for senders in SENDERS:
                    objects = arguments.objects if number else 2 * senders
                    rate = objects_per_second(server, load, senders, objects, number * arguments.objects)
                    if number:
                        results.setdefault((sorting, senders, sync), []).append(rate)
    finally:
        for server in servers.values():
            server.stop()
    report(load, results)
    if arguments.json:
        rows = [{"mode": mode, "senders": senders, "sync": sync, "objects_per_s": rates}
                for (mode, senders, sync), rates in results.items()]
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def report(load: Load, results: dict[tuple[str, int, str], list[float]]) -> None:
    """Print medians, and the ratio to ``none`` of the same round."""
    print(f"{load.name}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}; medians\n")
    print("| mode | senders | `--sync` | objects/s | beside none |")
    print("| --- | ---: | --- | ---: | ---: |")
    for mode in SORTING:
        for senders in SENDERS:
            for sync in SYNC:
                rates, base = results[mode, senders, sync], results[mode, senders, "none"]
                ratio = statistics.median(rate / none for rate, none in zip(rates, base, strict=True))
                print(f"| {mode} | {senders} | {sync} | {statistics.median(rates):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
