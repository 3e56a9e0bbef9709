"""fastscp-relay with a real PostgreSQL and a real Redis, and faults in between."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastscp.fleet import consuming, outbox, shipping
from fastscp.fleet.database import Database, DatabaseError, migrate
from fastscp.fleet.journal import Entry
from fastscp.relay.broker import BrokerError, Message
from fastscp.relay.redis_streams import RedisBroker
from tests.support import postgres as postgres_support
from tests.support import redis_server as redis_support
from tests.support.fleet import url_of
from tests.support.postgres import Postgres
from tests.support.redis_server import RedisServer
from tests.support.servers import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared_postgres() -> Iterator[Postgres]:
    postgres_support.needed()
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    redis_support.needed()
    with RedisServer("--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def postgres(shared_postgres: Postgres) -> Postgres:
    """Return a server with a fleet of which nothing is known."""
    if not shared_postgres.runs:
        shared_postgres.start()
    shared_postgres.query("DROP SCHEMA IF EXISTS fastscp CASCADE")
    with Database(url_of(shared_postgres), "test", opened=migrate).transaction():
        return shared_postgres


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    """Return an empty server."""
    if not shared_redis.runs:
        shared_redis.start()
    with shared_redis.client() as client:
        client.config_set("maxmemory", "0")
        client.flushall()
    return shared_redis


def message(position: int, *, time: str = "", key: str = "1.2", body: bytes = b"{}") -> Message:
    return Message(key, position, time or f"2026-01-01T00:00:{position:09.6f}Z", "study.opened", body)


def positions(server: RedisServer, stream: str = "fastscp") -> list[int]:
    return [int(entry["position"]) for entry in server.entries(stream)]


def broker(server: RedisServer, **more: object) -> RedisBroker:
    return RedisBroker(server.url, "fastscp", **more)  # type: ignore[arg-type]


# -- the broker -----------------------------------------------------------------------------------------------


def test_an_event_is_an_entry_with_its_study_as_key(server: RedisServer) -> None:
    broker(server).send("o", [message(1, body=b'{"a": "\xc3\xa4"}')])
    assert server.entries() == [{"key": "1.2", "event": "study.opened", "position": "1", "body": '{"a": "ä"}'}]


def test_what_comes_again_is_not_taken_twice(server: RedisServer) -> None:
    first, second = broker(server), broker(server)
    first.send("o", [message(1), message(2)])
    first.send("o", [message(1), message(2)])
    second.send("o", [message(2), message(3), message(4)])
    first.send("o", [message(3)])  # of a relay that was thought dead
    assert positions(server) == [1, 2, 3, 4]


def test_what_consumers_have_deleted_does_not_come_back(server: RedisServer) -> None:
    one = broker(server)
    one.send("o", [message(1), message(2)])
    with server.client() as client:
        client.xtrim("fastscp", maxlen=0, approximate=False)
    one.send("o", [message(2), message(3)])
    assert positions(server) == [3]


def test_positions_that_a_restored_database_gives_again_are_new_events(server: RedisServer) -> None:
    one = broker(server)
    one.send("o", [message(1), message(2), message(3)])
    one.send("o", [message(2, time="2026-01-02T00:00:00.000000Z"), message(3, time="2026-01-02T00:00:01.000000Z")])
    one.send("o", [message(3, time="2026-01-02T00:00:01.000000Z")])
    assert positions(server) == [1, 2, 3, 2, 3]


def test_two_outboxes_may_share_a_stream(server: RedisServer) -> None:
    one = broker(server)
    one.send("o", [message(1), message(2)])
    one.send("p", [message(1)])
    assert positions(server) == [1, 2, 1]


def test_a_stream_is_cut_where_that_is_wanted(server: RedisServer) -> None:
    one = broker(server, most=1000)
    for start in range(1, 3001, 100):
        one.send("o", [message(number) for number in range(start, start + 100)])
    kept = positions(server)
    assert kept[-1] == 3000
    assert kept == list(range(kept[0], 3001))
    assert 1000 <= len(kept) < 1500


def test_what_replicas_do_not_have_is_not_confirmed(server: RedisServer) -> None:
    one = broker(server, replicas=1)
    with pytest.raises(BrokerError, match="only 0 of 1 replicas"):
        one.send("o", [message(1)])
    with RedisServer("--replicaof", f"127.0.0.1 {server.port}") as replica:
        wait_until(lambda: positions(replica) == [1], "the replica has what there is")
        one.send("o", [message(1)])
        one.send("o", [message(2)])
        assert positions(replica) == [1, 2]


def test_a_broker_without_room_takes_nothing_and_goes_on_afterwards(server: RedisServer) -> None:
    one = broker(server)
    one.send("o", [message(1)])
    with server.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(BrokerError, match="maxmemory"):
            one.send("o", [message(2), message(3)])
        client.config_set("maxmemory", "0")
    one.send("o", [message(2), message(3)])
    assert positions(server) == [1, 2, 3]


def test_a_key_that_is_something_else_is_told_and_left_alone(server: RedisServer) -> None:
    with server.client() as client:
        client.set("fastscp", "x")
        with pytest.raises(BrokerError, match="WRONGTYPE"):
            broker(server).send("o", [message(1)])
        assert client.get("fastscp") == b"x"
        client.delete("fastscp")
    broker(server).send("o", [message(1)])
    assert positions(server) == [1]


def test_a_broker_that_was_away_is_found_again(server: RedisServer) -> None:
    one = broker(server)
    one.send("o", [message(1)])
    server.kill()
    with pytest.raises(BrokerError):
        one.send("o", [message(2)])
    server.start()
    one.send("o", [message(2)])
    assert positions(server) == [1, 2]


def test_a_broker_wants_a_certificate_and_a_password() -> None:
    redis_support.needed()
    with RedisServer("--requirepass", "secret") as server:
        with pytest.raises(BrokerError, match="uthenticated"):
            broker(server).send("o", [message(1)])
        broker(server, password="secret").send("o", [message(1)])
        port, authority = server.use_tls("secret")
        url = f"rediss://localhost:{port}/0"
        RedisBroker(f"{url}?ssl_ca_certs={authority}", "fastscp", password="secret").send("o", [message(2)])
        with pytest.raises(BrokerError, match="certificate"):
            RedisBroker(url, "fastscp", password="secret").send("o", [message(3)])
        with server.client(password="secret") as client:
            assert client.xlen("fastscp") == 2


# -- the outbox -----------------------------------------------------------------------------------------------


def tell(postgres: Postgres, *keys: str) -> None:
    with Database(url_of(postgres), "test").transaction() as cursor:
        outbox.tell(cursor, [("study.opened", 1, 1, {"study_uid": key, "sender": ""}) for key in keys])


def complete(postgres: Postgres, study: str, objects: int) -> None:
    """Have a study end that has so many objects."""
    rows = [{"sop_instance_uid": f"{study}.{index}", "sha256": "0" * 64, "path": f"/in/{index}", "size": 1, "sop_class_uid": "1",
             "transfer_syntax_uid": "2", "series_uid": "3", "modality": "CT"} for index in range(objects)]
    with Database(url_of(postgres), "test").transaction() as cursor:
        shipping.register(cursor, "g", "s")
        shipping.ship(cursor, "g", [Entry(1, study, "object", {"number": 1, "key": study, "objects": rows})])
        cursor.execute("SELECT id FROM fastscp.studies WHERE key = %s", (study,))
        (number,) = cursor.fetchone() or (0,)
        outbox.tell(cursor, [("study.completed", number, 1, {"study_uid": study, "sender": "", "count": objects})])


def test_a_lease_of_a_consumer_is_one_relays_at_a_time(postgres: Postgres) -> None:
    tell(postgres, "1", "2")
    database = Database(url_of(postgres), "test")
    with database.transaction() as cursor:
        outbox.confirm(cursor, "c", 1)  # by an earlier version, which knows no lease
        assert consuming.take(cursor, "c", "a", 3600.0) == 1
    with database.transaction() as cursor:
        assert consuming.take(cursor, "c", "b", 3600.0) is None
        assert consuming.take(cursor, "c", "a", 0.0) == 1
        assert consuming.take(cursor, "d", "b", 3600.0) == 0
        assert not consuming.confirm(cursor, "c", "b", 2)
        assert consuming.confirm(cursor, "c", "a", 2)
        assert consuming.confirm(cursor, "c", "a", 1)
    with database.transaction() as cursor:
        assert consuming.take(cursor, "c", "b", 3600.0) == 2
        assert not consuming.confirm(cursor, "c", "a", 3)
        consuming.give_back(cursor, "c", "a")
        assert consuming.take(cursor, "c", "a", 1.0) is None
        consuming.give_back(cursor, "c", "b")
        assert consuming.take(cursor, "c", "a", 1.0) == 2
    database.close()


def test_what_is_read_at_once_is_bounded(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        complete(postgres, f"1.{number}", 20)
    database = Database(url_of(postgres), "test")
    monkeypatch.setattr(outbox, "MOST_OCTETS", 9000)
    found: list[int] = []
    with database.transaction() as cursor:
        while lines := list(outbox.read_whole(cursor, found[-1] if found else 0)):
            assert len(lines) == 1 or sum(len(line) for _, line in lines) <= 9000
            found += [event.position for event, _ in lines]
        assert found == [1, 2, 3, 4, 5, 6]
        lines = list(outbox.read_whole(cursor, 5, most_objects=20))
        assert len(json.loads(lines[0][1])["objects"]) == 20
        (_, line), = outbox.read_whole(cursor, 5, most_objects=19)
        assert json.loads(line)["objects_left_out"] is True
        assert json.loads(line)["count"] == 20
        assert "objects" not in json.loads(line)
    database.close()


# -- the program ----------------------------------------------------------------------------------------------


def command(postgres: Postgres, server: RedisServer, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "fastscp.cli.relay", "--state", url_of(postgres), "--relay", server.url, *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(postgres: Postgres, server: RedisServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(postgres, server, *arguments), capture_output=True, text=True, check=False, timeout=60, env=environment())


class Program:
    """A relay that runs."""

    def __init__(self, postgres: Postgres, server: RedisServer, *arguments: str) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the program
        self.process = subprocess.Popen(command(postgres, server, *arguments), env=environment(), stderr=self._said)

    def said(self) -> str:
        """Return what it has said."""
        return os.pread(self._said.fileno(), 1 << 20, 0).decode()

    def end(self, *, kill: bool = False) -> int:
        """End it; return its status."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        return self.process.wait(60)

    def __enter__(self) -> Program:  # noqa: PYI034 - Self is newer than Python 3.10
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.end(kill=True)
        self._said.close()


