"""Takes over what workers had answered and could not tell any more: their journals (``fastscp.process.journal``).

Strategy: at the start every journal is read, for nobody knows whose writers are alive; a living one tells all of it again,
and it counts once. Later the journal of a worker is read when its channel has ended. What was read is removed when it is
durable, unless its writer is alive. What an earlier coordinator knew of workers and associations is kept for a while, until
they are heard of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from fastscp.coordinator.sessions import Sessions
from fastscp.log.names import APPLICATION
from fastscp.process.journal import Journals
from fastscp.process.loop import Loop
from fastscp.study.state import HookState, Recovered

_log = logging.getLogger(APPLICATION)

RECOVERY_S = 5.0  #: associations known from the state keep their studies open that long until a worker reports them
FORGET_WORKERS_S = 60.0  #: events of workers known from the state are remembered that long until the worker is back


class Inheriting:
    """The journals of a state directory."""

    def __init__(self, journals: Journals) -> None:
        self._journals = journals
        self._read: list[str] = []
        try:
            journals.make()
        except OSError as error:
            _log.warning("no journals can be kept, every answer waits for the state: %s", error)

    def all(self, take: Callable[[str, Iterable[bytes]], list[str]]) -> list[str]:
        """Have every journal taken over, and return what ``take`` returns for them."""
        found: list[str] = []
        for incarnation in self._journals.incarnations():
            found += take(incarnation, self.of(incarnation))
        return found

    def of(self, incarnation: str) -> list[bytes]:
        """Return what is in the journal of a worker, for the last time."""
        try:
            packets = list(self._journals.read(incarnation))
        except OSError as error:
            _log.error("journal of worker %s cannot be read, and stays: %s", incarnation, error.strerror)
            return []
        self._read.append(incarnation)
        return packets

    def durable(self) -> None:
        """Remove what was read: the state has it."""
        read, self._read = self._read, []
        for incarnation in read:
            try:
                self._journals.remove(incarnation)
            except OSError as error:
                _log.warning("journal of worker %s stays: %s", incarnation, error.strerror)


class Returning:
    """Gives the workers and associations of an earlier coordinator time to be heard of."""

    def __init__(self, loop: Loop, state: HookState, sessions: Sessions, over: Callable[[], bool],
                 changed: Callable[[], None]) -> None:
        """``over`` tells whether the state is another's meanwhile; ``changed`` is called when a round has work."""
        self._loop = loop
        self._state = state
        self._sessions = sessions
        self._over = over
        self._changed = changed

    def expect(self, recovered: Recovered, inherited: list[str], forget: Callable[[Iterable[str]], None] | None) -> None:
        """Wait for those of the state and of the journals; ``forget`` drops associations, None where no study is tracked."""
        if recovered.events:
            self._loop.call_later(FORGET_WORKERS_S, self._forget_workers)
        if forget is not None and (recovered.studies or recovered.events or inherited):
            self._loop.call_later(RECOVERY_S, partial(self._forget_unheard, forget, [*recovered.holders, *inherited]))

    def _forget_unheard(self, forget: Callable[[Iterable[str]], None], associations: list[str]) -> None:
        if not self._over():
            forget(self._sessions.unheard(associations))
            self._changed()

    def _forget_workers(self) -> None:
        if not self._over():
            self._state.forget_events(self._sessions.forget_gone())
            self._changed()
