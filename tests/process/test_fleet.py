"""Gateways that share a PostgreSQL: real services, a real database, faults in between."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Member, ends, instances, url_of
from tests.support.fleet_run import Run
from tests.support.postgres import Postgres, needed
from tests.support.servers import free_port, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared() -> Iterator[Postgres]:
    needed()
    with Postgres() as postgres:
        yield postgres


@pytest.fixture
def server(shared: Postgres) -> Postgres:
    """Return a server that runs, without a fleet in it."""
    if not shared.runs:
        shared.start()
    shared.query("DROP SCHEMA IF EXISTS fastscp CASCADE")
    return shared


@pytest.fixture
def start(tmp_path: Path, server: Postgres) -> Iterator[Callable[..., Member]]:
    """Return what starts a gateway; all of them record in ``tmp_path/records``."""
    with contextlib.ExitStack() as stack:
        def begin(name: str, **keywords: Any) -> Member:
            keywords.setdefault("records", tmp_path / "records")
            return stack.enter_context(Member(tmp_path / name, url_of(server), **keywords))

        yield begin


def run(server: Postgres, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastscp.cli.events", "--state", url_of(server), *arguments], capture_output=True,
                          text=True, check=False, timeout=30, env={**os.environ, "PYTHONPATH": path + str(Path(__file__).parents[2])})


def alive(server: Postgres, *members: Member) -> None:
    """Wait until the fleet has heard of each."""
    wait_until(lambda: server.query("SELECT count(*) FROM fastscp.gateways WHERE shipped_through IS NOT NULL") == str(len(members)),
               "gateways have shipped")


def test_a_study_through_three_gateways_ends_once_with_all_objects(tmp_path: Path, server: Postgres,
                                                                     start: Callable[..., Member]) -> None:
    members = [start(name, options=("-rns",)) for name in "abc"]
    for index, member in enumerate(members):
        member.store("1.2.3", f"1.2.3.{index}", f"1.2.3.1{index}")
    wait_until(lambda: ends(tmp_path / "records"), "the study ended")
    (end,) = ends(tmp_path / "records")
    assert instances(end) == ["1.2.3.0", "1.2.3.1", "1.2.3.10", "1.2.3.11", "1.2.3.12", "1.2.3.2"]
    assert all(Path(entry["path"]).is_file() for entry in end["objects"])
    assert {Path(entry["path"]).name for entry in end["objects"]} == {"CT000001", "CT000002"}
    assert len({entry["gateway"] for entry in end["objects"]}) == 3
    assert all(len(entry["sha256"]) == 64 for entry in end["objects"])
    told = [event for member in members for event in member.told() if event["event"].startswith("study.")]
    assert [event["event"] for event in told].count("study.released") == 3
    assert "study.completed" not in {event["event"] for event in told}

    done = run(server, "--consumer", "archive")
    opened, completed = map(json.loads, done.stdout.splitlines())
    assert (opened["event"], completed["event"]) == ("study.opened", "study.completed")
    assert (completed["study_uid"], completed["revision"], completed["count"], completed["reason"]) == ("1.2.3", 1, 6, "timeout")
    assert instances(completed) == instances(end)
    assert run(server, "--consumer", "archive").stdout == ""
    assert run(server, "--consumer", "archive", "--from", "0").stdout == done.stdout
    assert run(server, "--from", str(opened["position"])).stdout == done.stdout.splitlines(keepends=True)[1]
    assert run(server, "--positions").stdout == f"archive  {completed['position']}\n"

    members[0].store("1.2.3", "1.2.3.0")  # again: nothing changes
    members[1].store("1.2.3", "1.2.3.99")
    wait_until(lambda: len(ends(tmp_path / "records")) == 2, "the study ended again")
    late = next(end for end in ends(tmp_path / "records") if end["revision"] == 2)
    assert len(instances(late)) == 7


def ready(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            return {**json.loads(answer.read()), "status": answer.status}
    except urllib.error.HTTPError as error:
        return {"status": error.code}


def test_receiving_goes_on_while_the_database_is_away(tmp_path: Path, server: Postgres, start: Callable[..., Member]) -> None:
    port = free_port()
    one, other = start("a", options=("--metrics", port)), start("b")
    alive(server, one, other)
    wait_until(lambda: "degraded" not in ready(port), "ready")
    server.stop()
    wait_until(lambda: ready(port).get("degraded"), "degraded")
    one.store("1.2.3", "1.2.3.1", "1.2.3.2")
    other.store("1.2.3", "1.2.3.3")
    verdict = ready(port)
    assert (verdict["status"], verdict["ok"]) == (200, True)
    assert "the database is away" in verdict["checks"]["fleet"]["detail"]
    wait_until(lambda: any(event["event"] == "study.released" for event in one.told()), "its part is finished")
    server.start()
    wait_until(lambda: ends(tmp_path / "records"), "the study ended")
    (end,) = ends(tmp_path / "records")
    assert instances(end) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    wait_until(lambda: "degraded" not in ready(port), "ready again")
    assert one.server is not None
    assert one.server.log().count(b"the database of the fleet is away") == 1


def test_what_is_in_the_journal_of_a_killed_gateway_is_shipped_by_the_next(tmp_path: Path, server: Postgres,
                                                                             start: Callable[..., Member]) -> None:
    one, other = start("a"), start("b")
    alive(server, one, other)
    server.stop()
    one.store("1.2.3", "1.2.3.1")
    other.store("1.2.3", "1.2.3.2")
    one.kill()
    server.start()
    wait_until(lambda: server.query("SELECT count(*) FROM fastscp.objects") == "1", "the other has shipped")
    assert ends(tmp_path / "records") == []
    one.start()
    wait_until(lambda: ends(tmp_path / "records"), "the study ended")
    (end,) = ends(tmp_path / "records")
    assert instances(end) == ["1.2.3.1", "1.2.3.2"]


def test_a_gateway_that_stays_dead_stops_holding_and_brings_a_revision_when_it_is_back(tmp_path: Path, server: Postgres,
                                                                                         start: Callable[..., Member]) -> None:
    one, other = start("a", limit_s=5, timeout_s=2), start("b", limit_s=5, timeout_s=2)
    one.store("1.2.3", "1.2.3.1")
    other.store("1.2.3", "1.2.3.2")
    wait_until(lambda: server.query("SELECT count(*) FROM fastscp.objects") == "2", "both have shipped")
    one.kill()
    wait_until(lambda: ends(tmp_path / "records"), "the study ended without it")
    (end,) = ends(tmp_path / "records")
    assert instances(end) == ["1.2.3.1", "1.2.3.2"]
    one.start()
    one.store("1.2.3", "1.2.3.3")
    wait_until(lambda: len(ends(tmp_path / "records")) == 2, "the study ended again")
    late = next(end for end in ends(tmp_path / "records") if end["revision"] == 2)
    assert instances(late) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]


def test_the_hook_of_a_gateway_that_dies_runs_on_another(tmp_path: Path, server: Postgres, start: Callable[..., Member]) -> None:
    log = tmp_path / "hooks"
    hook = (f'echo "$FASTSCP_GATEWAY" >>{log}; [ "$(wc -l <{log})" -gt 1 ] || exec sleep 60')
    members = [start(name, limit_s=5, hook=hook) for name in "ab"]
    alive(server, *members)
    members[0].store("1.2.3", "1.2.3.1")
    wait_until(lambda: log.exists() and log.read_text(), "the hook runs")
    name = log.read_text().strip()
    assert server.query("SELECT count(*) FROM fastscp.ends WHERE lease IS NOT NULL") == "1"
    claimant = next(member for member in members if name in str(member_name(member)))
    claimant.kill()
    wait_until(lambda: len(log.read_text().splitlines()) == 2, "the hook runs elsewhere")
    wait_until(lambda: server.query("SELECT status FROM fastscp.ends WHERE done IS NOT NULL") == "0", "it is done")
    assert log.read_text().splitlines()[1] != name


def member_name(member: Member) -> str:
    """Return what a gateway is called in the fleet, from its state."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"file:{member.output}/.fastscp/state.sqlite3?mode=ro", uri=True)) as connection:
        return str(connection.execute("SELECT name FROM gateway").fetchone()[0])


