"""What a PostgreSQL decides beside the rules that perf/simulation.py simulates it by: the same journals, the same ends."""

from __future__ import annotations

import random

import pytest

from fastscp.fleet.batch import batch_of
from fastscp.fleet.journal import Entry
from perf.simulated.rules import Tables
from tests.process.test_fleet_database import LIMIT_S, Fleet, fleet, server

__all__ = ["fleet", "server"]
pytestmark = pytest.mark.slow
NAMES = ("a", "b", "c")


def journal(fleet: Fleet, chance: random.Random, gateway: str) -> list[Entry]:
    """Return what one gateway tells: studies that it opens, gets objects of, some of them known already, and releases."""
    entries = []
    for number in range(1, 9):
        key = f"1.{chance.randrange(1, 6)}"
        entries.append(fleet.entry("hold", number, key, epoch=gateway))
        for _ in range(chance.randrange(4)):
            kind = chance.choice(("object", "object", "final"))
            instance = f"{key}.{chance.randrange(6)}"
            # a path of its own, as when every octet that comes is kept: nothing is replaced
            digest = chance.choice("de")
            entries.append(fleet.stored(number, instance, key, kind=kind, digest=digest, path=f"/{gateway}/{number}/{instance}.{digest}",
                                        epoch=gateway))
        entries.append(fleet.entry("release", number, key, epoch=gateway))
    return entries


@pytest.mark.parametrize("seed", range(6))
def test_the_simulated_database_decides_as_the_real_one(fleet: Fleet, seed: int) -> None:
    chance, tables, now = random.Random(seed), Tables(), 0.0
    fleet.register(*NAMES)
    journals = {name: journal(fleet, chance, name) for name in NAMES}
    for name in NAMES:
        tables.register(name, now)
    while any(journals.values()):
        now += 1.0
        name = chance.choice([name for name in NAMES if journals[name]])
        piece = journals[name][: chance.randrange(1, 6)]
        del journals[name][: len(piece)]
        fleet.ship(name, *piece)
        tables.ship(name, batch_of(piece), now)
        for other in NAMES:
            if chance.random() < 0.7:
                fleet.shipped_through_now(other)
                tables.beat(other, now, now)
        due = tables.due(now, 2 * LIMIT_S, LIMIT_S)
        for study in due:
            tables.end(study, now)
        assert fleet.end() == len(due)
        assert decided(fleet) == tables.summary()
    assert max(revision for revision, _, _ in tables.summary().values()) > 1


def decided(fleet: Fleet) -> dict[str, tuple[int, list[tuple[str, str]], bool]]:
    """Return what there is: revision, objects and whether it is open, of each study."""
    with fleet.database.transaction() as cursor:
        cursor.execute("SELECT s.key, s.revision, s.changed, o.sop_instance_uid, o.sha256 FROM fastscp.studies s "
                       "LEFT JOIN fastscp.objects o ON o.study = s.id")
        found: dict[str, tuple[int, list[tuple[str, str]], bool]] = {}
        for key, revision, changed, instance, digest in cursor.fetchall():
            _, objects, _ = found.setdefault(key, (revision, [], changed))
            if instance is not None:
                objects.append((instance, digest))
    return {key: (revision, sorted(objects), changed) for key, (revision, objects, changed) in sorted(found.items())}
