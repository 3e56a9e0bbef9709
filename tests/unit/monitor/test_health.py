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


def of_store(away: float, unreadable: float = 0.0) -> dict[str, object]:
    totals = Totals()
    totals.set(table.RECEIVING, 1)
    totals.set(table.WORKERS_UP, 1)
    for metric, value in ((table.STORE_AWAY, away), (table.STORE_WAITING, 7), (table.STORE_UNREADABLE, unreadable)):
        totals.set(metric, value)
    return health.verdict(health.ready([Process("acceptor", 1, 0.0, None)], totals, {}, lambda _size: 0))


def test_an_object_store_that_is_away_degrades_the_service_and_no_more() -> None:
    assert set(of_store(0)) == {"ok", "checks"}
    found = of_store(1)
    assert (found["ok"], found["degraded"]) == (True, True)
    assert found["checks"]["object store"]["detail"] == "it is away, 7 objects wait"  # type: ignore[index]


def test_files_that_cannot_be_uploaded_are_told() -> None:
    found = of_store(0, unreadable=2)
    assert (found["ok"], found["degraded"]) == (True, True)
    assert found["checks"]["object store"]["detail"] == "2 files cannot be read"  # type: ignore[index]
