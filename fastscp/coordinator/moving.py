"""Moves the directory of an ended study to where it is handed over (``--completed-directory``).

Strategy: one rename(2). Where that is another file system, the directory is copied beside its target under a hidden
name, synchronised, renamed, and then removed at its old place, a piece at a time. What fails stays where it is and is
tried again after growing pauses; late objects get a directory beside it (``fastscp.coordinator.placing``).

Invariants: nobody sees a part of a study in the target directory; nothing there is ever overwritten; whatever a crash
interrupted is recognised by the identity of the directory, which the plan has before anything moves.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator

from fastscp.coordinator.progress import Progress
from fastscp.coordinator.tasks import Move, Plan
from fastscp.coordinator.trees import copy_tree, remove_tree, synchronise
from fastscp.log.names import APPLICATION
from fastscp.store import hidden
from fastscp.store.flush import flush_directory
from fastscp.store.noreplace import rename as rename_directory
from fastscp.study import naming

_log = logging.getLogger(APPLICATION)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
_NAME_MAX = 255

#: writes the manifest of a study into a directory, once more
Describe = Callable[[Progress, str], None]


class Mover:
    """Moves directories into ``directory``, None where they stay."""

    def __init__(self, directory: str | None, describe: Describe, *, durable: bool = False) -> None:
        self._directory = directory
        self._describe = describe
        self._durable = durable

    def choose(self, progress: Progress) -> Iterator[float]:
        """Choose where the directory goes, unless that is chosen or it stays; the plan is durable afterwards."""
        plan = progress.plan
        if self._directory is None or plan.move is not None or plan.caller is None:
            return
        identity = _identity(plan.directory)
        if identity is None:
            _log.error("study %s: directory %s is gone, there is nothing to move", plan.uid, plan.directory)
            return
        progress.keep(move=Move(self._free_name(plan, self._directory), identity))
        yield from progress.committed()

    def steps(self, progress: Progress) -> Iterator[float]:
        """Move, a piece at a time; each value is a pause in seconds."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                yield from self._move(progress)
            except OSError as error:
                plan = progress.plan
                _log.error("study %s: %s cannot be moved to %s: %s; trying again in %g seconds", plan.uid,
                           plan.directory, plan.move and plan.move.target, error.strerror, pause_s)
                yield pause_s
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return

    # -- one try ----------------------------------------------------------------------------------

    def _move(self, progress: Progress) -> Iterator[float]:
        move = progress.plan.move
        if move is None:
            return
        if not move.copy:
            source = _where(progress.plan)
            if source is None:  # it went, and a crash kept that from being known; or somebody took it
                return
            try:
                yield from self._rename(progress, source)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return
        yield from self._carry(progress)

    def _rename(self, progress: Progress, source: str) -> Iterator[float]:
        """Give ``source`` its name in the target directory: the next one that is free."""
        while (move := progress.plan.move) is not None:
            try:
                rename_directory(source, move.target)
            except FileExistsError:
                yield from progress.keep_move(target=self._free_name(progress.plan, os.path.dirname(move.target)))
                self._describe(progress, source)
            else:
                if self._durable:
                    flush_logged(os.path.dirname(move.target))
                    flush_logged(os.path.dirname(source))
                return

    def _carry(self, progress: Progress) -> Iterator[float]:
        """Move to another file system."""
        if (move := progress.plan.move) is None:
            return
        directory = os.path.dirname(move.target)
        copy = move.copy
        if not copy:
            copy = f"{directory}/{hidden.PREFIX}{secrets.token_hex(8)}.arriving"
            yield from progress.keep_move(copy=copy)
        if not move.copied:
            yield from remove_tree(copy)  # what an earlier try left
            source = _where(progress.plan)
            if source is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), progress.plan.directory)
            try:
                yield from copy_tree(source, copy)
            except OSError:
                yield from remove_tree(copy)  # room for others, while this one waits
                raise
            yield from progress.keep_move(copied=True)
        if os.path.lexists(copy):
            yield from self._rename(progress, copy)
            yield from synchronise(directory)
        source = _where(progress.plan)
        if source is not None:
            yield from remove_tree(source)

    @staticmethod
    def _free_name(plan: Plan, directory: str) -> str:
        base = os.fsencode(naming.unnumbered(os.path.basename(plan.directory)))
        number = plan.revision
        while True:
            suffix = b".r%d" % number if number > 1 else b""
            path = f"{directory}/{os.fsdecode(base[: _NAME_MAX - len(suffix)] + suffix)}"
            if not os.path.lexists(path):
                return path
            number += 1


def flush_logged(directory: str) -> None:
    """Have the names in a directory on the disk. What fails is told, and not tried again: it would prove nothing."""
    try:
        flush_directory(directory)
    except OSError as error:
        _log.error("cannot synchronise %s, its latest names may not survive a loss of power: %s", directory, error.strerror)


def _where(plan: Plan) -> str | None:
    """Return where the directory is while it has not moved, else None."""
    if plan.move is not None and _identity(plan.directory) == plan.move.identity:
        return plan.directory
    return None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
