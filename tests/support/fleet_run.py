"""A seeded run: studies go through three gateways at once while processes are killed; each ends once, with all its objects.

    python -m tests.support.fleet_run --studies 500 --seed 1

The seed decides what is sent where and what is killed when; what these meet is up to the machine. Everything that was acknowledged
has to be in its study, every study has to end once, and its hook has to have run with the whole list. Then some studies get one more
object, which makes their second revision, and some get one again, which changes nothing.

Senders go to the gateways themselves, or to haproxy in front of them (``balanced``); then gateways are drained and restarted in turn, too.
With an object store (``store``) that is cut off as well, and has to have every object once, one of them in parts, and a manifest of every end.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.balancer import ADDRESS, Balancer
from tests.support.fleet import Member, ends, instances, url_of
from tests.support.fleet_store import StoreBehind
from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.postgres import Postgres
from tests.support.rawscu import Aborted, RawSCU
from tests.support.servers import wait_until

GATEWAYS = 3
TIMEOUT_S = 5  #: of a study: an object whose gateway was killed is sent to another one sooner
LIMIT_S = 60  #: nobody is away for so long
PACE_S = 0.2  #: between two objects of an association, so that there is something to be killed in
AGAIN_S = 0.05  #: before something is sent again
SEND_S = 60.0  #: for an object until somebody has acknowledged it
END_S = 120.0  #: for the last studies
LONG_OCTETS = 17 << 20  #: with an object store, the first object of the run: it goes there in parts
LATE = 5  #: of so many studies one gets a further object after its end, and one an object again


@dataclass
class Study:
    """What a study has to have become."""

    uid: str
    answered: float = 0.0  #: when its last object was acknowledged
    acknowledged: set[str] = field(default_factory=set)
    ends: list[list[str]] = field(default_factory=list)  #: the objects of each revision


@dataclass
class Outcome:
    """What came of a run."""

    studies: int = 0
    objects: int = 0
    resent: int = 0  #: objects that were sent more than once
    harms: dict[str, int] = field(default_factory=dict)
    revisions: int = 0
    hooks: int = 0  #: that ran, at least one for each revision
    seconds: float = 0.0
    lags_s: list[float] = field(default_factory=list)  #: from the answer to the last object to the end, beyond the timeout
    manifest_lags_s: list[float] = field(default_factory=list)  #: likewise to the manifest in the store
    faults: list[str] = field(default_factory=list)


class Run:
    """One run in ``directory``."""

    def __init__(self, directory: Path, postgres: Postgres, *, studies: int, seed: int, at_once: int = 4,
                 pause_s: tuple[float, float] = (0.1, 0.8), balanced: bool = False, kills: bool = True,
                 store: StoreBehind | None = None) -> None:
        self._postgres = postgres
        self._seed = seed
        self._at_once = at_once
        self._pause_s = pause_s
        self._kills = kills
        self._balanced = balanced
        self._balancer: Balancer | None = None
        self._store = store
        self._records = directory / "records"
        options = ("--proxy-protocol", f"{ADDRESS}/32") if balanced else ()
        options += store.options if store is not None else ()
        self._members = {name: Member(directory / name, url_of(postgres), timeout_s=TIMEOUT_S, limit_s=LIMIT_S, records=self._records,
                                      options=options, environment=None if store is None else store.environment) for name in "abc"[:GATEWAYS]}
        self._first_answered: dict[str, float] = {}  #: when the last object before the first end was acknowledged
        self._sent = threading.Event()
        self._lock = threading.Lock()
        self._studies = [Study(f"1.2.826.{seed}.{number}") for number in range(1, studies + 1)]
        self.outcome = Outcome(studies)

    def run(self) -> Outcome:
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.callback(self._sent.set)
            for member in self._members.values():
                stack.push(member.__exit__)
                member.start()
            if self._balanced:
                self._balancer = stack.enter_context(Balancer({name: member.port for name, member in self._members.items()}))
            wait_until(self._known, "the fleet knows every gateway")
            self._send(self._studies, self._send_study)
            self._wait_for_ends("every study has ended")
            self._look_at_lags()
            self._send(self._studies[::LATE], self._send_late)
            self._send(self._studies[1::LATE], self._send_again)
            self._wait_for_ends("every study that got one more object has ended again")
            self._judge()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _known(self) -> bool:
        """Whether every gateway has been heard of: for one that never was nobody waits."""
        return self._query("SELECT count(*) FROM fastscp.gateways WHERE shipped_through IS NOT NULL") == str(GATEWAYS)

    # -- senders ----------------------------------------------------------------------------------

    def _send(self, studies: Iterable[Study], how: Callable[[Study], None]) -> None:
        """Send something of each study, while processes are killed."""
        self._sent.clear()
        with ThreadPoolExecutor(self._at_once + 1) as pool:
            harming = pool.submit(self._harm) if self._kills else None
            try:
                list(pool.map(how, studies))
            finally:
                self._sent.set()
            if harming is not None:
                harming.result()

    def _send_study(self, study: Study) -> None:
        chance = random.Random(study.uid)
        parts = [[f"{study.uid}.{gateway}.{index}" for index in range(chance.randrange(1, 4))] for gateway in range(GATEWAYS)]
        threads = [threading.Thread(target=self._send_part, args=(study, gateway, part)) for gateway, part in enumerate(parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        study.ends.append(sorted(study.acknowledged))

    def _send_late(self, study: Study) -> None:
        self._send_part(study, random.Random(f"{study.uid} late").randrange(GATEWAYS), [f"{study.uid}.late"])
        study.ends.append(sorted(study.acknowledged))

    def _send_again(self, study: Study) -> None:
        chance = random.Random(f"{study.uid} again")
        self._send_part(study, chance.randrange(GATEWAYS), [chance.choice(sorted(study.acknowledged))])

    def _send_part(self, study: Study, gateway: int, part: list[str]) -> None:
        left, until = list(part), time.monotonic() + SEND_S
        while left:
            try:
                self._send_some(study, self._port(gateway), left)
            except (OSError, Aborted):
                if time.monotonic() > until:
                    with self._lock:
                        self.outcome.faults.append(f"study {study.uid}: nobody takes {left}")
                    return
                gateway += 1  # as a balancer does
                with self._lock:
                    self.outcome.resent += 1
                self._sent.wait(AGAIN_S)

    def _port(self, gateway: int) -> int:
        return self._balancer.port if self._balancer is not None else list(self._members.values())[gateway % GATEWAYS].port

    def _send_some(self, study: Study, port: int, left: list[str]) -> None:
        """Send what is left in one association; what was acknowledged is left no more."""
        with RawSCU("127.0.0.1", port, timeout_s=SEND_S) as scu:
            scu.associate(CT_CONTEXT)
            while left:
                status = scu.store(1, CT, left[0], data_set(left[0], study=study.uid, pixels=self._octets(left[0])))
                if status:
                    raise Aborted(f"status {status:04X}")
                with self._lock:
                    study.acknowledged.add(left.pop(0))
                    study.answered = time.time()
                self._sent.wait(PACE_S)
            scu.release()

    def _octets(self, instance: str) -> int:
        return LONG_OCTETS if self._store is not None and instance == f"{self._studies[0].uid}.0.0" else 64

    # -- harms ------------------------------------------------------------------------------------

    def _harm(self) -> None:
        chance = random.Random(f"{self._seed} harm")
        harms = {"gateway": self._kill_gateway, "coordinator": self._kill_one, "worker": self._kill_one, "fleet": self._kill_one,
                 "database": self._crash_database}
        if self._balancer is not None:
            harms.update(balancer=self._kill_balancer, drain=self._drain)
        if self._store is not None:
            harms.update(store=self._cut_off, objects=self._kill_one)
        while not self._sent.wait(chance.uniform(*self._pause_s)):
            harm = chance.choice(list(harms))
            self.outcome.harms[harm] = self.outcome.harms.get(harm, 0) + 1
            harms[harm](harm, chance)

    def _some(self, chance: random.Random) -> tuple[str, Member]:
        name = chance.choice(list(self._members))
        return name, self._members[name]

    def _kill_gateway(self, _harm: str, chance: random.Random) -> None:
        _, member = self._some(chance)
        member.kill()
        member.start()

    def _kill_one(self, role: str, chance: random.Random) -> None:
        _, member = self._some(chance)
        assert member.server is not None
        for process in member.server.role(role):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _crash_database(self, _harm: str, chance: random.Random) -> None:
        self._postgres.crash()
        time.sleep(chance.uniform(0.0, 1.0))  # away for a while: this is the harm, not a wait for anything
        self._postgres.start()

    def _cut_off(self, _harm: str, chance: random.Random) -> None:
        assert self._store is not None
        self._store.cut_off(chance, self._sent)

    def _kill_balancer(self, _harm: str, _chance: random.Random) -> None:
        assert self._balancer is not None
        self._balancer.kill()
        self._balancer.start()

    def _drain(self, _harm: str, chance: random.Random) -> None:
        """Restart a gateway as an operator does: nobody notices."""
        name, member = self._some(chance)
        assert self._balancer is not None
        assert member.server is not None
        self._balancer.drain(name)
        wait_until(lambda: self._balancer is None or not self._balancer.sessions(name), "its associations have ended")
        member.stop()
        member.start()
        self._balancer.restore(name)

    # -- verdict ----------------------------------------------------------------------------------

    def _query(self, text: str) -> str:
        return self._postgres.query(text)

    def _wait_for_ends(self, what: str) -> None:
        wanted = sum(len(study.ends) for study in self._studies)
        try:
            wait_until(lambda: int(self._query("SELECT count(*) FROM fastscp.ends WHERE done IS NOT NULL") or 0) >= wanted, what, END_S)
        except AssertionError as error:
            self.outcome.faults.append(str(error))

    def _look_at_lags(self) -> None:
        """Compare the times of answers with those of ends: both are of this machine's clock."""
        for line in self._query("SELECT body->>'study_uid', extract(epoch FROM told) FROM fastscp.outbox "
                                "WHERE event = 'study.completed'").splitlines():
            uid, told = line.split("|")
            answered = next(study.answered for study in self._studies if study.uid == uid)
            self.outcome.lags_s.append(float(told) - answered - TIMEOUT_S)
        self._first_answered = {study.uid: study.answered for study in self._studies}

    def _look_at_manifests(self, store: StoreBehind) -> None:
        """Take the times of first manifests, once every one is there."""
        written = ((answered, store.manifest_at(uid, 1)) for uid, answered in self._first_answered.items())
        self.outcome.manifest_lags_s = [at - answered - TIMEOUT_S for answered, at in written if at is not None]

    def _judge(self) -> None:
        faults = self.outcome.faults
        told: dict[str, list[int]] = {}
        for line in self._query("SELECT body->>'study_uid', revision FROM fastscp.outbox WHERE event = 'study.completed' "
                                "ORDER BY position").splitlines():
            uid, revision = line.split("|")
            told.setdefault(uid, []).append(int(revision))
        stored: dict[str, list[str]] = {}
        for line in self._query("SELECT s.study_uid, o.sop_instance_uid, o.path FROM fastscp.objects o JOIN fastscp.studies s "
                                "ON s.id = o.study").splitlines():
            uid, instance, path = line.split("|")
            stored.setdefault(uid, []).append(instance)
            if not Path(path).is_file():
                faults.append(f"study {uid}: {path} is not there")
        recorded: dict[str, dict[int, list[list[str]]]] = {}
        for end in ends(self._records):
            recorded.setdefault(end["study_uid"], {}).setdefault(end["revision"], []).append(instances(end))
        if self._store is not None:
            faults.extend(self._store.faults({study.uid: study.ends for study in self._studies}))
            self._look_at_manifests(self._store)
        for study in self._studies:
            self._judge_study(study, told.get(study.uid, []), sorted(stored.get(study.uid, [])), recorded.get(study.uid, {}))

    def _judge_study(self, study: Study, told: list[int], stored: list[str], recorded: dict[int, list[list[str]]]) -> None:
        outcome, wanted = self.outcome, sorted(study.acknowledged)
        outcome.objects += len(wanted)
        outcome.revisions += len(told)
        outcome.hooks += sum(map(len, recorded.values()))
        if told != list(range(1, len(study.ends) + 1)):
            outcome.faults.append(f"study {study.uid}: ends {told} instead of {len(study.ends)}")
        if stored != wanted:
            outcome.faults.append(f"study {study.uid}: {stored} instead of {wanted}")
        for revision, end in enumerate(study.ends, 1):
            found = recorded.get(revision, [])
            if not found or any(one != end for one in found):
                outcome.faults.append(f"study {study.uid}, revision {revision}: hooks were told {found} instead of {end}")


