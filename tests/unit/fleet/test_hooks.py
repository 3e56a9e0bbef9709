"""Hooks of claimed ends: what they are told, and what a lost lease does to them."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator.hooks import KILL_AFTER_S
from fastscp.fleet.arithmetic import Lease
from fastscp.fleet.ending import Claim
from fastscp.fleet.hooks import KEEP_LISTS_S, NOT_RUN, FleetHooks, KnownProcesses
from fastscp.study.commands import Commands
from fastscp.study.policy import HookPolicy
from tests.support.fakes import FakeLoop

CALLER = {"calling_aet": "SCU", "called_aet": "SCP", "peer": "10.0.0.1", "peer_host": "", "port": 1, "sender": ""}
OBJECTS = [{"gateway": "other", "path": "/other/in/a"}, {"gateway": "me", "path": "/in/study/b"}]


class Processes(KnownProcesses):
    """Starts nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.started: list[tuple[list[str], dict[str, str]]] = []
        self.lists: list[Any] = []
        self.ended: dict[int, int] = {}
        self.signalled: list[tuple[int, Any]] = []

    def spawn(self, arguments: list[str], variables: Any) -> int:
        self.started.append((arguments, dict(variables)))
        self.lists.append(json.loads(Path(variables["FASTSCP_FLEET_OBJECTS"]).read_bytes()))
        self.latest = 100 + len(self.started)
        return self.latest

    def reap(self, pid: int) -> int | None:  # type: ignore[override]
        return self.ended.get(pid)

    def has_ended(self, pid: int) -> bool:  # type: ignore[override]
        return pid in self.ended

    def signal_group(self, pid: int, number: Any) -> None:  # type: ignore[override]
        self.signalled.append((pid, number))


class Site:
    def __init__(self, directory: Path, command: str | None = "archive #p #a") -> None:
        self.loop = FakeLoop()
        self.processes = Processes()
        self.directory = directory / "fleet"
        self.hooks = FleetHooks(self.loop, "me", self.directory, {"": Commands(HookPolicy(on_end_of_study=command, argv=True))},  # type: ignore[arg-type]
                                jobs=2, timeout_s=None, processes=self.processes, monotonic=lambda: self.loop.now)

    def start(self, token: str = "t", sender: str = "", objects: Any = OBJECTS, attempts: int = 1) -> None:
        self.hooks.start(Claim(1, 2, 2, attempts, token, "1.2.3", sender, CALLER), Lease(token, self.loop.now, 60.0), objects)

    def end(self, status: int) -> None:
        self.processes.ended[self.processes.latest] = status
        self.hooks._runner.reap()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_hook_is_told_what_a_local_one_is_and_all_objects(site: Site) -> None:
    site.start()
    ((arguments, variables),) = site.processes.started
    assert arguments == ["archive", "/in/study", "SCU"]
    assert {name: variables[name] for name in ("FASTSCP_STUDY_UID", "FASTSCP_REVISION", "FASTSCP_OBJECTS", "FASTSCP_REASON", "FASTSCP_GATEWAY")} \
        == {"FASTSCP_STUDY_UID": "1.2.3", "FASTSCP_REVISION": "2", "FASTSCP_OBJECTS": "2", "FASTSCP_REASON": "timeout", "FASTSCP_GATEWAY": "me"}
    assert site.processes.lists[0]["objects"] == OBJECTS
    assert (site.processes.lists[0]["study_uid"], site.processes.lists[0]["revision"]) == ("1.2.3", 2)


def test_the_list_goes_with_the_hook(site: Site) -> None:
    site.start()
    assert list(site.directory.iterdir())
    site.end(0)
    assert list(site.directory.iterdir()) == []
    assert [running.status for running in site.hooks.ended()] == [0]


def test_without_an_object_here_the_path_is_never_empty(site: Site) -> None:
    """``rm -r #p/*`` must not become something else."""
    site.start(objects=OBJECTS[:1])
    assert site.processes.started[0][0][1] == str(site.directory)


def test_no_more_run_than_may(site: Site) -> None:
    assert site.hooks.room == 2
    site.start("t")
    site.start("u")
    assert site.hooks.room == 0


