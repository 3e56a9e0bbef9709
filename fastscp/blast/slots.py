"""Who opens associations, one after another: a *slot* has one at a time.

Strategy: a slot takes the next block of objects (``Order.association``) of its process, opens an association for it, and another
one when that fails with objects left. Objects that were on their way are counted as failed and not sent again. A peer that cannot
be reached is tried again after a pause that doubles; after ``_ATTEMPTS`` in vain the slot gives up, unless the run has a duration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

from fastscp.blast.association import Association
from fastscp.blast.kit import Kit, Numbers

_ATTEMPTS = 5
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


class Blocks:
    """The associations of one process: every n-th."""

    def __init__(self, kit: Kit, sender: int, senders: int) -> None:
        self._order = kit.ammunition.order
        self._numbers = count(sender, senders)

    def take(self) -> Iterator[int] | None:
        """Return the objects of the next one; None when there is none."""
        return self._order.association(next(self._numbers))


class Slot:
    """One association at a time, as long as there are objects."""

    def __init__(self, kit: Kit, blocks: Blocks, done: Callable[[], None]) -> None:
        self._kit, self._blocks, self._done = kit, blocks, done
        self._numbers = Numbers(iter(()))
        self._planned: float | None = None
        self._association: Association | None = None
        self._failures = 0

    def begin(self) -> None:
        """Open an association for what is left, or for the next objects; be done when there are none."""
        kit = self._kit
        if kit.supply.ended:
            self._done()
            return
        if self._numbers.next is None:
            block = self._blocks.take()
            if block is None:
                self._done()
                return
            self._numbers = Numbers(block)
        begun = time.monotonic()
        if kit.plan.rate is not None and kit.plan.per_association is not None:
            # arrivals are of associations as much as of objects
            self._planned = self._planned if self._planned is not None else kit.supply.take(begun)
            if self._planned is None:
                kit.supply.wait(self.begin)
                return
            begun = self._planned
        self._association = Association(kit, self._numbers, begun, self._ended, planned=self._planned)
        self._association.begin()

    def _ended(self, reason: str) -> None:
        kit, association = self._kit, self._association
        if association is not None:
            self._planned = association.planned
        if not reason:
            self._failures = 0
            self.begin()
            return
        kit.tally.failed_associations[reason] += 1
        self._failures = 0 if association is not None and association.established else self._failures + 1
        if self._failures >= _ATTEMPTS and kit.plan.duration_s is None:
            kit.tally.failed_objects["not sent: no association"] += self._numbers.rest()
            self._planned = None
        pause_s = min(_PAUSE_S * 2 ** self._failures, _LONGEST_PAUSE_S) if self._failures else 0.0
        kit.loop.call_later(pause_s, self.begin)


class IdleSlot:
    """An association that is open and sends nothing."""

    def __init__(self, kit: Kit, done: Callable[[], None]) -> None:
        self._kit, self._done, self._closing = kit, done, False
        self._association = Association(kit, Numbers(iter(())), time.monotonic(), self._ended, idle=True)

    def begin(self) -> None:
        """Open it."""
        self._association.begin()

    def close(self) -> None:
        """Release it."""
        self._closing = True
        self._association.finish()

    def _ended(self, reason: str) -> None:
        if reason or not self._closing:
            self._kit.tally.failed_associations[f"idle: {reason or 'released by the peer'}"] += 1
        self._done()
