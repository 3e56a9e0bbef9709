"""The connection to the database that a fleet shares, by psycopg.

Strategy: one connection, short transactions, nothing that outlives one: no prepared statements, no settings of the session, no
locks of the session. So a pooler that gives a connection for each transaction (PgBouncer) may stand in between. Every wait has
an end: connecting, statements, locks, a network that is silent, a server that is (``fastscp.fleet.watching``).

Whatever goes wrong is a ``DatabaseError``, and the next transaction connects again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg

from fastscp.errors import ProcessError
from fastscp.fleet.schema import LOCK, MIGRATIONS, Migration, wanted
from fastscp.fleet.watching import Watch

Cursor = psycopg.Cursor[tuple[Any, ...]]
Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_S: Final = 5
STATEMENT_S: Final = 10
ANSWER_S: Final = 30.0  #: for a transaction as a whole
OPENING_S: Final = 3600.0  #: for the first of a connection: a migration may read whole tables
_SETTINGS: Final = f"SET LOCAL statement_timeout = '{STATEMENT_S}s'; SET LOCAL lock_timeout = '{STATEMENT_S}s'"


class DatabaseError(ProcessError):
    """The database is away, or does not do what it is asked for."""


def connect(url: str, name: str) -> Connection:
    """Connect. Raises psycopg.Error."""
    return psycopg.connect(url, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_S, application_name=name,
                           keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
                           tcp_user_timeout=1000 * STATEMENT_S)


class Database:
    """One connection to ``url``, made when it is needed. ``opened`` is called in the first transaction of each."""

    def __init__(self, url: str, name: str, *, opened: Callable[[Cursor], object] = lambda _cursor: None,
                 connecting: Callable[[str, str], Connection] = connect, answer_s: float = ANSWER_S,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._name = name
        self._opened = opened
        self._connecting = connecting
        self._monotonic = monotonic
        self._answer_s = answer_s
        self._watch = Watch()
        self._connection: Connection | None = None
        self.since = 0.0  #: when this connection was made, on the monotonic clock

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Carry out a transaction. Raises DatabaseError; it is not known then whether a commit was carried out."""
        try:
            if self._connection is None:
                self._connection = self._connecting(self._url, self._name)
                self.since = self._monotonic()
                with self._begun(self._connection, OPENING_S) as cursor:
                    self._opened(cursor)
            with self._begun(self._connection, self._answer_s) as cursor:
                yield cursor
        except psycopg.Error as error:
            self.close()
            raise DatabaseError(_said(error) if self._watch.over is None else f"no answer in {self._watch.over:g} s") from error
        except DatabaseError:
            self.close()
            raise

    @contextlib.contextmanager
    def _begun(self, connection: Connection, limit_s: float) -> Iterator[Cursor]:
        """Begin a transaction, and end it: all of it in so many seconds."""
        with self._watch.limit(connection.fileno(), limit_s), connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_SETTINGS)
            yield cursor

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _said(error: psycopg.Error) -> str:
    """Return the first line of what the database said."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def migrate(cursor: Cursor, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Bring the schema to this program's, or leave a later one that it can work with; return how many steps were done.

    Raises DatabaseError where this program is too old.
    """
    cursor.execute("SELECT to_regclass('fastscp.versions') IS NOT NULL")
    there = bool(_only(cursor))
    version, oldest = _version(cursor) if there else (0, 0)
    if there and version == len(migrations):  # the usual case takes no lock, and no right to change a schema
        return 0
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    if not there:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS fastscp")
        cursor.execute("CREATE TABLE IF NOT EXISTS fastscp.versions (version integer PRIMARY KEY, oldest integer NOT NULL, "
                       "migrated timestamptz NOT NULL)")
    version, oldest = _version(cursor)
    steps = wanted(version, oldest, migrations)
    if steps is None:
        raise DatabaseError(f"the schema of the fleet has version {version}, and this program is too old for it")
    cursor.execute("SET LOCAL statement_timeout = 0")  # a step may read a whole table
    for number, step in enumerate(steps, version + 1):
        _step(cursor, number, step)
    return len(steps)


def _step(cursor: Cursor, number: int, step: Migration) -> None:
    try:
        cursor.execute(step.statements)
        cursor.execute("INSERT INTO fastscp.versions VALUES (%s, %s, now())", (number, step.oldest))
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(f"the schema of the fleet has version {number - 1}, and who owns it has to bring it up to date "
                            f"(fastscp-events --migrate): {_said(error)}") from error


def _version(cursor: Cursor) -> tuple[int, int]:
    cursor.execute("SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM fastscp.versions")
    version, oldest = cursor.fetchone() or (0, 0)
    return int(version), int(oldest)


def _only(cursor: Cursor) -> Any:
    return (cursor.fetchone() or (None,))[0]