def test_a_hook_whose_lease_may_be_anothers_is_terminated(site: Site) -> None:
    site.start()
    site.loop.advance(59.0)
    site.hooks.look()
    assert site.processes.signalled == []
    site.loop.advance(1.0)
    site.hooks.look()
    assert site.processes.signalled == [(101, signal.SIGTERM)]
    assert list(site.hooks.ended()) == []


def test_a_hook_that_does_not_end_when_its_lease_is_lost_is_killed_with_its_group(site: Site) -> None:
    """``trap '' TERM`` must not have it run beside that of another gateway."""
    site.start()
    pid = site.processes.latest
    site.hooks.lose("t")
    assert site.processes.signalled == [(pid, signal.SIGTERM)]
    site.loop.advance(KILL_AFTER_S)
    assert site.processes.signalled[1:] == [(pid, signal.SIGKILL)]
    site.end(-9)
    site.loop.advance(60)
    assert {number for _, number in site.processes.signalled[2:]} <= {signal.SIGKILL}  # what it left, before its number was free


def test_a_hook_that_ends_when_its_lease_is_lost_is_not_signalled_once_its_number_may_be_anothers(site: Site) -> None:
    site.start()
    site.hooks.lose("t")
    site.end(-15)
    count = len(site.processes.signalled)
    site.loop.advance(60)
    assert len(site.processes.signalled) == count


def test_a_hook_that_lost_its_lease_takes_no_list_of_the_next_one_with_it(site: Site) -> None:
    """The same gateway may claim the end again before the hook has ended."""
    site.start("t", attempts=1)
    first = site.processes.latest
    site.hooks.lose("t")
    site.start("u", attempts=2)
    site.processes.ended[first] = -15
    site.hooks._runner.reap()
    assert Path(site.processes.started[1][1]["FASTSCP_FLEET_OBJECTS"]).exists()


def test_a_hook_that_lost_its_lease_takes_up_room_until_it_has_ended(site: Site) -> None:
    site.start("t")
    assert site.hooks.room == 1
    site.hooks.lose("t")
    assert site.hooks.room == 1
    site.end(-15)
    assert site.hooks.room == 2


def test_lists_that_a_killed_process_left_go_when_nobody_can_need_them(tmp_path: Path) -> None:
    directory = tmp_path / "fleet"
    directory.mkdir()
    old, young = directory / "1-1-1.json", directory / "2-1-1.json"
    for file in (old, young):
        file.write_bytes(b"{}")
    os.utime(old, (0, time.time() - 2 * KEEP_LISTS_S))
    Site(tmp_path).hooks.tidy()
    assert not old.exists()
    assert young.exists()


def test_a_result_that_nobody_was_told_yet_is_kept_when_the_lease_is_over(site: Site) -> None:
    site.start()
    site.end(0)
    site.loop.advance(100.0)
    site.hooks.look()
    assert len(list(site.hooks.ended())) == 1
    site.hooks.forget("t")
    assert site.hooks.room == 2


def test_an_end_gives_every_lease_back(site: Site) -> None:
    site.start("t")
    site.start("u")
    assert site.hooks.terminate() == ["t", "u"]
    assert site.processes.signalled == [(101, signal.SIGTERM), (102, signal.SIGTERM)]


def test_a_list_that_cannot_be_written_fails_its_hook(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.directory.write_text("in the way")
    site.start()
    assert [running.status for running in site.hooks.ended()] == [NOT_RUN]
    assert "cannot be written" in caplog.text


def test_without_a_command_there_is_nothing_to_run(tmp_path: Path) -> None:
    site = Site(tmp_path, None)
    assert not site.hooks.has_hook("")
    site.start()
    assert [running.status for running in site.hooks.ended()] == [0]


def test_other_commands_hold_from_a_reload_on(site: Site) -> None:
    site.hooks.use({"": Commands(HookPolicy(on_end_of_study="other", argv=True))})
    site.start(sender="a section that is gone")
    assert site.processes.started[0][0] == ["other"]
