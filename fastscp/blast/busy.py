"""How busy this process is: whether it waits for the peer, or the peer for it.

Linux says how long a process ran and how long it wanted to run and had no CPU (/proc/self/schedstat). Both are time in which it
did not wait for anybody. Where that is not told the CPU time has to do.
"""

from __future__ import annotations

import time

_SCHEDSTAT = "/proc/self/schedstat"


def wanted_s() -> float:
    """Return the seconds in which this process ran or wanted to."""
    try:
        with open(_SCHEDSTAT, encoding="ascii") as file:
            ran, waited, _ = file.read().split()
    except (OSError, ValueError):
        return time.process_time()
    return (int(ran) + int(waited)) / 1e9


class Busy:
    """The share of a stretch of time in which this process was busy."""

    def __init__(self) -> None:
        self._began, self._wanted = time.monotonic(), wanted_s()

    def share(self) -> float:
        """Return it, from 0 to 1."""
        elapsed = time.monotonic() - self._began
        return min(1.0, (wanted_s() - self._wanted) / elapsed) if elapsed > 0 else 0.0
