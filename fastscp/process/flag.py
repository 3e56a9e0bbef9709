"""One fact that all processes of the service share, so that it is told once when it changes."""

from __future__ import annotations

import mmap


class Flag:
    """Make it before the fork; it is the same memory in every process.

    Two processes that find out at the same moment may both take it for news: nobody locks anything for a line of the log.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def __bool__(self) -> bool:
        """Whether the fact holds, as far as any process knows."""
        return bool(self._memory[0])

    def change(self, *, to: bool) -> bool:
        """Set the flag; return whether it was other before."""
        changed = bool(self) is not to
        self._memory[0] = to
        return changed
