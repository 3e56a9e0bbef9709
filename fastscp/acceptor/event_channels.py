"""Gives workers and the coordinator, whoever that is at the time, the two ends of an event channel.

Invariant: a worker has at most one event channel, the one with the highest number; whatever keeps it from getting one
is tried again, as long as there is a coordinator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastscp.acceptor.pool import Pool, WorkerSlot
from fastscp.log.names import NETWORK
from fastscp.process import fdpass, packets
from fastscp.process.loop import Loop

_log = logging.getLogger(NETWORK)

_RETRY_S = 0.05


class EventChannels:
    """The event channels of the workers of a pool.

    ``introduce`` gives the coordinator its end, and may raise OSError; ``there_is_one`` tells whether there is a coordinator.
    """

    def __init__(self, loop: Loop, pool: Pool, introduce: Callable[[str, int], None],
                 there_is_one: Callable[[], bool]) -> None:
        self._loop = loop
        self._pool = pool
        self._introduce = introduce
        self._there_is_one = there_is_one
        self.made = 0
        pool.on_unconnected = self._reconnect

    def connect_all(self) -> None:
        """Connect every worker to a new coordinator."""
        for slot in self._pool.slots.values():
            self.connect(slot)

    def connect(self, slot: WorkerSlot) -> None:
        """Give a worker and the coordinator the two ends of a fresh event channel."""
        if not self._there_is_one() or slot.pid not in self._pool.slots:
            return
        try:
            worker_end, coordinator_end = fdpass.channel_pair()
        except OSError as error:  # no descriptor left; an association that ends gives some back
            _log.error("no event channel for worker %d: %s; trying again", slot.index + 1, error)
            self._loop.call_later(_RETRY_S, lambda: self.connect(slot))
            return
        self.made = slot.event_channel = self.made + 1
        try:
            self._introduce(f"worker {slot.index + 1} ({slot.pid})", coordinator_end.fileno())
            packet = packets.encode({"kind": "event_channel", "number": slot.event_channel})
            fdpass.send_with_descriptor(slot.channel, packet, worker_end.fileno())
        except (BrokenPipeError, ConnectionResetError):
            _log.debug("event channel of worker %d not made: a process is dying", slot.index + 1)
        except OSError:  # too much is under way
            self._loop.call_later(_RETRY_S, lambda: self.connect(slot))
        finally:
            worker_end.close()
            coordinator_end.close()

    def _reconnect(self, slot: WorkerSlot, number: int) -> None:
        """Make another event channel for a worker whose last one was lost, though nobody died."""
        if number == slot.event_channel:
            self._loop.call_later(_RETRY_S, lambda: self._connect_again(slot, number))

    def _connect_again(self, slot: WorkerSlot, number: int) -> None:
        if number == slot.event_channel:  # no new coordinator has got one meanwhile
            self.connect(slot)
