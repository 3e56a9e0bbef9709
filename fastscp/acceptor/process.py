"""The acceptor process: listens, admits, hands sockets to workers, supervises, owns the signals.

Invariants: it never reads an octet of a peer and never waits for one; a connection it accepted is handed
to a worker, or closed with a log line. Order of a shutdown: stop listening, let the workers finish,
let the coordinator end its studies, exit.

SIGTERM, SIGINT   drain; the second one stops at once
SIGHUP            reload access rules, certificates and log files, replace the workers
SIGCHLD           collect and replace children
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable

from fastscp.acceptor.admission import Admission
from fastscp.acceptor.notices import Notices
from fastscp.acceptor.policy import AcceptorPolicy, Children
from fastscp.acceptor.pool import AcceptedConnection, Pool
from fastscp.acceptor.resolver import Resolver
from fastscp.acceptor.supervisor import Supervisor
from fastscp.acceptor.watch import Watch
from fastscp.errors import FastscpError
from fastscp.log.limit import PeerLimit
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.net.peer import Peer, peer_at
from fastscp.net.systemd import notify
from fastscp.process import packets
from fastscp.process.child import Processes, SystemProcesses
from fastscp.process.loop import IN, Loop, Timer

_log = logging.getLogger(NETWORK)
_application_log = logging.getLogger(APPLICATION)

_PAUSE_WHEN_EXHAUSTED_S = 0.1
_KILL_AFTER_S = 5.0
_GRACE_S = 1.0  #: a worker that has not ended so long after the drain timeout does not come round
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class AcceptorProcess:
    """One running service.

    It owns ``listeners`` and the ``resolver``, without which no peer has a host name. Everything else by which it
    touches the world is an argument, too: the loop, the children's processes, the service manager, the clock.
    """

    def __init__(self, policy: AcceptorPolicy, listeners: Iterable[socket.socket], children: Children, *,
                 resolver: Resolver | None = None, loop: Loop | None = None, processes: Processes | None = None,
                 notify: Callable[..., bool] = notify, watchdog_s: float | None = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._listeners = list(listeners)
        self._loop = loop = loop or Loop()
        self._notify = notify
        processes = processes or SystemProcesses()
        self._pool = Pool(self._pool_changed, policy.connections_per_worker, clock)
        self._said = PeerLimit(clock, loop.call_later)
        self._admission = Admission(policy.access, loop, self._pool.submit, self._refused, said=self._said,
                                    on_name=self._tell_name, resolver=resolver, names_wanted=policy.names_wanted)
        self._supervisor = Supervisor(children, processes, loop, self._pool, self._own_sockets,
                                      on_ready=self._coordinator_ready, on_look=self._admission.look, on_renewed=self._renewed,
                                      on_start_failure=self._give_up, watch=Watch(policy.hang_timeout_s), clock=clock)
        self._watchdog_s = watchdog_s
        self._children = children
        self._notices = Notices(loop, self._supervisor.introduce, wanted=policy.tells_events)
        self._started = False  #: from here on workers are replaced, not started
        self._announced = False  #: the service manager knows that we serve
        self._listening = False
        self._pausing = False
        self._exhausted = False  #: there was nothing left for the last connection that came
        self._draining = False
        self._stopping = False
        self._coordinator_told = False
        self._workers_deadline: Timer | None = None

    def _own_sockets(self) -> Iterable[socket.socket]:
        yield from self._listeners
        yield from self._admission.inherited_sockets()
        yield from self._notices.sockets()

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        self.start()
        self._loop.run()
        return self.finish()

    def start(self) -> None:
        """Begin: what is to be done further is done from the loop. Raises UsageError for bad access rules."""
        loop = self._loop
        self._admission.start()
        self._said.attach()
        loop.on_signal(signal.SIGTERM, self._terminate)
        loop.on_signal(signal.SIGINT, self._terminate)
        loop.on_signal(signal.SIGHUP, self._reload)
        loop.on_signal(signal.SIGCHLD, self._children_changed)
        self._supervisor.start_coordinator()
        self._supervisor.watch()
        if self._watchdog_s is not None:
            self._tell_watchdog(self._watchdog_s)

    def _tell_watchdog(self, limit_s: float) -> None:
        """Give the service manager a sign of life, twice in the time it waits for one."""
        self._notify("WATCHDOG=1")
        self._loop.call_later(limit_s / 2, lambda: self._tell_watchdog(limit_s))

    def finish(self) -> int:
        """Give everything back after the loop has stopped; return the exit status."""
        self._close_waiting()
        self._said.detach()
        self._notices.close()
        self._loop.close()
        self._admission.close()
        _application_log.info("stopped")
        return 0 if self._draining else 1

    def _coordinator_ready(self) -> None:
        """Tell a coordinator that has recovered what an earlier run left what only this process knows."""
        try:
            self._notices.connect()
        except OSError as error:
            _log.error("no event channel for the acceptor process: %s", error)
        self._start_workers()

    def _start_workers(self) -> None:
        """Serve from here on."""
        if self._draining or self._started:
            return
        self._started = True
        for index in range(self._policy.workers):
            self._supervisor.launch_worker(index)

    def _pool_changed(self) -> None:
        """Adapt to a worker that came up or went, or a connection that ended."""
        if not self._announced and self._pool.up_count == self._policy.workers:
            self._announced = True
            self._notify("READY=1", f"STATUS=receiving with {self._policy.workers} workers", f"MAINPID={os.getpid()}")
        self._update_listening()
        self._supervisor.renewal.go_on()

    def _give_up(self) -> None:
        """End the service whose coordinator could not start even once."""
        _application_log.critical("the coordinator could not start, giving up")
        self._loop.stop()

    # -- accepting --------------------------------------------------------------------------------

    def _update_listening(self) -> None:
        """Listen while there is room for another association."""
        limit = self._policy.max_associations
        full = limit is not None and self._pool.open_count + self._admission.pending_count >= limit
        held = self._policy.connections_held
        full = full or (held is not None and self._pool.held_count + self._admission.pending_count >= held)
        wanted = not (full or self._pool.full or self._draining or self._pausing) and bool(self._pool.slots)
        if wanted == self._listening:
            return
        self._listening = wanted
        for listener in self._listeners:
            if wanted:
                self._loop.register(listener.fileno(), IN, lambda _mask, sock=listener: self._accept(sock))  # type: ignore[misc]
            else:
                self._loop.unregister(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        """Take one connection. Not a loop: epoll reports the next, and an accept that finds none is a wasted call."""
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._accept_failed(error)
            return
        self._exhausted = False
        sock.setblocking(False)
        self._admission.admit(AcceptedConnection(sock, peer_at(address)))
        self._update_listening()

    def _accept_failed(self, error: OSError) -> None:
        """Go on after a connection that died in the queue; pause when the system has no more to give."""
        if error.errno not in _OUT_OF_RESOURCES:
            _log.info("connection lost before it was accepted: %s", error)
            return
        if not self._exhausted:  # once, until a connection was accepted again
            self._exhausted = True
            _log.error("cannot accept: %s; trying again", error)
        self._pausing = True
        self._update_listening()
        self._loop.call_later(_PAUSE_WHEN_EXHAUSTED_S, self._resume)

    def _resume(self) -> None:
        self._pausing = False
        self._update_listening()

    def _refused(self, peer: Peer, reason: str) -> None:
        """Tell of a connection that was turned away; its place is free."""
        self._notices.turned_away(peer, reason)
        self._update_listening()

    def _close_waiting(self) -> None:
        """Turn away what no worker has taken."""
        for peer in self._pool.close_waiting():
            _log.info("connection of %s closed: the service stops", peer.name)
            self._notices.turned_away(peer, "the service stops")

    def _tell_name(self, address: str, name: str) -> None:
        """Tell everybody who may want it the name of a host; the connections are theirs already."""
        packet: packets.Host = {"kind": "host", "address": address, "host": name}
        self._pool.name_peers(address, name)
        self._supervisor.tell_coordinator(packet)
        self._supervisor.tell_workers(packet)

    # -- signals ----------------------------------------------------------------------------------

    def _terminate(self) -> None:
        if self._draining:
            self._stop_now()
            return
        self._draining = True
        _application_log.info("draining: no further connections, %d may end within %g seconds", self._pool.open_count,
                              self._policy.drain_timeout_s)
        self._notify("STOPPING=1")
        self._update_listening()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._admission.stop()
        self._close_waiting()
        self._supervisor.drain()
        self._workers_deadline = self._loop.call_later(self._policy.drain_timeout_s + _GRACE_S,
                                                       self._supervisor.kill_workers)
        self._children_changed()

    def _stop_now(self) -> None:
        """End at once: what was acknowledged is on disk, what the hooks still owe is in the state."""
        if not self._stopping:
            _application_log.info("stopping at once")
        self._stopping = True
        self._supervisor.tell_workers({"kind": "stop"})
        if not self._pool.slots:
            self._supervisor.tell_coordinator({"kind": "stop"})
        self._loop.call_later(_KILL_AFTER_S, self._kill)

    def _kill(self) -> None:
        self._supervisor.kill_all()

    def _reload(self) -> None:
        _application_log.info("reloading access rules, certificates and the event log")
        self._notify("RELOADING=1")
        self._admission.reload()
        try:
            self._children.reload()
        except (FastscpError, OSError) as error:  # new workers begin with what there was
            _log.error("certificates not reloaded: %s", error)
        self._supervisor.tell_coordinator({"kind": "reload"})
        self._supervisor.renewal.begin()

    def _renewed(self) -> None:
        self._notify("READY=1")

    def _children_changed(self) -> None:
        self._supervisor.reap()
        self._admission.reap()
        if not self._draining:
            return
        if not self._pool.slots and not self._coordinator_told:
            self._coordinator_told = True
            self._close_waiting()  # what a worker that was stopped has given back
            if self._workers_deadline is not None:  # the hooks have a time of their own
                self._workers_deadline.cancel()
            self._supervisor.tell_coordinator({"kind": "stop" if self._stopping else "drain"})
            self._loop.call_later(self._policy.drain_timeout_s, self._stop_now)
        if self._supervisor.children == 0:
            self._loop.stop()