def test_what_there_is_is_relayed_once(postgres: Postgres, server: RedisServer) -> None:
    complete(postgres, "1.2.3", 3)
    assert run(postgres, server, "--once").returncode == 0
    opened, completed = server.entries()
    assert (opened["event"], completed["event"], completed["key"]) == ("study.opened", "study.completed", "1.2.3")
    body = json.loads(completed["body"])
    assert (body["event"], body["study_uid"], body["position"], len(body["objects"])) == ("study.completed", "1.2.3", 2, 3)
    assert run(postgres, server, "--once", "--max-objects", "2", "--stream", "other").returncode == 0
    assert "objects" not in json.loads(server.entries("other")[1]["body"])
    assert run(postgres, server, "--once").returncode == 0
    assert positions(server) == [1, 2]
    assert postgres.query("SELECT name, position, lease FROM fastscp.consumers ORDER BY name") == "relay:fastscp|2|\nrelay:other|2|"


def test_events_are_relayed_as_they_come_and_the_lease_is_given_back(postgres: Postgres, server: RedisServer) -> None:
    with Program(postgres, server, "--consumer", "c") as relay:
        wait_until(lambda: postgres.query("SELECT count(*) FROM fastscp.consumers WHERE lease IS NOT NULL") == "1", "it works")
        tell(postgres, "1", "2")
        wait_until(lambda: positions(server) == [1, 2], "they are there")
        done = run(postgres, server, "--consumer", "c", "--once")
        assert (done.returncode, done.stderr) == (1, "fastscp-relay: another relay of this name is at work\n")
        wait_until(lambda: postgres.query("SELECT position FROM fastscp.consumers") == "2", "that is confirmed")
        assert (relay.end(), relay.said()) == (0, "")
    assert postgres.query("SELECT position, lease FROM fastscp.consumers") == "2|"


