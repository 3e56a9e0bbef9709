#!/usr/bin/env python3
"""What a fleet costs: gateways on ports of this machine, haproxy in front, a PostgreSQL of their own.

    python3 perf/fleet.py                                   objects/s and the database's load, ends of studies, an idle fleet
    python3 perf/fleet.py --gateways 1,2,3 --rounds 5 --load ct --json fleet.json
    python3 perf/fleet.py --object-store                    each fleet with an object store and without, and times until manifests
    python3 perf/fleet.py --fsync --directory /var/tmp      the database on a disk, as it should be
    python3 perf/fleet.py --kills --seed 3 --studies 100    no figures: kill processes, and see that nothing is lost
    python3 perf/fleet.py --kills --object-store            and that an object store has everything

"alone" is one gateway without a fleet and without haproxy, in the same rounds; "alone behind haproxy" tells what haproxy costs. Every
gateway has one worker. With --kills the exit status is 1 when an object, an end, a revision or a hook is missing, or is there twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf.database_load import SETTINGS, Statement, Watch
from perf.fleet_setup import Arrangement, Traffic, idle_load, measured
from tests.support import balancer, postgres
from tests.support.fleet_run import Outcome, Run, said_of
from tests.support.fleet_store import StoreBehind

FIGURES = {"objects_per_s": "objects/s", "complete_per_s": "objects/s until all is complete", "cpu_us": "CPU of gateways, µs", "shipping_us": "of it shipping, µs", "uploading_us": "of it uploading, µs",
           "database_us": "CPU of PostgreSQL, µs", "balancer_us": "CPU of haproxy, µs", "statements": "statements",
           "transactions": "transactions", "wal_octets": "WAL, octets"}


def quantiles(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and the maximum."""
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], "max": ordered[-1]}


def arrangements(gateways: list[int], *, stored: bool = False) -> list[Arrangement]:
    """Return what is measured, the reference first."""
    return [Arrangement("alone", 1, fleet=False, balanced=False), Arrangement("alone behind haproxy", 1, fleet=False, balanced=True),
            *(Arrangement(f"fleet of {count}{' with a store' if with_store else ''}", count, fleet=True, balanced=True, stored=with_store)
              for count in gateways for with_store in ([False, True] if stored else [False]))]


def throughput(arguments: argparse.Namespace, watch: Watch, traffic: Traffic) -> dict[str, dict[str, float]]:
    """Run the rounds; return the median of each figure."""
    rounds: dict[str, list[dict[str, float]]] = {}
    for number in range(arguments.rounds):
        for arrangement in arrangements(arguments.gateways, stored=arguments.object_store):
            with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
                rounds.setdefault(arrangement.name, []).append(measured(arrangement, Path(directory), watch, traffic))
            print(f"round {number + 1}: {arrangement.name}", file=sys.stderr)
    found = {}
    for name, figures in rounds.items():
        found[name] = {figure: statistics.median(one[figure] for one in figures) for figure in figures[0]}
        found[name]["ratio"] = statistics.median(one["objects_per_s"] / alone["objects_per_s"]
                                                 for one, alone in zip(figures, rounds["alone"], strict=True))
    return found


def costs(found: dict[str, dict[str, float]], idle: dict[str, float]) -> dict[str, float]:
    """Return what perf/simulation.py takes: what a statement costs the database, and what an object does besides.

    An idle fleet has statements and no objects, so it tells the one; what is left of a loaded one is the other.
    """
    most = found[max(name for name in found if name.startswith("fleet") and "store" not in name)]
    statement_us = idle["database_us"] / idle["statements"]
    return {"statement_us": statement_us, "object_us": max(0.0, most["database_us"] - most["statements"] * statement_us),
            "object_wal_octets": most["wal_octets"], "idle_wal_octets": idle["wal_octets"]}


def table(found: dict[str, dict[str, float]]) -> str:
    """Return the rounds as a table; all but the first columns are for each object."""
    lines = ["| for each object | beside alone | " + " | ".join(FIGURES.values()) + " |", "| --- |" + " ---: |" * (len(FIGURES) + 1)]
    lines.extend(f"| {name} | {row['ratio']:.2f} | " + " | ".join(f"{row[key]:.{2 if row[key] < 10 else 0}f}" for key in FIGURES) + " |"
                 for name, row in found.items())
    return "\n".join(lines)


def table_of(kinds: list[Statement], objects: int) -> str:
    """Return what the database was asked for most of its time."""
    lines = ["| statement | calls an object | ms a call | rows a call | WAL a call, octets |", "| --- | ---: | ---: | ---: | ---: |"]
    lines.extend(f"| {kind.name} | {kind.calls / objects:.3f} | {kind.total_ms / kind.calls:.3f} | {kind.rows / kind.calls:.1f} "
                 f"| {kind.wal_octets / kind.calls:.0f} |" for kind in kinds[:12])
    return "\n".join(lines)


