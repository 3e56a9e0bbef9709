"""Disks that fail: the n-th call of a kind, made by some packages of fastscp, or a database that takes nothing.

The functions of ``os`` are replaced for a test; the program under test knows nothing of it and pays nothing for it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator.engine import Engine

#: kinds of calls, and what each may fail with
KINDS = {
    "open": errno.EMFILE, "write": errno.ENOSPC, "writev": errno.EDQUOT, "pwrite": errno.EIO, "pread": errno.EIO,
    "ftruncate": errno.EIO, "lseek": errno.EIO, "fsync": errno.EIO, "close": errno.EIO, "dup": errno.EMFILE,
    "link": errno.ENOSPC, "rename": errno.EROFS, "replace": errno.ENOSPC, "unlink": errno.EROFS, "mkdir": errno.EDQUOT,
    "rmdir": errno.EIO, "stat": errno.ESTALE, "fstat": errno.EIO, "sendfile": errno.ENOSPC, "listdir": errno.EIO,
    "copy_file_range": errno.ENOSPC,
}
_FRAMES = 7  #: between a call and the package that makes it, tempfile and pathlib included


class Faults:
    """Counts the calls that ``packages`` make, and lets one fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
        self._packages = tuple(f"fastscp.{package}" for package in packages)
        self._armed: tuple[str, int, int] | None = None
        self.calls: Counter[str] = Counter()
        self.hit = False
        for kind in KINDS:
            monkeypatch.setattr(os, kind, self._wrapped(kind, getattr(os, kind)))

    def arm(self, kind: str, number: int, failure: int | None = None) -> None:
        """Let the ``number``-th call of ``kind`` from now on fail, once."""
        self.calls.clear()
        self.hit = False
        self._armed = kind, number, failure or KINDS[kind]

    def disarm(self) -> bool:
        """Let nothing fail any more; return whether the call was made."""
        self._armed = None
        return self.hit

    def _wrapped(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._armed is None or self._armed[0] != kind or not self._ours():
                return real(*arguments, **named)
            self.calls[kind] += 1
            if self.calls[kind] != self._armed[1]:
                return real(*arguments, **named)
            self.hit = True
            if kind == "close":  # Linux gives the descriptor back in any case
                real(*arguments, **named)
            number = self._armed[2]
            raise OSError(number, os.strerror(number))

        return call

    def _ours(self) -> bool:
        frame = sys._getframe(2)
        for _ in range(_FRAMES):
            if frame is None or frame.f_globals.get("__name__", "").startswith("tests."):
                return False
            if frame.f_globals.get("__name__", "").startswith(self._packages):
                return True
            frame = frame.f_back  # type: ignore[assignment]
        return False


class FaultyConnection(sqlite3.Connection):
    """A connection whose disk is ``full``, or whose ``failing``-th statement that changes the disk fails, once."""

    full = False
    failing = 0
    count = 0

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        changes = statement == "COMMIT" or not (self.in_transaction or statement.startswith(("SELECT", "BEGIN", "PRAGMA", "ROLLBACK")))
        if self.full and changes:
            raise sqlite3.OperationalError("database or disk is full")
        if changes:
            self.count += 1
            if self.count == self.failing:
                raise sqlite3.OperationalError("disk I/O error")
        return super().execute(statement, *values)


def faulty_engine(file: Path | None) -> Engine:
    """Make an engine with a ``FaultyConnection``."""
    return Engine(file, connect=partial(sqlite3.connect, factory=FaultyConnection))
