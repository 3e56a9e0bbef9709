"""What the acceptor process counts, where there are metrics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from fastscp.acceptor.pool import Pool
from fastscp.metrics import table
from fastscp.metrics.board import Ledger
from fastscp.metrics.table import Metric
from fastscp.net.peer import Peer

ROLE = "acceptor"
LOOK_S = 1.0
MOST_REFUSALS = 20


class Timers(Protocol):
    """What is needed of a loop."""

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> object:
        """Call back once."""


def gauges(pool: Pool, workers: int, untaken: int, *, draining: bool) -> dict[Metric, float]:
    """Return how it stands with a process that is to have so many ``workers``, 0 while it is another's turn."""
    up = pool.up_count if workers else 0
    return {table.RECEIVING: up > 0 and not draining, table.DRAINING: draining, table.CONNECTIONS_WAITING: untaken,
            table.WORKERS_UP: up, table.WORKERS_WANTED: workers}


class Measures:
    """Counts in ``ledger``; gauges are looked at once a second."""

    def __init__(self, ledger: Ledger, wall: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._wall = wall
        self._refusals: deque[dict[str, object]] = deque(maxlen=MOST_REFUSALS)
        ledger.set(table.STARTED, wall())

    def accepted(self) -> None:
        """Count a connection."""
        self._ledger.add(table.CONNECTIONS_ACCEPTED)

    def turned_away(self, peer: Peer, reason: str) -> None:
        """Count a connection that was closed before anything was read from it."""
        self._ledger.add(table.CONNECTIONS_REFUSED, "access" if reason.startswith("access denied") else "stopping")
        self._refusals.append({"time": self._wall(), "calling_aet": "", "called_aet": "", "peer": peer.address,
                               "peer_host": peer.name, "port": peer.port, "what": "connection refused",
                               "reason": reason[:200], "status": ""})
        self._ledger.report({"refusals": list(self._refusals)})

    def started(self, title: str) -> None:
        """Count the start of a child; its kind is the first word of its ``title``."""
        self._ledger.add(table.PROCESS_STARTS, title.split(maxsplit=1)[0])

    def replaced(self, kind: str) -> None:
        """Count a child that ended by itself and gets a successor."""
        self._ledger.add(table.PROCESS_RESTARTS, kind)

    def watch(self, loop: Timers, gauges: Callable[[], Mapping[Metric, float]]) -> None:
        """Take over ``gauges`` now and once a second."""
        self.look(gauges())
        loop.call_later(LOOK_S, lambda: self.watch(loop, gauges))

    def look(self, gauges: Mapping[Metric, float]) -> None:
        """Take over what gauges are now."""
        for metric, value in gauges.items():
            self._ledger.set(metric, value)
