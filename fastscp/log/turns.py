"""Turns at something that several processes write to, by a POSIX lock that nobody waits for without limit.

A process that was stopped while it had its turn would stop all the others. So the first who waits in vain goes on
without it, and so does everybody else at once until the lock was free again.
"""

from __future__ import annotations

import fcntl
import time

_PATIENCE_S = 0.2
_STEP_S = 0.0005


class Turns:
    """The turns of this process."""

    def __init__(self) -> None:
        self._in_vain = False  #: whoever has the turn kept it too long, and it was not free since

    def take(self, descriptor: int) -> bool:
        """Lock ``descriptor``; False when whoever has the lock does not come round."""
        end = time.monotonic() + (0.0 if self._in_vain else _PATIENCE_S)
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    self._in_vain = True
                    return False
                time.sleep(_STEP_S)
            else:
                self._in_vain = False
                return True
