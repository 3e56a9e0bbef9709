"""Reads the events of a fleet by position, as one of its consumers.

Strategy: what was read is written, then confirmed; who dies in between reads it again. ``LISTEN`` only saves time: events are looked
for at least every ``LOOK_S`` seconds, so nothing depends on a notification, which a pooler may swallow.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from fastscp.fleet import outbox
from fastscp.fleet.database import Connection, Cursor, Database, DatabaseError, connect, migrate
from fastscp.fleet.schema import CHANNEL

LOOK_S: Final = 1.0
_PROGRAM: Final = "fastscp-events"


class Waker:
    """Waits for notifications on a connection of its own, where there is one, and for the time to pass."""

    def __init__(self, url: str, connecting: Callable[[str, str], Connection] = connect,
                 sleep: Callable[[float], None] = time.sleep, name: str = _PROGRAM) -> None:
        self._url = url
        self._name = name
        self._connecting = connecting
        self._sleep = sleep
        self._connection: Connection | None = None

    def wait(self, seconds: float = LOOK_S) -> None:
        """Return when something was told, or after so many seconds."""
        try:
            if self._connection is None:
                self._connection = self._connecting(self._url, f"{self._name} listening")
                self._connection.execute(f"LISTEN {CHANNEL}")
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.Error:
            self.close()
            self._sleep(seconds)

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()


class Follower:
    """The events after a position. ``consumer`` is who confirms them, "" nobody."""

    def __init__(self, database: Database, consumer: str, position: int | None) -> None:
        self._database = database
        self._consumer = consumer
        self._position = position

    def next(self) -> list[bytes]:
        """Return the next events as lines, with the objects of studies that ended. Raises DatabaseError."""
        lines: list[bytes] = []
        with self._database.transaction() as cursor:
            position = self._begin(cursor)
            for event, line in outbox.read_whole(cursor, position):
                lines.append(line)
                position = event.position
        self._position = position
        return lines

    def _begin(self, cursor: Cursor) -> int:
        if self._position is None:
            self._position = outbox.confirmed(cursor, self._consumer) if self._consumer else 0
        return self._position

    def confirm(self) -> None:
        """Take note that what ``next`` returned need not come again. Raises DatabaseError."""
        if self._consumer and self._position:
            with self._database.transaction() as cursor:
                outbox.confirm(cursor, self._consumer, self._position)


def follow(url: str, consumer: str, position: int | None, write: Callable[[bytes], int | None], *, on: bool,
           said: Callable[[str], None], waker: Waker | None = None) -> int:
    """Write events until there are none, or with ``on`` for ever; return the exit status.

    ``write`` returns None, or the exit status when nothing more can be written: then nothing is confirmed. Without ``on`` a
    database that is away raises DatabaseError; else that is ``said`` and waited for.
    """
    follower = Follower(Database(url, _PROGRAM), consumer, position)
    waker = waker or Waker(url)
    away = False
    while True:
        try:
            lines = follower.next()
            away = False
            status = write(b"".join(lines)) if lines else None
            if status is not None:
                return status
            if lines:
                follower.confirm()
                continue
        except DatabaseError as error:
            if not on:
                raise
            if not away:
                said(f"the database is away, {error}; trying again")
            away = True
        if not on:
            return 0
        waker.wait()


def bring_up_to_date(url: str) -> int:
    """Make the schema this program's; return how many steps that took. Raises DatabaseError."""
    steps: list[int] = []
    with Database(url, _PROGRAM).transaction() as cursor:
        steps.append(migrate(cursor))
    return steps[0]


def positions(url: str) -> Iterator[tuple[str, int]]:
    """Yield the consumers and up to where each has confirmed. Raises DatabaseError."""
    with Database(url, _PROGRAM).transaction() as cursor:
        cursor.execute("SELECT name, position FROM fastscp.consumers ORDER BY name")
        rows = cursor.fetchall()
    yield from ((str(name), int(position)) for name, position in rows)
