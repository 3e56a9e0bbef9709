"""How many sources there are, counted beside the run by a process of its own: for the time that is left.

It reads directories and opens nothing, so archives do not count before they are read; lists on standard input cannot be
read twice, and with one nothing is counted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from fastscp.ingest.sources import ARCHIVE
from fastscp.ingest.walk import STANDARD_INPUT, Identity, Walk
from fastscp.process.child import Processes
from fastscp.process.loop import IN, Loop

_NUMBER_OCTETS = 8


def count(paths: Iterable[str], *, follow_links: bool, avoided: frozenset[Identity]) -> int:
    """Return how many sources the paths lead to."""
    walk = Walk(paths, follow_links=follow_links, avoided=avoided, known=lambda _path, number: number == ARCHIVE)
    return sum(1 for _ in walk.sources())


class Counter:
    """The process that counts. ``total`` is None until it is known."""

    def __init__(self, paths: tuple[str, ...], processes: Processes, *, follow_links: bool, avoided: frozenset[Identity]) -> None:
        self.total: int | None = None
        self._processes = processes
        self._pid = 0
        self._reader = -1
        if STANDARD_INPUT in paths:
            return
        self._reader, writer = os.pipe()

        def work() -> int:
            found = count(paths, follow_links=follow_links, avoided=avoided)
            os.write(writer, found.to_bytes(_NUMBER_OCTETS, "little"))
            return 0

        self._pid = processes.start(work, title="ingest count", close=())
        os.close(writer)

    def watch(self, loop: Loop) -> None:
        """Wait for the number in a loop."""
        if self._reader >= 0:
            loop.register(self._reader, IN, lambda _mask: self._take(loop))

    def _take(self, loop: Loop) -> None:
        octets = os.read(self._reader, _NUMBER_OCTETS)
        self.total = int.from_bytes(octets, "little") if octets else None
        loop.unregister(self._reader)

    def close(self) -> None:
        """End the process, whether it is done or not."""
        if self._pid:
            self._processes.kill(self._pid, signal.SIGKILL)
            self._processes.wait(self._pid)
            os.close(self._reader)
            self._pid = 0