def ends(arguments: argparse.Namespace, server: postgres.Postgres) -> Outcome:
    """Send studies through all gateways at a pace that nobody notices; the outcome has the lags of their ends."""
    server.query("DROP SCHEMA IF EXISTS fastscp CASCADE")
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.directory))
        store = stack.enter_context(StoreBehind()) if arguments.object_store else None
        return Run(Path(directory), server, studies=arguments.studies, seed=arguments.seed, at_once=arguments.at_once,
                   balanced=True, kills=arguments.kills, store=store).run()


def measure(arguments: argparse.Namespace, server: postgres.Postgres) -> dict[str, Any]:
    """Measure everything; print it, and return it."""
    traffic = Traffic(arguments.load, studies=arguments.traffic_studies, objects=arguments.objects, senders=arguments.senders)
    with Watch(server) as watch, tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        found = throughput(arguments, watch, traffic)
        print(table(found))
        kinds = watch.statements()
        fleets = sum(arrangement.fleet for arrangement in arrangements(arguments.gateways, stored=arguments.object_store))
        print("\n" + table_of(kinds, traffic.count * arguments.rounds * fleets))
        idle = idle_load(max(arguments.gateways), Path(directory), watch, arguments.idle)
    print(f"\nan idle gateway, each second: {idle['statements']:.1f} statements, {idle['transactions']:.1f} transactions, "
          f"{idle['database_us']:.0f} µs of CPU, {idle['wal_octets']:.0f} octets of WAL")
    measured = {"load": arguments.load, "fsync": arguments.fsync, "rounds": found, "idle_gateway_second": idle, "costs": costs(found, idle),
                "statements": [{**asdict(kind), "name": kind.name} for kind in kinds]}
    if not arguments.studies:
        return measured
    outcome = ends(arguments, server)
    lags = quantiles(outcome.lags_s)
    print(f"\nfrom the last object to the end of its study, beyond -tos, s: p50 {lags['p50']:.2f}, p99 {lags['p99']:.2f}, "
          f"max {lags['max']:.2f} ({len(outcome.lags_s)} studies through three gateways)")
    if outcome.faults:
        raise SystemExit(said_of(outcome))
    if not outcome.manifest_lags_s:
        return {**measured, "end_lag_s": lags}
    manifests = quantiles(outcome.manifest_lags_s)
    print(f"to its manifest in the store, likewise: p50 {manifests['p50']:.2f}, p99 {manifests['p99']:.2f}, max {manifests['max']:.2f}")
    return {**measured, "end_lag_s": lags, "manifest_lag_s": manifests}


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--gateways", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2, 3], metavar="N[,N...]")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--load", default="mr", help="which objects, as perf/bench.py has them")
    made.add_argument("--traffic-studies", type=int, default=24, help="of a round; each goes over three associations")
    made.add_argument("--objects", type=int, default=60, help="of each of those studies")
    made.add_argument("--senders", type=int, default=6)
    made.add_argument("--idle", type=float, default=10.0, metavar="SECONDS", help="how long an idle fleet is watched")
    made.add_argument("--studies", type=int, default=40, help="of the run that looks at ends; 0: none")
    made.add_argument("--at-once", type=int, default=4, help="so many of them at a time")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--kills", action="store_true", help="only that run, and kill processes meanwhile")
    made.add_argument("--object-store", action="store_true", help="gateways upload to an S3 server (moto): each fleet with it and without, and the time "
                      "until manifests; with --kills it is cut off as well")
    made.add_argument("--fsync", action="store_true", help="the database writes to its disk, as it does in earnest")
    made.add_argument("--directory", default="/dev/shm", help="where gateways store (default: a tmpfs)")
    made.add_argument("--json", default="", help="write every figure to this file")
    return made


def main() -> int:
    """Measure, or kill."""
    arguments = parser().parse_args()
    missing = [name for name, there in (("haproxy", balancer.program()), ("postgresql", postgres.program("initdb")),
                                        ("postgresql-client", shutil.which("psql"))) if not there]
    if missing:
        print(f"needs {', '.join(missing)} (apt-get install)", file=sys.stderr)
        return 2
    settings = (*SETTINGS, *(("fsync=on",) if arguments.fsync else ()))
    with postgres.Postgres(settings) as server:
        if arguments.kills:
            outcome = ends(arguments, server)
            print(said_of(outcome), end="")
            return int(bool(outcome.faults))
        found = measure(arguments, server)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
