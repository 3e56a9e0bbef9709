"""Ends rounds: what was decided becomes durable and is told, or is held back as long as the state takes nothing.

Strategy: a disk that is full, read-only or gone for a while ends nothing. What could not be committed stays in memory, in
its order, and is tried again several times a second; acknowledgements wait for it. Meanwhile no object is placed, the
workers refuse what they would have to publish, and say why; hooks that are durable run.

Invariant: nobody is told what is not durable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastscp.coordinator.answers import Answers
from fastscp.coordinator.index import Index
from fastscp.errors import StorageError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process.loop import Loop, Timer
from fastscp.study.state import HookState

_log = logging.getLogger(APPLICATION)

RETRY_S = 0.1


class Commits:
    """The commits of the coordinator. ``changed`` is called when it is time for another."""

    def __init__(self, loop: Loop, state: HookState, answers: Answers, last_task: Callable[[], int],
                 changed: Callable[[], None]) -> None:
        self._loop = loop
        self._state = state
        self.index: Index | None = None  #: what is durable before objects are acknowledged, beside the state
        self._answers = answers
        self._last_task = last_task
        self._changed = changed
        self._failing = False
        self._retrying = False
        self.kept_task = last_task()  #: number of the last task that is durable

    def commit(self) -> bool:
        """Make durable what was written; False when that has to be tried again."""
        try:
            if self.index is not None:
                self.index.commit()
            self._state.commit()
        except StorageError as error:
            self._failed(str(error))
            return False
        self.kept_task = self._last_task()
        if self._failing:
            self._failing = False
            _log.warning("the state can be written again")
        self._answers.release()
        return True

    def _failed(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            _log.error("%s; trying again", printable(reason))
        self._answers.hold(reason)
        if not self._retrying:
            self._retrying = True
            self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        self._changed()


class Alarm:
    """Calls ``wake`` at the earliest of the times that were set last."""

    def __init__(self, loop: Loop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._at: float | None = None
        self._timer: Timer | None = None

    def set(self, *times: float | None) -> None:
        """Wake up at the earliest of these times, and at no other."""
        at = min((time for time in times if time is not None), default=None)
        if at == self._at:
            return
        self._at = at
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at is None else self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._at = self._timer = None
        self._wake()