def test_the_process_that_ships_is_replaced(tmp_path: Path, server: Postgres,
                                                                            start: Callable[..., Member]) -> None:
    member = start("a")
    alive(server, member)
    assert member.server is not None
    (shipper,) = member.server.role("fleet")
    shipper.kill()
    member.store("1.2.3", "1.2.3.1")
    wait_until(lambda: ends(tmp_path / "records"), "the study ended")
    (successor,) = member.server.role("fleet")
    assert successor.pid != shipper.pid


def test_a_drain_leaves_nothing_that_others_wait_for(tmp_path: Path, server: Postgres, start: Callable[..., Member]) -> None:
    one, other = start("a", timeout_s=3600), start("b")
    alive(server, one, other)
    other.store("1.2.3", "1.2.3.2")
    one.store("1.2.4", "1.2.4.1")
    assert one.server is not None
    assert one.server.stop() == 0
    assert server.query("SELECT count(*) FROM fastscp.gateways WHERE left_at IS NOT NULL") == "1"
    assert server.query("SELECT count(*) FROM fastscp.holders h JOIN fastscp.gateways g ON g.name = h.gateway WHERE left_at IS NOT NULL") == "0"
    wait_until(lambda: ends(tmp_path / "records", "1.2.3"), "the study of the other ended")


