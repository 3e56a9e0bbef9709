"""A service with every feature on, a well-behaved neighbour, and what must be true of both after an attack."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.harm_data import CONTEXTS
from tests.support.hostile import associated
from tests.support.objects import CT, IMPLICIT_LE, data_set, fresh_uid
from tests.support.servers import FastscpServer, wait_until

ALL_CONTEXTS = [*CONTEXTS, (5, "1.2.840.10008.1.1", [IMPLICIT_LE]), (13, "1.2.3.4.5.6", [IMPLICIT_LE])]
#: others are served within a second; what else a busy machine does is not the service's
WORST_ANSWER_S = 5.0
MEMORY_GROWTH = 24 << 20


class Neighbour(threading.Thread):
    """A well-behaved peer: it asks and stores, and notes its worst answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._scu = associated(port, ALL_CONTEXTS)
        self._over = threading.Event()
        self.answers = 0
        self.worst_s = 0.0
        self.stored: dict[str, bytes] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set():
                begin = time.monotonic()
                if self.answers % 8:
                    assert self._scu.echo(5) == 0
                else:
                    uid = fresh_uid()
                    assert self._scu.store(1, CT, uid, data_set(uid)) == 0
                    self.stored[uid] = data_set(uid)
                took = time.monotonic() - begin
                self.worst_s = max(self.worst_s, took)
                self.answers += 1
                self._over.wait(0.01)
            self._scu.release()
        except BaseException as error:
            self.error = error

    def leave(self) -> None:
        self._over.set()
        self.join(30)
        assert self.error is None, repr(self.error)
        assert self.answers > 2
        assert self.worst_s < WORST_ANSWER_S


class Attacked:
    """A service under attack, and what is known of it."""

    def __init__(self, server: FastscpServer, home: Path) -> None:
        self.server = server
        self.output, self.ran = home / "output", home / "ran"
        self.home = home
        self.acknowledged: dict[str, bytes | None] = {}  #: instance -> its data set, None where that is not known
        self.possible: set[str] = set()  #: nobody was told whether these are stored
        self._seen: dict[str, bytes] = {}  #: digests of files
        neighbours = [Neighbour(server.port) for _ in range(4)]
        for neighbour in neighbours:  # every worker has received something
            neighbour.start()
        wait_until(lambda: all(neighbour.answers > 10 or neighbour.error for neighbour in neighbours), "neighbours are served")
        for neighbour in neighbours:
            neighbour.leave()
            self.acknowledged |= neighbour.stored
        self._pids = self._family()
        self._descriptors = server.idle_descriptors()
        self._memory = self._rss()

    @property
    def port(self) -> int:
        return self.server.port

    def _family(self) -> set[int]:
        """The processes of the service; hooks are none of them."""
        return {process.pid for process in self.server.role("")} | {self.server.family()[0].pid}

    def _rss(self) -> int:
        return sum(process.memory_info().rss for process in self.server.role(""))

    def _files(self) -> dict[str, Path]:
        found = {}
        for path in self.output.rglob("*"):
            if path.is_file() and path.relative_to(self.output).parts[0] != ".fastscp":
                assert path.name.startswith("CT."), path
                found[path.name.removeprefix("CT.")] = path
        return found

    @contextlib.contextmanager
    def attack(self) -> Iterator[None]:
        """Do harm while a neighbour is served; look at everything afterwards."""
        neighbour = Neighbour(self.port)
        neighbour.start()
        try:
            yield
            wait_until(lambda: neighbour.answers > 10 or neighbour.error, "the neighbour is served")
        finally:
            neighbour.leave()
        self.acknowledged |= neighbour.stored
        self.check()

    def check(self) -> None:
        log = self.server.log()
        assert b"internal error" not in log, log.decode("latin-1")[-4000:]
        assert b"Traceback" not in log, log.decode("latin-1")[-4000:]
        assert b"\nE: forged" not in log
        wait_until(lambda: set(self.acknowledged) <= set(self.ran.read_text().split()), "hooks ran")
        ran = set(self.ran.read_text().split())  # before the files: what was possible may still become one, and its hook runs at once
        files = self._files()
        assert set(self.acknowledged) - set(files) == set(), "lost"
        assert set(files) - set(self.acknowledged) - self.possible == set(), "nobody was answered"
        assert ran <= set(files), "hooks of nothing"
        for uid, expected in self.acknowledged.items():
            octets = files[uid].read_bytes()
            digest = hashlib.sha256(octets).digest()
            assert self._seen.setdefault(uid, digest) == digest, "changed"
            assert expected is None or octets.endswith(expected)
        assert set(os.listdir(self.home)) <= {"output", "ran", "quarantine", "events"}
        assert self._family() == self._pids, log.decode("latin-1")[-4000:]
        wait_until(lambda: {pid: count for pid, count in self.server.descriptors().items() if pid in self._pids} == self._descriptors,
                   "every descriptor is given back")
        assert self._rss() - self._memory < MEMORY_GROWTH
        for process in self.server.role(""):
            assert process.status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def attacked(directory: Path) -> Iterator[Attacked]:
    """Run a service, and look at it when it was told to end."""
    home = directory / "home"
    (home / "output").mkdir(parents=True)
    (home / "quarantine").mkdir()
    (home / "ran").touch()
    options = ["--workers", "2", "-dhl", "-ta", "1", "-ts", "2", "+xa", "-su", "study", "-tos", "600", "--event-log", home / "events",
               "-xcr", f'echo "$FASTSCP_SOP_INSTANCE_UID" >>{home}/ran', "-od", home / "output"]
    with FastscpServer(options) as server:
        target = Attacked(server, home)
        yield target
        target.check()
        assert server.stop() == 0
    assert not list(home.rglob(".fastscp-*")), "temporaries"
