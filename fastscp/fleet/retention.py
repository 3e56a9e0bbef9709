"""What is old goes: events by partitions of the outbox, studies that ended long ago in small transactions.

Strategy: the outbox is partitioned by position, and the last partition has no end. Now and then it is *cut*: it gets an end behind its
last event, and an empty one follows. A partition whose last event is old enough, and confirmed by every consumer, is dropped. Both
take the lock of whoever adds events first, as writers do, and then a lock of the table, which they wait for only shortly: behind it
everybody waits, so it is given up and tried again later.

Studies, their objects and ends are deleted, since an object has to be unique in its study however old that is. They go after
their events: what a reader may still be told of is there.

Invariants: an event always finds a partition. Nothing is dropped that a consumer has not confirmed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fastscp.fleet.database import Cursor, Database, DatabaseError
from fastscp.fleet.schema import OUTBOX_LOCK

PARTS: Final = 10  #: partitions that what is kept is spread over: an event is kept up to a tenth longer
MOST_STUDIES: Final = 50  #: that are deleted at once
TRIES: Final = 5  #: for the lock of the table
PAUSE_S: Final = 2.0  #: between two of them
_PATIENCE: Final = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = 0"

_PARTITIONS: Final = """
SELECT format('%I.%I', n.nspname, c.relname), pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = 'fastscp.outbox'::regclass"""
_BOUNDS: Final = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(\d+)')\) TO \((?:MAXVALUE|'(\d+)')\)")
#: a study is quiet since its last end; one without any was opened by a gateway and never got an object
_QUIET: Final = """
SELECT s.id FROM fastscp.studies s WHERE NOT s.changed AND coalesce(s.ended, s.opened) < now() - make_interval(secs => %(keep_s)s)
AND s.deadline < now() - make_interval(secs => %(keep_s)s)
AND coalesce(s.ended, s.opened) < coalesce((SELECT told FROM fastscp.outbox ORDER BY position LIMIT 1), 'infinity')
AND NOT EXISTS (SELECT 1 FROM fastscp.holders h JOIN fastscp.gateways g ON g.name = h.gateway WHERE h.study = s.id
                AND g.heartbeat > now() - make_interval(secs => %(keep_s)s))
AND NOT EXISTS (SELECT 1 FROM fastscp.ends e WHERE e.study = s.id AND (e.done IS NULL OR e.manifest = ''))
ORDER BY coalesce(s.ended, s.opened) LIMIT %(most)s FOR UPDATE OF s SKIP LOCKED"""


@dataclass(frozen=True)
class Partition:
    """Some positions of the outbox: from ``first`` to before ``end``, None: without a limit."""

    table: str  #: quoted
    first: int | None
    end: int | None


@dataclass
class Kept:
    """What came of it."""

    dropped: int = 0  #: partitions
    cut: bool = False
    studies: int = 0
    waiting: list[str] = field(default_factory=list)  #: consumers that have not confirmed what could go


def partitions(cursor: Cursor) -> list[Partition]:
    """Return the partitions of the outbox, the oldest first. Raises DatabaseError for one that this program did not make."""
    cursor.execute(_PARTITIONS)
    found = []
    for table, bounds in cursor.fetchall():
        match = _BOUNDS.fullmatch(bounds)
        if match is None:
            raise DatabaseError(f"partition {table} of the outbox has bounds that are not known: {bounds}")
        found.append(Partition(table, *(None if text is None else int(text) for text in match.groups())))
    return sorted(found, key=lambda part: -1 if part.first is None else part.first)


def drop_and_cut(cursor: Cursor, keep_s: float) -> Kept:
    """Drop partitions whose events are all older than that, and begin a new one where the last has been written to for a while."""
    cursor.execute(_PATIENCE)
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (OUTBOX_LOCK,))
    kept = Kept()
    *closed, last = partitions(cursor)
    for part in closed:
        newest = _event(cursor, part, "DESC")
        if newest is not None and newest[1] < keep_s:
            break
        if newest is not None and (waiting := _waiting(cursor, newest[0])):
            kept.waiting = waiting
            break
        cursor.execute(f"DROP TABLE {part.table}")
        kept.dropped += 1
    oldest = _event(cursor, last, "ASC")
    if oldest is not None and oldest[1] >= keep_s / PARTS:
        cut(cursor, last)
        kept.cut = True
    return kept


def _event(cursor: Cursor, part: Partition, order: str) -> tuple[int, float] | None:
    """Return position and age in seconds of the first or last event of a partition; None where it is empty."""
    cursor.execute(f"SELECT position, extract(epoch FROM now() - told)::double precision FROM {part.table} ORDER BY position {order} LIMIT 1")
    row: Any = cursor.fetchone()
    return None if row is None else (int(row[0]), float(row[1]))


def _waiting(cursor: Cursor, position: int) -> list[str]:
    cursor.execute("SELECT name FROM fastscp.consumers WHERE position < %s ORDER BY name", (position,))
    return [name for (name,) in cursor.fetchall()]


def cut(cursor: Cursor, last: Partition) -> None:
    """Give the last partition an end, and put an empty one behind it. Whoever adds events waits."""
    cursor.execute(f"SELECT max(position) + 1 FROM {last.table}")
    (end,) = cursor.fetchone() or (1,)
    first = "MINVALUE" if last.first is None else str(last.first)
    cursor.execute(f"ALTER TABLE fastscp.outbox DETACH PARTITION {last.table}")
    cursor.execute(f"ALTER TABLE fastscp.outbox ATTACH PARTITION {last.table} FOR VALUES FROM ({first}) TO ({end})")
    cursor.execute(f"CREATE TABLE fastscp.outbox_from_{end} PARTITION OF fastscp.outbox FOR VALUES FROM ({end}) TO (MAXVALUE)")


def forget_studies(cursor: Cursor, keep_s: float) -> int:
    """Delete some studies that ended before that time, with all that belongs to them; return how many."""
    cursor.execute(_QUIET, {"keep_s": keep_s, "most": MOST_STUDIES})
    studies = [study for (study,) in cursor.fetchall()]
    for table, column in (("holders", "study"), ("ends", "study"), ("objects", "study"), ("studies", "id")):
        cursor.execute(f"DELETE FROM fastscp.{table} WHERE {column} = ANY(%s)", (studies,))
    return len(studies)


def maintain(database: Database, keep_s: float | None, keep_studies_s: float | None, *, sleep: Callable[[float], None] = time.sleep) -> Kept:
    """Have what is old go; None: that stays. Raises DatabaseError."""
    kept = Kept()
    if keep_s is not None:
        kept = _patiently(database, keep_s, sleep)
    while keep_studies_s is not None:
        with database.transaction() as cursor:
            count = forget_studies(cursor, keep_studies_s)
        if not count:
            break
        kept.studies += count
    return kept


def _patiently(database: Database, keep_s: float, sleep: Callable[[float], None]) -> Kept:
    for tries in range(1, TRIES + 1):
        try:
            with database.transaction() as cursor:
                return drop_and_cut(cursor, keep_s)
        except DatabaseError:
            if tries == TRIES:
                raise
            sleep(PAUSE_S)
    raise AssertionError("the last try returns or raises")
