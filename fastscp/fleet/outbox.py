"""The events of a fleet: written in the transaction of what they tell, read by position.

Strategy: whoever adds events takes a lock that lasts until the commit, as the last thing of the transaction, so positions are in the
order of commits, and a reader that has seen one has seen all before it. ``NOTIFY`` only wakes readers. What a reader holds is bounded
by octets, since the end of a study lists its objects.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fastscp.fleet.database import Cursor
from fastscp.fleet.schema import CHANNEL, OUTBOX_LOCK
from fastscp.study.event_types import SCHEMA_VERSION

#: event, study, revision, what it says
Told = tuple[str, int, int, dict[str, Any]]

MOST: Final = 100  #: events of one look
MOST_OCTETS: Final = 4 << 20  #: of one look, but for its first event


#: one statement, since everybody else waits for the lock
_TELL: Final = """
INSERT INTO fastscp.outbox (event, study, revision, told, body) SELECT event, study, revision, clock_timestamp(), body
FROM jsonb_to_recordset(%s::jsonb) AS r (number integer, event text, study bigint, revision integer, body jsonb) ORDER BY number"""


@dataclass(frozen=True)
class OutboxEvent:
    """One event."""

    position: int
    event: str
    study: int
    revision: int
    told: datetime.datetime
    body: dict[str, Any]

    @property
    def time(self) -> str:
        """When it was told, in UTC: always of one length, so that texts compare as times do."""
        return self.told.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def as_json(self, objects: Sequence[dict[str, Any]] | None = None, *, left_out: bool = False) -> bytes:
        """Return it as one line; ``objects`` are those of a study that ended, ``left_out``: they were too many."""
        line = {"schema": SCHEMA_VERSION, "event": self.event, "position": self.position, "time": self.time, **self.body,
                "revision": self.revision}
        if objects is not None:
            line["objects"] = objects
        if left_out:
            line["objects_left_out"] = True
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def tell(cursor: Cursor, events: Sequence[Told]) -> None:
    """Add events; nothing may be locked after this in the same transaction."""
    if not events:
        return
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (OUTBOX_LOCK,))
    cursor.execute(_TELL, (orjson.dumps([{"number": number, "event": event, "study": study, "revision": revision, "body": body}
                                         for number, (event, study, revision, body) in enumerate(events)]).decode(),))
    cursor.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def read(cursor: Cursor, after: int, most: int) -> list[OutboxEvent]:
    """Return the next events after a position."""
    cursor.execute("SELECT position, event, study, revision, told, body FROM fastscp.outbox WHERE position > %s "
                   "ORDER BY position LIMIT %s", (after, most))
    return [OutboxEvent(*row) for row in cursor.fetchall()]


def read_whole(cursor: Cursor, after: int, most_objects: int | None = None) -> Iterator[tuple[OutboxEvent, bytes]]:
    """Yield the next events and the line of each, up to ``MOST`` and ``MOST_OCTETS``.

    The end of a study of more than ``most_objects`` objects does not list them.
    """
    octets = 0
    for event in read(cursor, after, MOST):
        ended = event.event == "study.completed"
        left_out = ended and most_objects is not None and event.body.get("count", 0) > most_objects
        line = event.as_json(objects_of(cursor, event.study, event.revision) if ended and not left_out else None, left_out=left_out)
        if octets and octets + len(line) > MOST_OCTETS:
            return
        octets += len(line)
        yield event, line


def identity(cursor: Cursor) -> str:
    """Return what tells this outbox from every other: when its schema was made, to the microsecond."""
    cursor.execute("SELECT (extract(epoch FROM migrated) * 1000000)::bigint FROM fastscp.versions WHERE version = 1")
    (microseconds,) = cursor.fetchone() or (0,)
    return str(microseconds)


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
