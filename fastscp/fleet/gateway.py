"""One gateway of a fleet: what it does again and again.

Strategy: a *turn* ships what waits, in batches, ends studies that are due, and sees to the hooks that it has claimed. Each is a
transaction of its own. When the database is away a turn ends, and the next one comes after a pause that grows, with some chance in
it, so that a fleet does not come back all at once.

Invariants: nothing here holds anybody up: the journal is written by the coordinator, and read beside it. What was shipped is told to
the coordinator after its commit. A turn that fails anywhere can be done again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fastscp.errors import ProcessError
from fastscp.fleet import ending, shipping
from fastscp.fleet.arithmetic import Lease, Pulse, Watermark, in_database_time, retry_pause_s
from fastscp.fleet.database import Cursor, Database, DatabaseError, migrate
from fastscp.fleet.hooks import FleetHooks
from fastscp.fleet.journal import Entry
from fastscp.fleet.outbox import objects_of
from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

TURN_S = 0.25  #: between two turns
LONGEST_PAUSE_S = 5.0  #: while the database is away
ANOTHER_S = 20.0  #: longer than a process of a gateway that ends is there beside the next
TURN_LONGEST_S = 2.0  #: of one turn; what is left is for the next, so that hooks and leases are seen to


class Journal(Protocol):
    """Where entries come from."""

    def after(self, number: int) -> list[Entry]:
        """Return the next entries after that number. Raises ProcessError."""


@dataclass(frozen=True)
class Terms:
    """What the fleet has agreed on. Times are seconds."""

    gateway: str
    session: str  #: this process
    limit_s: float  #: a gateway that gave no sign of life for so long is dead; a lease lasts that long, too
    retries: int = 0  #: of a hook that failed
    stored: bool = False  #: objects go to an object store, too


class Gateway:
    """Ships the ``journal`` of this gateway and does its part for the fleet. ``told`` hears up to which entry is shipped."""

    def __init__(self, terms: Terms, database: Database, journal: Journal, hooks: FleetHooks,
                 told: Callable[[int, bool], None], *, monotonic: Callable[[], float] = time.monotonic,
                 chance: Callable[[], float] = random.random) -> None:
        self._terms = terms
        self._database = database
        self._journal = journal
        self._hooks = hooks
        self._told = told
        self._monotonic = monotonic
        self._chance = chance
        self._watermark = Watermark()
        self._shipped = 0  #: number of the last entry
        self._failures = 0
        self._leaving = False
        self._other_since: float | None = None  #: since when the latest process of this name is another
        self._other_told = False

    def pulse(self, pulse: Pulse) -> None:
        """Take note of what the coordinator says."""
        self._watermark.pulse(pulse)

    def turn(self) -> float:
        """Do what there is to do; return the pause until the next turn."""
        try:
            drained = self._ship()
            if not self._leaving:
                self._end()
            self._see_to_hooks()
        except DatabaseError as error:
            return self._fail(f"the database of the fleet is away, {error}")
        except ProcessError as error:
            return self._fail(str(error))
        finally:
            self._hooks.look()
        if self._failures:
            _log.warning("the database of the fleet is there again")
            self._failures = 0
        self._told(self._shipped, True)
        return TURN_S if drained else 0.0

    def _fail(self, reason: str) -> float:
        if not self._failures:
            _log.error("%s; objects are received, and wait in the journal", reason)
        self._failures += 1
        self._told(self._shipped, False)
        longest = min(LONGEST_PAUSE_S, TURN_S * 2.0 ** min(self._failures, 10))
        return longest * (0.5 + 0.5 * self._chance())

    # -- shipping ---------------------------------------------------------------------------------

    def _ship(self) -> bool:
        """Ship what waits; return whether that was all."""
        until = self._monotonic() + TURN_LONGEST_S
        while True:
            entries = self._journal.after(self._shipped)
            if not entries:
                self._watermark.drained()
            last = entries[-1].number if entries else self._shipped
            with self._database.transaction() as cursor:
                if entries:
                    shipping.ship(cursor, self._terms.gateway, entries)
                self._beat(cursor)
            self._shipped = last
            self._watermark.shipped(last)
            if not entries:
                return True
            self._told(self._shipped, True)
            if self._monotonic() > until:
                return False

    def _beat(self, cursor: Cursor) -> None:
        reached = self._watermark.reached
        through = None
        if reached is not None:
            cursor.execute("SELECT clock_timestamp()")
            (read,) = cursor.fetchone() or (None,)
            through = None if read is None else in_database_time(reached, read, self._monotonic())
        self._look_for_another(shipping.beat(cursor, self._terms.gateway, through))

    def _look_for_another(self, session: str) -> None:
        """Say so when another process goes by this gateway's name for longer than one that ends does beside the next."""
        now = self._monotonic()
        if session == self._terms.session:
            self._other_since = None
        elif self._other_since is None:
            self._other_since = now
        elif now - self._other_since >= ANOTHER_S and not self._other_told:
            self._other_told = True
            _log.error("another process ships as %s: no two gateways may have one state directory, or a copy of it. Studies may end too early",
                       self._terms.gateway)

    # -- ends and hooks ---------------------------------------------------------------------------

    def _end(self) -> None:
        while True:
            with self._database.transaction() as cursor:
                count = ending.end_due(cursor, connected_s=self._monotonic() - self._database.since,
                                       limit_s=self._terms.limit_s, has_hook=self._hooks.has_hook, stored=self._terms.stored)
            if count < ending.MOST_ENDS:
                return

    def _see_to_hooks(self) -> None:
        self._renew()
        self._finish()
        room = 0 if self._leaving else self._hooks.room
        if not room:
            return
        begun = self._monotonic()
        with self._database.transaction() as cursor:
            claims = ending.claim(cursor, self._terms.gateway, most=room, lease_s=self._terms.limit_s)
            lists = [objects_of(cursor, claim.study, claim.revision) for claim in claims]
        for claim, objects in zip(claims, lists, strict=True):
            self._hooks.start(claim, Lease(claim.lease, begun, self._terms.limit_s), objects)

    def _renew(self) -> None:
        begun = self._monotonic()
        due = [lease for lease in self._hooks.leases() if lease.is_due(begun)]
        if not due:
            return
        with self._database.transaction() as cursor:
            ours = ending.renew(cursor, [lease.token for lease in due], lease_s=self._terms.limit_s)
        for lease in due:
            if lease.token in ours:
                lease.begun = begun
            else:
                self._hooks.lose(lease.token)

    def _finish(self) -> None:
        for running in list(self._hooks.ended()):
            claim, status = running.claim, running.status or 0
            again = bool(status) and claim.attempts <= self._terms.retries
            with self._database.transaction() as cursor:
                ending.finish(cursor, claim.lease, status, retry_pause_s(claim.attempts) if again else None)
            if status and not again:
                _log.error("end-of-study hook of study %s failed for good, status %d", claim.study_uid, status)
            self._hooks.forget(claim.lease)

    # -- the end ----------------------------------------------------------------------------------

    def begin_to_leave(self) -> None:
        """End no study and claim no hook any more."""
        self._leaving = True

    @property
    def idle(self) -> bool:
        """Whether no hook of this gateway runs, or waits to be told of."""
        return not self._hooks.leases() and not list(self._hooks.ended())

    def leave(self, *, for_good: bool) -> None:
        """Give back what is claimed. ``for_good``: the fleet need not wait for this gateway any more."""
        tokens = self._hooks.terminate()
        try:
            with self._database.transaction() as cursor:
                for token in tokens:
                    ending.finish(cursor, token, -1, 0.0)
            if for_good and self._ship():
                with self._database.transaction() as cursor:
                    shipping.leave(cursor, self._terms.gateway, self._terms.session)
        except ProcessError as error:
            _log.warning("the fleet is not told that this gateway ends: %s", error)
        self._database.close()


def open_gateway(cursor: Cursor, gateway: str, session: str) -> None:
    """Begin with a connection: the schema is this program's, and the fleet knows the gateway."""
    migrate(cursor)
    shipping.register(cursor, gateway, session)