def test_a_hook_that_fails_runs_again_and_is_kept_when_it_fails_for_good(tmp_path: Path, server: Postgres,
                                                                           start: Callable[..., Member]) -> None:
    log = tmp_path / "hooks"
    member = start("a", hook=f"echo x >>{log}; exit 3", options=("--hook-retries", 1))
    member.store("1.2.3", "1.2.3.1")
    wait_until(lambda: server.query("SELECT status, attempts FROM fastscp.ends WHERE done IS NOT NULL") == "3|2", "it failed for good")
    assert log.read_text() == "x\nx\n"


def test_events_are_followed_as_they_come(tmp_path: Path, server: Postgres, start: Callable[..., Member]) -> None:
    member = start("a")
    alive(server, member)
    out = tmp_path / "out"
    with open(out, "wb") as file:
        follower = subprocess.Popen([sys.executable, "-m", "fastscp.cli.events", "--follow", "--consumer", "c"], stdout=file,
                                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "FASTSCP_STATE": url_of(server)})
    try:
        member.store("1.2.3", "1.2.3.1")
        wait_until(lambda: b"study.completed" in out.read_bytes(), "the end is told")
        server.stop()
        server.start()
        member.store("1.2.4", "1.2.4.1")
        wait_until(lambda: out.read_bytes().count(b"study.completed") == 2, "the next end is told")
    finally:
        follower.kill()
        follower.wait()
    positions = [json.loads(line)["position"] for line in out.read_bytes().splitlines()]
    assert positions == sorted(set(positions))


def test_a_reader_that_goes_away_confirms_nothing(server: Postgres, start: Callable[..., Member]) -> None:
    member = start("a")
    member.store("1.2.3", "1.2.3.1")
    wait_until(lambda: server.query("SELECT count(*) FROM fastscp.outbox") == "2", "two events")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "fastscp.cli.events", "--state", url_of(server), "--consumer", "c"], stdout=writer,
                          check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    os.close(writer)
    assert done.returncode == 0
    assert run(server, "--positions").stdout == ""


@pytest.mark.parametrize("seed", [7])
def test_studies_through_three_gateways_end_once_while_processes_are_killed(tmp_path: Path, server: Postgres, seed: int) -> None:
    """``scripts/fleet`` does this with 500 studies."""
    outcome = Run(tmp_path, server, studies=16, seed=seed).run()
    assert outcome.faults == []
    assert sum(outcome.harms.values()) > 0
    assert outcome.revisions == 20
    assert outcome.hooks >= 20


# -- without the extra ----------------------------------------------------------------------------------------


def test_without_the_extra_the_message_names_it(tmp_path: Path) -> None:
    for module, arguments in (("fastscp", ["-su", "s", "-tos", "5", "-od", str(tmp_path)]), ("fastscp.cli.events", [])):
        done = subprocess.run(
            [sys.executable, "-c", f"""
import importlib.util, runpy, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "psycopg" else found(name, package)
sys.argv = ["x", "--state", "postgresql://localhost/x", *{arguments}]
{"sys.argv.append('11112')" if module == "fastscp" else ""}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""], capture_output=True, text=True, check=False, timeout=30, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        assert done.returncode == 1
        assert "install fastscp[fleet]" in done.stderr


def test_without_a_fleet_nothing_of_it_is_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ("import sys\nimport fastscp.cli.main, fastscp.service.run, fastscp.coordinator.process\n"
         "print([name for name in sys.modules if name.startswith(('psycopg', 'fastscp.fleet'))])")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["--state", "postgresql://h/d"], "--eostudy-timeout"),
    (["-su", "s", "-tos", "5", "--state", "mysql://h/d"], "only postgresql://"),
    (["-su", "s", "-tos", "5", "--gateway-timeout", "60"], "--state"),
    (["-su", "s", "-tos", "5", "--state", "postgresql://h/d", "--gateway-timeout", "1"], "--gateway-timeout"),
])
def test_what_makes_no_fleet_is_told_at_the_start(arguments: list[str], complaint: str) -> None:
    done = subprocess.run([sys.executable, "-m", "fastscp", *arguments, "11112"], capture_output=True, text=True, check=False,
                          timeout=30, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.returncode != 0
    assert complaint in done.stderr
