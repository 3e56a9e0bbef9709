"""The fleet in simulated time: what may never happen does not, in any weather, and would be seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from fastscp.fleet.batch import Batch
from perf.simulated.clock import Clock
from perf.simulated.gateway import Terms
from perf.simulated.rules import Tables
from perf.simulated.server import AWAY, Costs, Server, Work
from perf.simulated.world import Checked, Plan, World
from perf.simulation import WEATHERS, costs_of, in_weather, main, simulate

SMALL = Plan(gateways=5, associations=24, parts=3, objects=4, interval_s=1.0, ramp_s=8.0, terms=Terms(timeout_s=5.0, limit_s=20.0))


def world(**changes: Any) -> World:
    made = World(dataclasses.replace(SMALL, **changes))
    made.run()
    return made


# -- time -----------------------------------------------------------------------------------------------------


def test_what_is_for_the_same_time_happens_in_order() -> None:
    clock, seen = Clock(), []
    for name in "abc":
        clock.at(2.0, lambda name=name: seen.append((clock.now, name)))
    clock.at(1.0, lambda: seen.append((clock.now, "first")))
    clock.run(1.5)
    assert (seen, clock.now) == ([(1.0, "first")], 1.5)
    clock.run(9.0)
    assert seen[1:] == [(2.0, "a"), (2.0, "b"), (2.0, "c")]


def test_processes_wait_for_time_and_for_answers() -> None:
    clock, seen = Clock(), []
    server = Server(clock, Costs(statement_us=1e6, commit_ms=500.0, round_trip_ms=0.0), cores=1)

    def process() -> Iterator[Any]:
        yield 1.0
        answer = yield server.transaction(Work(2, lambda: "done"))
        seen.append((clock.now, answer))

    clock.start(process())
    clock.start(process())
    clock.run(60.0)
    assert seen == [(3.5, "done"), (5.5, "done")], "one core: one after the other"
    assert server.carried.statements == {1: 2, 3: 2}


def test_events_are_committed_one_after_the_other() -> None:
    clock, seen = Clock(), []
    server = Server(clock, Costs(statement_us=0.0, commit_ms=100.0, round_trip_ms=0.0), cores=8)
    for _ in range(3):
        server.transaction(Work(5, lambda: clock.now, tells=True)).begin(seen.append)
    clock.run(9.0)
    assert seen == pytest.approx([0.1, 0.2, 0.3])


def test_a_server_that_is_away_commits_nothing() -> None:
    clock, seen = Clock(), []
    server = Server(clock, Costs(statement_us=1e6), cores=1)
    server.go_away(0.5, 2.0)
    server.transaction(Work(1, lambda: pytest.fail("it was committed"))).begin(seen.append)
    clock.at(1.0, lambda: server.transaction(Work(1, lambda: pytest.fail("nobody is there"))).begin(seen.append))
    clock.at(2.0, lambda: server.transaction(Work(1, lambda: "back")).begin(seen.append))
    clock.run(9.0)
    assert seen == [AWAY, AWAY, "back"]


# -- invariants -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weather", WEATHERS)
@pytest.mark.parametrize("seed", range(3))
def test_each_study_ends_with_everything_in_any_weather(weather: str, seed: int) -> None:
    made = World(in_weather(dataclasses.replace(SMALL, seed=seed), weather))
    made.run()
    assert made.verdict() == []
    assert made.tables.summary().keys() == made.tables.answered.keys()
    if weather in {"calm", "slow"}:
        assert [end.revision for end in made.tables.ends] == [1] * 8


def test_the_seed_decides_everything() -> None:
    first, again, other = (simulate(dataclasses.replace(SMALL, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_ends_wait_for_a_dead_gateway_until_the_limit_and_no_longer() -> None:
    made = world(dies=(6.0, 90.0))
    assert made.verdict() == []
    waited = [end for end in made.tables.ends if end.revision == 1]
    assert len(waited) == 8
    assert max(end.ended for end in waited) < 6.0 + SMALL.terms.limit_s + SMALL.terms.timeout_s + 12.0
    assert min(end.ended for end in waited) > 4.0 + SMALL.terms.limit_s, "its last sign of life was a moment before"


def test_what_a_dead_gateway_had_not_shipped_makes_a_revision() -> None:
    """The database is away, so the gateway that dies has told nothing of what it answered."""
    made = world(dies=(12.0, 90.0), away=(2.0, 14.0))
    assert made.verdict() == []
    assert {end.revision for end in made.tables.ends} == {1, 2}


def test_while_the_database_is_away_nothing_ends_and_journals_grow() -> None:
    made = world(away=(4.0, 104.0))
    assert made.verdict() == []
    assert min(end.ended for end in made.tables.ends) > 104.0
    assert made.carried()["most_waiting"] > world().carried()["most_waiting"]


def test_an_idle_gateway_asks_what_a_real_one_was_measured_to_ask() -> None:
    """perf/fleet.py has counted 62 statements a second in 12 transactions."""
    made = world(associations=0)
    made.clock.run(100.0)
    each = sum(made.server.carried.statements.values()) / 100 / SMALL.gateways
    assert 55 < each < 65


# -- faults are seen ------------------------------------------------------------------------------------------


def checked(**answered: tuple[str, float]) -> Checked:
    tables = Checked(SMALL.terms, {"1.2": dict(answered)})
    tables.register("a", 0.0)
    tables.ship("a", batch("1"), 0.0)
    return tables


def batch(*instances: str, timeout_s: float = 5.0) -> Batch:
    told = {"key": "1.2", "timeout_s": timeout_s}
    return Batch(studies={"1.2": told}, objects={("1.2", name): {"key": "1.2", "sop_instance_uid": name, "sha256": "d"} for name in instances})


def test_an_end_without_an_object_is_a_fault() -> None:
    tables = checked(**{"1": ("a", 0.0), "2": ("a", 1.0)})
    tables.end(tables.studies["1.2"], 6.0)
    assert "without ['2']" in tables.faults[0]


def test_an_end_before_its_time_is_a_fault() -> None:
    tables = checked(**{"1": ("a", 0.0)})
    tables.end(tables.studies["1.2"], 4.0)
    assert "before its time" in tables.faults[0]


def test_an_end_while_somebody_holds_it_is_a_fault() -> None:
    tables = checked(**{"1": ("a", 0.0)})
    tables.ship("a", Batch(holds={1: "1.2"}), 0.0)
    tables.end(tables.studies["1.2"], 6.0)
    assert "before its time" in tables.faults[0]


def test_an_end_without_anything_new_is_a_fault() -> None:
    tables = checked(**{"1": ("a", 0.0)})
    tables.end(tables.studies["1.2"], 6.0)
    assert tables.faults == []
    tables.end(tables.studies["1.2"], 7.0)
    assert "without anything new" in tables.faults[0]


def test_what_has_not_ended_and_hooks_that_have_not_run_are_faults() -> None:
    made = world()
    made.tables.answered["9.9"] = {"1": ("gw000", 1.0)}
    made.tables.ends[0].runs = 0
    del made.tables.ends[1]
    assert len(made.verdict()) == 2


# -- what is due ----------------------------------------------------------------------------------------------


def shipped(until: float) -> Tables:
    tables = Tables()
    tables.register("a", 0.0)
    tables.ship("a", batch("1"), 0.0)
    tables.beat("a", until, until)
    return tables


def due(tables: Tables, now: float) -> list[str]:
    return [study.key for study in tables.due(now, 1000.0, 20.0)]


def test_a_study_is_due_after_its_time_when_everything_is_shipped() -> None:
    assert due(shipped(9.0), 4.9) == []
    assert due(shipped(4.0), 9.0) == []
    assert due(shipped(5.0), 5.0) == ["1.2"]


def test_a_study_that_is_held_is_not_due() -> None:
    tables = shipped(9.0)
    tables.ship("a", Batch(holds={1: "1.2"}), 1.0)
    assert due(tables, 9.0) == []
    assert tables.due(40.0, 19.0, 20.0) == [], "who was away himself takes nobody for dead"
    assert due(tables, 40.0) == ["1.2"], "its holder is dead"
    tables.beat("a", 40.0, 40.0)
    tables.ship("a", Batch(holds={1: None}), 41.0)
    assert due(tables, 41.0) == ["1.2"]


def test_whatever_comes_puts_the_deadline_off() -> None:
    tables = shipped(9.0)
    tables.ship("a", Batch(studies=batch().studies), 3.0)
    assert due(tables, 7.9) == []
    assert due(tables, 8.0) == ["1.2"]


# -- hooks ----------------------------------------------------------------------------------------------------


def test_a_hook_is_one_gateways_until_its_lease_is_over_and_counts_once() -> None:
    tables = Tables()
    tables.register("a", 0.0)
    tables.ship("a", batch("1"), 0.0)
    end = tables.end(tables.studies["1.2"], 6.0)
    assert tables.claim("a", 6.0, 8, 10.0) == [end]
    assert tables.claim("b", 7.0, 8, 10.0) == []
    assert tables.claim("b", 17.0, 8, 10.0) == [end]
    assert not tables.finish("a", end)
    assert tables.finish("b", end)
    assert not tables.finish("b", end)
    assert tables.is_quiet()


def test_hooks_of_one_study_run_in_the_order_of_its_ends() -> None:
    tables = Tables()
    tables.register("a", 0.0)
    tables.ship("a", batch("1"), 0.0)
    first = tables.end(tables.studies["1.2"], 6.0)
    tables.ship("a", batch("2"), 7.0)
    second = tables.end(tables.studies["1.2"], 13.0)
    assert tables.claim("a", 14.0, 8, 10.0) == [first]
    tables.finish("a", first)
    assert tables.claim("b", 14.0, 8, 10.0) == [second]


# -- the program ----------------------------------------------------------------------------------------------


def test_program_prints_a_row_for_each_weather(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text('{"costs": {"statement_us": 77.0, "something": 1}}')
    assert costs_of(str(costs)) == Costs(statement_us=77.0)
    monkeypatch.setattr("sys.argv", ["simulation.py", "--gateways", "3", "--associations", "6", "--parts", "2", "--objects", "2",
                                     "--weather", "calm,slow", "--costs", str(costs), "--json", str(tmp_path / "out.json")])
    assert main() == 0
    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["| calm", "| slow"]
