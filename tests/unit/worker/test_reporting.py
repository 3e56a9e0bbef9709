"""What the express lane stores is told to the coordinator as the usual way tells it, and answered when it is safe."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastscp import core
from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.worker.express import depot_of
from fastscp.worker.reception import Reception
from fastscp.worker.reporting import OpenDirectories
from tests.support import datasets as ds
from tests.support import fake_worker
from tests.support.fake_worker import Bench

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")


def data_set(instance: str, study: str = "1.2.99") -> bytes:
    """A data set that is worth recognising."""
    return fake_worker.data_set(instance, study) + ds.implicit(0x00204000, b"x" * 300)


def store(message_id: int, instance: str, data: bytes | None = None) -> bytes:
    return fake_worker.store(message_id, instance, data or data_set(instance))


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[Reception]:
    """The objects that went the usual way."""
    seen: list[Reception] = []
    before = Reception.finishing

    def finishing(reception: Reception) -> Any:
        seen.append(reception)
        return before(reception)

    monkeypatch.setattr(Reception, "finishing", finishing)
    return seen


def bench_for(directory: Path, **policies: object) -> Bench:
    made = Bench(Config(network=NetworkPolicy(acse_timeout_s=30), store=StorePolicy(str(directory)), **policies))  # type: ignore[arg-type]
    made.context = replace(made.context, depot=depot_of(made.context.service))
    return made.reconnected()


@pytest.fixture
def sorting(tmp_path: Path) -> Bench:
    """An association that has stored an object of the study, and keeps its place."""
    bench = bench_for(tmp_path, study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S"))
    (tmp_path / "S_1").mkdir()
    bench.arrive(store(1, "1.2.1"))
    bench.reporter.placed(tmp_path / "S_1", lasting=True)
    bench.reporter.notify("on_acknowledged", 1)
    assert bench.statuses() == [0]
    return bench


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_next_object_of_the_study_needs_no_question(sorting: Bench, tmp_path: Path, received: list[Reception]) -> None:
    sorting.arrive(store(2, "1.2.2"))
    assert not received
    assert sorting.reporter.kinds == ["opened", "place", "stored", "stored"]
    assert names(tmp_path) == ["S_1/CT.1.2.1", "S_1/CT.1.2.2"]
    assert sorting.statuses() == [], "it is not safe yet"
    assert sorting.connection.blocked
    assert sorting.connection.storage.busy
    sorting.reporter.notify("on_acknowledged", 2)
    assert sorting.statuses() == [0]
    assert not sorting.connection.blocked
    assert not sorting.connection.storage.waiting


def test_both_ways_tell_the_same(sorting: Bench, received: list[Reception]) -> None:
    sorting.arrive(store(2, "1.2.2"))
    sorting.reporter.notify("on_acknowledged", 2)
    usual, express = sorting.reporter.packets[1], sorting.reporter.packets[2]
    assert not received
    changed = {key for key in usual if usual[key] != express[key]}
    assert changed <= {"event", "file", "sop_instance", "duration_s"}
    assert list(usual) == list(express)
    assert express["study"] == "1.2.99"
    assert express["keeps"] is True


def test_several_are_answered_when_the_last_is_safe(sorting: Bench, received: list[Reception]) -> None:
    sorting.arrive(store(2, "1.2.2") + store(3, "1.2.3"))
    assert not received
    sorting.reporter.notify("on_acknowledged", 2)
    assert sorting.statuses() == []
    sorting.reporter.notify("on_acknowledged", 3)
    assert sorting.statuses() == [0, 0]


def test_object_of_another_study_goes_the_usual_way_and_gives_the_place_back(sorting: Bench, received: list[Reception]) -> None:
    sorting.arrive(store(2, "1.2.2", data_set("1.2.2", study="1.2.88")))
    assert len(received) == 1
    assert sorting.reporter.told[-2:] == [("abandoned", 1), ("place", "1.2.88")]


def test_nothing_goes_into_a_place_that_was_given_back(sorting: Bench, received: list[Reception]) -> None:
    sorting.reporter.kept.clear()
    sorting.arrive(store(2, "1.2.2"))
    assert len(received) == 1
    assert sorting.reporter.kinds[-1] == "place"


@pytest.mark.parametrize("instead", ["nothing", "link", "other"])
def test_directory_that_is_another_now_is_not_written(sorting: Bench, tmp_path: Path, instead: str,
                                                      received: list[Reception]) -> None:
    (tmp_path / "S_1").rename(tmp_path / "moved")
    if instead == "link":
        (tmp_path / "S_1").symlink_to(tmp_path / "moved")
    elif instead == "other":
        (tmp_path / "S_1").mkdir()
    sorting.arrive(store(2, "1.2.2"))
    if sorting.reporter.notices.get(2):
        sorting.reporter.notify("on_acknowledged", 2)
    assert sorting.statuses() == [0xA700 if instead == "link" else 0]
    assert names(tmp_path / "moved") == ["CT.1.2.1"]
    assert len(received) == (instead != "other")


def test_directory_that_was_made_again_has_the_lane_again(sorting: Bench, tmp_path: Path, received: list[Reception]) -> None:
    sorting.arrive(store(2, "1.2.2"))
    sorting.reporter.notify("on_acknowledged", 2)
    assert not received
    (tmp_path / "S_1").rename(tmp_path / "moved")
    (tmp_path / "S_1").mkdir()
    for number in (3, 4):
        sorting.arrive(store(number, f"1.2.{number}"))
        sorting.reporter.notify("on_acknowledged", number)
    assert len(received) == 1
    assert names(tmp_path / "S_1") == ["CT.1.2.3", "CT.1.2.4"]


def test_object_that_is_there_is_replaced_and_told_so(sorting: Bench, tmp_path: Path, received: list[Reception],
                                                      caplog: pytest.LogCaptureFixture) -> None:
    sorting.arrive(store(2, "1.2.2"))
    sorting.reporter.notify("on_acknowledged", 2)
    sorting.arrive(store(3, "1.2.2"))
    assert not received
    packet = sorting.reporter.packets[3]
    assert (packet["replaced"], packet["duplicate"]) == (True, "replace")
    assert f"overwriting: {tmp_path}/S_1/CT.1.2.2" in caplog.text
    assert names(tmp_path) == ["S_1/CT.1.2.1", "S_1/CT.1.2.2"]


def test_place_that_must_not_last_is_asked_for_again(tmp_path: Path, received: list[Reception]) -> None:
    bench = bench_for(tmp_path, study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S"))
    for number in (1, 2):
        bench.arrive(store(number, f"1.2.{number}"))
        bench.reporter.placed(tmp_path, number, lasting=False)
        bench.reporter.notify("on_acknowledged", number)
        assert bench.reporter.packets[number]["keeps"] is False
    assert bench.reporter.kinds.count("place") == len(received) == 2


def test_recalled_place_is_not_kept(tmp_path: Path, received: list[Reception]) -> None:
    bench = bench_for(tmp_path, study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S"))
    bench.arrive(store(1, "1.2.1"))
    bench.reporter.recalled.add(1)
    bench.reporter.placed(tmp_path, lasting=True)
    assert bench.reporter.packets[1]["keeps"] is False
    assert len(received) == 1


@pytest.mark.parametrize("trouble", ["full", ""])
def test_nothing_is_stored_while_the_state_takes_nothing(sorting: Bench, trouble: str, received: list[Reception]) -> None:
    sorting.reporter.trouble = trouble
    sorting.arrive(store(2, "1.2.2"))
    assert bool(received) == bool(trouble)
    assert sorting.statuses() == ([0xA700] if trouble else [])


def test_nothing_is_begun_while_objects_are_held_back(sorting: Bench, tmp_path: Path) -> None:
    sorting.context.service.intake.hold("hooks")
    sorting.arrive(store(2, "1.2.2"))
    assert names(tmp_path) == ["S_1/CT.1.2.1"]
    sorting.context.service.intake.release("hooks")
    sorting.rounds()
    sorting.reporter.notify("on_acknowledged", 2)
    assert sorting.statuses() == [0]


def test_coordinator_that_stays_silent_costs_the_association(sorting: Bench, caplog: pytest.LogCaptureFixture) -> None:
    sorting.arrive(store(2, "1.2.2"))
    sorting.loop.advance(30.1)
    assert sorting.transport.sent[:1] == b"\7", "it has its name, so it is no failure"
    assert "does not confirm" in caplog.text


def test_event_that_cannot_be_taken_over_costs_the_association(sorting: Bench) -> None:
    sorting.arrive(store(2, "1.2.2"))
    sorting.reporter.notify("on_failed", 2)
    assert sorting.transport.sent[:1] == b"\7"


def test_without_state_the_answer_follows_the_event_into_the_channel(tmp_path: Path, received: list[Reception]) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(on_reception="true"))
    bench.arrive(store(1, "1.2.1"))
    bench.reporter.notify("on_sent", 1)
    bench.statuses()
    bench.arrive(store(2, "1.2.2"))
    assert len(received) == 1
    assert bench.statuses() == []
    assert bench.reporter.notices[2].get("on_acknowledged") is None
    bench.reporter.notify("on_sent", 2)
    assert bench.statuses() == [0]
    assert bench.reporter.packets[2]["keeps"] is False


def opened(directories: OpenDirectories, path: Path, association: str = "a") -> tuple[int, int, int] | None:
    return directories.find(str(path), association)


def test_open_directories_are_few_and_follow_their_paths(tmp_path: Path) -> None:
    directories = OpenDirectories()
    for number in range(40):
        (tmp_path / str(number)).mkdir()
    first = opened(directories, tmp_path / "0")
    assert first is not None
    assert opened(directories, tmp_path / "0") == first
    for number in range(1, 40):
        assert opened(directories, tmp_path / str(number), f"a{number}") is not None
    assert len(directories._open) == 32
    (tmp_path / "39").rename(tmp_path / "x")
    assert opened(directories, tmp_path / "39", "a39") is not None
    directories.forget(str(tmp_path / "39"))
    assert opened(directories, tmp_path / "39", "a39") is None
    (tmp_path / "39").symlink_to("x")
    assert opened(directories, tmp_path / "39", "a39") is None
    assert opened(directories, tmp_path / "missing") is None
    for number in range(1, 40):
        directories.leave(f"a{number}")
    assert directories._open == {}


def test_directory_is_closed_when_nobody_uses_it_any_more(tmp_path: Path) -> None:
    directories = OpenDirectories()
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
    opened(directories, tmp_path / "0", "a")
    opened(directories, tmp_path / "0", "b")
    opened(directories, tmp_path / "1", "a")
    assert set(directories._open) == {str(tmp_path / "0"), str(tmp_path / "1")}
    directories.leave("b")
    assert set(directories._open) == {str(tmp_path / "1")}
    directories.leave("b")
    opened(directories, tmp_path / "0", "a")
    assert set(directories._open) == {str(tmp_path / "0")}


def test_association_that_ends_gives_its_directory_back(sorting: Bench, tmp_path: Path, received: list[Reception]) -> None:
    sorting.arrive(store(2, "1.2.2"))
    assert not received
    sorting.reporter.notify("on_acknowledged", 2)

    def links() -> list[str]:
        return [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")]

    assert str(tmp_path / "S_1") in links()
    sorting.hang_up()
    assert str(tmp_path / "S_1") not in links()
