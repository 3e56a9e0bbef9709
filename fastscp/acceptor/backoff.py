"""When a dead child is replaced, and how its end is told."""

from __future__ import annotations

import signal

SHORT_LIFE_S = 2.0
FIRST_DELAY_S = 0.2  #: after the second short life in a row; doubled with each further one
LONGEST_DELAY_S = 30.0
#: whoever was killed, or lacked a descriptor, is back within two seconds, however often that happens
LONGEST_WITHOUT_FAULT_S = 0.4
#: nobody else can do the work of the coordinator, and what it ends by may pass (a disk that cannot be read)
LONGEST_OF_COORDINATOR_S = 1.0


class Backoff:
    """How long to wait before a dead child is replaced: not at all, unless it keeps dying young."""

    def __init__(self) -> None:
        self._next_s = 0.0  #: after the next short life

    def delay_s(self, lifetime_s: float, longest_s: float = LONGEST_DELAY_S) -> float:
        """Return the pause after a child that lived ``lifetime_s`` seconds, at most ``longest_s``."""
        if lifetime_s >= SHORT_LIFE_S:
            self._next_s = 0.0
            return 0.0
        delay_s = min(longest_s, self._next_s)
        self._next_s = min(longest_s, 2 * delay_s) if delay_s else FIRST_DELAY_S
        return delay_s


def longest_delay(exit_code: int) -> float:
    """Return how long the replacement of a child may be put off: one that ends by itself would do so again."""
    return LONGEST_WITHOUT_FAULT_S if exit_code < 0 else LONGEST_DELAY_S


def describe_exit(exit_code: int) -> str:
    """Say how a process ended."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    known = -exit_code in set(signal.Signals)  # most real-time signals have no name
    return f"signal {signal.Signals(-exit_code).name if known else -exit_code}"
