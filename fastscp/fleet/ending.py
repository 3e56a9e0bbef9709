"""Ends studies of the fleet, and gives their hooks to one gateway at a time.

A study is due when its deadline is over, no gateway that lives holds it, and every gateway that lives has shipped everything that it
received until that deadline: what is still in a journal may belong to it. A gateway lives while its last sign of life is not
older than the limit. Whoever was cut off from the database itself cannot tell: it counts from the time at which it came back.

Strategy: any gateway ends what is due, a few studies in one transaction, with the event and the row of the hook; rows that
another one works on are passed over (``SKIP LOCKED``). A hook is claimed by a lease, which is renewed; who dies loses it, and the
hook runs elsewhere. A result counts only while the lease does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastscp.fleet.database import Cursor
from fastscp.fleet.outbox import tell

MOST_ENDS: Final = 16  #: of one transaction

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
INSERT INTO fastscp.ends (study, revision, ended, objects, next_try, done, status, manifest)
SELECT %(study)s, %(revision)s, now(), count(*), now(), CASE WHEN %(hook)s THEN NULL ELSE now() END,
       CASE WHEN %(hook)s THEN NULL ELSE 0 END, CASE WHEN %(stored)s THEN '' END FROM fastscp.objects WHERE study = %(study)s
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


@dataclass(frozen=True)
class Claim:
    """The hook of one end of a study, which this gateway has to run."""

    study: int
    revision: int
    objects: int
    attempts: int
    lease: str
    study_uid: str
    sender: str
    caller: dict[str, Any] | None


def end_due(cursor: Cursor, *, connected_s: float, limit_s: float, has_hook: Callable[[str], bool], stored: bool = False) -> int:
    """End studies whose time has come; return how many.

    ``connected_s``: for so long this gateway has seen the database without a break. ``has_hook`` tells of a section,
    ``stored`` whether objects go to an object store, too.
    """
    cursor.execute(_END, {"connected_s": connected_s, "limit_s": limit_s, "most": MOST_ENDS})
    ended = cursor.fetchall()
    events = []
    for study, revision, uid, sender, caller in ended:
        cursor.execute(_ADD, {"study": study, "revision": revision, "hook": has_hook(sender), "stored": stored})
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
