"""Carries out what operators ask of hooks that failed (``fastscp.coordinator.requests``), soon after they ask."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastscp.coordinator import requests
from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.rounds import Commits
from fastscp.log.names import APPLICATION
from fastscp.process.loop import Loop
from fastscp.study.state import HookState

_log = logging.getLogger(APPLICATION)

#: between two looks for what they ask
REQUESTS_S = 1.0


class Operators:
    """Whoever uses ``fastscp-studies``. ``changed`` is called when there are hooks to be run."""

    def __init__(self, loop: Loop, state: HookState, backlog: Backlog, commits: Commits, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._state = state
        self._backlog = backlog
        self._commits = commits
        self._changed = changed
        self._looking = True
        self._began = False

    def begin(self) -> None:
        """Look now, and again and again, as soon as there is a place where they can ask."""
        if not self._began and self._state.directory is not None:
            self._began = True
            self._look()

    def end(self) -> None:
        """Look no more."""
        self._looking = False

    def _look(self) -> None:
        directory = self._state.directory if self._looking else None
        if directory is None:
            return
        for request in requests.waiting(directory, discard=True):
            carry_out = self._backlog.retry if request.kind == requests.RETRY else self._backlog.forget
            count = carry_out(request.numbers)
            _log.info("%s: %d hooks that failed", request.kind, count)
            if not self._commits.commit():
                break
            requests.remove(request)
            self._changed()
        self._loop.call_later(REQUESTS_S, self._look)
