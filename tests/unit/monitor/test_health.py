"""A service whose fleet's database is away is degraded, and goes on receiving."""

from __future__ import annotations

from fastscp.metrics import table
from fastscp.monitor import health
from fastscp.monitor.totals import Process, Totals


def verdict(away: float | None) -> dict[str, object]:
    totals = Totals()
    totals.set(table.RECEIVING, 1)
    totals.set(table.WORKERS_UP, 1)
    if away is not None:
        totals.set(table.FLEET_AWAY, away)
        totals.set(table.FLEET_WAITING, 7)
    acceptor = Process("acceptor", 1, 0.0, None)
    return health.verdict(health.ready([acceptor], totals, {}, lambda _size: 0))


def test_without_a_fleet_nothing_is_said_of_one() -> None:
    assert verdict(None) == verdict(0)
    assert set(verdict(None)) == {"ok", "checks"}


def test_a_database_that_is_away_degrades_the_service_and_no_more() -> None:
    found = verdict(1)
    assert (found["ok"], found["degraded"]) == (True, True)
    assert found["checks"]["fleet"]["detail"] == "the database is away, 7 entries wait"  # type: ignore[index]
