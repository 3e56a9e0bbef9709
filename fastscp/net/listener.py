"""The listening sockets of the acceptor process."""

from __future__ import annotations

import errno
import os
import resource
import socket

from fastscp.config.network import AddressFamily
from fastscp.errors import ProcessError

_OTHER_DESCRIPTORS = 32  #: channels, log files, spools
_OTHERS_OF_A_WORKER = 33  #: a journal, and study directories of the express lane (``fastscp.worker.reporting``)
#: a socket, a file, and beside it a spool for what is deflated and one for what is sorted
_DESCRIPTORS_PER_CONNECTION = 4
_DESCRIPTORS_PER_WORKER = 6  #: both ends of a control channel; as much again while it is replaced, and an event channel
_SHORT_BACKLOG = 64
_BACKLOG = 4096  #: the kernel caps it at net.core.somaxconn


def open_listener(port: int, family: AddressFamily) -> socket.socket:
    """Bind and listen on ``port`` of every local address of the family. Raises ProcessError.

    DUAL is one IPv6 socket that takes IPv4 peers too; where IPv6 is not there it is IPv4 only.
    """
    kind = socket.AF_INET if family is AddressFamily.IPV4 else socket.AF_INET6
    try:
        listener = socket.socket(kind, socket.SOCK_STREAM)
    except OSError as error:
        if family is AddressFamily.DUAL and error.errno == errno.EAFNOSUPPORT:
            return open_listener(port, AddressFamily.IPV4)
        raise _cannot(port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, family is AddressFamily.IPV6)
        tune(listener)
        listener.bind(("" if kind == socket.AF_INET else "::", port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot(port, error) from error
    listener.setblocking(False)
    return listener


def open_service_listener(address: str, port: int) -> socket.socket:
    """Bind and listen on one address, for those who look at the service. Raises ProcessError."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_SHORT_BACKLOG)
    except OSError as error:
        listener.close()
        raise ProcessError(f"cannot serve metrics on {address} port {port}: {os.strerror(error.errno or errno.EIO)}") from error
    listener.setblocking(False)
    return listener


def tune(sock: socket.socket) -> None:
    """Set what every association wants; connections inherit it from the listening socket (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _cannot(port: int, error: OSError) -> ProcessError:
    reason = os.strerror(error.errno or errno.EIO)
    return ProcessError(f"cannot listen on port {port}: {reason}")


def raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as the hard limit permits; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_per_worker(limit: int) -> int:
    """Return how many connections ``limit`` descriptors serve at the worst, when all have such an object under way."""
    return max(1, (limit - _OTHER_DESCRIPTORS - _OTHERS_OF_A_WORKER) // _DESCRIPTORS_PER_CONNECTION)


def connections_held(limit: int, workers: int) -> int:
    """Return how many connections the acceptor process may hold that no worker has taken."""
    return max(1, limit - _OTHER_DESCRIPTORS - _DESCRIPTORS_PER_WORKER * workers)
