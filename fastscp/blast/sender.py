"""A sending process: its slots, its supply, and what it says to the process that started it.

It writes lines of JSON to a pipe: a slice every half second (``tally``), and at the end ``{"end": ...}`` with its CPU. SIGTERM
makes it take nothing more and release what is open. It ends by itself when all slots are done, or when nobody reads the pipe.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from fastscp.blast.busy import Busy
from fastscp.blast.hostile import Hostile
from fastscp.blast.kit import Address, Ammunition, Kit
from fastscp.blast.plan import Plan
from fastscp.blast.slots import Blocks, IdleSlot, Slot
from fastscp.blast.supply import Eager, Supply, Timed
from fastscp.blast.tally import SLICE_S, Tally
from fastscp.process.loop import Loop


class Part(NamedTuple):
    """Which of the sending processes this is."""

    number: int
    of: int

    def share(self, total: int) -> int:
        """Return how many of so many are this one's."""
        return (total + self.of - 1 - self.number) // self.of


def hostile_associations(plan: Plan) -> int:
    """Return how many associations do harm, so that they are the wanted share of all."""
    if not plan.hostile_percent:
        return 0
    return max(1, round(plan.associations * plan.hostile_percent / (100 - plan.hostile_percent)))


class Sender:
    """One of them."""

    def __init__(self, plan: Plan, part: Part, addresses: Sequence[Address], ammunition: Ammunition, pipe: int) -> None:
        self._plan, self._part, self._pipe = plan, part, pipe
        self._loop = loop = Loop()
        self._began = time.monotonic()
        self._supply: Supply = Eager() if plan.rate is None else Timed(loop, plan.rate / part.of, plan.ramp_s, self._began)
        self._tally = Tally(numbers=plan.checks.directory is not None or plan.checks.events is not None)
        self._kit = kit = Kit(plan, loop, addresses[0], ammunition, self._supply, self._tally)
        blocks = Blocks(kit, part.number, part.of)
        self._slots = [Slot(kit, blocks, self._slot_done) for _ in range(part.share(plan.associations))]
        self._idle = [IdleSlot(kit, self._idle_done) for _ in range(part.share(plan.idle))]
        self._hostile = [Hostile(kit, part.number + number * part.of) for number in range(part.share(hostile_associations(plan)))]
        self._at_work = len(self._slots)
        self._idling = len(self._idle)
        self._ending = False
        self._elapsed = 0.0

    def run(self) -> int:
        """Send, and return the exit status of the process."""
        loop, plan = self._loop, self._plan
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starting process hears it, and tells this one
        loop.on_signal(signal.SIGTERM, self._supply.stop)
        busy, cpu_s = Busy(), time.process_time()
        pause_s = plan.ramp_s / len(self._slots) if plan.rate is None and self._slots else 0.0
        for index, slot in enumerate(self._slots):
            loop.call_at(self._began + index * pause_s, slot.begin)
        for begin in (*(idle.begin for idle in self._idle), *(hostile.begin for hostile in self._hostile)):
            loop.call_at(self._began, begin)
        if plan.duration_s is not None:
            loop.call_at(self._began + plan.duration_s, self._supply.close)
        loop.call_later(SLICE_S, self._say)
        if not self._slots:
            self._slot_done()
        loop.run()
        self._tell(self._tally.said(self._elapsed, 0))
        self._tell({"end": {"cpu_s": time.process_time() - cpu_s, "busy": busy.share(), "elapsed_s": self._elapsed}})
        return 0

    def _say(self) -> None:
        self._tell(self._tally.said(time.monotonic() - self._began - SLICE_S / 2, self._kit.open))
        self._loop.call_later(SLICE_S, self._say)

    def _tell(self, told: dict[str, Any]) -> None:
        octets = memoryview(orjson.dumps(told) + b"\n")
        try:
            while octets:
                octets = octets[os.write(self._pipe, octets):]
        except BrokenPipeError:
            self._loop.stop()

    def _slot_done(self) -> None:
        self._at_work -= 1
        if self._at_work > 0 or self._ending:
            return
        self._ending = True
        self._elapsed = time.monotonic() - self._began
        for hostile in self._hostile:
            hostile.close()
        for idle in self._idle:
            idle.close()
        if not self._idling:
            self._loop.stop()

    def _idle_done(self) -> None:
        self._idling -= 1
        if self._ending and self._idling <= 0:
            self._loop.stop()
