"""What the acceptor process is configured by, and what it starts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastscp.access.policy import AccessPolicy
from fastscp.process.heartbeat import Heartbeat
from fastscp.proxy.policy import ProxyPolicy


@dataclass(frozen=True)
class AcceptorPolicy:
    """How many, how long and who."""

    workers: int = 1
    max_associations: int | None = None  #: further connections wait in the kernel's queue
    connections_per_worker: int | None = None  #: what one worker has descriptors for
    connections_held: int | None = None  #: what the acceptor process has descriptors for
    hang_timeout_s: float | None = None  #: a child whose loop does not come round for so long is killed; None: never
    drain_timeout_s: float = 30.0  #: a drain waits that long for associations, and as long again for hooks
    names_wanted: bool = False  #: hooks, the event log or log lines want the host names of peers
    access: AccessPolicy = field(default_factory=AccessPolicy)
    proxies: ProxyPolicy = field(default_factory=ProxyPolicy)  #: whose connections begin with the address of their peer
    tells_events: bool = False  #: somebody wants to know of refused connections


@dataclass(frozen=True)
class WorkerStart:
    """What a worker process begins with."""

    index: int  #: from 0; the successor of a dead worker has the same
    control: socket.socket  #: packets from and to the acceptor process; the worker's own
    predecessor: int = 0  #: pid of the dead worker it stands in for, 0 when there is none
    heartbeat: Heartbeat | None = None  #: its signs of life


@dataclass(frozen=True)
class Bequest:
    """What a program that takes over inherits."""

    listeners: Sequence[socket.socket]
    password: str | None = None  #: of the TLS key: nobody can be asked for it again
    key: int | None = None  #: descriptor of a copy of the TLS key, where only another user may have been able to read it
    hosts: int | None = None  #: descriptors of what the workers count the associations of hosts and titles in
    titles: int | None = None
    sections: int | None = None  #: and those of sections
    board: int | None = None  #: descriptor of the memory of the metrics
    metrics: int | None = None  #: descriptor of the socket that they are served at


@dataclass(frozen=True)
class Monitor:
    """The process that serves the metrics."""

    listener: socket.socket
    run: Callable[[socket.socket, socket.socket, Heartbeat], int]  #: with a channel that ends with this process, and the listener
    news: Callable[[], bytes]  #: what one that runs is told after a reload, by the channel


@dataclass(frozen=True)
class Children:
    """What runs in the processes beside the acceptor process; each returns its exit status."""

    worker: Callable[[WorkerStart], int]
    coordinator: Callable[[socket.socket, Heartbeat], int]  #: owns its end of the control channel
    #: reads again what the children begin with, and returns what the coordinator that runs has to know of it, if anything;
    #: raises FastscpError or OSError, and leaves it as it was then
    reload: Callable[[], bytes | None] = lambda: None
    #: what a successor inherits beside the listening sockets
    bequest: Bequest = Bequest(())
    monitor: Monitor | None = None  #: None: there are no metrics
