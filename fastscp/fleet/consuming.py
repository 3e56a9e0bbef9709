"""One reader of the outbox under a name at a time: by a lease, with which its position goes.

Invariants: who holds the lease is the only one whose confirmations count; a holder that died is followed when its lease is over. The
position never goes back.
"""

from __future__ import annotations

from fastscp.fleet.database import Cursor


def take(cursor: Cursor, consumer: str, token: str, lease_s: float) -> int | None:
    """Take or renew the lease of a consumer, new ones included; return up to where it has confirmed, None where it is another's."""
    cursor.execute(
        "INSERT INTO fastscp.consumers AS c (name, position, confirmed, lease, lease_until) "
        "VALUES (%(name)s, 0, clock_timestamp(), %(token)s, clock_timestamp() + make_interval(secs => %(lease_s)s)) "
        "ON CONFLICT (name) DO UPDATE SET lease = excluded.lease, lease_until = excluded.lease_until "
        "WHERE c.lease IS NULL OR c.lease = excluded.lease OR c.lease_until < clock_timestamp() RETURNING position",
        {"name": consumer, "token": token, "lease_s": lease_s})
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def confirm(cursor: Cursor, consumer: str, token: str, position: int) -> bool:
    """Take note that everything up to a position is where it was to go. False where the lease is another's meanwhile."""
    cursor.execute("UPDATE fastscp.consumers SET position = greatest(position, %s), confirmed = clock_timestamp() "
                   "WHERE name = %s AND lease = %s", (position, consumer, token))
    return cursor.rowcount > 0


def give_back(cursor: Cursor, consumer: str, token: str) -> None:
    """Let another one read at once."""
    cursor.execute("UPDATE fastscp.consumers SET lease = NULL, lease_until = NULL WHERE name = %s AND lease = %s", (consumer, token))