def test_the_rights_of_a_reader_are_enough(postgres: Postgres, server: RedisServer) -> None:
    """docs/fleet.md names them; a relay may neither change nor delete what it carries."""
    (grants,) = re.findall(r"```text\n(GRANT.*?)```", (ROOT / "docs/fleet.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    postgres.query("CREATE ROLE gateway LOGIN; CREATE ROLE reader LOGIN")
    postgres.query(grants)
    complete(postgres, "1.2.3", 2)
    done = subprocess.run([*command(postgres, server), "--once", "--state", url_of(postgres, "reader")], check=False, timeout=60,
                          capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert positions(server) == [1, 2]
    for table in ("outbox", "objects"):
        assert postgres.query(f"SELECT has_table_privilege('reader', 'fastscp.{table}', 'INSERT, UPDATE, DELETE')") == "f"
    postgres.query("DROP OWNED BY gateway, reader; DROP ROLE gateway, reader")


def test_what_is_away_is_said_and_waited_for(postgres: Postgres, server: RedisServer) -> None:
    server.kill()
    tell(postgres, "1")
    done = run(postgres, server, "--once")
    assert done.returncode == 1
    assert done.stderr.startswith("fastscp-relay: ")
    assert len(done.stderr.splitlines()) == 1
    postgres.stop()
    with Program(postgres, server) as relay:
        wait_until(lambda: "the database is away" in relay.said(), "it is said")
        postgres.start()
        wait_until(lambda: "the broker is away" in relay.said(), "it is said")
        server.start()
        wait_until(lambda: positions(server) == [1], "it is there")
        wait_until(lambda: relay.said().endswith("fastscp-relay: relaying again\n"), "it is said")
        assert relay.end() == 0
        assert len(relay.said().splitlines()) == 3


class Writer:
    """Tells events of a few studies, again when it was not heard whether they were told."""

    def __init__(self, postgres: Postgres, seed: int) -> None:
        self._postgres = postgres
        self._chance = random.Random(seed)
        self.told = 0
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        database = Database(url_of(self._postgres), "test")
        for number in range(60):
            rows = [(f"1.{self._chance.randrange(5)}", number * 10 + index) for index in range(1 + number % 10)]
            while not self._tell(database, rows):
                self.over.wait(0.02)
            self.told += len(rows)
            self.over.wait(0.05)
        database.close()
        self.over.set()

    def _tell(self, database: Database, rows: list[tuple[str, int]]) -> bool:
        try:
            with database.transaction() as cursor:
                outbox.tell(cursor, [("study.opened", 1, index, {"study_uid": key, "sender": ""}) for key, index in rows])
        except DatabaseError:
            return False
        return True

    def join(self) -> None:
        self._thread.join()


class Harms:
    """What is killed: one of two relays of one name, Redis, PostgreSQL."""

    def __init__(self, postgres: Postgres, server: RedisServer, seed: int) -> None:
        self._postgres = postgres
        self._server = server
        self._chance = random.Random(f"{seed} harm")
        self.relays = [Program(postgres, server) for _ in range(2)]
        self.done: list[str] = []

    def pause_s(self) -> float:
        return self._chance.uniform(0.2, 0.6)

    def harm(self) -> None:
        self.done.append(self._chance.choice(("relay", "relay", "redis", "postgres")))
        if self.done[-1] == "relay":
            index = self._chance.randrange(2)
            self.relays[index].end(kill=True)
            self._postgres.query("UPDATE fastscp.consumers SET lease_until = now()")  # else the test takes as long as a lease
            self.relays[index] = Program(self._postgres, self._server)
            return
        if self.done[-1] == "redis":
            self._server.kill()
        else:
            self._postgres.crash()
        time.sleep(self._chance.uniform(0.0, 0.3))  # away for a while: this is the harm, not a wait for anything
        (self._server if self.done[-1] == "redis" else self._postgres).start()

    def end(self) -> None:
        for relay in self.relays:
            relay.end(kill=True)


@pytest.mark.parametrize("seed", [3])
def test_every_event_gets_there_in_the_order_of_its_study_while_everything_is_killed(postgres: Postgres, server: RedisServer, seed: int) -> None:
    harms, writer = Harms(postgres, server, seed), Writer(postgres, seed)
    try:
        while not writer.over.wait(harms.pause_s()):
            harms.harm()
        writer.join()
        last = postgres.query("SELECT max(position) FROM fastscp.outbox")
        wait_until(lambda: postgres.query("SELECT position FROM fastscp.consumers") == last, "everything is confirmed", 120)
    finally:
        writer.over.set()
        writer.join()
        harms.end()
    assert len(set(harms.done)) == 3
    arrived = positions(server)
    assert arrived == sorted(set(arrived))
    wanted = {int(line.split("|")[0]): line.split("|")[1:] for line in
              postgres.query("SELECT position, body->>'study_uid', revision FROM fastscp.outbox ORDER BY position").splitlines()}
    assert set(arrived) == set(wanted)
    assert len(wanted) >= writer.told > 200
    for entry in server.entries():
        assert [entry["key"], str(json.loads(entry["body"])["revision"])] == wanted[int(entry["position"])]


# -- what it cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["nats://h", "kafka://h", "amqp://h", "redis:h"])
def test_other_brokers_are_refused_with_a_message(url: str) -> None:
    done = subprocess.run([sys.executable, "-m", "fastscp.cli.relay", "--state", "postgresql://h/d", "--relay", url], capture_output=True,
                          text=True, check=False, timeout=60, env=environment())
    assert done.returncode == 1
    assert "only redis://... and rediss://... are known" in done.stderr


def test_without_the_extra_the_message_names_it() -> None:
    done = subprocess.run([sys.executable, "-c", """
import importlib.util, runpy, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "redis" else found(name, package)
sys.argv = ["x", "--state", "postgresql://h/d", "--relay", "redis://h"]
runpy.run_module("fastscp.cli.relay", run_name="__main__", alter_sys=True)
"""], capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert done.returncode == 1
    assert "install fastscp[relay]" in done.stderr


def test_help_imports_nothing_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", ("import sys\nfrom fastscp.cli.relay import main\nmain(['--help'])\n"
                                                  "print([name for name in sys.modules if name in ('psycopg', 'redis')])")],
                          capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.endswith("[]\n")
