"""Simulated time: what happens when, and processes that wait. Nothing here takes time.

A *process* is a generator. It yields how many seconds it waits, or something with ``begin(resume)``, which goes on with it later.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator
from typing import Any, Protocol


class Wait(Protocol):
    """Something to be waited for."""

    def begin(self, resume: Callable[[Any], None]) -> None:
        """Call ``resume`` with the result when it is there."""


Process = Generator["float | Wait", Any, None]


class Clock:
    """The time, and what is still to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have something happen at a time; what is for the same time happens in the order in which it was asked for."""
        heapq.heappush(self._coming, (max(when, self.now), next(self._numbers), act))

    def start(self, process: Process, after: float = 0.0) -> None:
        """Begin with a process."""
        self.at(self.now + after, lambda: self._go_on(process, None))

    def _go_on(self, process: Process, result: Any) -> None:
        try:
            wait = process.send(result)
        except StopIteration:
            return
        if isinstance(wait, (int, float)):
            self.at(self.now + wait, lambda: self._go_on(process, None))
        else:
            wait.begin(lambda answer: self._go_on(process, answer))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._coming and self._coming[0][0] <= until:
            self.now, _, act = heapq.heappop(self._coming)
            act()
        self.now = until
