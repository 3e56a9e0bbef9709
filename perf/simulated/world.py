"""A fleet and its senders: studies over several gateways at once, harms, and what may never happen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from perf.simulated.clock import Clock, Process
from perf.simulated.gateway import Shared, SimulatedGateway, Terms
from perf.simulated.rules import End, StudyRow, Tables
from perf.simulated.server import Costs, Server

_AGAIN_S = 1.0  #: until a sender whose gateway is gone tries another one
_STEP_S = 5.0
_LONGEST_S = 7200.0


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    gateways: int = 100
    associations: int = 10_000
    parts: int = 4  #: associations of a study, on different gateways
    objects: int = 12  #: of an association
    interval_s: float = 5.0  #: between two of them
    ramp_s: float = 60.0  #: within which associations begin
    cores: int = 4  #: of the database
    terms: Terms = field(default_factory=lambda: Terms(timeout_s=30.0, limit_s=60.0))
    costs: Costs = field(default_factory=Costs)
    seed: int = 1
    dies: tuple[float, float] | None = None  #: one gateway is killed, and started again
    away: tuple[float, float] | None = None  #: the database, from one time to another
    slow: float = 1.0  #: the way of one gateway to the database takes so many times as long


class Checked(Tables):
    """The tables, and a look at each end. ``answered`` has each object of a study: the gateway that answered it, and when."""

    def __init__(self, terms: Terms, timeless: dict[str, dict[str, tuple[str, float]]]) -> None:
        super().__init__()
        self.answered = timeless
        self.faults: list[str] = []
        self.lags_s: list[float] = []
        self._terms = terms

    def end(self, study: StudyRow, now: float, *, hook: bool = True) -> End:
        """End a study, if nothing of it is missing."""
        answered = self.answered[study.key]
        there = {instance for instance, _ in study.objects}
        missing = [instance for instance, (gateway, at) in answered.items() if at <= study.deadline and instance not in there
                   and self.gateways[gateway].heartbeat > now - self._terms.limit_s]
        if missing:
            self.faults.append(f"study {study.key} ends at {now:.1f} without {missing[:3]}, which were answered before its deadline")
        if study.deadline > now or self.ends_early(study, now):
            self.faults.append(f"study {study.key} ends at {now:.1f}, before its time")
        if not any(revision > study.revision for revision in study.objects.values()):
            self.faults.append(f"study {study.key} ends at {now:.1f} without anything new")
        self.lags_s.append(now - max(at for _, at in answered.values()) - self._terms.timeout_s)
        return super().end(study, now, hook=hook)

    def ends_early(self, study: StudyRow, now: float) -> bool:
        """Whether a gateway that lives still holds it."""
        return any(self.gateways[name].heartbeat > now - self._terms.limit_s for name, _ in study.holders)


class World:
    """One simulation."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clock = Clock()
        self.chance = random.Random(plan.seed)
        self.server = Server(self.clock, plan.costs, plan.cores)
        self.tables = Checked(plan.terms, {})
        shared = Shared(self.clock, self.server, self.tables, plan.terms)
        self.gateways = [SimulatedGateway(f"gw{number:03d}", shared, random.Random(f"{plan.seed} {number}"), plan.slow if number == 0 else 1.0)
                         for number in range(plan.gateways)]
        self.sending = 0
        self.sent_until = 0.0

    def run(self) -> None:
        """Let everything happen, until the last study has ended."""
        plan = self.plan
        for gateway in self.gateways:
            gateway.start()
        if plan.away is not None:
            self.server.go_away(*plan.away)
        if plan.dies is not None:
            begin, end = plan.dies
            self.clock.at(begin, self.gateways[-1].kill)
            self.clock.at(end, self.gateways[-1].start)
        for number in range(plan.associations // plan.parts):
            uid = f"1.2.826.{plan.seed}.{number}"
            self.tables.answered[uid] = {}
            begin = self.chance.uniform(1.0, 1.0 + plan.ramp_s)
            for part, gateway in enumerate(self.chance.sample(range(plan.gateways), plan.parts)):
                self.sending += 1
                self.clock.start(self._association(f"{uid}.{part}", uid, gateway), begin + self.chance.uniform(0.0, plan.interval_s))
        while not self._is_over() and self.clock.now < _LONGEST_S:
            self.clock.run(self.clock.now + _STEP_S)

    def _is_over(self) -> bool:
        back = self.plan.dies[1] if self.plan.dies is not None else 0.0
        return (not self.sending and self.clock.now > back and self.tables.is_quiet()
                and not any(gateway.journal.waiting or len(gateway.tracker) for gateway in self.gateways))

    def _association(self, name: str, uid: str, number: int) -> Process:
        """Send objects; when the gateway is gone go on with another one, and send the last one again: its answer may have been lost."""
        index, tries = 0, 0
        while index < self.plan.objects:
            gateway = self.gateways[number]
            association = f"{name}.{tries}"
            if not gateway.alive:
                number, tries, index = self.chance.randrange(len(self.gateways)), tries + 1, max(0, index - 1)
                yield _AGAIN_S
                continue
            gateway.open(association)
            instance = f"{name}.{index}"
            gateway.store(association, uid, instance)
            self.tables.answered[uid].setdefault(instance, (gateway.name, self.clock.now))
            index += 1
            yield self.plan.interval_s
        self.gateways[number].close(f"{name}.{tries}")
        self.sending -= 1
        self.sent_until = self.clock.now

    def verdict(self) -> list[str]:
        """Return what is wrong at the end."""
        faults = list(self.tables.faults)
        for uid, answered in self.tables.answered.items():
            study = self.tables.studies.get(uid)
            found = {instance for instance, _ in study.objects} if study is not None else set()
            if study is None or study.changed or found != set(answered):
                faults.append(f"study {uid} has not ended with what was answered")
        revisions: dict[str, list[int]] = {}
        for end in self.tables.ends:
            revisions.setdefault(end.key, []).append(end.revision)
            if not end.done or not end.runs:
                faults.append(f"the hook of study {end.key}, revision {end.revision}, has not run")
        faults.extend(f"study {key} has the ends {found}" for key, found in revisions.items() if found != list(range(1, len(found) + 1)))
        faults.extend(f"{gateway.name} has entries that wait" for gateway in self.gateways if gateway.journal.waiting)
        return faults

    def carried(self) -> dict[str, float]:
        """Return what the database carried a second while objects came, and at the most."""
        carried, plan = self.server.carried, self.plan
        seconds = max(1, int(self.sent_until))
        idle_wal = plan.gateways * plan.costs.idle_wal_octets

        def mean(counts: dict[int, float]) -> float:
            return sum(value for second, value in counts.items() if second < seconds) / seconds

        return {
            "objects_per_s": sum(map(len, self.tables.answered.values())) / seconds, "transactions_per_s": mean(carried.transactions),
            "statements_per_s": mean(carried.statements), "most_statements_per_s": max(carried.statements.values()),
            "rows_per_s": mean(carried.rows), "shipped_octets_per_s": mean(carried.octets),
            "wal_octets_per_s": mean(carried.objects) * plan.costs.object_wal_octets + idle_wal, "busy_cores": mean(carried.busy_s),
            "most_busy_cores": max(carried.busy_s.values()), "outbox_share": mean(carried.telling_s),
            "most_waiting": max(gateway.most_waiting for gateway in self.gateways), "studies": len(self.tables.studies),
            "ends": len(self.tables.ends), "seconds": self.clock.now}
