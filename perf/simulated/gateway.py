"""One gateway in simulated time: the real tracker, journal, batches and watermark; only the network and the disk are left out.

Its coordinator opens and ends studies and writes the journal as ``fastscp.coordinator`` does, and gives a pulse; its shipping process
takes turns as ``fastscp.fleet.gateway`` does. A gateway that is killed loses its associations and its turn, and keeps its journal.
"""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import orjson

from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.shipping import MARGIN_S, PULSE_S
from fastscp.fleet.arithmetic import Pulse, Watermark
from fastscp.fleet.batch import Batch, batch_of
from fastscp.fleet.ending import MOST_ENDS
from fastscp.fleet.gateway import LONGEST_PAUSE_S, TURN_S
from fastscp.fleet.journal import MOST_ENTRIES, MOST_OCTETS, Entry
from fastscp.study.state import ObjectRow
from fastscp.study.tracker import Study, Tracker
from perf.simulated.clock import Clock, Process
from perf.simulated.rules import End, Tables
from perf.simulated.server import AWAY, Server, Work

HOOK_JOBS = 8
Steps = Generator[Any, Any, Any]
_FRAME = 4  #: statements of every transaction: BEGIN, two settings, COMMIT
_OPENED = {"calling_aet": "MODALITY", "called_aet": "FASTSCP", "peer": "10.0.0.1", "peer_host": "modality", "port": 11112, "sender": ""}


@dataclass(frozen=True)
class Terms:
    """What the gateways of a fleet have in common."""

    timeout_s: float
    limit_s: float
    hook_s: float = 1.0  #: how long a hook runs


@dataclass(frozen=True)
class Shared:
    """What all gateways of a fleet have."""

    clock: Clock
    server: Server
    tables: Tables
    terms: Terms


