"""What gateways say to the database of a fleet, without gateways."""

from __future__ import annotations

import itertools
from typing import Any

from fastscp.fleet import ending, outbox, shipping
from fastscp.fleet.database import Database, migrate
from fastscp.fleet.journal import Entry
from tests.support import first_version
from tests.support.fleet import url_of
from tests.support.postgres import Postgres

LIMIT_S = 3600.0


class Fleet:
    """An empty schema, and gateways that say what a test wants said. Those in ``old`` say it as the first version does."""

    def __init__(self, server: Postgres, old: str = "") -> None:
        server.query("DROP SCHEMA IF EXISTS fastscp CASCADE")
        self.server = server
        self.numbers = itertools.count(1)
        self._old = old
        self._looks = itertools.count() if old else itertools.repeat(1)  # who looks for ends: an old one first, then a new one, and so on
        if old:
            first = Database(url_of(server), "test", opened=lambda cursor: migrate(cursor, first_version.FIRST))
            with first.transaction():
                first.close()
        self.database = Database(url_of(server), "test", opened=migrate)

    def _of(self, gateway: str) -> Any:
        """Return what has the statements of a gateway."""
        return first_version if gateway in self._old else shipping

    def register(self, *gateways: str) -> None:
        with self.database.transaction() as cursor:
            for gateway in gateways:
                self._of(gateway).register(cursor, gateway, "session")

    def entry(self, kind: str, number: int, key: str = "1.2", *, epoch: str = "e", timeout_s: float = 0.0, **body: Any) -> Entry:
        return Entry(next(self.numbers), epoch, kind, {"number": number, "key": key, "study_uid": key, "timeout_s": timeout_s, **body})

    def stored(self, number: int, instance: str, key: str = "1.2", *, kind: str = "object", digest: str = "d", path: str = "",
               **more: Any) -> Entry:
        row = {"sop_instance_uid": instance, "sha256": digest, "path": path or f"/in/{instance}", "size": 10, "sop_class_uid": "1",
               "transfer_syntax_uid": "2", "series_uid": "3", "modality": "CT"}
        return self.entry(kind, number, key, objects=[row], caller={"calling_aet": "SCU"}, **more)

    def ship(self, gateway: str, *entries: Entry) -> int:
        with self.database.transaction() as cursor:
            return int(self._of(gateway).ship(cursor, gateway, entries))

    def shipped_through_now(self, *gateways: str) -> None:
        with self.database.transaction() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone() or (None,)
            for gateway in gateways:
                self._of(gateway).beat(cursor, gateway, now)

    def end(self, *, limit_s: float = LIMIT_S, connected_s: float = 2 * LIMIT_S, hook: bool = True) -> int:
        with self.database.transaction() as cursor:
            looks: Any = ending if next(self._looks) % 2 else first_version
            return int(looks.end_due(cursor, connected_s=connected_s, limit_s=limit_s, has_hook=lambda _sender: hook))

    def claim(self, gateway: str = "a", most: int = 10, lease_s: float = LIMIT_S) -> list[ending.Claim]:
        with self.database.transaction() as cursor:
            claims: Any = first_version if gateway in self._old else ending
            return list(claims.claim(cursor, gateway, most=most, lease_s=lease_s))

    def objects(self, revision: int = 1, key: str = "1.2") -> list[tuple[str, str, str]]:
        with self.database.transaction() as cursor:
            cursor.execute("SELECT id FROM fastscp.studies WHERE key = %s", (key,))
            (study,) = cursor.fetchone() or (0,)
            return [(row["sop_instance_uid"], row["gateway"], row["path"]) for row in outbox.objects_of(cursor, study, revision)]

    def tell(self, study: int, lock_timeout: str) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{lock_timeout}'")
            outbox.tell(cursor, [("study.opened", study, 1, {})])

    def execute(self, statements: str) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(statements)

    def value(self, query: str) -> Any:
        with self.database.transaction() as cursor:
            cursor.execute(query)
            return (cursor.fetchone() or (None,))[0]


def whole(fleet: Fleet, *gateways: str) -> None:
    """Have gateways bring an object each, and release the study."""
    fleet.register(*gateways)
    for gateway in gateways:
        fleet.ship(gateway, fleet.entry("hold", 1), fleet.stored(1, f"1.2.{gateway}"), fleet.entry("release", 1))
    fleet.shipped_through_now(*gateways)
