"""What the fleet's database is told and what it decides, in a PostgreSQL of our own; the gateways are only names."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fastscp.fleet import consuming, ending, outbox, shipping
from fastscp.fleet.database import Database, DatabaseError, migrate
from fastscp.fleet.journal import Entry
from fastscp.fleet.schema import MIGRATIONS, Migration
from tests.support import first_version
from tests.support.fleet import url_of
from tests.support.fleet_database import LIMIT_S, Fleet, whole
from tests.support.postgres import Postgres, needed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    needed()
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(params=["", "ac"], ids=["one version", "two versions"])
def fleet(request: pytest.FixtureRequest, server: Postgres) -> Iterator[Fleet]:
    """Return a fleet; some of its gateways may be of the first version, and its schema was of that version, too."""
    fleet = Fleet(server, request.param)
    yield fleet
    fleet.database.close()


# -- the connection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["statement", "commit"])
def test_a_server_that_answers_nothing_any_more_is_given_up(server: Postgres, where: str) -> None:
    """Its kernel confirms what arrives, so no limit of the network is over; and its own limits stand still with it."""
    database = Database(url_of(server), "test", answer_s=1.0)
    stopped: list[int] = []
    try:
        with pytest.raises(DatabaseError, match="no answer in 1 s"), database.transaction() as cursor:  # noqa: PT012 - where is a parameter
            cursor.execute("SELECT pg_backend_pid()")
            stopped.extend(cursor.fetchone() or ())
            os.kill(stopped[0], signal.SIGSTOP)
            if where == "statement":
                cursor.execute("SELECT 1")
        with database.transaction() as cursor:  # by another connection
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone() != (stopped[0],)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    database.close()


def test_who_is_answered_in_time_is_not_cut_off_later(server: Postgres) -> None:
    database = Database(url_of(server), "test", answer_s=0.5)
    pids = set()
    for _ in range(2):
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.35)")
            pids.add((cursor.fetchone() or (0,))[0])
        time.sleep(0.3)  # idle beyond the limit: this is what is tested
    assert len(pids) == 1
    database.close()


# -- ends -------------------------------------------------------------------------------------------------


def test_a_study_of_three_gateways_ends_once_with_all_objects(fleet: Fleet) -> None:
    whole(fleet, "a", "b", "c")
    assert [fleet.end(), fleet.end()] == [1, 0]
    assert [name for name, _, _ in fleet.objects()] == ["1.2.a", "1.2.b", "1.2.c"]
    (claim,) = fleet.claim()
    assert (claim.study_uid, claim.revision, claim.objects, claim.caller) == ("1.2", 1, 3, {"calling_aet": "SCU"})


def test_a_study_that_a_gateway_holds_does_not_end(fleet: Fleet) -> None:
    whole(fleet, "a", "b")
    fleet.ship("c", fleet.entry("hold", 7))
    fleet.register("c")
    fleet.shipped_through_now("a", "b", "c")
    assert fleet.end() == 0
    fleet.ship("c", fleet.entry("release", 7))
    assert fleet.end() == 1


def test_a_study_does_not_end_before_its_deadline(fleet: Fleet) -> None:
    fleet.register("a")
    fleet.ship("a", fleet.stored(1, "1", timeout_s=3600.0), fleet.entry("release", 1))
    fleet.shipped_through_now("a")
    assert fleet.end() == 0


def test_a_later_object_of_another_gateway_puts_the_deadline_off(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.register("b")
    fleet.ship("b", fleet.stored(9, "9", timeout_s=3600.0))
    fleet.shipped_through_now("a", "b")
    assert fleet.end() == 0


def test_a_study_waits_for_the_journal_of_every_gateway(fleet: Fleet) -> None:
    """What a gateway has not shipped may belong to it, though nothing says that the gateway has the study."""
    whole(fleet, "a")
    fleet.register("b")
    assert fleet.end() == 0
    fleet.shipped_through_now("b")
    assert fleet.end() == 1


def test_a_journal_that_is_shipped_until_before_the_deadline_is_not_enough(fleet: Fleet) -> None:
    fleet.register("a", "b")
    fleet.shipped_through_now("b")
    fleet.ship("a", fleet.stored(1, "1"), fleet.entry("release", 1))
    fleet.shipped_through_now("a")
    assert fleet.end() == 0
    fleet.shipped_through_now("b")
    assert fleet.end() == 1


def test_a_gateway_that_died_stops_holding(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.register("b")
    fleet.ship("b", fleet.entry("hold", 7))
    fleet.execute("UPDATE fastscp.gateways SET heartbeat = now() - interval '2 hours' WHERE name = 'b'")
    fleet.shipped_through_now("a")
    assert fleet.end(limit_s=3 * LIMIT_S) == 0
    assert fleet.end() == 1


def test_who_was_cut_off_takes_nobody_for_dead(fleet: Fleet) -> None:
    """The database was away for everybody, and the first one that is back sees only old signs of life."""
    whole(fleet, "a", "b")
    fleet.ship("b", fleet.entry("hold", 7))
    fleet.execute("UPDATE fastscp.gateways SET heartbeat = now() - interval '2 hours'")
    fleet.shipped_through_now("a")
    assert fleet.end(connected_s=1.0) == 0
    assert fleet.end(connected_s=2 * LIMIT_S) == 1


def test_a_gateway_that_left_is_not_waited_for(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.register("b")
    with fleet.database.transaction() as cursor:
        shipping.leave(cursor, "b", "another session")
    assert fleet.end() == 0
    with fleet.database.transaction() as cursor:
        shipping.leave(cursor, "b", "session")
    assert fleet.end() == 1


def test_a_study_that_somebody_works_on_is_passed_over(fleet: Fleet) -> None:
    whole(fleet, "a")
    with psycopg.connect(url_of(fleet.server)) as other:
        other.execute("SELECT 1 FROM fastscp.studies FOR UPDATE")
        assert fleet.end() == 0
    assert fleet.end() == 1


# -- what comes late ------------------------------------------------------------------------------------------


def test_a_late_object_is_a_new_revision_with_all_objects(fleet: Fleet) -> None:
    whole(fleet, "a")
    assert fleet.end() == 1
    fleet.ship("a", fleet.entry("hold", 2), fleet.stored(2, "9"), fleet.entry("release", 2))
    fleet.shipped_through_now("a")
    assert fleet.end() == 1
    assert [name for name, _, _ in fleet.objects(1)] == ["1.2.a"]
    assert [name for name, _, _ in fleet.objects(2)] == ["1.2.a", "9"]


def test_a_repeated_object_is_no_new_revision(fleet: Fleet) -> None:
    whole(fleet, "a", "b")
    assert fleet.end() == 1
    fleet.ship("b", fleet.entry("hold", 2), fleet.stored(2, "1.2.a"), fleet.entry("release", 2))
    fleet.shipped_through_now("a", "b")
    assert fleet.end() == 0
    assert fleet.objects() == [("1.2.a", "a", "/in/1.2.a"), ("1.2.b", "b", "/in/1.2.b")]


def test_an_object_with_other_octets_is_another(fleet: Fleet) -> None:
    whole(fleet, "a", "b")
    fleet.ship("b", fleet.stored(2, "1.2.a", digest="other", path="/in/other"), fleet.entry("release", 2))
    assert len(fleet.objects()) == 3


def test_a_file_that_was_replaced_is_not_listed_twice(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.ship("a", fleet.stored(2, "1.2.a", digest="new"), fleet.entry("release", 2))
    assert fleet.objects() == [("1.2.a", "a", "/in/1.2.a")]


def test_final_places_are_said_by_the_gateway_that_has_the_file(fleet: Fleet) -> None:
    whole(fleet, "a", "b")
    fleet.ship("a", fleet.stored(1, "1.2.a", kind="final", path="/done/a"))
    fleet.ship("b", fleet.stored(1, "1.2.a", kind="final", path="/done/copy"))
    assert fleet.objects() == [("1.2.a", "a", "/done/a"), ("1.2.b", "b", "/in/1.2.b")]


def test_final_places_tell_of_objects_that_came_before_the_fleet(fleet: Fleet) -> None:
    fleet.register("a")
    fleet.ship("a", fleet.entry("hold", 1), fleet.stored(1, "1", kind="final"), fleet.entry("release", 1))
    fleet.shipped_through_now("a")
    assert fleet.end() == 1
    assert [name for name, _, _ in fleet.objects()] == ["1"]


# -- shipping again -------------------------------------------------------------------------------------------


def test_entries_that_are_shipped_again_change_nothing(fleet: Fleet) -> None:
    fleet.register("a")
    entries = [fleet.entry("hold", 1), fleet.stored(1, "1"), fleet.entry("release", 1)]
    assert fleet.ship("a", *entries) == 3
    assert fleet.ship("a", *entries[:2]) == 0
    assert fleet.value("SELECT count(*) FROM fastscp.holders") == 0


def test_numbers_of_another_epoch_are_other_entries(fleet: Fleet) -> None:
    """After a loss of power the journal of a gateway may be shorter than what the database has of it."""
    fleet.register("a")
    first = fleet.stored(1, "1")
    fleet.ship("a", first)
    assert fleet.ship("a", Entry(first.number, "later", "object", fleet.stored(1, "2").body)) == 1
    assert len(fleet.objects()) == 2


def test_two_gateways_have_their_own_numbers(fleet: Fleet) -> None:
    fleet.register("a", "b")
    entry = fleet.stored(1, "1")
    assert [fleet.ship("a", entry), fleet.ship("b", entry)] == [1, 1]


def test_what_fails_half_way_leaves_nothing(fleet: Fleet) -> None:
    fleet.register("a")
    bad = fleet.stored(1, "2")
    bad.body["objects"][0]["size"] = None
    with pytest.raises(DatabaseError):
        fleet.ship("a", fleet.stored(1, "1"), bad)
    assert fleet.value("SELECT count(*) FROM fastscp.objects") == 0
    assert fleet.value("SELECT count(*) FROM fastscp.positions") == 0


# -- hooks ----------------------------------------------------------------------------------------------------


def test_a_hook_is_one_gateways_at_a_time(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.end()
    assert len(fleet.claim("a")) == 1
    assert fleet.claim("b") == []


def test_a_lease_that_is_over_is_another_gateways(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.end()
    (first,) = fleet.claim("a", lease_s=0.0)
    (second,) = fleet.claim("b")
    assert second.lease != first.lease
    assert second.attempts == 2
    with fleet.database.transaction() as cursor:
        assert ending.renew(cursor, [first.lease, second.lease], lease_s=1.0) == {second.lease}
        assert not ending.finish(cursor, first.lease, 0, None)
        assert ending.finish(cursor, second.lease, 0, None)
    assert fleet.claim("a") == []


def test_a_lease_that_is_renewed_stays(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.end()
    (claim,) = fleet.claim("a", lease_s=0.0)
    with fleet.database.transaction() as cursor:
        assert ending.renew(cursor, [claim.lease], lease_s=LIMIT_S) == {claim.lease}
    assert fleet.claim("b") == []


def test_a_hook_that_failed_runs_again_later(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.end()
    (claim,) = fleet.claim("a")
    with fleet.database.transaction() as cursor:
        ending.finish(cursor, claim.lease, 3, 3600.0)
    assert fleet.claim("b") == []
    fleet.execute("UPDATE fastscp.ends SET next_try = now()")
    (again,) = fleet.claim("b")
    assert again.attempts == 2


def test_hooks_of_one_study_run_in_the_order_of_its_ends(fleet: Fleet) -> None:
    whole(fleet, "a")
    fleet.end()
    fleet.ship("a", fleet.stored(2, "9"), fleet.entry("release", 2))
    fleet.shipped_through_now("a")
    fleet.end()
    (first,) = fleet.claim("a")
    assert first.revision == 1
    with fleet.database.transaction() as cursor:
        ending.finish(cursor, first.lease, 0, None)
    (second,) = fleet.claim("b")
    assert (second.revision, second.objects) == (2, 2)


def test_without_a_hook_an_end_waits_for_nobody(fleet: Fleet) -> None:
    whole(fleet, "a")
    assert fleet.end(hook=False) == 1
    assert fleet.claim("a") == []


# -- events ---------------------------------------------------------------------------------------------------


def test_events_are_told_with_what_they_tell(fleet: Fleet) -> None:
    whole(fleet, "a", "b")
    fleet.end()
    with fleet.database.transaction() as cursor:
        told = outbox.read(cursor, 0, 10)
        assert [(event.event, event.revision) for event in told] == [("study.opened", 1), ("study.completed", 1)]
        assert outbox.read(cursor, told[0].position, 10) == told[1:]
        assert outbox.read(cursor, 0, 1) == told[:1]


def test_a_consumer_never_goes_back(fleet: Fleet) -> None:
    with fleet.database.transaction() as cursor:
        assert outbox.confirmed(cursor, "c") == 0
        outbox.confirm(cursor, "c", 7)
        outbox.confirm(cursor, "c", 3)
        assert outbox.confirmed(cursor, "c") == 7
        assert outbox.confirmed(cursor, "d") == 0


def test_positions_are_in_the_order_of_commits(fleet: Fleet) -> None:
    """Whoever is later waits: a reader that has seen a position has seen all before it."""
    fleet.register("a")
    with psycopg.connect(url_of(fleet.server)) as other, other.cursor() as early:
        outbox.tell(early, [("study.opened", 1, 1, {})])
        with pytest.raises(DatabaseError, match="timeout"):
            fleet.tell(2, "100ms")
    with fleet.database.transaction() as late:
        outbox.tell(late, [("study.opened", 2, 1, {})])
        studies = [event.study for event in outbox.read(late, 0, 10)]
    assert studies == [1, 2]


# -- schema ---------------------------------------------------------------------------------------------------


def test_the_schema_is_made_once_and_a_newer_one_is_left_alone(fleet: Fleet) -> None:
    later = (*MIGRATIONS, Migration("CREATE TABLE fastscp.later (x integer)", oldest=1))
    with fleet.database.transaction() as cursor:
        assert migrate(cursor) == 0
        assert migrate(cursor, later) == 1
        assert migrate(cursor, later) == 0
        assert migrate(cursor) == 0


def test_the_first_version_goes_on_with_the_newest_schema(fleet: Fleet) -> None:
    """Its statements are those of ``tests.support.first_version``; every test of a fleet of two versions uses them."""
    with fleet.database.transaction() as cursor:
        migrate(cursor)
    old = Database(url_of(fleet.server), "test", opened=lambda cursor: migrate(cursor, first_version.FIRST))
    with old.transaction() as cursor:
        first_version.tell(cursor, [("study.opened", 1, 1, {})])
        (event,) = first_version.read(cursor, 0, 10)
        first_version.confirm(cursor, "c", event.position)
        assert first_version.confirmed(cursor, "c") == event.position
    with old.transaction() as cursor:
        assert consuming.take(cursor, "c", "relay", 60.0) == event.position
    old.close()


def test_old_and_new_gateways_run_each_others_hooks(fleet: Fleet) -> None:
    whole(fleet, "a", "b")
    fleet.end()
    (claim,) = fleet.claim("a", lease_s=0.0)
    (again,) = fleet.claim("b")
    with fleet.database.transaction() as cursor:
        assert first_version.renew(cursor, [claim.lease, again.lease], lease_s=1.0) == {again.lease}
        assert not first_version.finish(cursor, claim.lease, 0, None)
        assert first_version.finish(cursor, again.lease, 0, None)


def test_a_schema_that_this_program_is_too_old_for_is_told(fleet: Fleet) -> None:
    with fleet.database.transaction() as cursor:
        migrate(cursor, (*MIGRATIONS, Migration("SELECT 1", oldest=len(MIGRATIONS) + 1)))
    with pytest.raises(DatabaseError, match="too old"), fleet.database.transaction() as cursor:
        migrate(cursor)


# -- together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_shipping_and_ending_loses_nothing(fleet: Fleet, seed: int) -> None:
    """Journals of three gateways are shipped in pieces, some of them twice, while everybody looks for ends."""
    chance = random.Random(seed)
    names = ["a", "b", "c"]
    fleet.register(*names)
    journals: dict[str, list[Entry]] = {}
    wanted: dict[str, set[str]] = {}
    for gateway in names:
        journals[gateway] = journal = []
        for number in range(1, 13):
            key = f"1.{number}"
            journal.append(fleet.entry("hold", number, key, epoch=gateway))
            for index in range(chance.randrange(4)):
                instance = f"{key}.{chance.randrange(3)}.{index}"
                wanted.setdefault(key, set()).add(instance)
                journal.append(fleet.stored(number, instance, key, epoch=gateway))
            journal.append(fleet.entry("release", number, key, epoch=gateway))
    ended = 0
    while any(journals.values()):
        gateway = chance.choice([name for name in names if journals[name]])
        piece = journals[gateway][: chance.randrange(1, 9)]
        fleet.ship(gateway, *piece)
        if chance.random() < 0.7:  # else the answer was lost, and it is shipped again
            del journals[gateway][: len(piece)]
        if not journals[gateway]:
            fleet.shipped_through_now(gateway)
        ended += fleet.end()
    fleet.shipped_through_now(*names)
    while count := fleet.end():
        ended += count
    assert ended == len(wanted)
    for key, instances in wanted.items():
        assert {name for name, _, _ in fleet.objects(1, key)} == instances
    assert fleet.value("SELECT max(revision) FROM fastscp.studies") == 1


# -- roles ----------------------------------------------------------------------------------------------------


def test_the_rights_of_the_document_are_enough(fleet: Fleet) -> None:
    """docs/fleet.md names what gateways and readers have to be granted; a right to change tables is not among it."""
    document = (Path(__file__).parents[2] / "docs/fleet.md").read_text(encoding="utf-8")
    (grants,) = re.findall(r"```text\n(GRANT.*?)```", document, flags=re.DOTALL)
    fleet.register()
    for role in ("gateway", "reader"):
        fleet.server.query(f"DROP ROLE IF EXISTS {role}")
        fleet.server.query(f"CREATE ROLE {role} LOGIN")
    fleet.execute(grants)
    fleet.database.close()
    owner, fleet.database = fleet.database, Database(url_of(fleet.server, "gateway"), "test", opened=migrate)
    whole(fleet, "a")
    assert fleet.end() == 1
    (claim,) = fleet.claim("a")
    with fleet.database.transaction() as cursor:
        assert outbox.objects_of(cursor, claim.study, 1)
        ending.renew(cursor, [claim.lease], lease_s=1.0)
        ending.finish(cursor, claim.lease, 0, None)
        shipping.leave(cursor, "a", "session")
    with pytest.raises(DatabaseError, match="must be owner"):
        fleet.execute("DROP TABLE fastscp.objects")
    reader = Database(url_of(fleet.server, "reader"), "test")
    with reader.transaction() as cursor:
        (last,) = outbox.read(cursor, 0, 100)[-1:]
        assert outbox.objects_of(cursor, last.study, last.revision)
        outbox.confirm(cursor, "c", last.position)
        assert outbox.confirmed(cursor, "c") == last.position
    with pytest.raises(DatabaseError, match="permission denied"), reader.transaction() as cursor:
        cursor.execute("DELETE FROM fastscp.outbox")
    reader.close()
    fleet.database.close()
    fleet.database = owner
    fleet.execute("DROP OWNED BY gateway, reader; DROP ROLE gateway, reader")
