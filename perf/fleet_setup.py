"""Gateways of a fleet on this machine, with or without haproxy in front: one round of traffic, and one of silence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from perf.database_load import Load, Watch, patiently
from perf.loads import load
from perf.measure import cpu_seconds, whole_cpu_seconds
from perf.sending import Target, send, templates_of
from tests.support.balancer import ADDRESS, Balancer
from tests.support.fleet import Member
from tests.support.s3 import BUCKET, ENVIRONMENT, Moto

TIMEOUT_S = 1  #: of a study
OVER_S = 60.0  #: for the ends of a round
STORED_S = 300.0  #: for the last manifest of a round
PARTS = 3  #: associations of a study
_WARM_UP = 10  #: objects of one association, before a round


@dataclass(frozen=True)
class Arrangement:
    """Which gateways are measured."""

    name: str
    gateways: int
    fleet: bool
    balanced: bool
    stored: bool = False  #: objects go to an object store, too


class Traffic:
    """What is sent in a round: studies, each over three associations, by so many senders at once."""

    def __init__(self, name: str, *, studies: int, objects: int, senders: int) -> None:
        if objects % PARTS:
            raise SystemExit(f"--objects has to be a multiple of {PARTS}")
        self._templates = templates_of([load(name)])
        self.studies, self._objects, self._senders = studies, objects, senders

    @property
    def count(self) -> int:
        """How many objects there are."""
        return self.studies * self._objects

    def send(self, port: int) -> float:
        """Send everything; return how long that took."""
        return send(Target(port), self._templates, senders=self._senders, each=self._objects, per_association=self._objects // PARTS,
                    studies=self.studies).seconds

    def warm_up(self, port: int) -> None:
        """Send a little."""
        send(Target(port), self._templates, senders=1, each=_WARM_UP)


@contextlib.contextmanager
def gateways(arrangement: Arrangement, directory: Path, watch: Watch) -> Iterator[tuple[list[Member], Balancer | None]]:
    """Have gateways run, which know each other where they are a fleet."""
    watch.fresh()
    options: tuple[object, ...] = ("--proxy-protocol", f"{ADDRESS}/32") if arrangement.balanced else ()
    with contextlib.ExitStack() as stack:
        if arrangement.stored:
            store = stack.enter_context(Moto())
            options += ("--object-store", f"s3://{BUCKET}/p", "--object-store-endpoint", store.url)
        members = [stack.enter_context(Member(directory / f"g{number}", watch.url if arrangement.fleet else None, hook="true",
                                              timeout_s=TIMEOUT_S, options=options,
                                              environment=ENVIRONMENT if arrangement.stored else None)) for number in range(arrangement.gateways)]
        if arrangement.fleet:
            patiently(lambda: watch.count("SELECT count(*) FROM fastscp.gateways WHERE shipped_through IS NOT NULL")
                      == arrangement.gateways, "the fleet knows every gateway", OVER_S)
        ports = {f"g{number}": member.port for number, member in enumerate(members)}
        yield members, stack.enter_context(Balancer(ports)) if arrangement.balanced else None


def measured(arrangement: Arrangement, directory: Path, watch: Watch, traffic: Traffic) -> dict[str, float]:
    """Return the figures of one round; but for objects/s they are for each object, the ends of studies included."""
    with gateways(arrangement, directory, watch) as (members, balancer):
        port = balancer.port if balancer is not None else members[0].port
        processes = [psutil.Process(member.server.process.pid) for member in members
                     if member.server is not None and member.server.process is not None]
        carrier = psutil.Process(balancer.pid) if balancer is not None else None
        traffic.warm_up(port)
        _wait_for_ends(arrangement, members, watch, 1)
        before, at_first = _cpu(processes, carrier), watch.reading()
        began = time.monotonic()
        seconds = traffic.send(port)
        _wait_for_ends(arrangement, members, watch, 1 + traffic.studies)
        if arrangement.stored:
            patiently(lambda: watch.count("SELECT count(DISTINCT study) FROM fastscp.ends WHERE manifest <> ''") == 1 + traffic.studies,
                      "the store has every manifest", STORED_S)
        ended = time.monotonic()
        after, load = _cpu(processes, carrier), watch.reading().since(at_first)
    gateways_s, shipping_s, uploading_s, carrier_s = (now - then for now, then in zip(after, before, strict=True))
    return {"objects_per_s": traffic.count / seconds, "cpu_us": gateways_s * 1e6 / traffic.count,
            "complete_per_s": traffic.count / (ended - began), "uploading_us": uploading_s * 1e6 / traffic.count,
            "shipping_us": shipping_s * 1e6 / traffic.count, "balancer_us": carrier_s * 1e6 / traffic.count,
            **(_figures(load, traffic.count) if arrangement.fleet else dict.fromkeys(_figures(load, 1), 0.0))}


def _figures(load: Load, count: float) -> dict[str, float]:
    return {"database_us": load.cpu_s * 1e6 / count, "statements": load.statements / count, "transactions": load.transactions / count,
            "rows": load.rows / count, "wal_octets": load.wal_octets / count}


def _cpu(processes: list[psutil.Process], carrier: psutil.Process | None) -> tuple[float, float, float, float]:
    """Return the CPU time of gateways, of it that of shipping and that of uploading, and of haproxy."""
    return (sum(map(whole_cpu_seconds, processes)), sum(cpu_seconds(process, "fastscp: fleet") for process in processes),
            sum(cpu_seconds(process, "fastscp: objects") for process in processes),
            whole_cpu_seconds(carrier) if carrier is not None else 0.0)


def _wait_for_ends(arrangement: Arrangement, members: list[Member], watch: Watch, count: int) -> None:
    """Wait until so many studies have ended, with their hooks."""
    if arrangement.fleet:
        # one that is slow here may end twice
        patiently(lambda: watch.count("SELECT count(DISTINCT study) FROM fastscp.ends WHERE done IS NOT NULL") == count, "studies end", OVER_S)
    else:
        patiently(lambda: sum(event["event"] == "study.completed" for member in members for event in member.told()) == count,
                  "studies end", OVER_S)


def idle_load(count: int, directory: Path, watch: Watch, seconds: float) -> dict[str, float]:
    """Return what an idle gateway of a fleet asks of the database each second."""
    with gateways(Arrangement("idle", count, fleet=True, balanced=False), directory, watch):
        before = watch.reading()
        time.sleep(seconds)  # this is what is measured
        load = watch.reading().since(before)
    return _figures(load, count * load.seconds)
