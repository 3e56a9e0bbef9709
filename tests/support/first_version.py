"""What programs of the first version of the schema say to the database: frozen, for tests of fleets of two versions.

Never changed: gateways of that version are in the field, and go on saying this beside newer ones, until a migration says that it is not
for them any more (``oldest`` in ``fastscp.fleet.schema``).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from fastscp.fleet.batch import batch_of
from fastscp.fleet.database import Cursor
from fastscp.fleet.ending import Claim
from fastscp.fleet.journal import Entry
from fastscp.fleet.outbox import OutboxEvent
from fastscp.fleet.schema import MIGRATIONS

#: what such a program knows of the schema
FIRST: Final = MIGRATIONS[:1]
_VERSION: Final = "4.0.0"
_CHANNEL: Final = "fastscp_outbox"
_OUTBOX_LOCK: Final = 0x66617374_00000002
FORGET_EPOCHS: Final = "30 days"
MOST_ENDS: Final = 16

_STUDIES: Final = """
INSERT INTO fastscp.studies AS s (key, study_uid, sender, deadline, opened, caller)
SELECT key, study_uid, sender, clock_timestamp() + make_interval(secs => timeout_s), clock_timestamp(), caller
FROM jsonb_to_recordset(%s::jsonb) AS r (key text, study_uid text, sender text, timeout_s double precision, caller jsonb)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET deadline = greatest(s.deadline, excluded.deadline), caller = coalesce(excluded.caller, s.caller)
RETURNING key, id, revision, changed"""
_ROWS: Final = """jsonb_to_recordset(%s::jsonb) AS r (study bigint, revision integer, sop_instance_uid text, sha256 text,
    path text, size bigint, sop_class_uid text, transfer_syntax_uid text, series_uid text, modality text)"""
_COLUMNS: Final = ("study, sop_instance_uid, sha256, revision, gateway, path, size, sop_class_uid, transfer_syntax_uid, series_uid, "
                   "modality, shipped")
_SELECTED: Final = ("r.study, r.sop_instance_uid, r.sha256, r.revision, %s, r.path, r.size, r.sop_class_uid, r.transfer_syntax_uid, "
                    "r.series_uid, r.modality, now()")
#: the file that has other octets now holds the earlier object no more
_REPLACED: Final = f"""DELETE FROM fastscp.objects o USING {_ROWS} WHERE o.study = r.study
AND o.sop_instance_uid = r.sop_instance_uid AND o.sha256 <> r.sha256 AND o.gateway = %s AND o.path = r.path"""
_OBJECTS: Final = f"""WITH brought AS (INSERT INTO fastscp.objects ({_COLUMNS}) SELECT {_SELECTED} FROM {_ROWS}
ON CONFLICT (study, sop_instance_uid, sha256) DO NOTHING RETURNING study) SELECT DISTINCT study FROM brought"""
_FINALS: Final = f"""WITH brought AS (INSERT INTO fastscp.objects AS o ({_COLUMNS}) SELECT {_SELECTED} FROM {_ROWS}
ON CONFLICT (study, sop_instance_uid, sha256) DO UPDATE SET path = excluded.path WHERE o.gateway = excluded.gateway
RETURNING study, xmax = 0 AS is_new) SELECT DISTINCT study FROM brought WHERE is_new"""
_LIVES: Final = ("g.left_at IS NULL AND greatest(g.heartbeat, now() - make_interval(secs => %(connected_s)s)) "
                 "> now() - make_interval(secs => %(limit_s)s)")
_END: Final = f"""
WITH due AS (
    SELECT s.id FROM fastscp.studies s WHERE s.changed AND s.deadline <= now()
    AND NOT EXISTS (SELECT 1 FROM fastscp.gateways g WHERE {_LIVES}
                    AND (g.shipped_through IS NULL OR g.shipped_through < s.deadline))
    AND NOT EXISTS (SELECT 1 FROM fastscp.holders h JOIN fastscp.gateways g ON g.name = h.gateway
                    WHERE h.study = s.id AND {_LIVES})
    ORDER BY s.deadline LIMIT %(most)s FOR UPDATE OF s SKIP LOCKED)
UPDATE fastscp.studies s SET changed = false, revision = s.revision + 1, ended = now() FROM due WHERE s.id = due.id
RETURNING s.id, s.revision, s.study_uid, s.sender, s.caller"""
_ADD: Final = """
INSERT INTO fastscp.ends (study, revision, ended, objects, next_try, done, status)
SELECT %(study)s, %(revision)s, now(), count(*), now(), CASE WHEN %(hook)s THEN NULL ELSE now() END,
       CASE WHEN %(hook)s THEN NULL ELSE 0 END FROM fastscp.objects WHERE study = %(study)s
RETURNING objects"""
_CLAIM: Final = """
WITH waiting AS (
    SELECT e.study, e.revision FROM fastscp.ends e WHERE e.done IS NULL AND e.next_try <= now()
    AND (e.lease_until IS NULL OR e.lease_until < now())
    AND NOT EXISTS (SELECT 1 FROM fastscp.ends o WHERE o.study = e.study AND o.revision < e.revision AND o.done IS NULL)
    ORDER BY e.next_try LIMIT %(most)s FOR UPDATE OF e SKIP LOCKED)
