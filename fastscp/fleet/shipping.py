"""Carries entries of a gateway's journal to the database.

Strategy: a batch is one transaction, and the position of the journal is in it. The row of the gateway is locked first, so that two
processes of one gateway (one that ends, one that begins) ship one after the other, and the second leaves out what the first has
shipped. Rows of studies are locked in the order of their keys, so that gateways never wait for each other in a circle.

Invariants: whoever opens a study or brings an object locks its row and puts its deadline off, so that nobody who looks for due studies
(``fastscp.fleet.ending``) can miss it; ``shipped_through`` becomes visible with what was shipped, never before. An object
counts once, by SOP instance and digest, whoever brings it how often; where it is is said by the gateway that brought it first.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from fastscp import __version__
from fastscp.fleet.batch import batch_of
from fastscp.fleet.database import Cursor
from fastscp.fleet.journal import Entry
from fastscp.fleet.outbox import tell

FORGET_EPOCHS: Final = "30 days"

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
#: where objects are now that were here before, said by the gateway that has them
_MOVED: Final = f"""UPDATE fastscp.objects o SET path = r.path FROM {_ROWS} WHERE o.study = r.study
AND o.sop_instance_uid = r.sop_instance_uid AND o.sha256 = r.sha256 AND o.gateway = %s AND o.path <> r.path"""

_IN_STORE: Final = """UPDATE fastscp.objects o SET store_key = r.store_key
FROM jsonb_to_recordset(%s::jsonb) AS r (key text, sop_instance_uid text, sha256 text, store_key text) JOIN fastscp.studies s ON s.key = r.key
WHERE o.study = s.id AND o.sop_instance_uid = r.sop_instance_uid AND o.sha256 = r.sha256 AND o.store_key IS NULL"""


def register(cursor: Cursor, gateway: str, session: str) -> None:
    """Have the fleet know a gateway: studies wait for what it may have from now on. ``session`` names this process."""
    cursor.execute(
        "INSERT INTO fastscp.gateways (name, heartbeat, session, program) VALUES (%s, clock_timestamp(), %s, %s) "
        "ON CONFLICT (name) DO UPDATE SET heartbeat = excluded.heartbeat, session = excluded.session, program = excluded.program, "
        "left_at = NULL", (gateway, session, __version__))
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


def beat(cursor: Cursor, gateway: str, shipped_through: datetime.datetime | None) -> str:
    """Give a sign of life, and tell up to when everything that was received is here; return which process of the gateway began last."""
    cursor.execute("UPDATE fastscp.gateways SET heartbeat = clock_timestamp(), "
                   "shipped_through = greatest(shipped_through, %s) WHERE name = %s RETURNING session", (shipped_through, gateway))
    return str((cursor.fetchone() or ("",))[0])


def _write(cursor: Cursor, gateway: str, entries: Iterable[Entry]) -> None:
    batch = batch_of(entries)
    found: dict[str, tuple[int, int, bool]] = {}
    if batch.studies:
        cursor.execute(_STUDIES, (_json(list(batch.studies.values())),))
        found = {key: (number, revision, changed) for key, number, revision, changed in cursor.fetchall()}
    changed = _write_objects(cursor, gateway, batch.objects.values(), found)
    if batch.finals:
        rows = _rows(batch.finals.values(), found)
        cursor.execute(_MOVED, (rows, gateway))
        cursor.execute(_OBJECTS, (gateway, rows))
        changed |= {study for (study,) in cursor.fetchall()}
    if batch.in_store:
        cursor.execute(_IN_STORE, (_json([{"key": key, "sop_instance_uid": instance, "sha256": sha256, "store_key": store_key}
                                          for (key, instance, sha256), store_key in batch.in_store.items()]),))
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
