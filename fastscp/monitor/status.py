"""The status of the service as JSON, for people, programs, and the live pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Any

from fastscp.metrics import table
from fastscp.metrics.table import Kind
from fastscp.monitor.health import Check, verdict
from fastscp.monitor.history import Point
from fastscp.monitor.totals import Process, Totals

MOST = 100  #: of each list


def status(totals: Totals, processes: Collection[Process], checks: Collection[Check], *, now: float, version: str) -> dict[str, Any]:
    """Return all that is known, at ``now`` (seconds since 1970)."""
    reports = {role: [process.report for process in processes if process.role == role and process.report] for role in
               ("acceptor", "worker", "coordinator")}
    return {
        "version": version,
        "time": now,
        "started": totals.of(table.STARTED),
        "ready": verdict(checks),
        "associations": _latest(reports["worker"], "associations", "seconds"),
        "refusals": _latest((*reports["worker"], *reports["acceptor"]), "refusals", "time"),
        "studies": {"open": _latest(reports["coordinator"], "studies", "last"),
                    "completed": _latest(reports["coordinator"], "completed", "time")},
        "hooks": {"running": _latest(reports["coordinator"], "running", "started"),
                  "ended": _latest(reports["coordinator"], "ended", "time")},
        "processes": [{"role": process.role, "pid": process.pid, "since": process.since} for process in processes],
        "metrics": {metric.exposed: value for metric, value in _values(totals)},
        "seconds": {"answer_median": totals.quantile(table.OBJECT_SECONDS, 0.5),
                    "answer_95": totals.quantile(table.OBJECT_SECONDS, 0.95)},
    }


def glance(totals: Totals, history: Iterable[Point], whole: dict[str, Any]) -> dict[str, Any]:
    """Return what a live page shows: the status, and the last minutes."""
    return {**whole, "history": [[point.time, point.objects, point.octets, point.associations, point.failures] for point in history],
            "stored": totals.sum(table.OBJECT_BYTES)}


def _latest(reports: Iterable[dict[str, Any]], what: str, by: str) -> list[dict[str, Any]]:
    """Return what several processes report, the latest first."""
    return sorted((one for report in reports for one in report.get(what, ())), key=itemgetter(by), reverse=True)[:MOST]


def _values(totals: Totals) -> Iterable[tuple[table.Metric, object]]:
    for metric in table.METRICS:
        if metric.kind is not Kind.HISTOGRAM:
            yield metric, ([{**dict(zip(metric.labels, labels, strict=True)), "value": cells[0]}
                            for labels, cells in sorted(totals.values[metric].items())]
                           if metric.labels else totals.of(metric))