UPDATE fastscp.ends e SET gateway = %(gateway)s, lease = md5(random()::text || clock_timestamp()::text),
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), attempts = e.attempts + 1
FROM waiting w JOIN fastscp.studies s ON s.id = w.study WHERE e.study = w.study AND e.revision = w.revision
RETURNING e.study, e.revision, e.objects, e.attempts, e.lease, s.study_uid, s.sender, s.caller"""


def register(cursor: Cursor, gateway: str, session: str) -> None:
    """Have the fleet know a gateway: studies wait for what it may have from now on. ``session`` names this process."""
    cursor.execute(
        "INSERT INTO fastscp.gateways (name, heartbeat, session, program) VALUES (%s, clock_timestamp(), %s, %s) "
        "ON CONFLICT (name) DO UPDATE SET heartbeat = excluded.heartbeat, session = excluded.session, program = excluded.program, "
        "left_at = NULL", (gateway, session, _VERSION))
    cursor.execute(f"DELETE FROM fastscp.positions WHERE gateway = %s AND changed < now() - interval '{FORGET_EPOCHS}'", (gateway,))


def leave(cursor: Cursor, gateway: str, session: str) -> None:
    """Have the fleet wait for a gateway no more, unless another process of it has begun."""
    cursor.execute("UPDATE fastscp.gateways SET left_at = clock_timestamp() WHERE name = %s AND session = %s", (gateway, session))


def ship(cursor: Cursor, gateway: str, entries: Sequence[Entry]) -> int:
    """Write what entries say, but for those that were shipped before; return how many were new."""
    cursor.execute("SELECT 1 FROM fastscp.gateways WHERE name = %s FOR UPDATE", (gateway,))
    epochs = sorted({entry.epoch for entry in entries})
    cursor.execute("SELECT epoch, number FROM fastscp.positions WHERE gateway = %s AND epoch = ANY(%s)", (gateway, epochs))
    positions: dict[str, int] = dict(cursor.fetchall())
    new = [entry for entry in entries if entry.number > positions.get(entry.epoch, 0)]
    if new:
        _write(cursor, gateway, new)
        latest = {entry.epoch: entry.number for entry in new}
        for epoch, number in latest.items():
            cursor.execute("INSERT INTO fastscp.positions VALUES (%s, %s, %s, now()) ON CONFLICT (gateway, epoch) "
                           "DO UPDATE SET number = excluded.number, changed = now()", (gateway, epoch, number))
    return len(new)


def beat(cursor: Cursor, gateway: str, shipped_through: datetime.datetime | None) -> None:
    """Give a sign of life, and tell up to when everything that was received is here."""
    cursor.execute("UPDATE fastscp.gateways SET heartbeat = clock_timestamp(), "
                   "shipped_through = greatest(shipped_through, %s) WHERE name = %s", (shipped_through, gateway))


def _write(cursor: Cursor, gateway: str, entries: Iterable[Entry]) -> None:
    batch = batch_of(entries)
    found: dict[str, tuple[int, int, bool]] = {}
    if batch.studies:
        cursor.execute(_STUDIES, (_json(list(batch.studies.values())),))
        found = {key: (number, revision, changed) for key, number, revision, changed in cursor.fetchall()}
    changed = _write_objects(cursor, gateway, batch.objects.values(), found)
    if batch.finals:
        cursor.execute(_FINALS, (gateway, _rows(batch.finals.values(), found)))
        changed |= {study for (study,) in cursor.fetchall()}
    _write_holds(cursor, gateway, batch.holds, found)
    if changed:
        cursor.execute("UPDATE fastscp.studies SET changed = true WHERE id = ANY(%s)", (sorted(changed),))
        tell(cursor, [("study.opened", number, revision + 1, {"study_uid": row["study_uid"], "sender": row["sender"]})
                      for key, row in batch.studies.items() for number, revision, before in [found[key]]
                      if number in changed and not before])


def _write_objects(cursor: Cursor, gateway: str, objects: Iterable[Mapping[str, Any]],
                   found: Mapping[str, tuple[int, int, bool]]) -> set[int]:
    """Write new objects; return the studies that have changed by them."""
    rows = _rows(objects, found)
    if rows == "[]":
        return set()
    cursor.execute(_REPLACED, (rows, gateway))
    cursor.execute(_OBJECTS, (gateway, rows))
    return {study for (study,) in cursor.fetchall()}


def _write_holds(cursor: Cursor, gateway: str, holds: Mapping[int, str | None], found: Mapping[str, tuple[int, int, bool]]) -> None:
    released = [number for number, key in holds.items() if key is None]
    if released:
        cursor.execute("DELETE FROM fastscp.holders WHERE gateway = %s AND number = ANY(%s)", (gateway, released))
    held = [{"number": number, "study": found[key][0]} for number, key in holds.items() if key is not None]
    if held:
        cursor.execute(
            "INSERT INTO fastscp.holders SELECT %s, number, study, now() FROM jsonb_to_recordset(%s::jsonb) AS r "
            "(number bigint, study bigint) ON CONFLICT (gateway, number) DO UPDATE SET study = excluded.study", (gateway, _json(held)))


def _rows(objects: Iterable[Mapping[str, Any]], found: Mapping[str, tuple[int, int, bool]]) -> str:
    """Return objects as rows of the database, those that arrive now in the revision to come."""
    return _json([{**row, "study": found[row["key"]][0], "revision": found[row["key"]][1] + 1} for row in objects])


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def end_due(cursor: Cursor, *, connected_s: float, limit_s: float, has_hook: Callable[[str], bool]) -> int:
    """End studies whose time has come; return how many.

    ``connected_s``: for so long this gateway has seen the database without a break. ``has_hook`` tells of a section.
    """
    cursor.execute(_END, {"connected_s": connected_s, "limit_s": limit_s, "most": MOST_ENDS})
    ended = cursor.fetchall()
    events = []
    for study, revision, uid, sender, caller in ended:
        cursor.execute(_ADD, {"study": study, "revision": revision, "hook": has_hook(sender)})
        (count,) = cursor.fetchone() or (0,)
        events.append(("study.completed", study, revision, {"study_uid": uid, "sender": sender, "reason": "timeout", "count": count,
                                                            **(caller or {})}))
    tell(cursor, events)
    return len(ended)


def claim(cursor: Cursor, gateway: str, *, most: int, lease_s: float) -> list[Claim]:
    """Take hooks that are to be run, up to so many."""
    cursor.execute(_CLAIM, {"gateway": gateway, "most": most, "lease_s": lease_s})
    return [Claim(*row) for row in cursor.fetchall()]


def renew(cursor: Cursor, leases: Sequence[str], *, lease_s: float) -> set[str]:
    """Go on with leases; return those that are still ours."""
    cursor.execute("UPDATE fastscp.ends SET lease_until = clock_timestamp() + make_interval(secs => %s) "
                   "WHERE lease = ANY(%s) AND done IS NULL RETURNING lease", (lease_s, list(leases)))
    return {lease for (lease,) in cursor.fetchall()}


def finish(cursor: Cursor, lease: str, status: int, retry_s: float | None) -> bool:
    """Take note of how a hook ended: with ``retry_s`` it runs again then. False when the lease is another's meanwhile."""
    cursor.execute(
        "UPDATE fastscp.ends SET lease = NULL, lease_until = NULL, status = %(status)s, "
        "done = CASE WHEN %(retry_s)s::double precision IS NULL THEN now() END, "
        "next_try = now() + make_interval(secs => coalesce(%(retry_s)s::double precision, 0)) WHERE lease = %(lease)s",
        {"lease": lease, "status": status, "retry_s": retry_s})
    return cursor.rowcount > 0


