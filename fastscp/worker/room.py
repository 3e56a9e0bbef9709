"""Whether there is room for objects (``--min-free``), found out before an object is begun.

Strategy: the file system is asked at most a few times a second, and again when what was stored since then could have
used up a good part of what was left, or when another process knows better. The change is logged by whichever finds it out
first.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.process.flag import Flag
from fastscp.store.policy import MinFree

_log = logging.getLogger(APPLICATION)

LOOK_S = 0.25
#: of the room that is left: other workers use it, too
_SHARE = 16


class Room:
    """The room on the file system of one directory."""

    def __init__(self, directory: str, wanted: MinFree, flag: Flag | None = None, *,
                 statvfs: Callable[[str], os.statvfs_result] = os.statvfs,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._wanted = wanted
        self._short = Flag() if flag is None else flag
        self._statvfs = statvfs
        self._clock = clock
        self._next_look = 0.0
        self._left = 0  #: octets that may be stored until the next look
        self._reason = ""

    def shortage(self) -> str:
        """Return why no object is to be begun now, "" where there is room."""
        now = self._clock()
        if now >= self._next_look or self._left <= 0 or bool(self._short) is not bool(self._reason):
            self._look(now)
        return self._reason

    def spend(self, octets: int) -> None:
        """Take note that an object of so many octets was stored."""
        self._left -= octets

    def _look(self, now: float) -> None:
        self._next_look = now + LOOK_S
        try:
            found = self._statvfs(self._directory)
        except OSError:
            self._reason, self._left = "", 1  # the object itself will say what is wrong
            return
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        margin = free - self._wanted.of(total)
        self._left = max(1, margin // _SHARE)
        where = printable(self._directory)
        self._reason = "" if margin >= 0 else f"less than {self._wanted.text} free on the file system of {where}"
        if self._short.change(to=margin < 0):
            if margin < 0:
                _log.warning("%s (%d MB): objects are refused", self._reason, free >> 20)
            else:
                _log.warning("%s or more free again on the file system of %s: objects are stored", self._wanted.text, where)
