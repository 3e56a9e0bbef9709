"""How long the machine let the processes of a server wait for a CPU, which is no fault of theirs.

Linux counts it for each process (``/proc/PID/schedstat``, nanoseconds on the run queue). It is read a few times a second;
an answer that took long is charged without what the worst of its server's processes waited meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

TICK_S = 0.1
KEPT_S = 180.0  #: as long as the longest answer


class Machine(threading.Thread):
    """Reads what processes waited for. ``processes`` returns the pids of each server."""

    def __init__(self, processes: Callable[[], dict[str, list[int]]], stopped: Callable[[], bool]) -> None:
        super().__init__(name="machine", daemon=True)
        self._processes = processes
        self._stopped = stopped
        self._ticks: deque[tuple[float, dict[str, dict[int, int]]]] = deque()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Read until told to stop."""
        while not self._stopped():
            self.tick()
            time.sleep(TICK_S)

    def tick(self) -> None:
        """Read once."""
        waited = {server: dict(_waited(pids)) for server, pids in self._processes().items()}
        now = time.monotonic()
        with self._lock:
            self._ticks.append((now, waited))
            while self._ticks[0][0] < now - KEPT_S:
                self._ticks.popleft()

    def withheld(self, server: str, begin: float, end: float) -> float:
        """Return how long one process of a server waited for a CPU between two times, at most; seconds."""
        with self._lock:
            before = max((tick for tick in self._ticks if tick[0] <= begin), default=None, key=lambda tick: tick[0])
            after = min((tick for tick in self._ticks if tick[0] >= end), default=None, key=lambda tick: tick[0])
            after = after or (self._ticks[-1] if self._ticks else None)
        if after is None:
            return 0.0
        then = before[1].get(server, {}) if before else {}
        waits = (waited - then.get(pid, 0) for pid, waited in after[1].get(server, {}).items())
        return min(end - begin, max(waits, default=0) / 1e9)


def _waited(pids: Iterable[int]) -> Iterable[tuple[int, int]]:
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            fd = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
            try:
                yield pid, int(os.read(fd, 100).split()[1])
            finally:
                os.close(fd)
