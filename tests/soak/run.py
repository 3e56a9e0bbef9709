"""One soak: puts servers, senders, harm and verification together, and ends them in order."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.soak.disks import Disk
from tests.soak.harms import Harms, Journal
from tests.soak.hostile import Hostile
from tests.soak.ledger import Ledger, Promises
from tests.soak.machine import Machine
from tests.soak.probe import Probe
from tests.soak.report import Answers, text
from tests.soak.senders import Sender
from tests.soak.servers import ROLES, Managed
from tests.soak.verifier import Verifier
from tests.support.servers import free_port

PROGRESS_S = 10.0
SLOW_S = 0.5  #: an answer that is worth a line in slow.txt
SETTLED_WITHIN_S = 150.0
AT_REST_WITHIN_S = 60.0
MEMORY_GROWTH = 64 << 20
DESCRIPTORS_MORE = 4
COMMON = ["--workers", "2", "-ta", "10", "-ts", "15", "--hang-timeout", "5", "+xd"]


def options_of(name: str, directory: Path) -> list[str]:
    """Return the options of each server."""
    ran = f'echo "$FASTSCP_SOP_INSTANCE_UID" >>{directory}/ran'
    ended = f'echo "$FASTSCP_STUDY_UID $FASTSCP_REVISION $FASTSCP_OBJECTS $FASTSCP_REASON $FASTSCP_PATH" >>{directory}/ended'
    return {
        "STUDIES": [*COMMON, "-v", "-su", "study", "-tos", "3", "-rns", "--study-manifest", "--completed-directory", f"{directory}/done",
                    "-xcr", ran, "-xcs", ended, "--hook-retries", "3", "--event-log", f"{directory}/events", "--event-digest",
                    "--quarantine", f"{directory}/quarantine"],
        "HOOKS": [*COMMON, "-v", "-dhl", "-xcr", ran, "--hook-jobs", "4", "--event-log", f"{directory}/events",
                  "--sync", "group", "--on-duplicate", "compare", "--metrics", str(free_port())],
        "PLAIN": [*COMMON, "-dhl", "--min-free", "5%", "--sync", "object", "--max-associations-per-host", "1000"],
    }[name]


class Soak:
    """All that takes part."""

    def __init__(self, arguments: argparse.Namespace, directory: Path) -> None:
        self._arguments = arguments
        self._directory = directory
        self._over = multiprocessing.Event()  # no more harm, no more hostile peers
        self._done = multiprocessing.Event()  # no more senders
        self._told: multiprocessing.Queue[tuple[Any, ...]] = multiprocessing.Queue()
        self._promises = Promises(directory / "broken.txt")
        self._ledger = Ledger(self._promises)
        self._answers = Answers()
        self._journal = Journal()
        self._lost_since: dict[str, float] = {}  #: when a server was lost that is not back
        self._hostile: Counter[str] = Counter()
        self._dcmsend: Counter[bool] = Counter()
        self._servers: list[tuple[Managed, Disk]] = []
        for name in ("STUDIES", "HOOKS", "PLAIN"):
            home = directory / name
            home.mkdir()
            (home / "quarantine").mkdir()
            disk = Disk(home, "128m")
            self._servers.append((Managed(name, options_of(name, home), home, disk.output, self._promises.broken), disk))
        self._machine = Machine(self._pids, self._done.is_set)
        self._verifiers = [Verifier(server, self._ledger, self._promises) for server, _ in self._servers]

    def run(self) -> dict[str, Any]:
        """Do all of it; return the result."""
        begin = time.monotonic()
        ports = {server.name: server.port for server, _ in self._servers}
        seed = self._arguments.seed
        peers = [multiprocessing.Process(target=Sender(
            number, seed, ports, self._arguments.rate / self._arguments.senders, self._told.put, self._done.is_set).run, daemon=True)
            for number in range(self._arguments.senders)]
        probe = multiprocessing.Process(target=_probe_all, args=(ports, seed, self._told.put, self._done.is_set), daemon=True)
        hostile = multiprocessing.Process(target=Hostile(seed, ports, self._arguments.hostile, self._told.put, self._over.is_set).run,
                                          daemon=True)
        for process in (*peers, probe, hostile):
            process.start()  # before there is any thread; they wait for their servers by trying
        for server, _ in self._servers:
            server.start()
        self._answers.since = time.monotonic()
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        self._machine.start()
        harms = Harms(self._servers, seed, self._arguments.pause, self._over.is_set, self._journal)
        self._baseline = self._resources_after(5.0)
        harms.start()
        self._until(begin + self._arguments.seconds)
        self._over.set()
        while harms.is_alive():
            self._listen(0.2)
        self._join(hostile)
        for _, disk in self._servers:
            disk.empty()
            disk.writable()
            disk.put_back()
        self._until(time.monotonic() + 5)  # a last few objects that must not fail
        self._done.set()
        for process in (*peers, probe):
            self._join(process)
        self._settle()
        resources = self._resources_at_rest()
        for server, _ in self._servers:
            server.wanted = False
            server.stop()
        self._drain()
        for verifier in self._verifiers:
            verifier.sweep(last=True)
        hooked = {verifier.name for verifier in self._verifiers if verifier.hooks}
        for instance in self._ledger.missing(hooked):
            record = self._ledger.records[instance]
            what = "its hook did not run" if record.stored else "it is not there"
            self._promises.broken("nothing acknowledged is lost", f"{record.server} {record.kind} {instance} of study {record.study}: {what}")
        if harms.error is not None:
            raise harms.error
        return self._result(time.monotonic() - begin, resources)

    def close(self) -> None:
        """End whatever still runs; give the disks back."""
        self._over.set()
        self._done.set()
        for server, disk in self._servers:
            server.wanted = False
            server.kill_everything()
            disk.close()
        for process in multiprocessing.active_children():
            process.kill()

    def _pids(self) -> dict[str, list[int]]:
        return {server.name: server.pids() for server, _ in self._servers}

    def _watch(self) -> None:
        while not self._done.is_set():
            for server, _ in self._servers:
                server.watch()
            time.sleep(0.05)

    def _until(self, end: float) -> None:
        """Listen to what is told, and verify, until then; say how it goes."""
        said = time.monotonic()
        while time.monotonic() < end:
            self._listen(0.3)
            for verifier in self._verifiers:
                verifier.sweep()
            if time.monotonic() - said >= PROGRESS_S:
                said = time.monotonic()
                self._say(end - said)

    def _say(self, left_s: float) -> None:
        counts = self._ledger.counts
        worst = self._answers.worst(self._journal)
        print(f"{time.strftime('%H:%M:%S')} {left_s:6.0f} s left: sent {counts['sent']:,}, acknowledged {counts['acknowledged']:,}, "
              f"verified {counts['verified']:,}, hooks {counts['reception hooks']:,}, studies {counts['studies ended']:,}, harm "
              f"{self._journal.counts.total():,}, hostile {self._hostile.total():,}, worst "
              + " ".join(f"{name} {seconds:.2f}" for name, (seconds, _) in sorted(worst.items()))
              + f", broken {self._promises.counts.total()}", flush=True)

    def _listen(self, for_s: float) -> None:
        end = time.monotonic() + for_s
        while True:
            left = end - time.monotonic()
            try:  # what was told already is heard however long that takes: files are judged by it
                self._take(self._told.get(timeout=left) if left > 0 else self._told.get_nowait())
            except queue.Empty:
                return

    def _drain(self) -> None:
        while True:
            try:
                self._take(self._told.get(timeout=0.2))
            except queue.Empty:
                return

    def _take(self, told: tuple[Any, ...]) -> None:
        kind, *rest = told
        if kind == "sent":
            self._ledger.sent(*rest)
        elif kind == "outcome":
            self._ledger.outcome(*rest[1:])
        elif kind == "answer":
            server, what, begin, end = rest
            self._answers.samples.append((server, what, begin, end, self._withheld(server, what, begin, end)))
        elif kind == "asleep":
            self._answers.asleep.append((rest[0], rest[1]))
        elif kind == "silent":
            self._promises.broken("every request is answered in time", f"{rest[0]}: {rest[1]}")
        elif kind == "hostile":
            self._hostile[rest[0]] += 1
        else:
            self._dcmsend[rest[1]] += 1

    def _withheld(self, server: str, what: str, begin: float, end: float) -> float:
        """Return how long an answer, or the way back to a server, waited for a CPU; short ones are not worth the look."""
        if begin < self._answers.since:
            return 0.0
        if what == "lost":
            self._lost_since.setdefault(server, begin)
            return 0.0
        since = self._lost_since.pop(server, begin)
        if end - since <= SLOW_S:
            return 0.0
        self._machine.tick()
        withheld = self._machine.withheld(server, since, end)
        with (self._directory / "slow.txt").open("a", encoding="utf-8") as slow:
            slow.write(f"{since:.3f} to {end:.3f}: {end - since:.3f} s, waited for a CPU {withheld:.3f} s: {server} {what}\n")
        return withheld

    def _join(self, process: multiprocessing.Process) -> None:
        end = time.monotonic() + 90
        while process.is_alive() and time.monotonic() < end:
            self._listen(0.2)
        if process.is_alive() or process.exitcode:
            self._promises.broken("the soak itself", f"{process.name} did not end well: {process.exitcode}")
            process.kill()

    def _settle(self) -> None:
        """Wait until what was acknowledged is verified and its studies have ended."""
        self._drain()
        hooked = {verifier.name for verifier in self._verifiers if verifier.hooks}
        end = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < end:
            for verifier in self._verifiers:
                verifier.sweep()
            self._listen(0.5)
            if not self._ledger.missing(hooked):
                return
        print(f"not settled after {SETTLED_WITHIN_S:.0f} s: {self._ledger.missing(hooked)[:10]}", flush=True)

    def _resources_after(self, pause_s: float) -> dict[tuple[str, str], tuple[int, int, int]]:
        self._until(time.monotonic() + pause_s)
        return self._resources()

    def _resources(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Return number of processes, most descriptors and most memory of every role of every server."""
        found: dict[tuple[str, str], tuple[int, int, int]] = {}
        for server, _ in self._servers:
            for role in ROLES:
                number = descriptors = memory = 0
                for process in server.role(role):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        descriptors = max(descriptors, process.num_fds())
                        memory = max(memory, process.memory_info().rss)
                        number += 1
                found[server.name, role] = number, descriptors, memory
        return found

    def _resources_at_rest(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Compare with the start. Whoever still works on something heavy, although its peer has left, may end that."""
        end = time.monotonic() + AT_REST_WITHIN_S
        while True:
            now = self._resources()
            more = list(self._more(now))
            if not more or time.monotonic() > end:
                break
            time.sleep(1)
        for promise, evidence in more:
            self._promises.broken(promise, evidence)
        return now

    def _more(self, now: dict[tuple[str, str], tuple[int, int, int]]) -> Iterator[tuple[str, str]]:
        """Say what there is more of than at the start."""
        for (server, role), (number, descriptors, memory) in now.items():
            then = self._baseline[server, role]
            if role != "resolver" and number != then[0]:
                yield "processes are back", f"{server}: {number} of {role}, {then[0]} at the start"
            if descriptors > then[1] + DESCRIPTORS_MORE:
                yield "descriptors are back", f"{server} {role}: {descriptors}, {then[1]} at the start"
            if memory > then[2] + MEMORY_GROWTH:
                yield "memory is back", f"{server} {role}: {memory >> 20} MiB, {then[2] >> 20} MiB at the start"

    def _result(self, seconds: float, resources: dict[tuple[str, str], tuple[int, int, int]]) -> dict[str, Any]:
        worst = self._answers.worst(self._journal)
        for name, limit in (("served", self._arguments.worst), ("killed", self._arguments.worst_killed),
                            ("stopped", self._arguments.worst_stopped)):
            if name in worst and worst[name][0] > limit:
                self._promises.broken(f"worst answer ({name})", f"{worst[name][0]:.3f} s > {limit} s: {worst[name][1]}")
        memory = {role: max(resources[server.name, role][2] for server, _ in self._servers) for role in ROLES}
        return {
            "seconds": seconds, "seed": self._arguments.seed, "commit": _commit(), "machine": _machine(),
            "counts": dict(self._ledger.counts), "harm": dict(self._journal.counts), "hostile": dict(self._hostile),
            "dcmsend": {"runs": self._dcmsend.total(), "whole": self._dcmsend[True]},
            "starts": {server.name: server.starts for server, _ in self._servers},
            "answers": len(self._answers.samples), "asleep": len(self._answers.asleep), "worst": worst, "memory": memory,
            "broken": dict(self._promises.counts), "evidence": str(self._directory),
        }


def _probe_all(ports: dict[str, int], seed: int, tell: Any, stopped: Any) -> None:
    threads = [threading.Thread(target=Probe(name, port, seed, tell, stopped).run) for name, port in ports.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _commit() -> str:
    run = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, check=False, text=True)
    return run.stdout.strip() or "unknown"


def _machine() -> str:
    return f"{os.cpu_count()} CPUs, {psutil.virtual_memory().total >> 30} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def main(words: list[str] | None = None) -> int:
    """Run a soak; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description="All loads with deaths, stops, disk faults and hostile peers.")
    parser.add_argument("seconds", nargs="?", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another each time)")
    parser.add_argument("--json", metavar="FILE", help="write the result to a file")
    parser.add_argument("--senders", type=int, default=3, help="well-behaved sender processes (default: 3)")
    parser.add_argument("--rate", type=float, default=30.0, help="objects per second of all senders together (default: 30)")
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between harms, on average (default: 4)")
    parser.add_argument("--hostile", type=float, default=0.3, help="seconds between hostile peers, on average (default: 0.3)")
    parser.add_argument("--worst", type=float, default=1.0, help="longest answer in s, whoever else is harmed (default: 1)")
    parser.add_argument("--worst-killed", type=float, default=5.0, help="longest absence of a server that is harmed (default: 5)")
    parser.add_argument("--worst-stopped", type=float, default=15.0, help="the same while one of its processes is stopped (default: 15)")
    parser.add_argument("--directory", help="where to work (default: a temporary directory; kept when a promise was broken)")
    arguments = parser.parse_args(words)
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    directory = Path(tempfile.mkdtemp(prefix="soak-", dir=arguments.directory))
    print(f"seed {arguments.seed}, in {directory}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    soak = Soak(arguments, directory)
    try:
        result = soak.run()
    finally:
        soak.close()
    print(text(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if result["broken"]:
        print((directory / "broken.txt").read_text(encoding="utf-8")[:8000], file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0
