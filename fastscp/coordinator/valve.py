"""Whether workers may begin with objects: no more of them while too many tasks wait, or entries for a fleet.

Strategy: with as many tasks as are allowed the workers are told to hold objects back, and with nine tenths of them to let
them in again. Nothing is refused or lost; senders wait, and are served as fast as hooks run.
"""

from __future__ import annotations

import logging

from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)


class Valve:
    """Closed when ``most`` of ``what`` wait."""

    def __init__(self, most: int, what: str = "hooks") -> None:
        self.closed = False
        self._most = most
        self._what = what

    def look(self, waiting: int) -> bool:
        """Take note of how many tasks wait; return whether that has changed anything."""
        if self.closed == (waiting > self._most * 9 // 10 if self.closed else waiting >= self._most):
            return False
        self.closed = not self.closed
        if self.closed:
            _log.warning("%d %s wait, further objects have to wait, too", waiting, self._what)
        else:
            _log.warning("%d %s wait, objects are let in again", waiting, self._what)
        return True
