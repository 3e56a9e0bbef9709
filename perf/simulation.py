#!/usr/bin/env python3
"""A fleet in simulated time: what its database has to carry, when studies end, and what happens when something is away.

    python3 perf/simulation.py                                   100 gateways, 10,000 associations, in four weathers
    python3 perf/simulation.py --costs fleet.json                with what perf/fleet.py --json fleet.json has measured
    python3 perf/simulation.py --weather calm --gateways 400 --associations 40000 --cores 16
    python3 perf/simulation.py --limits 25,50,100,200            calm weather, more and more of everything

Trackers, journals, batches and times are the program's own; the database is a model (perf/simulated/rules.py), the network a delay. The
seed decides everything: two runs are the same. Exit status 1: a study ended too early, twice, or without an object.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf.fleet import quantiles
from perf.simulated.gateway import Terms
from perf.simulated.server import Costs
from perf.simulated.world import Plan, World

WEATHERS = {"calm": "nothing happens", "death": "one gateway is killed in the middle, and is back after 200 s",
            "away": "the database is away for 10 minutes", "slow": "the way of one gateway to the database takes 100 times as long"}
COLUMNS = {"objects_per_s": "objects/s", "transactions_per_s": "transactions/s", "statements_per_s": "statements/s",
           "rows_per_s": "rows/s", "shipped_octets_per_s": "shipped, octets/s", "wal_octets_per_s": "WAL, octets/s",
           "busy_cores": "busy cores", "most_busy_cores": "at the most", "outbox_share": "lock of the outbox, share"}


def in_weather(plan: Plan, weather: str) -> Plan:
    """Return a plan with what is to happen."""
    middle = plan.ramp_s
    return {"calm": plan, "death": replace(plan, dies=(middle, middle + 200.0)), "away": replace(plan, away=(middle, middle + 600.0)),
            "slow": replace(plan, slow=100.0)}[weather]


def simulate(plan: Plan) -> dict[str, float | list[str]]:
    """Run one simulation; return what came of it."""
    world = World(plan)
    world.run()
    lags = {f"lag_{name}_s": value for name, value in quantiles(world.tables.lags_s).items()}
    return {**world.carried(), **lags, "faults": world.verdict()}


def costs_of(path: str) -> Costs:
    """Return the costs that perf/fleet.py has measured; what it does not measure stays."""
    measured = json.loads(Path(path).read_text(encoding="utf-8"))["costs"]
    return replace(Costs(), **{field.name: measured[field.name] for field in fields(Costs) if field.name in measured})


def line(name: str, found: dict[str, float]) -> str:
    """Return a row of the table."""
    carried = " | ".join(f"{found[key]:,.2f}" if found[key] < 10 else f"{found[key]:,.0f}" for key in COLUMNS)
    return (f"| {name} | {carried} | {found['lag_p50_s']:.1f} | {found['lag_p99_s']:.1f} | {found['lag_max_s']:.1f} | {found['ends']} "
            f"| {found['most_waiting']} |")


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    plan = Plan()
    made.add_argument("--weather", default=",".join(WEATHERS), help=f"{', '.join(f'{name}: {what}' for name, what in WEATHERS.items())}")
    made.add_argument("--limits", default="", metavar="N[,N...]", help="calm weather with so many gateways, and as many associations for each")
    made.add_argument("--gateways", type=int, default=plan.gateways)
    made.add_argument("--associations", type=int, default=plan.associations)
    made.add_argument("--parts", type=int, default=plan.parts, help="associations of one study, each on another gateway")
    made.add_argument("--objects", type=int, default=plan.objects, help="of an association")
    made.add_argument("--interval", type=float, default=plan.interval_s, help="seconds between two of them")
    made.add_argument("--cores", type=int, default=plan.cores, help="of the database")
    made.add_argument("--timeout", type=float, default=plan.terms.timeout_s, help="-tos")
    made.add_argument("--gateway-timeout", type=float, default=plan.terms.limit_s)
    made.add_argument("--costs", default="", metavar="FILE", help="of perf/fleet.py --json")
    made.add_argument("--seed", type=int, default=plan.seed)
    made.add_argument("--json", default="", help="write every figure to this file")
    return made


def plans(arguments: argparse.Namespace) -> dict[str, Plan]:
    """Return what is to be simulated, by name."""
    plan = Plan(gateways=arguments.gateways, associations=arguments.associations, parts=arguments.parts, objects=arguments.objects,
                interval_s=arguments.interval, cores=arguments.cores, terms=Terms(arguments.timeout, arguments.gateway_timeout),
                costs=costs_of(arguments.costs) if arguments.costs else Costs(), seed=arguments.seed)
    if arguments.limits:
        each = plan.associations // plan.gateways
        return {f"{count} gateways": replace(plan, gateways=count, associations=count * each)
                for count in map(int, arguments.limits.split(","))}
    return {weather: in_weather(plan, weather) for weather in arguments.weather.split(",")}


def main() -> int:
    """Simulate, and print the table."""
    made = parser()
    arguments = made.parse_args()
    if any(weather not in WEATHERS for weather in arguments.weather.split(",")):
        made.error(f"weathers are {', '.join(WEATHERS)}")
    if arguments.parts > arguments.gateways:
        made.error("a study cannot go over more gateways than there are")
    print(f"| | {' | '.join(COLUMNS.values())} | lag p50, s | p99 | max | ends | journal, most entries |\n"
          f"| --- |{' ---: |' * (len(COLUMNS) + 5)}")
    results = {}
    for name, plan in plans(arguments).items():
        results[name] = simulate(plan)
        print(line(name, results[name]), flush=True)
    faults = [f"{name}: {fault}" for name, found in results.items() for fault in found["faults"]]
    print("".join(f"{fault}\n" for fault in faults[:20]), end="")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
