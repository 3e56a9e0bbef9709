"""The soak itself: it runs, keeps its promises for some seconds, and would notice when one is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.soak.harms import Journal
from tests.soak.ledger import Ledger, Promises
from tests.soak.machine import Machine
from tests.soak.report import Answers
from tests.soak.servers import Managed, Successor

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_every_promise_is_kept_for_twenty_seconds(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    run = subprocess.run(
        [sys.executable, "-m", "tests.soak", "20", "--seed", "1", "--pause", "1", "--rate", "20", "--directory", tmp_path, "--json", result,
         # of a machine that runs other tests at the same time
         "--worst", "20", "--worst-killed", "30", "--worst-stopped", "40"],
        cwd=ROOT, capture_output=True, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert run.returncode == 0, (run.stdout + run.stderr).decode("latin-1")[-8000:]
    told = json.loads(result.read_text(encoding="utf-8"))
    assert told["counts"]["verified"] > 50
    assert told["counts"]["reception hooks"] > 20
    assert told["counts"]["studies ended"] > 2
    assert sum(told["harm"].values()) > 0
    assert sum(told["hostile"].values()) > 10
    assert list(tmp_path.iterdir()) == [result], "what is kept is evidence"


def test_program_that_takes_over_is_watched_and_ended_like_the_first(tmp_path: Path) -> None:
    broken: list[tuple[str, str]] = []
    (tmp_path / "out").mkdir()
    server = Managed("PLAIN", ["--workers", "1", "-dhl"], tmp_path, tmp_path / "out", lambda *what: broken.append(what))
    try:
        server.start()
        assert isinstance(server.process, subprocess.Popen)
        first = server.process
        assert server.upgrade()
        assert isinstance(server.process, Successor)
        first.wait(60)
        server.watch()
        assert server.starts == 1
        server.kill_acceptor()
        server.watch()
        assert server.starts == 2
        server.wanted = False
        server.stop()
    finally:
        server.kill_everything()
    assert not broken


@pytest.fixture
def promises(tmp_path: Path) -> Promises:
    return Promises(tmp_path / "broken.txt")


@pytest.fixture
def ledger(promises: Promises) -> Ledger:
    ledger = Ledger(promises)
    ledger.sent("HOOKS", "1.2", "1", "CT", b"right", 10)
    return ledger


def test_acknowledged_object_is_missing_until_it_is_found_and_its_hook_ran(ledger: Ledger, promises: Promises) -> None:
    ledger.outcome("1.2", 0)
    assert ledger.missing({"HOOKS"}) == ["1.2"]
    assert ledger.found("HOOKS", "1.2", b"right", "file") is True
    assert ledger.missing({"HOOKS"}) == ["1.2"]
    assert ledger.missing(set()) == []
    ledger.hook_ran("1.2")
    assert ledger.missing({"HOOKS"}) == []
    assert not promises.counts


def test_hook_may_be_heard_of_before_its_object(ledger: Ledger) -> None:
    ledger.hook_ran("1.3")
    ledger.sent("HOOKS", "1.3", "1", "CT", b"right", 10)
    assert ledger.records["1.3"].hook


def test_what_was_found_of_an_earlier_try_has_to_be_found_again(ledger: Ledger) -> None:
    ledger.outcome("1.2", None)
    assert ledger.found("HOOKS", "1.2", b"right", "file") is True
    ledger.sent("HOOKS", "1.2", "1", "CT", b"right", 10)
    ledger.outcome("1.2", 0)
    assert ledger.missing(set()) == ["1.2"]


@pytest.mark.parametrize(("server", "digest", "promise"), [("HOOKS", b"wrong", "unchanged"), ("PLAIN", b"right", "nothing else is there")])
def test_file_that_is_changed_or_in_a_wrong_place_breaks_a_promise(ledger: Ledger, promises: Promises, server: str, digest: bytes,
                                                                   promise: str) -> None:
    assert ledger.found(server, "1.2", digest, "file") is False
    assert promises.counts == {promise: 1}


def test_failed_object_that_is_there_breaks_a_promise(ledger: Ledger, promises: Promises) -> None:
    ledger.outcome("1.2", 0xA700)
    assert ledger.found("HOOKS", "1.2", b"right", "file") is None
    ledger.strange("1.2", "file")
    ledger.strange("1.9", "another")
    assert promises.counts == {"a failed object leaves nothing": 1, "nothing else is there": 1}


def test_answers_are_classed_by_what_was_done_to_their_server() -> None:
    journal = Journal([("A", "kill coordinator", 10.0, 10.1), ("A", "kill worker", 30.0, 30.1), ("B", "stop worker", 50.0, 55.0)])
    answers = Answers([("A", "echo", 1.0, 1.2, 0.0), ("A", "store", 9.9, 10.6, 0.0), ("A", "echo", 30.0, 32.4, 2.0),
                       ("B", "echo", 30.0, 30.1, 0.0), ("B", "lost", 50.0, 52.0, 0.0), ("B", "lost", 52.0, 53.0, 0.0),
                       ("B", "associate", 53.0, 54.0, 0.5), ("B", "echo", 70.0, 79.0, 0.0)], asleep=[(70.0, 78.0)])
    worst = answers.worst(journal)
    assert {name: round(seconds, 3) for name, (seconds, _) in worst.items()} == {"served": 0.4, "killed": 0.7, "stopped": 3.5}


def test_quick_answers_are_not_looked_at_one_by_one() -> None:
    looked: list[float] = []

    class Watched(Journal):
        def during(self, server: str, begin: float, end: float, settle_s: float) -> set[str]:
            looked.append(begin)
            return super().during(server, begin, end, settle_s)

    samples = [("A", "echo", float(n), n + 0.01, 0.0) for n in range(1000)]
    worst = Answers([*samples, ("A", "echo", 2000.0, 2000.1, 0.0), *samples]).worst(Watched())
    assert looked == [2000.0]
    assert {name: round(seconds, 3) for name, (seconds, _) in worst.items()} == {"served": 0.1}


def test_what_the_machine_withholds_is_what_the_kernel_counts() -> None:
    machine = Machine(lambda: {"A": [os.getpid()]}, lambda: False)
    begin = time.monotonic()
    machine.tick()
    for _ in range(100_000):
        pass
    machine.tick()
    end = time.monotonic()
    assert 0 <= machine.withheld("A", begin, end) <= end - begin
    machine._ticks.clear()
    machine._ticks.extend([(1.0, {"A": {1: 10**9, 2: 0}}), (2.0, {"A": {1: 10**9 + 10**8, 2: 0, 3: 4 * 10**8}}), (3.0, {"A": {1: 10**10}})])
    assert machine.withheld("A", 1.5, 1.9) == pytest.approx(0.4)
    assert machine.withheld("A", 1.1, 1.8) == pytest.approx(0.4)
    assert machine.withheld("A", 1.5, 5.0) == pytest.approx(3.5)
    assert machine.withheld("B", 1.5, 5.0) == 0
