"""Signs of life: a counter in memory that a process and the one that started it share.

Strategy: whoever is watched counts from a timer of its loop, a few times a second, so that a loop that does not come round
stops counting, whether it is stopped, in an endless loop or waiting for something. Nothing is sent, nobody is
waited for, and a busy loop pays nothing for it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Protocol

BEAT_S = 0.25
_OCTETS = 8


class Timers(Protocol):
    """What a heart needs of a loop."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> object:
        """Call back once."""


class Heartbeat:
    """One counter. Make it before the fork; it is the same memory on both sides."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def count(self) -> int:
        """How often there was a beat; 0: not once."""
        return int.from_bytes(self._memory[:_OCTETS], "little")

    def beat(self) -> None:
        """Give one sign of life."""
        self._memory[:_OCTETS] = (self.count + 1).to_bytes(_OCTETS, "little")

    def beat_in(self, loop: Timers) -> None:
        """Give a sign of life now, and from ``loop`` as long as it comes round."""
        self.beat()
        loop.call_later(BEAT_S, lambda: self.beat_in(loop))

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


def process_state(pid: int) -> str:
    """Return the letter of proc(5) for what a process does, "" when there is none: ``D`` waits for a disk."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return ""
