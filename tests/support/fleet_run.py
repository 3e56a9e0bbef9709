"""A seeded run: studies go through three gateways at once while processes are killed; each ends once, with all its objects.

    python -m tests.support.fleet_run --studies 500 --seed 1

The seed decides what is sent where and what is killed when; what these meet is up to the machine. Everything that was acknowledged
has to be in its study, every study has to end once, and its hook has to have run with the whole list.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.fleet import Member, ends, instances, url_of
from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.postgres import Postgres
from tests.support.rawscu import Aborted, RawSCU
from tests.support.servers import wait_until

GATEWAYS = 3
TIMEOUT_S = 5  #: of a study: an object whose gateway was killed is sent to another one sooner
LIMIT_S = 60  #: nobody is away for so long
PACE_S = 0.2  #: between two objects of an association, so that there is something to be killed in
SEND_S = 60.0  #: for an object until somebody has acknowledged it
END_S = 120.0  #: for the last studies
HARMS = ("gateway", "coordinator", "worker", "fleet", "database")


@dataclass
class Outcome:
    """What came of a run."""

    studies: int = 0
    objects: int = 0
    resent: int = 0  #: objects that were sent more than once
    harms: dict[str, int] = field(default_factory=dict)
    hooks: int = 0  #: that ran, at least one for each study
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Run:
    """One run in ``directory``."""

    def __init__(self, directory: Path, postgres: Postgres, *, studies: int, seed: int, at_once: int = 4,
                 pause_s: tuple[float, float] = (0.1, 0.8)) -> None:
        self._postgres = postgres
        self._studies = studies
        self._seed = seed
        self._at_once = at_once
        self._pause_s = pause_s
        self._records = directory / "records"
        self._members = [Member(directory / name, url_of(postgres), timeout_s=TIMEOUT_S, limit_s=LIMIT_S, records=self._records)
                         for name in "abc"[:GATEWAYS]]
        self._sent = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[str, set[str]] = {}
        self.outcome = Outcome(studies)

    def run(self) -> Outcome:
        began = time.monotonic()
        try:
            for member in self._members:
                member.start()
            wait_until(self._known, "the fleet knows every gateway")
            with ThreadPoolExecutor(self._at_once + 1) as pool:
                harming = pool.submit(self._harm)
                list(pool.map(self._send_study, range(1, self._studies + 1)))
                self._sent.set()
                harming.result()
            self._wait_for_ends()
            self._judge()
        finally:
            self._sent.set()
            for member in self._members:
                member.__exit__(None, None, None)
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _known(self) -> bool:
        """Whether every gateway has been heard of: for one that never was nobody waits."""
        return self._query("SELECT count(*) FROM fastscp.gateways WHERE shipped_through IS NOT NULL") == str(GATEWAYS)

    # -- senders ----------------------------------------------------------------------------------

    def _send_study(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        study = f"1.2.826.{self._seed}.{number}"
        parts = [[f"{study}.{gateway}.{index}" for index in range(chance.randrange(1, 4))] for gateway in range(GATEWAYS)]
        with self._lock:
            self.acknowledged[study] = set()
        threads = [threading.Thread(target=self._send_part, args=(study, gateway, part)) for gateway, part in enumerate(parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send_part(self, study: str, gateway: int, part: list[str]) -> None:
        left, until = list(part), time.monotonic() + SEND_S
        while left:
            try:
                self._send_some(study, self._members[gateway].port, left)
            except (OSError, Aborted):
                if time.monotonic() > until:
                    with self._lock:
                        self.outcome.faults.append(f"study {study}: nobody takes {left}")
                    return
                gateway = (gateway + 1) % GATEWAYS  # as a balancer does
                with self._lock:
                    self.outcome.resent += 1

    def _send_some(self, study: str, port: int, left: list[str]) -> None:
        """Send what is left in one association; what was acknowledged is left no more."""
        with RawSCU("127.0.0.1", port, timeout_s=SEND_S) as scu:
            scu.associate(CT_CONTEXT)
            while left:
                status = scu.store(1, CT, left[0], data_set(left[0], study=study, pixels=64))
                if status:
                    raise Aborted(f"status {status:04X}")
                with self._lock:
                    self.acknowledged[study].add(left.pop(0))
                self._sent.wait(PACE_S)
            scu.release()

    # -- harms ------------------------------------------------------------------------------------

    def _harm(self) -> None:
        chance = random.Random(f"{self._seed} harm")
        while not self._sent.wait(chance.uniform(*self._pause_s)):
            harm = chance.choice(HARMS)
            self.outcome.harms[harm] = self.outcome.harms.get(harm, 0) + 1
            member = chance.choice(self._members)
            if harm == "database":
                self._postgres.crash()
                time.sleep(chance.uniform(0.0, 1.0))  # away for a while: this is the harm, not a wait for anything
                self._postgres.start()
            elif harm == "gateway":
                member.kill()
                member.start()
            elif member.server is not None:
                for process in member.server.role(harm):
                    try:
                        process.kill()
                    except psutil.NoSuchProcess:
                        continue

    # -- verdict ----------------------------------------------------------------------------------

    def _ended(self) -> int:
        return int(self._query("SELECT count(*) FROM fastscp.ends WHERE done IS NOT NULL") or 0)

    def _query(self, text: str) -> str:
        return self._postgres.query(text)

    def _wait_for_ends(self) -> None:
        try:
            wait_until(lambda: self._ended() >= self._studies, "every study has ended", END_S)
        except AssertionError as error:
            self.outcome.faults.append(str(error))

    def _judge(self) -> None:
        faults = self.outcome.faults
        told: dict[str, list[int]] = {}
        for line in self._query("SELECT body->>'study_uid', revision FROM fastscp.outbox WHERE event = 'study.completed'").splitlines():
            uid, revision = line.split("|")
            told.setdefault(uid, []).append(int(revision))
        stored: dict[str, list[str]] = {}
        for line in self._query("SELECT s.study_uid, o.sop_instance_uid, o.path FROM fastscp.objects o JOIN fastscp.studies s "
                                "ON s.id = o.study").splitlines():
            uid, instance, path = line.split("|")
            stored.setdefault(uid, []).append(instance)
            if not Path(path).is_file():
                faults.append(f"study {uid}: {path} is not there")
        recorded: dict[str, list[list[str]]] = {}
        for end in ends(self._records):
            recorded.setdefault(end["study_uid"], []).append(instances(end))
        for uid, acknowledged in self.acknowledged.items():
            self.outcome.objects += len(acknowledged)
            wanted = sorted(acknowledged)
            if told.get(uid) != [1]:
                faults.append(f"study {uid}: ends {told.get(uid)}")
            if sorted(stored.get(uid, [])) != wanted:
                faults.append(f"study {uid}: {stored.get(uid)} instead of {wanted}")
            if not recorded.get(uid) or any(found != wanted for found in recorded[uid]):
                faults.append(f"study {uid}: hooks were told {recorded.get(uid)} instead of {wanted}")
        self.outcome.hooks = sum(map(len, recorded.values()))


def main(arguments: list[str] | None = None) -> int:
    """Run, print what came of it; return 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description="send studies through three gateways at once while processes are killed")
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=4)
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fastscp-fleet-") as directory, Postgres() as postgres:
        outcome = Run(Path(directory), postgres, studies=wanted.studies, seed=wanted.seed, at_once=wanted.at_once).run()
    sys.stdout.write(f"{outcome.studies} studies, {outcome.objects} objects ({outcome.resent} sent again), {outcome.hooks} hooks, "
                     f"killed: {outcome.harms}, {outcome.seconds:.0f} s, {len(outcome.faults)} faults\n")
    sys.stdout.writelines(f"{fault}\n" for fault in outcome.faults)
    return int(bool(outcome.faults))


if __name__ == "__main__":
    sys.exit(main())
