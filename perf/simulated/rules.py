"""What the database of a fleet decides, as plain objects: the rules of fastscp.fleet.shipping and fastscp.fleet.ending.

tests/process/test_fleet_rules.py has a PostgreSQL decide beside it. Whatever ends a study while an object is missing that a living
gateway had answered before the deadline is a fault, and so is an end without anything new.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import Any

from fastscp.fleet.batch import Batch
from fastscp.fleet.ending import MOST_ENDS


@dataclass
class GatewayRow:
    """A gateway: times of the database."""

    heartbeat: float
    shipped_through: float | None = None
    left: bool = False


@dataclass
class StudyRow:
    """A study."""

    key: str
    deadline: float
    revision: int = 0
    changed: bool = False
    objects: dict[tuple[str, str], int] = field(default_factory=dict)  #: revision by instance and digest
    holders: set[tuple[str, int]] = field(default_factory=set)
    queued: bool = False  #: by its deadline


@dataclass
class End:
    """An end, and its hook."""

    key: str
    revision: int
    ended: float
    objects: int
    gateway: str = ""
    lease_until: float | None = None
    done: bool = False
    runs: int = 0


class Tables:
    """The rows."""

    def __init__(self) -> None:
        self.gateways: dict[str, GatewayRow] = {}
        self.studies: dict[str, StudyRow] = {}
        self.ends: list[End] = []
        self.waiting: list[End] = []  #: their hook is to run, or runs
        self._open = 0  #: studies that have changed
        self._by_deadline: list[tuple[float, str]] = []  #: a heap of these, by deadlines that may have been put off
        self._held: dict[tuple[str, int], StudyRow] = {}

    def register(self, gateway: str, now: float) -> None:
        """Have the fleet know a gateway."""
        row = self.gateways.setdefault(gateway, GatewayRow(now))
        row.heartbeat, row.left = now, False

    def beat(self, gateway: str, now: float, through: float | None) -> None:
        """Give a sign of life."""
        row = self.gateways[gateway]
        row.heartbeat = now
        if through is not None:
            row.shipped_through = max(through, row.shipped_through or through)

    def ship(self, gateway: str, batch: Batch, now: float) -> int:
        """Write a batch; return how many studies it opened."""
        for key, told in batch.studies.items():
            study = self.studies.setdefault(key, StudyRow(key, now + told["timeout_s"]))
            study.deadline = max(study.deadline, now + told["timeout_s"])
        opened = 0
        for row in itertools.chain(batch.objects.values(), batch.finals.values()):
            study = self.studies[row["key"]]
            name = row["sop_instance_uid"], row["sha256"]
            if name not in study.objects:
                study.objects[name] = study.revision + 1
                opened += not study.changed
                self._change(study)
        self._hold(gateway, batch.holds)
        return opened

    def _change(self, study: StudyRow) -> None:
        if not study.changed:
            study.changed = True
            self._open += 1
        if not study.queued:
            study.queued = True
            heapq.heappush(self._by_deadline, (study.deadline, study.key))

    def _hold(self, gateway: str, holds: dict[int, str | None]) -> None:
        for number, key in holds.items():
            held = self._held.pop((gateway, number), None)
            if held is not None:
                held.holders.discard((gateway, number))
            if key is not None:
                study = self._held[gateway, number] = self.studies[key]
                study.holders.add((gateway, number))

    def due(self, now: float, connected_s: float, limit_s: float, most: int = MOST_ENDS) -> list[StudyRow]:
        """Return the studies whose time has come, those first whose time came first.

        ``connected_s``: for so long the one who asks has seen the database; one who was away himself takes nobody for dead.
        """
        if not self._by_deadline or self._by_deadline[0][0] > now:
            return []
        since = now - limit_s if connected_s > limit_s else float("-inf")
        alive = {name: row.shipped_through for name, row in self.gateways.items() if row.heartbeat > since and not row.left}
        through = float("-inf") if None in alive.values() else min(alive.values(), default=float("inf"))
        found: list[StudyRow] = []
        looked_at: list[StudyRow] = []
        while self._by_deadline and self._by_deadline[0][0] <= min(now, through) and len(found) < most:
            deadline, key = heapq.heappop(self._by_deadline)
            study = self.studies[key]
            if not study.changed:
                study.queued = False
            elif study.deadline > deadline:  # it was put off meanwhile
                heapq.heappush(self._by_deadline, (study.deadline, key))
            else:
                looked_at.append(study)
                if not any(name in alive for name, _ in study.holders):
                    found.append(study)
        for study in looked_at:
            heapq.heappush(self._by_deadline, (study.deadline, study.key))
        return found

    def end(self, study: StudyRow, now: float, *, hook: bool = True) -> End:
        """End a study."""
        study.changed = False
        study.revision += 1
        self._open -= 1
        end = End(study.key, study.revision, now, len(study.objects), done=not hook)
        self.ends.append(end)
        if hook:
            self.waiting.append(end)
        return end

    def claim(self, gateway: str, now: float, most: int, lease_s: float) -> list[End]:
        """Give hooks to a gateway: those of one study in the order of its ends."""
        claimed: list[End] = []
        earlier: set[str] = set()
        for end in self.waiting:
            if len(claimed) == most:
                break
            if end.key not in earlier and (end.lease_until is None or end.lease_until < now):
                end.gateway, end.lease_until = gateway, now + lease_s
                claimed.append(end)
            earlier.add(end.key)
        return claimed

    def finish(self, gateway: str, end: End) -> bool:
        """Take note that a hook has ended; False when it is another gateway's meanwhile."""
        if end.done or end.gateway != gateway:
            return False
        end.done = True
        self.waiting.remove(end)
        return True

    def is_quiet(self) -> bool:
        """Whether everything has ended, and every hook has run."""
        return not self._open and not self.waiting

    def summary(self) -> dict[str, Any]:
        """Return what there is: revision, objects and whether it is open, of each study."""
        return {key: (study.revision, sorted(study.objects), study.changed) for key, study in sorted(self.studies.items())}
