"""The harm that is done to servers: deaths, stops, signals, disks. What is done and when goes into a journal."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from tests.soak.disks import Disk
from tests.soak.servers import Managed, send

#: how often each kind of harm is done, relative to the others
WEIGHTS = {
    "kill worker": 20, "kill coordinator": 12, "kill resolver": 4, "kill acceptor": 6, "kill everything": 4,
    "stop worker": 8, "stop coordinator": 6, "stop resolver": 4, "stop acceptor": 4,
    "reload": 8, "upgrade": 5, "restart": 4, "disk full": 10, "read-only": 5, "directory replaced": 4,
}
#: harm that leaves others their service; answers meanwhile count like any other
HARMLESS = {"reload", "upgrade", "kill worker", "kill resolver", "stop resolver"}


@dataclass
class Journal:
    """What was done to whom, from when to when (``time.monotonic``)."""

    entries: list[tuple[str, str, float, float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, server: str, harm: str, begin: float) -> None:
        """Note harm that has just ended."""
        self.entries.append((server, harm, begin, time.monotonic()))
        self.counts[harm] += 1

    def during(self, server: str, begin: float, end: float, settle_s: float) -> set[str]:
        """Return the harm that an answer between two times may have suffered from."""
        return {harm for name, harm, first, last in self.entries
                if name == server and first - 0.05 <= end and begin <= last + settle_s}


class Harms(threading.Thread):
    """Does harm until it is told to stop; what it does ends before it does."""

    def __init__(self, servers: list[tuple[Managed, Disk]], seed: int, pause_s: float, stopped: Callable[[], bool],
                 journal: Journal) -> None:
        super().__init__(name="harms")
        self._servers = servers
        self._chance = random.Random(f"{seed} harms")
        self._pause_s = pause_s
        self._stopped = stopped
        self.journal = journal
        self.error: BaseException | None = None
        self._drains: list[threading.Thread] = []

    def run(self) -> None:
        """Do harm, one after another, with pauses."""
        try:
            while not self._stopped():
                self._rest(self._chance.expovariate(1 / self._pause_s))
                server, disk = self._chance.choice(self._servers)
                harm = self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                begin = time.monotonic()
                with server.log.open("ab") as log:
                    log.write(b"-- %.3f soak: %s\n" % (begin, harm.encode()))
                if self._do(harm, server, disk):
                    self.journal.add(server.name, harm, begin)
            for thread in self._drains:
                thread.join()
        except BaseException as error:
            self.error = error
            raise

    def _do(self, harm: str, server: Managed, disk: Disk) -> bool:
        kind, _, role = harm.partition(" ")
        if harm == "kill everything":
            server.kill_everything()
        elif harm == "kill acceptor":
            server.kill_acceptor()
        elif kind == "kill":
            return any(send(process, signal.SIGKILL) for process in self._one(server, role))
        elif kind == "stop":
            return self._suspend(self._one(server, role))
        elif harm == "reload":
            server.signal(signal.SIGHUP)
        elif harm == "upgrade":
            return server.upgrade()
        elif harm == "restart":
            return self._restart(server)
        else:
            server.spoiled = True
            try:
                return self._spoil(harm, server, disk)
            finally:
                server.spoiled = False
        return True

    def _restart(self, server: Managed) -> bool:
        """Have a service end in order, which may take as long as a drain; other harm goes on meanwhile."""
        begin = time.monotonic()

        def stop() -> None:
            server.stop()
            self.journal.add(server.name, "restart", begin)

        if any(thread.is_alive() for thread in self._drains):
            return False
        self._drains = [threading.Thread(target=stop, name=f"restart {server.name}")]
        self._drains[0].start()
        return False  # noted when it is over

    def _spoil(self, harm: str, server: Managed, disk: Disk) -> bool:
        """Take something from the disk and give it back; tell whether it could be done."""
        if harm == "disk full" and disk.mounted:
            try:
                disk.fill()
                self._rest(self._chance.uniform(0.5, 4))
            finally:
                disk.empty()
        elif harm == "read-only" and disk.read_only():
            self._rest(self._chance.uniform(0.5, 3))
            disk.writable()
        elif harm == "directory replaced" and "-su" not in server.options:
            disk.take_away()
            self._rest(self._chance.uniform(0, 2))
            disk.put_back()
        else:
            return False
        return True

    def _one(self, server: Managed, role: str) -> list[psutil.Process]:
        found = server.role(role)
        return [self._chance.choice(found)] if found else []

    def _suspend(self, victims: list[psutil.Process]) -> bool:
        stopped = [process for process in victims if send(process, signal.SIGSTOP)]
        try:
            self._rest(self._chance.choice((0.2, 1, 3, 8)))
        finally:
            for process in stopped:
                send(process, signal.SIGCONT)
        return bool(stopped)

    def _rest(self, pause_s: float) -> None:
        end = time.monotonic() + pause_s
        while time.monotonic() < end and not self._stopped():
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))
