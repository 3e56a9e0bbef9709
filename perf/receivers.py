#!/usr/bin/env python3
"""Compare Storage SCPs with fastscp-blast: fastscp, storescp --fork, dcmrecv, Orthanc and pynetdicom, in turn.

    python3 perf/receivers.py                       the table of docs/performance.md
    python3 perf/receivers.py --objects 50 --loads sr --receivers fastscp,dcmrecv

Every object is looked for afterwards. Receivers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import perf  # noqa: F401 - says what is missing
from fastscp.blast.plan import Checks, Plan, Target
from fastscp.blast.result import Result
from fastscp.blast.run import run
from tests.support.receivers import RECEIVERS, has_dcmrecv, orthanc


def one(port: int, directory: Path, load: str, objects: int, associations: int) -> Result:
    """Send one load; everything has to be kept."""
    result = run(Plan(Target("127.0.0.1", port), load=load, objects=objects, associations=associations, checks=Checks(str(directory))))
    if not result.good:
        raise SystemExit("\n".join(result.remarks()))
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loads", default="sr,mr,ct")
    parser.add_argument("--receivers", default=",".join(RECEIVERS))
    parser.add_argument("--directory", default="/dev/shm", help="where they store (default: a tmpfs)")
    arguments = parser.parse_args()
    missing = {name for name, there in (("Orthanc", orthanc()), ("dcmrecv", has_dcmrecv())) if not there}
    names = [name for name in arguments.receivers.split(",") if name not in missing]
    print("| load | receiver | objects/s | MB/s | p50 ms | p99 ms | max ms |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for load in arguments.loads.split(","):
        results: dict[str, list[Result]] = {name: [] for name in names}
        for _ in range(arguments.rounds):
            for name in names:
                with tempfile.TemporaryDirectory(dir=arguments.directory) as base:
                    directory = Path(base) / "in"
                    directory.mkdir()
                    with RECEIVERS[name](directory) as server:
                        one(server.port, directory, load, 10, 1)  # warms up
                        results[name].append(one(server.port, directory, load, arguments.objects, arguments.associations))
        for name, rounds in results.items():
            row = [statistics.median(figures) for figures in zip(*(
                (result.objects_per_s, result.octets_per_s / 1e6, *(result.book.latency.figures()[key] for key in ("p50", "p99", "max")))
                for result in rounds), strict=True)]
            print(f"| {load} | {name} | {row[0]:.0f} | {row[1]:.1f} | {row[2]:.1f} | {row[3]:.1f} | {row[4]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
