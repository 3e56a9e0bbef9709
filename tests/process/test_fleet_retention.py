"""What goes after a time and what stays, and the way of an earlier schema to this one, in a PostgreSQL of our own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fastscp.fleet import outbox, retention, shipping
from fastscp.fleet.database import Database, DatabaseError, migrate
from fastscp.fleet.journal import Entry
from fastscp.fleet.retention import drop_and_cut, forget_studies, maintain, partitions
from fastscp.fleet.schema import MIGRATIONS
from tests.support.fleet import url_of
from tests.support.postgres import Postgres, needed

pytestmark = pytest.mark.slow

DAY_S = 86400.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    needed()
    with Postgres() as postgres:
        yield postgres


@pytest.fixture
def database(server: Postgres) -> Iterator[Database]:
    server.query("DROP SCHEMA IF EXISTS fastscp CASCADE")
    database = Database(url_of(server), "test", opened=migrate)
    with database.transaction():
        pass  # makes the schema
    yield database
    database.close()


def tell(database: Database, count: int, days: float = 0.0) -> None:
    """Have events happen so many days ago."""
    with database.transaction() as cursor:
        outbox.tell(cursor, [("study.opened", 1, 1, {"study_uid": "1", "sender": ""})] * count)
        cursor.execute("UPDATE fastscp.outbox SET told = told - make_interval(secs => %s) WHERE position > "
                       "(SELECT max(position) FROM fastscp.outbox) - %s", (days * DAY_S, count))


def positions(database: Database) -> list[int]:
    with database.transaction() as cursor:
        return [event.position for event in outbox.read(cursor, 0, 1000)]


def confirm(database: Database, consumer: str, position: int) -> None:
    with database.transaction() as cursor:
        outbox.confirm(cursor, consumer, position)


def clean(database: Database, days: float = 30.0) -> retention.Kept:
    with database.transaction() as cursor:
        return drop_and_cut(cursor, days * DAY_S)


def count(database: Database) -> int:
    with database.transaction() as cursor:
        return len(partitions(cursor))


# -- events ---------------------------------------------------------------------------------------------------


def test_old_events_go_with_their_partition(database: Database) -> None:
    assert clean(database).dropped == 1  # that of an earlier schema, which is empty
    tell(database, 3, days=40)
    assert clean(database).cut
    tell(database, 2, days=1)
    kept = clean(database)
    assert (kept.dropped, kept.cut) == (1, False)
    assert positions(database) == [4, 5]
    assert count(database) == 1


def test_a_partition_whose_last_event_is_young_stays_whole(database: Database) -> None:
    tell(database, 2, days=40)
    tell(database, 1, days=29)
    assert clean(database).cut
    assert clean(database).dropped == 0
    assert positions(database) == [1, 2, 3]


def test_nothing_goes_before_every_consumer_has_confirmed_it(database: Database) -> None:
    tell(database, 3, days=40)
    clean(database)
    confirm(database, "fast", 3)
    confirm(database, "slow", 2)
    kept = clean(database)
    assert (kept.dropped, kept.waiting) == (0, ["slow"])
    assert positions(database) == [1, 2, 3]
    confirm(database, "slow", 3)
    assert clean(database).dropped == 1


def test_a_partition_begins_when_a_tenth_of_the_time_is_over(database: Database) -> None:
    tell(database, 1, days=2.9)
    assert not clean(database).cut
    tell(database, 1, days=3.1)
    assert not clean(database).cut  # its first event counts
    with database.transaction() as cursor:
        cursor.execute("UPDATE fastscp.outbox SET told = now() - interval '3.1 days' WHERE position = 1")
    assert clean(database).cut
    assert not clean(database).cut


def test_positions_go_on_when_every_event_has_gone(database: Database) -> None:
    tell(database, 3, days=40)
    clean(database)
    clean(database)
    assert positions(database) == []
    tell(database, 1)
    assert positions(database) == [4]


def test_nobody_misses_an_event_while_partitions_come_and_go(server: Postgres, database: Database) -> None:
    """A writer, and a reader that confirms, while the outbox is cut and old partitions are dropped all the time."""
    over = threading.Event()
    seen: list[int] = []

    def write() -> None:
        writer = Database(url_of(server), "writer")
        for number in range(150):
            tell_again(writer, number)
        writer.close()
        over.set()

    def tell_again(writer: Database, number: int) -> None:
        with writer.transaction() as cursor:
            outbox.tell(cursor, [("study.opened", number, 1, {"study_uid": "1", "sender": ""})] * (1 + number % 4))

    def read() -> bool:
        with database.transaction() as cursor:
            events = outbox.read(cursor, seen[-1] if seen else 0, 7)
            seen.extend(event.position for event in events)
            if events:
                outbox.confirm(cursor, "c", seen[-1])
        return bool(events)

    confirm(database, "c", 0)
    thread = threading.Thread(target=write)
    thread.start()
    cleaner = Database(url_of(server), "cleaner")
    dropped = 0
    while not over.is_set():
        read()
        dropped += clean(cleaner, 0.0).dropped
    thread.join()
    while read():
        pass
    cleaner.close()
    assert dropped > 5
    assert seen == list(range(1, 1 + sum(1 + number % 4 for number in range(150))))


def test_a_lock_that_is_not_to_be_had_is_given_up_and_tried_again(server: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(database, 1, days=40)
    reader = psycopg.connect(url_of(server))
    reader.execute("SELECT count(*) FROM fastscp.outbox")  # and its transaction goes on
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        reader.close()

    kept = maintain(database, 30 * DAY_S, None, sleep=sleep)
    assert (kept.cut, len(pauses)) == (True, 1)
    other = psycopg.connect(url_of(server))
    other.execute("SELECT count(*) FROM fastscp.outbox")
    monkeypatch.setattr(retention, "TRIES", 1)
    with pytest.raises(DatabaseError, match="lock timeout"):
        maintain(database, 0.0, None, sleep=sleep)
    other.close()


# -- studies --------------------------------------------------------------------------------------------------


def study(database: Database, key: str, days: float, *, hold: bool = False, objects: int = 2) -> None:
    """Have a study end so many days ago."""
    rows = [{"sop_instance_uid": f"{key}.{index}", "sha256": "d", "path": f"/in/{key}.{index}", "size": 1, "sop_class_uid": "1",
             "transfer_syntax_uid": "2", "series_uid": "3", "modality": "CT"} for index in range(objects)]
    with database.transaction() as cursor:
        shipping.register(cursor, "g", "s")
        entries = [Entry(1, f"{key} {days}", "object", {"number": 1, "key": key, "objects": rows})]
        if hold:
            entries.append(Entry(2, f"{key} {days}", "hold", {"number": 1, "key": key}))
        shipping.ship(cursor, "g", entries)
        cursor.execute("UPDATE fastscp.studies SET changed = false, revision = revision + 1, ended = now() - make_interval(secs => %(age_s)s), "
                       "deadline = now() - make_interval(secs => %(age_s)s) WHERE key = %(key)s", {"age_s": days * DAY_S, "key": key})
        cursor.execute("INSERT INTO fastscp.ends (study, revision, ended, objects, next_try, done) "
                       "SELECT id, revision, ended, 2, ended, ended FROM fastscp.studies WHERE key = %s", (key,))
        cursor.execute("DELETE FROM fastscp.outbox")


def forget(database: Database, days: float = 365.0) -> int:
    with database.transaction() as cursor:
        return forget_studies(cursor, days * DAY_S)


def rows(server: Postgres, table: str) -> int:
    return int(server.query(f"SELECT count(*) FROM fastscp.{table}"))


def test_studies_that_ended_long_ago_go_with_their_objects(server: Postgres, database: Database) -> None:
    study(database, "old", 366)
    study(database, "young", 364)
    assert forget(database) == 1
    assert forget(database) == 0
    assert server.query("SELECT key FROM fastscp.studies") == "young"
    assert (rows(server, "objects"), rows(server, "ends")) == (2, 1)


@pytest.mark.parametrize("change", [
    "UPDATE fastscp.studies SET changed = true", "UPDATE fastscp.studies SET deadline = now()", "UPDATE fastscp.ends SET done = NULL",
    "UPDATE fastscp.ends SET manifest = ''",
    "INSERT INTO fastscp.holders SELECT 'g', 1, id, now() FROM fastscp.studies",
    "INSERT INTO fastscp.outbox (event, study, revision, told, body) VALUES ('x', 1, 1, now() - interval '400 days', '{}')",
])
def test_what_somebody_may_still_need_stays(server: Postgres, database: Database, change: str) -> None:
    study(database, "old", 366)
    with database.transaction() as cursor:
        cursor.execute(change)
    assert forget(database) == 0
    assert rows(server, "objects") == 2


def test_a_gateway_that_died_long_ago_holds_nothing(server: Postgres, database: Database) -> None:
    study(database, "old", 366, hold=True)
    assert forget(database) == 0
    server.query("UPDATE fastscp.gateways SET heartbeat = now() - interval '400 days'")
    assert forget(database) == 1
    assert rows(server, "holders") == 0


def test_a_study_that_somebody_ships_to_is_passed_over(server: Postgres, database: Database) -> None:
    study(database, "old", 366)
    with psycopg.connect(url_of(server)) as other:
        other.execute("SELECT 1 FROM fastscp.studies FOR UPDATE")
        assert forget(database) == 0
    assert forget(database) == 1


def test_a_forgotten_study_that_gets_an_object_begins_anew(server: Postgres, database: Database) -> None:
    study(database, "old", 366)
    assert forget(database) == 1
    study(database, "old", 0, objects=1)
    assert server.query("SELECT revision, (SELECT count(*) FROM fastscp.objects) FROM fastscp.studies") == "1|1"


def test_many_studies_go_in_small_transactions(server: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_STUDIES", 2)
    for number in range(5):
        study(database, str(number), 366)
    assert forget(database) == 2
    assert maintain(database, None, 365 * DAY_S).studies == 3


# -- the program ----------------------------------------------------------------------------------------------


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastscp.cli.events", "--state", url, *arguments], capture_output=True, text=True, check=False,
                          timeout=60, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})


def test_the_program_says_what_went_and_for_whom_something_stays(server: Postgres, database: Database) -> None:
    study(database, "old", 366)
    tell(database, 1, days=40)
    done = run(url_of(server), "--maintain", "--keep", "30d", "--keep-studies", "8760h")
    assert (done.stdout, done.returncode) == ("partitions: 1 dropped, a new one begun; studies: 1 forgotten\n", 0)
    confirm(database, "slow", 0)
    done = run(url_of(server), "--maintain", "--keep", "30d")
    assert done.stdout == "partitions: 0 dropped; studies: 0 forgotten\n"
    assert done.stderr == "fastscp-events: events stay for consumer slow, which has not confirmed them\n"


# -- from an earlier schema -----------------------------------------------------------------------------------


def test_a_schema_with_events_in_it_is_brought_up_to_date(server: Postgres) -> None:
    """Events stay, positions go on where they were, and whoever had rights has them."""
    server.query("DROP SCHEMA IF EXISTS fastscp CASCADE; DROP ROLE IF EXISTS writer, other; CREATE ROLE writer LOGIN; CREATE ROLE other LOGIN")
    old = Database(url_of(server), "test", opened=lambda cursor: migrate(cursor, MIGRATIONS[:1]))
    tell(old, 5)
    confirm(old, "c", 5)
    server.query("GRANT USAGE ON SCHEMA fastscp TO writer, PUBLIC; GRANT SELECT ON fastscp.versions, fastscp.outbox TO PUBLIC; "
                 "GRANT INSERT ON fastscp.outbox TO writer WITH GRANT OPTION; DELETE FROM fastscp.outbox WHERE position > 3")
    with pytest.raises(DatabaseError, match=r"has version 1, and who owns it has to bring it up to date \(fastscp-events --migrate\)"):
        positions(Database(url_of(server, "writer"), "test", opened=migrate))
    assert run(url_of(server), "--migrate").stdout == f"{len(MIGRATIONS) - 1} steps\n"
    tell_as_writer = Database(url_of(server, "writer"), "test", opened=migrate)
    with tell_as_writer.transaction() as cursor:
        outbox.tell(cursor, [("study.opened", 1, 1, {"study_uid": "1", "sender": ""})])
    tell_as_writer.close()
    assert positions(old) == [1, 2, 3, 6]
    other = Database(url_of(server, "other"), "test", opened=migrate)
    assert positions(other) == [1, 2, 3, 6]
    with pytest.raises(DatabaseError, match="permission denied"):
        tell(other, 1)
    assert server.query("SELECT tableowner FROM pg_tables WHERE schemaname = 'fastscp' AND tablename = 'outbox'") == "dicom"
    assert server.query("SELECT has_table_privilege('writer', 'fastscp.outbox', 'INSERT WITH GRANT OPTION')") == "t"
    old.close()
    server.query("DROP OWNED BY writer, other; DROP ROLE writer, other")


def test_an_outbox_that_has_been_emptied_gives_no_position_again(server: Postgres) -> None:
    server.query("DROP SCHEMA IF EXISTS fastscp CASCADE")
    old = Database(url_of(server), "test", opened=lambda cursor: migrate(cursor, MIGRATIONS[:1]))
    tell(old, 5)
    with old.transaction() as cursor:
        cursor.execute("DELETE FROM fastscp.outbox")
        migrate(cursor)
    tell(old, 1)
    assert positions(old) == [6]
    old.close()
