"""Whether the service is well, as probes of service managers and load balancers ask.

*Healthy*: every kind of process is there. *Ready*: new associations are welcome now. Each check is told with its result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from fastscp.metrics import table
from fastscp.monitor.totals import Process, Totals


@dataclass(frozen=True)
class Check:
    """One condition, and what was found."""

    name: str
    ok: bool
    detail: str
    degraded: bool = False  #: the service does what it is for, but not all of it

def healthy(processes: Collection[Process], totals: Totals) -> list[Check]:
    """Check that the processes live."""
    living = Counter(process.role for process in processes)
    workers, wanted = living["worker"], int(totals.of(table.WORKERS_WANTED))
    return [Check("acceptor", living["acceptor"] > 0, f"{living['acceptor']} process"),
            Check("workers", workers >= max(1, wanted), f"{workers} of {wanted} processes"),
            Check("coordinator", living["coordinator"] > 0, f"{living['coordinator']} process")]


def ready(processes: Collection[Process], totals: Totals, free: Mapping[str, tuple[int, int]],
          mark: Callable[[int], int]) -> list[Check]:
    """Check that objects can be received; ``mark`` returns how much of a file system has to be free."""
    acceptor = any(process.role == "acceptor" for process in processes)
    draining, up = totals.of(table.DRAINING) > 0, int(totals.of(table.WORKERS_UP))
    receiving = acceptor and totals.of(table.RECEIVING) > 0
    checks = [Check("receiving", receiving, f"{up} workers take connections" if receiving else "no connection is accepted"),
              Check("draining", not draining, "the service stops" if draining else "the service goes on")]
    if "output" in free:
        octets, size = free["output"]
        wanted = mark(size)
        found = f"{octets} octets free, {wanted} wanted" if size else "the output directory is not there"
        checks.append(Check("disk", octets > 0 and octets >= wanted, found))
    if totals.of(table.FLEET_AWAY):  # there is no such gauge without a fleet
        checks.append(Check("fleet", True, f"the database is away, {int(totals.of(table.FLEET_WAITING))} entries wait", degraded=True))
    if totals.of(table.STORE_AWAY):  # nor of this one without an object store
        checks.append(Check("object store", True, f"it is away, {int(totals.of(table.STORE_WAITING))} objects wait", degraded=True))
    elif totals.of(table.STORE_UNREADABLE):
        checks.append(Check("object store", True, f"{int(totals.of(table.STORE_UNREADABLE))} files cannot be read", degraded=True))
    return checks


def verdict(checks: Collection[Check]) -> dict[str, object]:
    """Return the checks as they are served. A service that is degraded is ok: it receives, and loses nothing."""
    return {"ok": all(check.ok for check in checks), **({"degraded": True} if any(check.degraded for check in checks) else {}),
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}}
