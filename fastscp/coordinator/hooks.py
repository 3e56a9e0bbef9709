"""Runs hooks: starts them, ends those that take too long, reaps them, logs how they ended.

Strategy: ``posix_spawn`` of ``/bin/sh -c`` (or of a program, without a shell), each in a process group of its own,
standard output and error inherited, standard input empty. SIGCHLD wakes the loop, which reaps what it started
and nothing else. A hook past its time gets SIGTERM, its whole group, and SIGKILL two seconds later.

Invariants: a hook that the system cannot start for want of something has not begun, and is its caller's again; one
that was ended for its time has failed, whatever its exit status. No descriptor of this process reaches a hook (all are close-on-exec), no socket as standard output
under inetd; signals that this process ignores are back to their defaults in a hook.
What it does not do: decide which hook runs when; see ``fastscp.coordinator.tasks``.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import stat
from collections.abc import Callable, Mapping
from typing import Protocol

from fastscp.log.names import APPLICATION
from fastscp.process.loop import Loop, Timer

_log = logging.getLogger(APPLICATION)

KILL_AFTER_S = 2.0  #: between SIGTERM and SIGKILL
_DEFAULT_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD,
                    signal.SIGUSR1, signal.SIGUSR2)
#: what fork and exec fail with when there is too little of something, or a program is just being replaced
_LACKING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ETXTBSY, errno.EINTR})
#: exit status of the shell for a command that cannot be executed
NOT_STARTED = 127

Ended = Callable[[int], None]


class Processes(Protocol):
    """What the runner needs of the system. A process's number stays its own until it was reaped."""

    def spawn(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        """Start a program in a group of its own; return its number. Raises ``OSError`` and ``ValueError``."""

    def reap(self, pid: int) -> int | None:
        """Return how a process ended: exit status, or the negative signal number; None while it runs."""

    def has_ended(self, pid: int) -> bool:
        """Whether ``reap`` would return a status; does not reap."""

    def signal_group(self, pid: int, number: signal.Signals) -> None:
        """Signal the whole group of a process that was not reaped yet."""


class HookRunner:
    """The hooks that are running."""

    def __init__(self, loop: Loop, processes: Processes, *, jobs: int, timeout_s: float | None) -> None:
        self._loop = loop
        self._processes = processes
        self._jobs = jobs
        self._timeout_s = timeout_s
        self._running: dict[int, tuple[str, Ended, Timer | None]] = {}
        self._expired: set[int] = set()
        loop.on_signal(signal.SIGCHLD, self.reap)

    @property
    def has_room(self) -> bool:
        """Whether another hook may be started."""
        return len(self._running) < self._jobs

    @property
    def busy(self) -> bool:
        """Whether a hook is running."""
        return bool(self._running)

    def start(self, name: str, arguments: list[str], variables: Mapping[str, str], ended: Ended) -> bool:
        """Start a hook; ``ended(status)`` is called from the loop: exit status, or the negative signal number.

        Return False when the system has nothing to start it with now: nothing has happened then.
        """
        try:
            pid = self._processes.spawn(arguments, variables)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _LACKING:
                _log.warning("%s cannot be started now: %s", name, error.strerror)
                return False
            _log.error("%s cannot be executed: %s: %s", name, arguments[0], error)
            self._loop.call_later(0, lambda: ended(NOT_STARTED))
            return True
        timer = None
        if self._timeout_s is not None:
            timer = self._loop.call_later(self._timeout_s, lambda: self._expire(pid))
        self._running[pid] = name, ended, timer
        _log.debug("%s started, process %d", name, pid)
        return True

    def reap(self) -> None:
        """Collect the hooks that ended."""
        for pid in list(self._running):
            if pid in self._expired and self._processes.has_ended(pid):
                # what it leaves in its group, while its own unreaped process still reserves the number
                self._processes.signal_group(pid, signal.SIGKILL)
            status = self._processes.reap(pid)
            if status is not None:
                name, ended, timer = self._running.pop(pid)
                if pid in self._expired:
                    self._expired.discard(pid)
                    status = status or -signal.SIGTERM
                if timer is not None:
                    timer.cancel()
                _report(name, status)
                ended(status)

    def _expire(self, pid: int) -> None:
        name, _, _ = self._running[pid]
        _log.warning("%s takes longer than %g seconds, terminated", name, self._timeout_s)
        self.terminate(pid)

    def terminate(self, pid: int) -> None:
        """Have a hook end that is running: it has failed then."""
        if pid not in self._running:
            return
        name, ended, timer = self._running[pid]
        if timer is not None:
            timer.cancel()
        self._expired.add(pid)
        self._processes.signal_group(pid, signal.SIGTERM)
        self._running[pid] = name, ended, self._loop.call_later(
            KILL_AFTER_S, lambda: self._processes.signal_group(pid, signal.SIGKILL))


class HookProcesses:
    """``Processes`` of the system."""

    def __init__(self, *, sockets_as_output: bool = True) -> None:
        self._file_actions = _file_actions(sockets_as_output=sockets_as_output)

    def spawn(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        """Start a program in a group of its own; return its number. Raises ``OSError`` and ``ValueError``."""
        return os.posix_spawnp(arguments[0], arguments, {**os.environ, **variables}, file_actions=self._file_actions,
                               setpgroup=0, setsigmask=(), setsigdef=_DEFAULT_SIGNALS)

    @staticmethod
    def reap(pid: int) -> int | None:
        """Return how a process ended: exit status, or the negative signal number; None while it runs."""
        reaped, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if reaped else None

    @staticmethod
    def has_ended(pid: int) -> bool:
        """Whether ``reap`` would return a status; does not reap."""
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @staticmethod
    def signal_group(pid: int, number: signal.Signals) -> None:
        """Signal the whole group of a process that was not reaped yet."""
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            _log.debug("process group %d has ended", pid)


def _report(name: str, code: int) -> None:
    if code < 0:
        _log.warning("%s was ended by signal %d", name, -code)
    elif code:
        _log.warning("%s ended with exit status %d", name, code)
    else:
        _log.debug("%s ended with exit status 0", name)


def _file_actions(*, sockets_as_output: bool) -> list[tuple[int, int, str, int, int]]:
    """Return what posix_spawn does to descriptors 0 to 2."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    for descriptor in (1, 2):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        except OSError:
            is_socket = True  # closed: give the hook one that takes its output
        if is_socket and not sockets_as_output:
            actions.append((os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_WRONLY, 0))
    return actions
