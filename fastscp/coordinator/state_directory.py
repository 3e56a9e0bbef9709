"""The directory of the durable state, used by one service at a time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.store.hidden import state_path

_log = logging.getLogger(APPLICATION)

LOCK_NAME = "lock"
#: size and offset of what is locked, in the manner of lockf(3), by whoever waits for the other lock: it goes with the process
_WAITING = (1, 1)
_PATIENCE_S = 2.0
_STEP_S = 0.02
_STEPS_OF_A_DEATH = 25  #: whoever waits longer says so


def make_completed_directory(directory: str, output_directory: str) -> None:
    """Make the directory for completed studies, where it is missing. Raises ``ProcessError`` when it cannot be used."""
    try:
        os.makedirs(directory, exist_ok=True)
        same = os.path.samefile(directory, output_directory)
    except OSError as error:
        raise ProcessError(f"directory for completed studies {directory} cannot be used: {error.strerror}") from error
    if same:
        raise ProcessError(f"directory for completed studies {directory} is the output directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ProcessError(f"directory for completed studies {directory} is not writeable")


class StateDirectory:
    """Makes and locks the state directory; the lock lasts until it is released, or as long as this process.

    Raises ``ProcessError`` when it cannot be made, or when another service uses it.
    """

    def __init__(self, configured: str | None, output_directory: str, *, patience_s: float = _PATIENCE_S,
                 pause: Callable[[float], None] = time.sleep) -> None:
        self.path = state_path(configured, output_directory)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._open_lock()
        except OSError as error:
            raise ProcessError(f"state directory {self.path} cannot be used: {error.strerror}") from error
        self._take_lock(patience_s, pause)

    def _open_lock(self) -> int:
        return os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def make_again(self) -> None:
        """Make and lock the directory that somebody removed; what it is in has to be there. Raises OSError.

        ``ProcessError`` where another service has it.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        lock = self._open_lock()
        try:
            if not os.path.samestat(os.fstat(lock), os.fstat(self._lock)):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock, lock = lock, self._lock
        except BlockingIOError:
            raise ProcessError(f"state directory {self.path} is in use by another service now") from None
        finally:
            os.close(lock)

    def _take_lock(self, patience_s: float, pause: Callable[[float], None]) -> None:
        """Lock; a predecessor that is dying gets a moment, and one that drains as long as that may take.

        ``pause`` waits so many seconds, or raises when it is of no use any more.
        """
        try:
            for step in range(1 + round(patience_s / _STEP_S)):
                try:
                    fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    with contextlib.suppress(OSError):
                        fcntl.lockf(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB, *_WAITING)
                    if step == _STEPS_OF_A_DEATH:
                        _log.warning("state directory %s is in use by another service, waiting up to %g seconds for its end",
                                     self.path, patience_s)
                    pause(_STEP_S)
                else:
                    with contextlib.suppress(OSError):
                        fcntl.lockf(self._lock, fcntl.LOCK_UN, *_WAITING)
                    return
        except ProcessError:
            os.close(self._lock)
            raise
        os.close(self._lock)
        raise ProcessError(f"state directory {self.path} is in use by another service; "
                           "give each its own with --state-dir")

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._lock)

def is_waited_for(path: Path) -> bool:
    """Tell whether another process waits for a state directory."""
    try:
        lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, *_WAITING)
    except BlockingIOError:
        return True
    except OSError:  # a file system without such locks
        return False
    finally:
        os.close(lock)
    return False
