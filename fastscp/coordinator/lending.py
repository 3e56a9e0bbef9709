"""Hooks that one coordinator started and another one has to see the end of.

Strategy: a coordinator that hands over *lends* the hooks it runs: they are in the state, and it tells how they end. The next
one *borrows* them: it starts no hook before it knows which are lent, and takes a lent one, when its turn comes, as started.

Invariants: only hooks that were recovered can be lent ones, since numbers are used again. When nobody can tell any more how
a hook ended, it is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastscp.coordinator.tasks import HookTask


class Borrowed:
    """The hooks that run without this coordinator.

    ``last`` is the highest number that was recovered. ``ended`` is told of a hook that ended with a status, ``again`` of one
    that is to be started, ``changed`` when hooks may be started that could not before.
    """

    def __init__(self, last: int, *, ended: Callable[[HookTask, int], None], again: Callable[[HookTask], None],
                 changed: Callable[[], None]) -> None:
        self._last = last
        self._ended = ended
        self._again = again
        self._changed = changed
        self._lenders: set[object] = set()  #: have not told yet which hooks they lend
        self._statuses: dict[int, int | None] = {}  #: None: it runs
        self._waiting: dict[int, HookTask] = {}  #: whose turn has come

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet which hooks are lent."""
        return bool(self._lenders)

    @property
    def waiting(self) -> bool:
        """Whether the end of a hook is waited for that runs without this coordinator."""
        return bool(self._waiting)

    def expect(self, lender: object) -> None:
        """Start no hook until ``lender`` has told which of them it lends."""
        self._lenders.add(lender)

    def lend(self, lender: object, hooks: Iterable[tuple[int, int | None]]) -> None:
        """Take note of hooks, by number, that run (None) or have ended with a status."""
        self._statuses.update(hooks)
        self._decided(lender)

    def lost(self, lender: object) -> None:
        """Take note that nobody tells any more how hooks end."""
        self._decided(lender)
        for number in [number for number, status in self._statuses.items() if status is None]:
            self.tell_end(number, None)

    def _decided(self, lender: object) -> None:
        if lender in self._lenders:
            self._lenders.discard(lender)
            self._changed()

    def take(self, task: HookTask) -> bool:
        """Return whether a hook whose turn has come is lent: its end is told, at once if it has ended."""
        if task.number not in self._statuses or task.number > self._last:
            return False
        status = self._statuses[task.number]
        if status is None:
            self._waiting[task.number] = task
        else:
            del self._statuses[task.number]
            self._ended(task, status)
        return True

    def tell_end(self, number: int, status: int | None) -> None:
        """Take note how a hook ended; None: nobody knows."""
        task = self._waiting.pop(number, None)
        if status is None:
            self._statuses.pop(number, None)
            if task is not None:
                self._again(task)
        elif task is None:
            if number in self._statuses:
                self._statuses[number] = status
        else:
            del self._statuses[number]
            self._ended(task, status)
