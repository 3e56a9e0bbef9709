"""A server under test: started in a directory of its own, waited for, measured in rounds, ended by its own pids."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from perf.loads import MR, load
from perf.measure import MemoryWatch, counted_calls, cpu_seconds, settled_cpu
from perf.peers import BEFORE, PEERS, ROOT, command
from perf.rows import Row
from perf.sending import Idle, Sent, Target, send, templates_of

_STARTS_S = 30
_FAREWELL_S = 20


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def find_memory(directory: str, octets: int) -> None:
    """Write and remove a file, so that the pages the next ones get have been used before; see ``Collector``."""
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(octets >> 20):
            file.write(bytes(1 << 20))


class Collector(threading.Thread):
    """Takes away what was received, a moment after it came, as the next program behind a gateway would.

    So a round works in the same few megabytes of page cache from begin to end. Files left to pile up take pages
    that a virtual machine has never used or has given back, and the host's page faults on those (some 2 µs for
    4 kB) are then most of what is measured, for every server alike.
    """

    def __init__(self, directory: str) -> None:
        super().__init__(daemon=True)
        self._directory, self._collected, self._done = directory, 0, threading.Event()

    def run(self) -> None:
        settled: set[str] = set()  # seen before: complete, so removing them costs the server nothing
        done = False
        while not done:
            done = self._done.wait(0.05)
            names = {name for name in os.listdir(self._directory) if not name.startswith(".")}
            for name in names if done else names & settled:
                os.unlink(os.path.join(self._directory, name))
                self._collected += 1
            settled = names

    def stop(self) -> int:
        """Take the rest; return how many files there were in all."""
        self._done.set()
        self.join()
        return self._collected


class Remover:
    """Leaves directories of studies alone until a round is over."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def start(self) -> None:
        """Do nothing yet."""

    def stop(self) -> int:
        """Remove everything that is not the server's own; return how many files that were."""
        count = 0
        for path in self._directory.iterdir():
            if path.name.startswith("."):
                continue
            if path.is_dir():
                count += sum(len(files) for _, _, files in os.walk(path))
                shutil.rmtree(path)
            else:
                path.unlink()
                count += 1
        return count


class Running:
    """One server."""

    def __init__(self, name: str, row: Row, base: str, *, before: str = "", tls: Sequence[str] = ()) -> None:
        self.name, self.row = name, row
        self.peer = PEERS[name.removeprefix(BEFORE)]
        self.directory = tempfile.mkdtemp(prefix="bench-", dir=base)
        self.port = free_port()
        checkout = before if name.startswith(BEFORE) else str(ROOT)
        environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": checkout, **dict(self.peer.environment)}
        if "--quarantine" in name:
            os.mkdir(f"{self.directory}.quarantine")
        line = command(name, row, self.port, self.directory, tls)
        self._popen = subprocess.Popen([sys.executable, str(ROOT / "perf" / "keeper.py"), *line], env=environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=checkout)
        self.keeper = psutil.Process(self._popen.pid)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + _STARTS_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            if time.monotonic() > end or self._popen.poll() is not None:
                raise RuntimeError(f"{self.name} does not start for {self.row.name}")
            time.sleep(0.02)

    def stop(self, *, patient: bool = False) -> None:
        """End the server and whatever it leaves, remove its directory; ``patient``: it has something to write before it ends."""
        left = self.keeper.children(recursive=True) if self._popen.poll() is None else []
        self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_FAREWELL_S if patient or "fastscp" in self.name else 1)
        for process in left:  # storescp's children outlive it
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._popen.wait(_FAREWELL_S)
        for path in (self.directory, f"{self.directory}.quarantine"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (f"{self.directory}.events", f"{self.directory}.cfg"):
            Path(path).unlink(missing_ok=True)


class Traffic:
    """Rounds of one row at one server."""

    def __init__(self, server: Running, *, host: str = "127.0.0.1", tls: bool = False,
                 enter: Callable[[], None] = lambda: None) -> None:
        self._server, self._row = server, server.row
        self._target = Target(server.port, host, tls, enter)
        loads = [load(name) for name in self._row.loads]
        self._templates = templates_of(loads)
        self._octets = sum(len(item.data_set) for item in loads) / len(loads)
        self._idle = Idle(self._target, MR, self._row.idle) if self._row.idle else None

    def objects(self, wanted: int | None) -> int:
        """Return how many objects make a round: enough that ticks of 10 ms do not matter."""
        usual = self._row.objects or min(load(name).objects for name in self._row.loads)
        count = wanted or usual
        return max(self._row.senders, min(count, self._server.peer.most_objects or count))

    def round(self, objects: int, *, title: str = "") -> dict[str, float]:
        """Send so many objects; return the figures of the round."""
        server, row = self._server, self._row
        each = objects // row.senders
        find_memory(server.directory, int(objects * self._octets) if row.sorts else min(int(16 * self._octets), 2 << 30))
        collector = Remover(server.directory) if row.sorts or not server.peer.files else Collector(server.directory)
        before, own = settled_cpu(server.keeper), cpu_seconds(server.keeper, title) if title else 0.0
        watch = MemoryWatch(server.keeper)
        watch.start()
        collector.start()
        try:
            sent = self._send(each)
        finally:
            peak = watch.stop()
        time.sleep(row.linger_s)
        cpu = settled_cpu(server.keeper) - before
        own = cpu_seconds(server.keeper, title) - own if title else 0.0
        stored, count = collector.stop() if server.peer.files else each * row.senders, each * row.senders
        if stored != count:
            raise RuntimeError(f"{server.name}, {row.name}: {stored} files of {count} objects")
        return {"objects_per_s": count / sent.seconds, "mb_per_s": count * self._octets / sent.seconds / 1e6, "cpu_us": cpu / count * 1e6,
                "p50_ms": sent.p50_ms, "p99_ms": sent.p99_ms, "peak_mb": peak / 1e6,
                **({"own_us": own / count * 1e6} if title else {})}

    def _send(self, each: int) -> Sent:
        row = self._row
        return send(self._target, self._templates, senders=row.senders, each=each, per_association=row.per_association)

    def calls(self, objects: int) -> dict[str, object]:
        """Send so many objects while system calls are counted; return how many an object costs."""
        each = objects // self._row.senders
        with counted_calls(self._server.keeper) as counted:
            self._send(each)
            settled_cpu(self._server.keeper)
        Remover(self._server.directory).stop() if self._server.peer.files else None
        count = each * self._row.senders
        return {"per_object": counted.total / count,
                "names": {name: calls / count for name, calls in sorted(counted.names.items(), key=lambda item: -item[1])}}

    def close(self) -> None:
        """Abandon idle associations."""
        if self._idle is not None:
            self._idle.close()
