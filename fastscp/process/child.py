"""Starting a process of the service, and what becomes of it.

Strategy: every process is a fork of the one that starts it, so that what was imported and read is shared. A
child closes what belongs to others, then runs one callable; it never returns into the frames of its parent.
``Processes`` is what the supervising processes ask of the kernel; tests put another in its place.

Invariants: a child leaves by ``os._exit``, whatever happens; an exception that nobody caught is logged with its
traceback and becomes exit status 70.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from fastscp.log.names import NETWORK
from fastscp.process.titles import set_title

_log = logging.getLogger(NETWORK)

_INTERNAL_ERROR = 70  #: exit status; EX_SOFTWARE of sysexits(3)


class Closeable(Protocol):
    """What a child closes because it is its parent's, or another child's."""

    def close(self) -> None:
        """Give the descriptors back."""


class Processes(Protocol):
    """Children of this process."""

    def start(self, run: Callable[[], int], *, title: str, close: Iterable[Closeable], name: str = "process") -> int:
        """Run a callable in a new process; see ``run_child``."""

    def poll(self, pid: int) -> int | None:
        """Return the exit code of a child that has ended, minus the signal's number when it was killed; else None."""

    def wait(self, pid: int) -> int:
        """Return the exit code of a child as soon as it has ended."""

    def kill(self, pid: int, signal_number: int) -> None:
        """Send a signal. Raises ProcessLookupError when there is nobody."""


class SystemProcesses:
    """The kernel's."""

    def start(self, run: Callable[[], int], *, title: str, close: Iterable[Closeable], name: str = "process") -> int:
        """Fork. Raises OSError when there is no process to be had."""
        return run_child(run, title=title, close=close, name=name)

    def poll(self, pid: int) -> int | None:
        """Collect a child if it has ended; one that is nobody's child any more counts as ended well."""
        try:
            reaped, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        return os.waitstatus_to_exitcode(status) if reaped else None

    def wait(self, pid: int) -> int:
        """Wait for a child and collect it."""
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return 0
        return os.waitstatus_to_exitcode(status)

    def kill(self, pid: int, signal_number: int) -> None:
        """Send a signal."""
        os.kill(pid, signal_number)


def run_child(run: Callable[[], int], *, title: str, close: Iterable[Closeable], name: str = "process",
              fork: Callable[[], int] = os.fork, leave: Callable[[int], object] = os._exit) -> int:
    """Fork; the child closes ``close``, runs ``run`` and leaves with its result. Return the pid.

    ``title`` is what ps(1) shows, ``name`` what the log calls a child that ends by an error of ours. Raises
    OSError when there is no process to be had.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # a collection in the child would copy every page that is shared
    try:
        pid = fork()
        if not pid:
            _live(run, title, close, name, leave)
    finally:
        gc.unfreeze()
    return pid


def _live(run: Callable[[], int], title: str, close: Iterable[Closeable], name: str,
          leave: Callable[[int], object]) -> None:
    """Be the child, from its first to its last instruction."""
    status = _INTERNAL_ERROR
    try:
        forget_signals()
        for belonging in close:
            belonging.close()
        set_title(title)
        status = run()
    except BaseException:  # noqa: BLE001 - the outermost frame of a process
        _log.critical("%s ends after an internal error", name, exc_info=True)
    finally:
        logging.shutdown()
        leave(status)


def forget_signals() -> None:
    """Give every signal that the parent handles its default again; nobody here reads what a handler would write."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
