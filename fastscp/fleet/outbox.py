"""The events of a fleet: written in the transaction of what they tell, read by position.

Strategy: whoever adds events takes a lock that lasts until the commit, as the last thing of the transaction, so positions are in the
order of commits, and a reader that has seen one has seen all before it. ``NOTIFY`` only wakes readers.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fastscp.fleet.database import Cursor
from fastscp.fleet.schema import CHANNEL, OUTBOX_LOCK
from fastscp.study.event_types import SCHEMA_VERSION

#: event, study, revision, what it says
Told = tuple[str, int, int, dict[str, Any]]


@dataclass(frozen=True)
class OutboxEvent:
    """One event; ``objects`` are those of a study that ended."""

    position: int
    event: str
    study: int
    revision: int
    told: datetime.datetime
    body: dict[str, Any]

    def as_json(self, objects: Sequence[dict[str, Any]] | None = None) -> bytes:
        """Return it as one line."""
        line = {"schema": SCHEMA_VERSION, "event": self.event, "position": self.position,
                "time": self.told.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **self.body,
                "revision": self.revision}
        if objects is not None:
            line["objects"] = objects
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def tell(cursor: Cursor, events: Sequence[Told]) -> None:
    """Add events; nothing may be locked after this in the same transaction."""
    if not events:
        return
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (OUTBOX_LOCK,))
    for event, study, revision, body in events:
        cursor.execute("INSERT INTO fastscp.outbox (event, study, revision, told, body) VALUES (%s, %s, %s, clock_timestamp(), %s)",
                       (event, study, revision, orjson.dumps(body).decode()))
    cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def read(cursor: Cursor, after: int, most: int) -> list[OutboxEvent]:
    """Return the next events after a position."""
    cursor.execute("SELECT position, event, study, revision, told, body FROM fastscp.outbox WHERE position > %s "
                   "ORDER BY position LIMIT %s", (after, most))
    return [OutboxEvent(*row) for row in cursor.fetchall()]


def objects_of(cursor: Cursor, study: int, revision: int) -> list[dict[str, Any]]:
    """Return all objects of a study as it ended with that revision, and where they are now."""
    cursor.execute("SELECT gateway, path, sop_instance_uid, sop_class_uid, transfer_syntax_uid, series_uid, modality, size, sha256, "
                   "store_key FROM fastscp.objects WHERE study = %s AND revision <= %s ORDER BY series_uid, sop_instance_uid, sha256",
                   (study, revision))
    names = ("gateway", "path", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "series_uid", "modality", "size",
             "sha256", "store_key")
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def confirmed(cursor: Cursor, consumer: str) -> int:
    """Return up to where a consumer has confirmed, 0 for a new one."""
    cursor.execute("SELECT position FROM fastscp.consumers WHERE name = %s", (consumer,))
    return int((cursor.fetchone() or (0,))[0])


def confirm(cursor: Cursor, consumer: str, position: int) -> None:
    """Take note that a consumer has everything up to a position."""
    cursor.execute("INSERT INTO fastscp.consumers AS c VALUES (%s, %s, now()) ON CONFLICT (name) DO UPDATE "
                   "SET position = greatest(c.position, excluded.position), confirmed = now()", (consumer, position))