class Entries:
    """The journal, where a gateway has its durable state."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, str, str, bytes]] = deque()

    def entries_waiting(self) -> tuple[int, int]:
        """Return how many entries are kept, and the highest number."""
        return len(self._entries), self._entries[-1][0] if self._entries else 0

    def add_entry(self, number: int, epoch: str, kind: str, body: bytes) -> None:
        """Keep an entry."""
        self._entries.append((number, epoch, kind, body))

    def drop_entries(self, number: int) -> None:
        """Drop the entries up to that number."""
        while self._entries and self._entries[0][0] <= number:
            self._entries.popleft()

    def after(self, number: int) -> tuple[list[Entry], int]:
        """Return the next entries after that number as they are shipped in one batch, and their octets."""
        found: list[Entry] = []
        octets = 0
        for row in self._entries:
            if row[0] <= number:
                continue
            octets += len(row[3])
            if len(found) == MOST_ENTRIES or (found and octets > MOST_OCTETS):
                return found, octets - len(row[3])
            found.append(Entry(row[0], row[1], row[2], orjson.loads(row[3])))
        return found, octets


class SimulatedGateway:
    """One gateway. ``slow``: its way to the database takes so many times as long."""

    def __init__(self, name: str, shared: Shared, chance: random.Random, slow: float = 1.0) -> None:
        self.name = name
        self.alive = False
        self.entries = Entries()
        self.most_waiting = 0
        self.associations: set[str] = set()
        self.files: dict[int, list[tuple[ObjectRow, dict[str, Any]]]] = {}
        self.tracker = Tracker(timeout_s=shared.terms.timeout_s)
        self._clock, self._server, self._tables, self._terms = shared.clock, shared.server, shared.tables, shared.terms
        self._chance, self._slow = chance, slow
        self._epoch = self._number = 0
        self._connected = 0.0
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self.journal = FleetJournal(self.entries, epoch=f"{self.name}.{self._epoch}")
        self._watermark = Watermark()
        self._shipped = 0
        self._running: dict[int, tuple[End, float]] = {}

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or begin again with what an earlier process left."""
        self.alive = True
        self._connected = self._clock.now
        self._begin_epoch()
        for association in list(self.associations):
            self.close(association)
        life = self._epoch
        self._clock.start(self._pulses(life), self._chance.uniform(0.0, PULSE_S))
        self._clock.start(self._turns(life), self._chance.uniform(0.0, TURN_S))

    def kill(self) -> None:
        """End every process of it at once."""
        self.alive = False

    def _is(self, life: int) -> bool:
        return self.alive and self._epoch == life

    # -- the coordinator --------------------------------------------------------------------------

    def open(self, association: str) -> None:
        """Take note of an association."""
        self.associations.add(association)
        self.tracker.open(association)

    def close(self, association: str) -> None:
        """Take note of its end."""
        self.associations.discard(association)
        self.tracker.close(association)

    def store(self, association: str, uid: str, instance: str) -> None:
        """Answer an object: it is in the journal then."""
        now = self._clock.now
        study = self.tracker.find(uid)
        if study is None:
            self._number += 1
            study = Study(self._number, uid, f"/in/{uid}", now, now, directory_made=True)
            self.tracker.add(study)
            self.files[study.number] = []
            self.journal.hold(study.number, uid, uid, self._terms.timeout_s)
        packet = {"sop_instance": instance, "sha256": hashlib.sha256(instance.encode()).hexdigest(), "size": 526336, "directory": study.directory,
                  "sop_class": "1.2.840.10008.5.1.4.1.1.2", "transfer_syntax": "1.2.840.10008.1.2.1", "series": f"{uid}.1", "modality": "CT",
                  "file": f"CT.{instance}"}
        self.journal.stored(study.number, uid, uid, self._terms.timeout_s, packet, _OPENED)
        self.files[study.number].append((ObjectRow(packet["file"], packet["file"], association, b"", b""), packet))
        self._end(self.tracker.stored(study, association, None, now))
        self.most_waiting = max(self.most_waiting, self.journal.waiting)

    def _end(self, ended: list[Study]) -> None:
        """Finish files of studies that ended here."""
        for study in ended:
            self.journal.ended(study.number)
            self.journal.finishing(study.number)
            self.journal.final(study.number, study.uid, study.directory, self.files.pop(study.number))
            self.journal.finished(study.number, study.uid, "timeout")

    def _pulses(self, life: int) -> Process:
        while self._is(life):
            deadline = self.tracker.deadline()
            if deadline is not None and deadline <= self._clock.now:
                self._end(self.tracker.due(self._clock.now))
            self._watermark.pulse(Pulse(self.journal.last, self._clock.now - MARGIN_S))
            yield PULSE_S

    # -- shipping ---------------------------------------------------------------------------------

    def _turns(self, life: int) -> Process:
        failures = 0
        while self._is(life):
            self._connected = max(self._connected, self._server.back)
            done = yield from self._turn(life)
            failures = 0 if done else failures + 1
            yield TURN_S if done else min(LONGEST_PAUSE_S, TURN_S * 2.0 ** min(failures, 10)) * (0.5 + 0.5 * self._chance.random())

    def _turn(self, life: int) -> Steps:
        """Ship, end, see to hooks; return False when the database is away."""
        for step in (self._ship, self._end_due, self._see_to_hooks):
            if not self._is(life):
                return True
            if (yield from step(life)) is AWAY:
                return False
        return True

    def _ship(self, life: int) -> Steps:
        while self._is(life):
            entries, octets = self.entries.after(self._shipped)
            if not entries:
                self._watermark.drained()
            answer = yield self._transaction(self._shipping(entries, octets))
            if answer is AWAY or not self._is(life):
                return answer
            if not entries:
                return True
            self._shipped = entries[-1].number
            self._watermark.shipped(self._shipped)
            self.journal.shipped(self._shipped)
        return True

    def _shipping(self, entries: list[Entry], octets: int) -> Work:
        batch = batch_of(entries)
        reached = self._watermark.reached  # a time that the database has, too: the simulation has one clock
        objects = len(batch.objects) + len(batch.finals)
        opened = sum(not (study := self._tables.studies.get(key)) or not study.changed for key in {row["key"] for row in batch.objects.values()})

        def apply() -> None:
            self._tables.register(self.name, self._clock.now)
            self._tables.ship(self.name, batch, self._clock.now)
            self._tables.beat(self.name, self._clock.now, reached)

        return Work(_FRAME + (1 if reached is None else 2) + (self._statements(batch, opened) if entries else 0), apply, bool(opened),
                    objects / 2, len(batch.studies) + objects + len(batch.holds) + 2 * opened + 1, octets, self._slow)

    @staticmethod
    def _statements(batch: Batch, opened: int) -> int:
        """Return how many statements a batch takes, but for those of every transaction."""
        holds = list(batch.holds.values())
        return (2 + bool(batch.studies) + 2 * bool(batch.objects) + bool(batch.finals) + any(key is None for key in holds)
                + any(key is not None for key in holds) + bool(opened) + (2 + opened if opened else 0) + 1)

    def _end_due(self, life: int) -> Steps:
        while self._is(life):
            def apply() -> int:
                now = self._clock.now
                due = self._tables.due(now, now - self._connected, self._terms.limit_s)
                for study in due:
                    self._tables.end(study, now)
                return len(due)

            now = self._clock.now
            count = len(self._tables.due(now, now - self._connected, self._terms.limit_s))
            answer = yield self._transaction(Work(_FRAME + 1 + (2 * count + 2 if count else 0), apply, bool(count), rows=3 * count))
            if answer is AWAY or answer < MOST_ENDS:
                return answer
        return True

    def _see_to_hooks(self, life: int) -> Steps:
        now = self._clock.now
        for token, (end, over) in list(self._running.items()):
            if over <= now:
                answer = yield self._transaction(Work(_FRAME + 1, lambda end=end: self._tables.finish(self.name, end), rows=1))
                if answer is AWAY or not self._is(life):
                    return answer
                del self._running[token]
        room = HOOK_JOBS - len(self._running)
        if not room:
            return True
        claims = yield self._transaction(
            Work(_FRAME + 1, lambda: self._tables.claim(self.name, self._clock.now, room, self._terms.limit_s)))
        if claims is AWAY or not self._is(life):
            return claims
        for end in claims:
            end.runs += 1
            self._running[id(end)] = end, self._clock.now + self._terms.hook_s
        return True

    def _transaction(self, work: Work) -> Any:
        work.slow = self._slow
        return self._server.transaction(work)
