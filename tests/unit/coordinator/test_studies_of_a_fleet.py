"""What the studies of a gateway tell its fleet, and what they leave to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastscp import jsontext
from fastscp.coordinator.finishing import Finisher
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.studies import Studies
from fastscp.coordinator.tasks import Lanes
from fastscp.store.own_paths import OwnPaths
from fastscp.study.policy import HookPolicy, LateObjects, Sorting, StudyPolicy
from tests.support.fakes import FakeSink
from tests.unit.coordinator.test_studies import ALL_HOOKS, Bench

POLICY = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True, timeout_s=2.0)


class FleetBench(Bench):
    """A bench whose studies belong to a fleet."""

    def start(self) -> None:
        self.lanes = Lanes()
        self.done = []
        self.journal = FleetJournal(self.state)
        self.finisher = Finisher(self.policy, self.state, self.sink, wall=self.wall, has_hook=True)
        self.finisher.journal = self.journal
        self.studies = Studies(self.policy, self.hooks, self.state, self.lanes, Placer(self.policy, str(self.output), OwnPaths()),
                               self.finisher, self.sink, journal=self.journal, wall=self.wall)
        self.studies.recover(self.state.recover(), self.now)

    def entries(self) -> list[tuple[str, dict[str, Any]]]:
        return [(kind, jsontext.loads(body)) for kind, body in self.state._read("SELECT kind, body FROM entries ORDER BY number")]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.entries()]

    def file(self, study: str, name: str = "CT.1", **fields: Any) -> str:
        """Store an object that there is a file of."""
        directory = self.store(study, name, **fields)
        Path(directory, name).write_text(name)
        return directory

    def time_out(self) -> None:
        self.now += 2.0
        self.studies.due(self.now)
        self.do_all()


@pytest.fixture
def bench(tmp_path: Path) -> FleetBench:
    return FleetBench(tmp_path, POLICY, HookPolicy(on_end_of_study="e"))


def test_a_study_is_held_before_its_first_object_is_placed(bench: FleetBench) -> None:
    bench.place("1.1")
    ((kind, body),) = bench.entries()
    assert (kind, body["key"], body["timeout_s"]) == ("hold", "1.1", 2.0)


def test_an_object_that_failed_leaves_nothing_held(bench: FleetBench) -> None:
    bench.place("1.1")
    bench.studies.abandoned(("w", 1), bench.now)
    assert bench.kinds() == ["hold", "release"]


def test_the_local_end_tells_the_last_places_and_releases(bench: FleetBench) -> None:
    directory = bench.file("1.1", sha256="ab")
    bench.time_out()
    assert bench.kinds() == ["hold", "object", "final", "release"]
    (_, stored), (_, final) = bench.entries()[1:3]
    assert (stored["objects"][0]["path"], stored["caller"]["calling_aet"]) == (f"{directory}/CT.1", "A")
    assert final["objects"] == [{**stored["objects"][0], "path": f"{directory}/CT000001"}]


def test_the_end_and_its_hook_are_the_fleets(bench: FleetBench) -> None:
    bench.file("1.1")
    bench.time_out()
    assert [event["event"] for event in bench.sink.events if event["event"].startswith("study.")] == [
        "study.opened", "study.released"]
    assert not [task for task in bench.done if getattr(task, "kind", "") == "study"]
    assert bench.state.recover().tasks == []


def test_hooks_of_objects_and_series_are_the_gateways_own(tmp_path: Path) -> None:
    bench = FleetBench(tmp_path, POLICY, ALL_HOOKS)
    bench.file("1.1")
    bench.time_out()
    assert [getattr(task, "kind", "finish") for task in bench.done] == ["reception", "series", "finish"]


def test_what_changed_nothing_is_released_too(bench: FleetBench) -> None:
    bench.file("1.1", sop_instance="1.1.7")
    bench.time_out()
    bench.file("1.1", "CT.2", sop_instance="1.1.7", unchanged=True)
    Path(bench.done[0].plan.directory, "CT.2").write_text("CT.1")
    bench.time_out()
    assert bench.kinds()[-1] == "release"
    assert bench.kinds().count("hold") == bench.kinds().count("release") == 2


def test_a_study_that_is_open_is_held_by_the_next_life(bench: FleetBench) -> None:
    """It may come from a run without a fleet."""
    bench.file("1.1")
    bench.state._write("DELETE FROM entries", ())
    bench.start()
    assert bench.kinds() == ["hold"]
    bench.time_out()
    assert bench.kinds() == ["hold", "final", "release"]


def test_an_end_that_a_crash_left_releases(bench: FleetBench) -> None:
    bench.file("1.1")
    bench.now += 2.0
    bench.studies.due(bench.now)
    bench.start()
    bench.do_all()
    assert bench.kinds() == ["hold", "object", "final", "release"]


def test_a_study_that_is_appended_to_while_it_is_finished_stays_held(tmp_path: Path) -> None:
    bench = FleetBench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=2.0, on_late=LateObjects.APPEND), HookPolicy())
    bench.file("1.1")
    bench.now += 2.0
    bench.studies.due(bench.now)
    bench.place("1.1")
    bench.do_all()
    assert bench.kinds() == ["hold", "object", "hold", "final"]


def test_without_a_fleet_there_are_no_entries(tmp_path: Path) -> None:
    bench = Bench(tmp_path, POLICY)
    bench.store("1.1")
    assert bench.state.entries_waiting() == (0, 0)
    assert isinstance(bench.sink, FakeSink)
