"""Removes files that the object store has (``--keep-local``).

Strategy: once a second, a few ends of studies that are old enough; a few milliseconds at a time. This process does it because it
alone knows what is going on in a directory.

Invariants: a file goes only after the store has confirmed it and its study's manifest is there, so that somebody finds it; not while
anything is open or to be done in its directory: a study, a hook that waits, runs or is to be tried again, a hook that failed for good and may
be run again; and never a file that is not the one which was uploaded: another inode is compared by its digest. Without ``--keep-local`` no
file goes, and only what was kept about them.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from fastscp.coordinator import beneath
from fastscp.coordinator.placing import remove_unused
from fastscp.coordinator.upload_rows import Local, Part, UploadRows
from fastscp.log.names import APPLICATION
from fastscp.store.comparing import digest_of

_log = logging.getLogger(APPLICATION)

TURN_S = 0.002
#: an object that only the store has is recognised for so long: no shorter than an ended study is remembered
REMEMBER_S = 7 * 86400.0
PARTS_PER_LOOK = 64


@dataclass
class Surroundings:
    """What else goes on. ``busy``: something is to be done for a study; ``directories``: where studies are open, or finished."""

    busy: Callable[[int], bool] = lambda _study: False
    directories: Callable[[], Collection[str]] = tuple


class Retention:
    """Ends whose files may go ``keep_s`` after they are complete, None: never."""

    def __init__(self, rows: UploadRows, keep_s: float | None, *, wall: Callable[[], float] = time.time,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.around = Surroundings()
        self.removed = 0  #: files
        self._rows = rows
        self._keep_s = keep_s
        self.wall = wall
        self._clock = clock
        self._after = 0
        self._work: Iterator[None] = iter(())
        self._turns = 0
        self._over = True  #: what the last look found is done
        self._judged: tuple[int, int, bool] = (0, 0, False)  #: end, turn, and whether its files may go

    def turn(self) -> bool:
        """Do some of what a look found; return whether there is more. What is written has to be committed."""
        self._turns += 1
        end = self._clock() + TURN_S
        more = any(self._clock() >= end for _ in self._work)
        self._over = not more
        return more

    def look(self) -> None:
        """Begin a look at what may go, if the one before is over."""
        if self._over:
            self._over, self._work = False, self._look()

    def _look(self) -> Iterator[None]:
        now = self.wall()
        self._rows.forget_away(now - REMEMBER_S)
        due = self._rows.due_parts(now - (self._keep_s or 0.0), self._after, PARTS_PER_LOOK)
        self._after = due[-1].number if len(due) == PARTS_PER_LOOK else 0
        for part in due:
            yield
            if self._keep_s is None:
                yield from self._forget(part)
            elif self._may_go(part):
                yield from self._remove(part)

    def _forget(self, part: Part) -> Iterator[None]:
        """Drop what is kept of an end; its files stay."""
        while files := self._rows.locals(part.number):
            for local in files:
                self._rows.forget(local.number)
            yield
        self._rows.forget_part(part.number)

    def _may_go(self, part: Part) -> bool:
        """Whether the files of an end may go now; within a turn nothing changes."""
        if self._judged[:2] != (part.number, self._turns):
            self._judged = part.number, self._turns, self._judge(part)
        return self._judged[2]

    def _judge(self, part: Part) -> bool:
        before = self.wall() - (self._keep_s or 0.0)
        beside = self._rows.parts_in(part.directory)
        failed = self._rows.failed_hooks()
        return not (any(self.around.busy(other.study) or other.study in failed for other in beside)
                    or any(other.written is None or other.written > before for other in beside)
                    or part.directory in {os.path.abspath(path) for path in self.around.directories()})

    def _remove(self, part: Part) -> Iterator[None]:
        while self._may_go(part) and (files := self._rows.locals(part.number)):
            for local in files:
                for _ in self._take(local):
                    yield
                    if not self._may_go(part):  # something has begun there meanwhile
                        return
                yield
                if not self._may_go(part):
                    return
        if self._may_go(part):
            self._rows.forget_part(part.number)
            remove_unused(part.directory)

    def _take(self, local: Local) -> Iterator[None]:
        """Remove a file, unless it is another one by now; forget it in any case."""
        if local.directory is not None:
            try:
                yield from self._unlink(local, local.directory)
            except FileNotFoundError:
                self._rows.gone(local, self.wall())
            except OSError as error:
                _log.error("cannot remove %s/%s: %s; it stays", local.directory, local.name, error.strerror)
        self._rows.forget(local.number)

    def _unlink(self, local: Local, directory: str) -> Iterator[None]:
        with beneath.opened(directory) as fd:
            status = os.stat(local.name, dir_fd=fd, follow_symlinks=False)
            if _identity(status) != local.identity:
                if not stat.S_ISREG(status.st_mode):
                    return
                digest = yield from digest_of(local.name, fd)
                if digest != local.sha256 or _identity(os.stat(local.name, dir_fd=fd, follow_symlinks=False)) != _identity(status):
                    _log.warning("%s/%s is another file than the one that was uploaded, it stays", directory, local.name)
                    return
            os.unlink(local.name, dir_fd=fd)
        self.removed += 1
        self._rows.gone(local, self.wall())


def _identity(status: os.stat_result) -> str:
    """Return what tells a file from another, as the process that uploads does."""
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
