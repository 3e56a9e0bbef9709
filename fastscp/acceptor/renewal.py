"""Replaces the workers by new ones, one after the other, while the service goes on.

Strategy: a new worker is started beside each one that is to go; once it is up, the old one is told to retire: it takes
no further connection, goes on with those it has as if nothing had happened, and ends after the last. Until then
there are two processes of one index.

Invariants: at any time as many workers take connections as before; a worker that retires is never replaced again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastscp.acceptor.pool import Pool, WorkerSlot
from fastscp.log.names import NETWORK
from fastscp.process import packets
from fastscp.process.loop import Loop

_log = logging.getLogger(NETWORK)

_RETRY_S = 0.1


class Renewal:
    """One generation of workers after another. ``start`` starts a worker; it may raise OSError."""

    def __init__(self, loop: Loop, pool: Pool, start: Callable[[int], None], finished: Callable[[], None]) -> None:
        self.generation = 0  #: of workers that are started now
        self._loop = loop
        self._pool = pool
        self._start = start
        self._finished = finished
        self._under_way = False

    def begin(self) -> None:
        """Replace whoever is there now; ``finished`` is called when that is done."""
        self.generation += 1
        self._under_way = True
        self.go_on()

    def cancel(self) -> None:
        """Leave it at that: the service goes down."""
        self._under_way = False

    def retire_all(self) -> None:
        """Let whoever is there go, and put nobody in their places."""
        self._under_way = False
        self.generation += 1
        for slot in self._pool.slots.values():
            if not slot.retiring:
                self._retire(slot)

    def go_on(self) -> None:
        """Do what can be done now; call it when a worker came up or went."""
        if not self._under_way:
            return
        serving = [slot for slot in self._pool.slots.values() if not slot.retiring]
        fresh = {slot.index: slot for slot in serving if slot.generation == self.generation}
        for slot in serving:
            successor = fresh.get(slot.index)
            if slot.generation != self.generation and successor is not None and successor.up:
                self._retire(slot)
        stale = [slot for slot in serving if slot.generation != self.generation and not slot.retiring]
        if not stale and all(slot.up for slot in fresh.values()):
            self._under_way = False
            self._finished()
        elif stale and all(slot.up for slot in fresh.values()):
            self._replace(stale[0].index)

    def _replace(self, index: int) -> None:
        try:
            self._start(index)
        except OSError as error:
            _log.error("cannot start a process: %s; trying again", error)
            self._loop.call_later(_RETRY_S, self.go_on)

    def _retire(self, slot: WorkerSlot) -> None:
        """Send no further connection to a worker, and tell it so as soon as its channel takes the order."""
        slot.retiring = True
        self._tell(slot)

    def _tell(self, slot: WorkerSlot) -> None:
        if slot.pid not in self._pool.slots:
            return
        try:
            slot.channel.send(packets.encode({"kind": "retire"}))
        except BlockingIOError:
            self._loop.call_later(_RETRY_S, lambda: self._tell(slot))
