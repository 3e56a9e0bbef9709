"""Manifests of a fleet: the ends in its database count, and any gateway writes what is complete.

An end is complete when the store has every object that it had. The gateway that claims it (``FOR UPDATE SKIP LOCKED``, for a while) writes the
manifest and says so; when it dies another one does, and finds what is there. An end that lost an object to a file with other octets
is overtaken by the end that has those. Here at home an end needs nothing more when the fleet's study, with everything of this gateway in it,
has ended, its hook has succeeded and its manifest is written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

from fastscp.fleet.database import Cursor, Database
from fastscp.fleet.outbox import objects_of
from fastscp.objects import manifests
from fastscp.objects.journal import Complete, UploadReader
from fastscp.objects.keys import manifest_key
from fastscp.study.naming import of_study_key

MOST_ENDS: Final = 8  #: of one look
CLAIM_S: Final = 60
_LOST: Final = ("(SELECT count(*) FROM fastscp.objects o WHERE o.study = e.study AND o.revision <= e.revision) < e.objects")
_LATER: Final = "EXISTS (SELECT 1 FROM fastscp.ends l WHERE l.study = e.study AND l.revision > e.revision)"
_OVERTAKEN: Final = f"UPDATE fastscp.ends e SET manifest = '-' WHERE e.manifest = '' AND {_LATER} AND {_LOST}"
_CLAIM: Final = f"""
WITH complete AS (
    SELECT e.study, e.revision FROM fastscp.ends e
    WHERE e.manifest = '' AND (e.manifest_until IS NULL OR e.manifest_until < now())
    AND NOT EXISTS (SELECT 1 FROM fastscp.objects o WHERE o.study = e.study AND o.revision <= e.revision AND o.store_key IS NULL)
    AND NOT EXISTS (SELECT 1 FROM fastscp.ends p WHERE p.study = e.study AND p.revision < e.revision AND p.manifest = '')
    AND NOT {_LOST}
    ORDER BY e.ended LIMIT %(most)s FOR UPDATE OF e SKIP LOCKED)
UPDATE fastscp.ends e SET manifest_until = clock_timestamp() + make_interval(secs => %(claim_s)s)
FROM complete c JOIN fastscp.studies s ON s.id = c.study WHERE e.study = c.study AND e.revision = c.revision
RETURNING e.study, e.revision, s.key"""
_SETTLED: Final = """
SELECT s.key FROM fastscp.studies s WHERE s.key = ANY(%s) AND NOT s.changed
AND EXISTS (SELECT 1 FROM fastscp.ends e WHERE e.study = s.id AND e.revision = s.revision AND e.manifest <> '' AND e.status = 0)
AND NOT EXISTS (SELECT 1 FROM fastscp.ends e WHERE e.study = s.id AND (e.done IS NULL OR e.manifest = ''))"""


class FleetEnds:
    """The ends in the database at ``url``, and those in the ``journal`` of this gateway."""

    pause_s = 1.0  #: between two looks

    def __init__(self, url: str, gateway: str, journal: UploadReader, store: manifests.Shelf, prefix: str, *,
                 database: Database | None = None) -> None:
        self._journal = journal
        self._store = store
        self._prefix = prefix
        self._database = database or Database(url, f"fastscp objects {gateway}"[:63])
        self._writing = Database(url, f"fastscp manifests {gateway}"[:63]) if database is None else database
        self._lock = threading.Lock()  #: threads write
        self._after = 0

    def look(self, known: Iterable[int]) -> list[Complete]:
        """Claim what can be written, and find what is settled. Raises DatabaseError."""
        parts, self._after = self._journal.shipped(self._after)
        for number in known:
            parts.pop(number, None)
        with self._database.transaction() as cursor:
            cursor.execute(_OVERTAKEN)
            cursor.execute(_CLAIM, {"most": MOST_ENDS, "claim_s": CLAIM_S})
            found = [_complete(cursor, *row) for row in cursor.fetchall()]
            settled: set[str] = set()
            if parts:
                cursor.execute(_SETTLED, (sorted(set(parts.values())),))
                settled = {key for (key,) in cursor.fetchall()}
        numbers = tuple(number for number, key in parts.items() if key in settled)
        return [*found, *([Complete("", numbers, 0, ())] if numbers else [])]

    def write(self, complete: Complete) -> list[int]:
        """Write the manifest of an end of the fleet, or return which ends here are settled."""
        if not complete.key:
            return list(complete.parts)
        sender, uid = of_study_key(complete.key)
        key = manifests.write(self._store, self._prefix, sender, uid, complete.revision, complete.objects)
        with self._lock, self._writing.transaction() as cursor:
            cursor.execute("UPDATE fastscp.ends e SET manifest = %s FROM fastscp.studies s WHERE s.id = e.study AND s.key = %s "
                           "AND e.revision = %s AND e.manifest = ''",
                           (key or manifest_key(self._prefix, sender, uid, complete.revision), complete.key, complete.revision))
        return []


def _complete(cursor: Cursor, study: int, revision: int, key: str) -> Complete:
    objects: list[dict[str, Any]] = [{**entry, "key": entry["store_key"]} for entry in objects_of(cursor, study, revision)]
    return Complete(key, (), revision, tuple(objects))

