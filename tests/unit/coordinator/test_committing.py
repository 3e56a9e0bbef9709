"""The coordinator's part in storage commitment: when the process is started, what goes to it and comes from it. No process runs."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastscp import jsontext
from fastscp.commitment import requests
from fastscp.commitment.messages import Action, Reference
from fastscp.commitment.policy import CommitmentPeer, CommitmentPolicy, decoded_policy
from fastscp.commitment.requests import Pending
from fastscp.coordinator.committing import LOOK_S, Committing
from fastscp.coordinator.index import Index
from fastscp.coordinator.rules import AllRules
from fastscp.process.loop import IN
from tests.support.fakes import FakeLoop

ASKED: Any = {"kind": "commitment_asked", "association": "w-1"}
REPORTED: Any = {"kind": "commitment_reported", "association": "w-1", "file": "f.json", "status": 0}


class Process:
    """What was started."""

    def __init__(self) -> None:
        self.terminated = 0

    def terminate(self) -> None:
        self.terminated += 1

    def wait(self, _timeout: float | None = None) -> int:
        return 0


class Site:
    def __init__(self, directory: Path) -> None:
        self.loop = FakeLoop()
        self.directory = directory
        self.channels: list[socket.socket] = []
        self.processes: list[Process] = []
        self.refuses = False
        self.begin: dict[str, Any] = {"kind": "begin"}
        self.committing = self.made()

    def made(self) -> Committing:
        return Committing(self.loop, Index(self.directory, durable=False, wall=lambda: 0.0), self.begin, self.start)  # type: ignore[arg-type]

    def start(self, channel: socket.socket) -> Any:
        if self.refuses:
            raise BlockingIOError(11, "no process")
        self.channels.append(channel.dup())
        self.channels[-1].setblocking(False)
        self.processes.append(Process())
        return self.processes[-1]

    def ask(self) -> None:
        requests.put(self.directory / requests.DIRECTORY, Pending(Action("1", (Reference("1", "2"),)), "A", "B", "", 0.0))

    def heard(self) -> list[Any]:
        found = []
        while True:
            try:
                octets = self.channels[-1].recv(65536)
            except BlockingIOError:
                return found
            found.append(orjson.loads(octets) if octets else None)
            if not octets:
                return found

    def say(self, **packet: Any) -> None:
        self.channels[-1].send(orjson.dumps(packet))
        self.fire()

    def fire(self) -> None:
        for descriptor in list(self.loop.masks):
            self.loop.fire(descriptor, IN)


def rules(policy: CommitmentPolicy | None) -> AllRules:
    return AllRules({}, (), (), policy)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_without_a_request_nothing_is_started(site: Site) -> None:
    site.committing.begin()
    site.loop.advance(10 * LOOK_S)
    assert site.processes == []


def test_requests_from_before_start_it(site: Site) -> None:
    site.ask()
    site.committing.begin()
    assert site.heard() == [{"kind": "begin"}]


def test_request_that_nobody_told_of_is_found(site: Site) -> None:
    site.committing.begin()
    site.ask()
    site.loop.advance(LOOK_S)
    assert len(site.processes) == 1
    site.loop.advance(LOOK_S)
    assert len(site.processes) == 1


def test_word_of_a_worker_starts_it_or_wakes_it(site: Site) -> None:
    assert site.committing.heard(ASKED)
    assert site.committing.heard(ASKED)
    assert site.heard() == [{"kind": "begin"}, {"kind": "look"}]


def test_other_notes_are_not_its(site: Site) -> None:
    assert not site.committing.heard({"kind": "missed", "count": 1})


def test_reports_go_to_workers_and_their_answers_come_back(site: Site) -> None:
    asked: list[tuple[str, str]] = []
    site.committing.report = lambda name, file: asked.append((name, file)) is None and name == "w-1"
    site.committing.heard(ASKED)
    site.say(kind="report", association="w-1", file="f.json")
    assert asked == [("w-1", "f.json")]
    assert site.heard()[1:] == []
    site.committing.heard(REPORTED)
    assert site.heard() == [{"kind": "reported", "file": "f.json", "status": 0}]
    site.say(kind="report", association="w-2", file="g.json")
    assert site.heard() == [{"kind": "reported", "file": "g.json", "status": None}]


def test_process_that_ended_is_started_again_with_the_next_request(site: Site) -> None:
    site.committing.begin()
    site.committing.heard(ASKED)
    site.channels[-1].close()
    site.fire()
    site.loop.advance(LOOK_S)
    assert len(site.processes) == 1
    site.ask()
    site.loop.advance(LOOK_S)
    assert len(site.processes) == 2


def test_process_that_cannot_be_started_is_tried_again(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.refuses = True
    site.ask()
    site.committing.begin()
    assert "cannot start" in caplog.text
    site.refuses = False
    site.loop.advance(LOOK_S)
    assert len(site.processes) == 1


def test_end_ends_it_and_starts_no_other(site: Site) -> None:
    site.ask()
    site.committing.begin()
    site.committing.close()
    assert site.heard() == [{"kind": "begin"}, None]
    assert site.processes[0].terminated == 1
    site.committing.heard(ASKED)
    site.loop.advance(LOOK_S)
    assert len(site.processes) == 1


def test_other_peers_are_told_to_the_process_that_runs_and_to_the_next(site: Site) -> None:
    site.ask()
    site.committing.begin()
    site.heard()
    policy = CommitmentPolicy((CommitmentPeer("A", "there", 104),), wait_s=7.0)
    site.committing.use(rules(policy))
    (packet,) = site.heard()
    assert (packet["kind"], decoded_policy(packet["policy"])) == ("policy", policy)
    site.channels[-1].close()
    site.fire()
    site.committing.heard(ASKED)
    (begin,) = site.heard()
    assert (begin["kind"], decoded_policy(begin["policy"])) == ("begin", policy)


def test_without_commitment_from_now_on_earlier_requests_go_by_what_there_was(site: Site) -> None:
    site.ask()
    site.committing.begin()
    site.heard()
    site.committing.use(rules(None))
    assert site.heard() == []


def test_process_begins_with_any_path(site: Site) -> None:
    site.begin["directory"] = "/d\udcff"
    site.committing = site.made()
    site.ask()
    site.committing.begin()
    (octets,) = (site.channels[-1].recv(65536),)
    assert jsontext.loads(octets)["directory"] == "/d\udcff"
