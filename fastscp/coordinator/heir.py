"""The service that comes after one whose acceptor process was killed.

A service manager may start it at once, and it waits for the state, with its port open. The coordinator that has the state
stays for the last associations of its workers, which may take as long as a drain. Nobody is served meanwhile. So whoever
waits is looked for, and gets the state as soon as what is under way had a moment to end; peers that are still connected
then are told by their workers, and come again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastscp.coordinator.state_directory import is_waited_for
from fastscp.log.names import APPLICATION
from fastscp.process.loop import Loop
from fastscp.study.state import HookState

_log = logging.getLogger(APPLICATION)

LOOK_S = 0.2  #: between two looks
LAST_WORDS_S = 1.0  #: for what is under way


class Heir:
    """Looks for a service that waits for ``state``, and calls ``stop`` when it shall have it."""

    def __init__(self, loop: Loop, state: HookState, stop: Callable[[], None]) -> None:
        self._loop = loop
        self._state = state
        self._stop = stop

    def look(self) -> None:
        """Look now, and again until somebody is there."""
        directory = self._state.directory
        if directory is None or not is_waited_for(directory):
            self._loop.call_later(LOOK_S, self.look)
            return
        _log.warning("another service waits for the state, it gets it")
        self._loop.call_later(LAST_WORDS_S, self._stop)
