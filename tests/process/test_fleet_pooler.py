"""A fleet behind PgBouncer in transaction mode: five clients share two connections."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pgbouncer, postgres
from tests.support.fleet import Member, ends, instances
from tests.support.pgbouncer import Pooler
from tests.support.postgres import Postgres
from tests.support.servers import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Postgres]:
    postgres.needed()
    pgbouncer.needed()
    with Postgres() as server:
        yield server


@pytest.fixture
def pooler(server: Postgres) -> Iterator[Pooler]:
    with Pooler(server) as pooler:
        yield pooler


def events(pooler: Pooler, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastscp.cli.events", "--state", pooler.url, *arguments], capture_output=True, text=True,
                          check=False, timeout=60, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})


def test_a_fleet_shares_fewer_connections_than_it_has_gateways(tmp_path: Path, server: Postgres, pooler: Pooler) -> None:
    assert events(pooler, "--migrate").returncode == 0
    records, out = tmp_path / "records", tmp_path / "out"
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(Member(tmp_path / name, pooler.url, records=records)) for name in "abc"]
        follower = subprocess.Popen([sys.executable, "-m", "fastscp.cli.events", "--state", pooler.url, "--follow", "--consumer", "c"],
                                    stdout=stack.enter_context(open(out, "wb")),
                                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        stack.callback(follower.wait)
        stack.callback(follower.kill)
        wait_until(lambda: server.query("SELECT count(*) FROM fastscp.gateways WHERE shipped_through IS NOT NULL") == "3", "all are known")
        for study in ("1.2.3", "1.2.4"):
            for index, member in enumerate(members):
                member.store(study, f"{study}.{index}", f"{study}.1{index}")
            wait_until(lambda study=study: ends(records, study), "the study ended")
            (end,) = ends(records, study)
            assert len(instances(end)) == 6
            if study == "1.2.3":
                server.crash()
                server.start()
        wait_until(lambda: out.read_bytes().count(b"study.completed") == 2, "the ends are told")
        assert int(server.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")) <= 2
    told = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [event["position"] for event in told] == sorted({event["position"] for event in told})
    assert events(pooler, "--maintain", "--keep", "1h").stdout == "partitions: 1 dropped; studies: 0 forgotten\n"