def tell(cursor: Cursor, events: Sequence[tuple[str, int, int, dict[str, Any]]]) -> None:
    """Add events; nothing may be locked after this in the same transaction."""
    if not events:
        return
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_OUTBOX_LOCK,))
    for event, study, revision, body in events:
        cursor.execute("INSERT INTO fastscp.outbox (event, study, revision, told, body) VALUES (%s, %s, %s, clock_timestamp(), %s)",
                       (event, study, revision, orjson.dumps(body).decode()))
    cursor.execute("SELECT pg_notify(%s, '')", (_CHANNEL,))


def read(cursor: Cursor, after: int, most: int) -> list[OutboxEvent]:
    """Return the next events after a position."""
    cursor.execute("SELECT position, event, study, revision, told, body FROM fastscp.outbox WHERE position > %s "
                   "ORDER BY position LIMIT %s", (after, most))
    return [OutboxEvent(*row) for row in cursor.fetchall()]


def objects_of(cursor: Cursor, study: int, revision: int) -> list[dict[str, Any]]:
    """Return all objects of a study as it ended with that revision, and where they are now."""
    cursor.execute("SELECT gateway, path, sop_instance_uid, sop_class_uid, transfer_syntax_uid, series_uid, modality, size, sha256 "
                   "FROM fastscp.objects WHERE study = %s AND revision <= %s ORDER BY series_uid, sop_instance_uid, sha256",
                   (study, revision))
    names = ("gateway", "path", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "series_uid", "modality", "size",
             "sha256")
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def confirmed(cursor: Cursor, consumer: str) -> int:
    """Return up to where a consumer has confirmed, 0 for a new one."""
    cursor.execute("SELECT position FROM fastscp.consumers WHERE name = %s", (consumer,))
    return int((cursor.fetchone() or (0,))[0])


def confirm(cursor: Cursor, consumer: str, position: int) -> None:
    """Take note that a consumer has everything up to a position."""
    cursor.execute("INSERT INTO fastscp.consumers AS c VALUES (%s, %s, now()) ON CONFLICT (name) DO UPDATE "
                   "SET position = greatest(c.position, excluded.position), confirmed = now()", (consumer, position))
