"""Turns: how long one association may keep its process before the others are served.

Strategy: whatever may take long is done in steps of a few milliseconds at most. Between two steps the connection asks
whether its turn is over. If so it goes on in the next round of the loop (``Loop.soon``), when all descriptors that are
ready have been served; meanwhile it handles and reads nothing. A clock is read about every step, never every element.

Invariant: work that is stopped ends there: nothing of it happens afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from fastscp.process.loop import Loop

_T = TypeVar("_T")

TURN_S: Final = 0.004


class Turn:
    """The share of one connection in a round of the loop, however often it is entered in it."""

    __slots__ = ("_clock", "_end", "_loop", "_round")

    def __init__(self, loop: Loop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._round: float | None = None
        self._end = 0.0

    def begin(self) -> None:
        """Begin a turn, unless it has begun in this round."""
        if self._round != self._loop.now:
            self._round = self._loop.now
            self._end = self._clock() + TURN_S

    def over(self) -> bool:
        """Tell whether others have to be served."""
        return self._clock() >= self._end


class Host(Protocol):
    """Where work is done (``fastscp.worker.flow``)."""

    turn: Turn

    def next_turn(self, step: Callable[[], None]) -> None:
        """Do ``step`` in the next turn, and nothing else until then."""


class Steps:
    """The work of one connection that goes on over turns, one at a time."""

    __slots__ = ("_host", "_work")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._work: Generator[None, None, Any] | None = None

    def run(self, work: Generator[None, None, _T], then: Callable[[_T], None]) -> None:
        """Take the steps of ``work``, over as many turns as it takes; then call ``then`` with its result.

        The connection is blocked from the end of the first turn on; it is for ``then`` to resume it.
        """
        self._work = work
        over = self._host.turn.over
        while True:
            try:
                next(work)
            except StopIteration as end:
                result: _T = end.value
                break
            if over():
                self._host.next_turn(partial(self._go_on, work, then))
                return
        self._work = None
        then(result)

    def _go_on(self, work: Generator[None, None, _T], then: Callable[[_T], None]) -> None:
        if self._work is work:
            self.run(work, then)

    def stop(self) -> None:
        """End the work where it stands."""
        work, self._work = self._work, None
        if work is not None:
            work.close()