def said_of(outcome: Outcome) -> str:
    """Return what came of a run as text: a line, and one for each fault."""
    return (f"{outcome.studies} studies, {outcome.objects} objects ({outcome.resent} sent again), {outcome.revisions} ends, "
            f"{outcome.hooks} hooks, killed: {outcome.harms}, {outcome.seconds:.0f} s, {len(outcome.faults)} faults\n"
            + "".join(f"{fault}\n" for fault in outcome.faults))


def main(arguments: list[str] | None = None) -> int:
    """Run, print what came of it; return 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description="send studies through three gateways at once while processes are killed")
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--balanced", action="store_true", help="through haproxy, which is killed as well; gateways are drained, too")
    parser.add_argument("--object-store", action="store_true", help="gateways upload to an S3 server, which is cut off as well")
    wanted = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="fastscp-fleet-"))
        postgres = stack.enter_context(Postgres())
        store = stack.enter_context(StoreBehind()) if wanted.object_store else None
        outcome = Run(Path(directory), postgres, studies=wanted.studies, seed=wanted.seed, at_once=wanted.at_once,
                      balanced=wanted.balanced, store=store).run()
    sys.stdout.write(said_of(outcome))
    return int(bool(outcome.faults))


if __name__ == "__main__":
    sys.exit(main())
