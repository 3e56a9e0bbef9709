"""What is counted of a fleet's database, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf.database_load import Load, Statement
from perf.fleet import arrangements, costs, quantiles, table, table_of
from tests.support.balancer import configuration


def test_load_between_two_readings() -> None:
    assert Load(9, 80, 70, 60.0, 50, 4.0, 30.0).since(Load(4, 30, 30, 20.0, 20, 1.5, 10.0)) == Load(5, 50, 40, 40.0, 30, 2.5, 20.0)


@pytest.mark.parametrize(("text", "name"), [
    ("INSERT INTO fastscp.studies AS s (key) SELECT key FROM jsonb_to_recordset($1) ON CONFLICT (key) DO UPDATE SET x = 1", "INSERT studies"),
    ("WITH due AS (SELECT s.id FROM fastscp.studies s FOR UPDATE OF s SKIP LOCKED) UPDATE fastscp.studies s SET changed = false",
     "UPDATE studies"),
    ("WITH brought AS (INSERT INTO fastscp.objects (study) SELECT 1) SELECT DISTINCT study FROM brought", "INSERT objects"),
    ("SELECT 1 FROM fastscp.gateways WHERE name = $1 FOR UPDATE", "SELECT gateways"),
    ("SELECT clock_timestamp()", "SELECT clock_timestamp"),
    ("COMMIT", "COMMIT"),
])
def test_statements_have_names(text: str, name: str) -> None:
    assert Statement(1, 1.0, 1, 1, text).name == name


def test_quantiles_of_few_and_of_many() -> None:
    assert quantiles([3.0]) == {"p50": 3.0, "p99": 3.0, "max": 3.0}
    assert quantiles([float(value) for value in range(200)]) == {"p50": 99.5, "p99": 198.0, "max": 199.0}


def test_what_an_object_costs_is_what_its_statements_do_not() -> None:
    found = {"alone": {}, "fleet of 1": {"database_us": 1.0, "statements": 1.0, "wal_octets": 1.0},
             "fleet of 3": {"database_us": 500.0, "statements": 2.0, "wal_octets": 1500.0}}
    idle = {"database_us": 6000.0, "statements": 60.0, "wal_octets": 300.0}
    assert costs(found, idle) == {"statement_us": 100.0, "object_us": 300.0, "object_wal_octets": 1500.0, "idle_wal_octets": 300.0}
    found["fleet of 3 with a store"] = {"database_us": 900.0, "statements": 9.0, "wal_octets": 9.0}
    assert costs(found, idle)["object_us"] == 300.0  # without what a store needs
    found["fleet of 3"]["database_us"] = 150.0
    assert costs(found, idle)["object_us"] == 0.0


def test_tables() -> None:
    row = dict.fromkeys(("objects_per_s", "complete_per_s", "cpu_us", "shipping_us", "uploading_us", "database_us", "balancer_us", "statements", "transactions",
                         "wal_octets", "ratio"), 1.0)
    assert table({"alone": row}).splitlines()[2].startswith("| alone | 1.00 | 1.00 |")
    assert table_of([Statement(10, 5.0, 20, 300, "COMMIT")], 100).splitlines()[2] == "| COMMIT | 0.100 | 0.500 | 2.0 | 30 |"


def test_the_reference_is_alone_and_direct() -> None:
    first, second, *fleets = arrangements([1, 3])
    assert (first.fleet, first.balanced, second.balanced) == (False, False, True)
    assert [(one.gateways, one.fleet, one.balanced) for one in fleets] == [(1, True, True), (3, True, True)]


def test_a_store_is_beside_each_fleet_without_one() -> None:
    fleets = arrangements([1, 3], stored=True)[2:]
    assert [(one.gateways, one.stored) for one in fleets] == [(1, False), (1, True), (3, False), (3, True)]
    assert len({one.name for one in fleets}) == 4


def test_balancer_tells_gateways_who_connects() -> None:
    text = configuration(104, Path("/c"), {"a": 1, "b": 2})
    assert [line.split()[1:5] for line in text.splitlines() if line.startswith("    server")] == [
        ["a", "127.0.0.1:1", "send-proxy-v2", "source"], ["b", "127.0.0.1:2", "send-proxy-v2", "source"]]
