"""A database server in simulated time: so many cores, a lock that is taken last, commits that take a while, and breaks.

What it carries is counted for each second: transactions, statements, rows, WAL, busy cores. What a transaction costs comes from
measurements (perf/fleet.py). It leaves out that two transactions may wait for the row of one study.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from perf.simulated.clock import Clock


@dataclass(frozen=True)
class Costs:
    """What the database takes for things. CPU times are of one core."""

    statement_us: float = 150.0  #: BEGIN and COMMIT are statements, too
    object_us: float = 100.0  #: an object, once as it arrives and once in its final place, beyond its statements
    commit_ms: float = 1.0  #: until a commit is on the disk: nobody's CPU
    round_trip_ms: float = 0.2  #: of a statement: the network and the gateway
    object_wal_octets: float = 1600.0
    idle_wal_octets: float = 320.0  #: of a gateway in a second


@dataclass
class Work:
    """What a transaction asks for. ``apply`` is carried out at its commit, ``tells`` says whether it takes the lock of the outbox."""

    statements: int
    apply: Callable[[], Any]
    tells: bool = False
    objects: float = 0.0
    rows: int = 0
    octets: int = 0  #: that are sent to it
    slow: float = 1.0  #: so many times the round trip


@dataclass
class Carried:
    """What the database has carried, by second."""

    transactions: Counter[int] = field(default_factory=Counter)
    statements: Counter[int] = field(default_factory=Counter)
    rows: Counter[int] = field(default_factory=Counter)
    octets: Counter[int] = field(default_factory=Counter)
    objects: Counter[int] = field(default_factory=Counter)
    busy_s: Counter[int] = field(default_factory=Counter)
    telling_s: Counter[int] = field(default_factory=Counter)


class Server:
    """The server. ``away`` from one time to another, it answers nobody."""

    def __init__(self, clock: Clock, costs: Costs, cores: int) -> None:
        self._clock = clock
        self.costs = costs
        self._free = [0.0] * cores  #: when each core is free
        self._outbox_free = 0.0
        self._away = (0.0, 0.0)
        self.carried = Carried()

    def go_away(self, begin: float, end: float) -> None:
        """Be away for a while."""
        self._away = (begin, end)

    def is_away(self, when: float) -> bool:
        """Whether it is."""
        return self._away[0] <= when < self._away[1]

    @property
    def back(self) -> float:
        """When it came back from where it was; every connection is younger."""
        return self._away[1] if self._clock.now >= self._away[1] else 0.0

    def transaction(self, work: Work) -> Transaction:
        """Return a transaction, which is to be yielded; its answer is what ``apply`` returns, ``AWAY`` when nobody is there."""
        return Transaction(self, self._clock, work)

    def carry_out(self, work: Work) -> float:
        """Find room for a transaction; return when it is committed."""
        now, costs = self._clock.now, self.costs
        cpu_s = (work.statements * costs.statement_us + work.objects * costs.object_us) / 1e6
        begun = max(now, heapq.heappop(self._free))
        heapq.heappush(self._free, begun + cpu_s)
        done = begun + cpu_s + work.statements * work.slow * costs.round_trip_ms / 1e3
        if work.tells:
            # the lock is held from the events to the commit: a statement or two, and the disk
            held = (2 * (work.slow * costs.round_trip_ms + costs.statement_us / 1e3) + costs.commit_ms) / 1e3
            self._outbox_free = max(self._outbox_free, done) + held
            self.carried.telling_s[int(self._outbox_free)] += held  # type: ignore[assignment]
            done = self._outbox_free
        else:
            done += costs.commit_ms / 1e3
        self._count(int(begun), work, cpu_s)
        return done

    def _count(self, second: int, work: Work, cpu_s: float) -> None:
        carried = self.carried
        carried.transactions[second] += 1
        carried.statements[second] += work.statements
        carried.rows[second] += work.rows
        carried.octets[second] += work.octets
        carried.objects[second] += work.objects  # type: ignore[assignment]
        carried.busy_s[second] += cpu_s  # type: ignore[assignment]


AWAY = object()


class Transaction:
    """One transaction, to be waited for."""

    def __init__(self, server: Server, clock: Clock, work: Work) -> None:
        self._server, self._clock, self._work = server, clock, work

    def begin(self, resume: Callable[[Any], None]) -> None:
        """Carry it out; a server that goes away meanwhile has not committed."""
        server, clock = self._server, self._clock
        if server.is_away(clock.now):
            clock.at(clock.now, lambda: resume(AWAY))
            return
        done = server.carry_out(self._work)

        def commit() -> None:
            resume(AWAY if server.is_away(clock.now) else self._work.apply())

        clock.at(done, commit)
