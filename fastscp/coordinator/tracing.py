"""The coordinator's end of traces: the process that exports them, as a destination of the event stream.

Strategy: to open it is to start the process (``fastscp.traces.program``), connected by a stream socket; to close it ends the
process, which exports what it has. One that died is found by the next write, and another is started a second later.
Invariant: the process is waited for once, at the end, and not long.
"""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Callable

from fastscp.coordinator.companion import start_program
from fastscp.log.names import APPLICATION
from fastscp.traces.policy import END_S, TracesPolicy

_LINGER_S = 1.0

Start = Callable[[socket.socket, TracesPolicy], "subprocess.Popen[bytes]"]


def start_exporter(channel: socket.socket, policy: TracesPolicy) -> subprocess.Popen[bytes]:
    """Start the process. Raises OSError."""
    level = logging.getLogger(APPLICATION).getEffectiveLevel()
    return start_program(channel, policy.endpoint, str(level), module="fastscp.traces.program")


class TracesDestination:
    """The process, while it is open. ``start`` starts one and may raise OSError."""

    def __init__(self, policy: TracesPolicy, start: Start = start_exporter) -> None:
        self.name = f"traces for {policy.endpoint}"
        self.linger_s = _LINGER_S
        self.is_path = False
        self.is_socket = True  #: each process begins anew
        self._policy = policy
        self._start = start
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deaf = False  #: it is dead, or as good as that

    @property
    def fd(self) -> int:
        """Return -1 while there is none."""
        return -1 if self._channel is None else self._channel.fileno()

    def open(self) -> None:
        """Start it. Raises ``OSError``."""
        ours, theirs = socket.socketpair()
        try:
            self._process = self._start(theirs, self._policy)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._channel, self._deaf = ours, False

    def write(self, octets: bytes) -> int:
        """Write what it takes now; return how many octets. Raises ``BlockingIOError`` when none, and ``OSError``."""
        try:
            return 0 if self._channel is None else self._channel.send(octets)
        except BlockingIOError:
            raise
        except OSError:
            self._deaf = True
            raise

    def close(self) -> None:
        """Let it end."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._bury()

    def _bury(self) -> None:
        """Wait until it has exported what it has; it ends by itself, and by force when it does not."""
        if self._process is None:
            return
        if self._deaf:
            self._process.kill()
        try:
            self._process.wait(END_S + 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
