"""What the service manager hands over and wants to be told: sd_listen_fds(3) and sd_notify(3).

Nothing here is loaded from libsystemd; both protocols are environment variables and descriptors. The
variables are taken out of the environment, so that neither workers nor hooks believe they are meant.

`LISTEN_PID`, `LISTEN_FDS`      descriptors 3, 4 ... are ours, when the pid is ours
`NOTIFY_SOCKET`                 datagram socket that takes ``NAME=value`` lines
`WATCHDOG_PID`, `WATCHDOG_USEC` a sign of life is expected at least that often, when the pid is ours
"""

from __future__ import annotations

import logging
import os
import socket
import time

from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

_FIRST_DESCRIPTOR = 3  #: SD_LISTEN_FDS_START
_NOTIFY_SOCKET = "NOTIFY_SOCKET"
_BESIDE_S = 15.0  #: what an end takes beside the time that was set for it: processes that are killed, files that are closed


def has_listeners(pid: int) -> bool:
    """Whether there are sockets of a socket unit for the process ``pid``."""
    return os.environ.get("LISTEN_PID") == str(pid)


def adopt_listeners() -> list[socket.socket]:
    """Return the listening sockets of a socket unit with ``Accept=no``; none without such a unit.

    Raises ProcessError for descriptors that are not listening TCP sockets.
    """
    return [_checked(sock, listening=True) for sock in _adopt()]


def adopt_connection() -> socket.socket | None:
    """Return the connected socket of a socket unit with ``Accept=yes``; None without such a unit.

    Raises ProcessError for anything else than one connected TCP socket.
    """
    sockets = _adopt()
    if not sockets:
        return None
    if len(sockets) > 1:
        raise ProcessError(f"socket activation with {len(sockets)} sockets, expected one connection (Accept=yes)")
    return _checked(sockets[0], listening=False)


def _adopt() -> list[socket.socket]:
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return []
    if not count.isdecimal():
        raise ProcessError(f"LISTEN_FDS is not a number: {count}")
    return [_socket(descriptor) for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count))]


def _socket(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ProcessError(f"socket activation: descriptor {descriptor}: {os.strerror(error.errno or 0)}") from error
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _checked(sock: socket.socket, *, listening: bool) -> socket.socket:
    is_tcp = sock.family in {socket.AF_INET, socket.AF_INET6} and sock.type == socket.SOCK_STREAM
    is_listening = bool(is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if is_tcp and is_listening == listening:
        return sock
    expected = "a listening TCP socket (Accept=no)" if listening else "a TCP connection (Accept=yes)"
    raise ProcessError(f"socket activation: descriptor {sock.fileno()} is not {expected}")


def notify(*assignments: str) -> bool:
    """Tell the service manager; False when there is none that wants to know.

    ``RELOADING=1`` is completed with the time that systemd wants beside it. A service manager that does not
    listen is not worth failing for: it is logged.
    """
    path = os.environ.get(_NOTIFY_SOCKET, "")
    if not path:
        return False
    if "RELOADING=1" in assignments:
        assignments = (*assignments, f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    if path.startswith("@"):
        path = "\0" + path[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto("\n".join(assignments).encode(), path)
    except OSError as error:
        _log.warning("cannot notify the service manager: %s", error)
        return False
    return True


def stopping(within_s: float) -> tuple[str, str]:
    """Return what to notify when the service stops and may need so long: it is not to be killed before.

    The service manager has a time limit of its own (``TimeoutStopSec=``), which holds when it is longer.
    """
    return "STOPPING=1", f"EXTEND_TIMEOUT_USEC={round((within_s + _BESIDE_S) * 1e6)}"


def watchdog_s() -> float | None:
    """Return within how many seconds the service manager wants a sign of life; None: it wants none.

    Source: sd_watchdog_enabled(3)
    """
    limit = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not limit.isdecimal() or not int(limit) or meant != str(os.getpid()):
        return None
    return int(limit) / 1e6


def hide_from_children() -> None:
    """Take the notification variables out of the environment of hooks and workers."""
    for name in (_NOTIFY_SOCKET, "WATCHDOG_PID", "WATCHDOG_USEC"):
        os.environ.pop(name, None)
