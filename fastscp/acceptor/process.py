"""The acceptor process: listens, admits, hands sockets to workers, supervises, owns the signals.

Invariants: it never reads an octet of a peer and never waits for one; a connection it accepted is handed
to a worker, or closed with a log line. Order of a shutdown: stop listening, let the workers finish,
let the coordinator end its studies, exit.

SIGTERM, SIGINT   drain; the second one stops at once
SIGHUP            reload access rules, certificates and log files
SIGCHLD           collect and replace children
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from collections.abc import Iterable

from fastscp.acceptor.admission import Admission
from fastscp.acceptor.pool import Connection, Pool
from fastscp.acceptor.supervisor import Supervisor
from fastscp.config import Config
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.net.listener import connections_per_worker, descriptor_limit
from fastscp.net.peer import peer_at
from fastscp.net.systemd import notify
from fastscp.process.loop import IN, Loop
from fastscp.worker.process import WorkerSettings

_log = logging.getLogger(NETWORK)
_application_log = logging.getLogger(APPLICATION)

_PAUSE_WHEN_EXHAUSTED_S = 0.1
_KILL_AFTER_S = 5.0
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class AcceptorProcess:
    """One running service."""

    def __init__(self, config: Config, settings: WorkerSettings, listeners: list[socket.socket],
                 workers: int, max_associations: int | None) -> None:
        self._config = config
        self._listeners = listeners
        self._workers = workers
        self._max_associations = max_associations
        self._loop = Loop()
        self._pool = Pool(self._pool_changed, connections_per_worker(descriptor_limit()))
        self._admission = Admission(config, self._loop, self._pool.submit)
        self._supervisor = Supervisor(config, settings, self._loop, self._pool, self._own_sockets,
                                      on_ready=self._start_workers, on_start_failure=self._give_up)
        self._announced = False  #: the service manager knows that we serve
        self._listening = False
        self._pausing = False
        self._draining = False
        self._stopping = False
        self._coordinator_told = False

    def _own_sockets(self) -> Iterable[socket.socket]:
        yield from self._listeners
        yield from self._admission.inherited_sockets()

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        loop = self._loop
        self._admission.start()
        loop.on_signal(signal.SIGTERM, self._terminate)
        loop.on_signal(signal.SIGINT, self._terminate)
        loop.on_signal(signal.SIGHUP, self._reload)
        loop.on_signal(signal.SIGCHLD, self._children_changed)
        self._supervisor.start_coordinator()
        loop.run()
        self._pool.close_waiting()
        loop.close()
        self._admission.close()
        return 0 if self._draining else 1

    def _start_workers(self) -> None:
        """Serve: the coordinator has recovered what an earlier run left."""
        if self._draining or self._pool.slots:
            return
        for index in range(self._workers):
            self._supervisor.start_worker(index)

    def _pool_changed(self) -> None:
        """Adapt to a worker that came up or went, or a connection that ended."""
        if not self._announced and self._pool.up_count == self._workers:
            self._announced = True
            notify("READY=1", f"STATUS=receiving with {self._workers} workers", f"MAINPID={os.getpid()}")
        self._update_listening()

    def _give_up(self) -> None:
        """End the service whose coordinator could not start even once."""
        _application_log.critical("the coordinator could not start, giving up")
        self._loop.stop()

    # -- accepting --------------------------------------------------------------------------------

    def _update_listening(self) -> None:
        """Listen while there is room for another association."""
        limit = self._max_associations
        full = limit is not None and self._pool.open_count + self._admission.pending_count >= limit
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
        sock.setblocking(False)
        self._admission.admit(Connection(sock, peer_at(address)))
        self._update_listening()

    def _accept_failed(self, error: OSError) -> None:
        """Go on after a connection that died in the queue; pause when the system has no more to give."""
        if error.errno not in _OUT_OF_RESOURCES:
            _log.info("connection lost before it was accepted: %s", error)
            return
        _log.error("cannot accept: %s; pausing", error)
        self._pausing = True
        self._update_listening()
        self._loop.call_later(_PAUSE_WHEN_EXHAUSTED_S, self._resume)

    def _resume(self) -> None:
        self._pausing = False
        self._update_listening()

    # -- signals ----------------------------------------------------------------------------------

    def _terminate(self) -> None:
        if self._draining:
            self._stop_now()
            return
        self._draining = True
        notify("STOPPING=1")
        self._update_listening()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._admission.stop()
        self._pool.close_waiting()
        self._supervisor.drain()
        self._loop.call_later(self._config.network.drain_timeout_s + _KILL_AFTER_S, self._stop_now)
        self._children_changed()

    def _stop_now(self) -> None:
        """End at once: what was acknowledged is on disk, what the hooks still owe is in the state."""
        self._stopping = True
        self._supervisor.tell_workers({"kind": "stop"})
        if not self._pool.slots:
            self._supervisor.tell_coordinator({"kind": "stop"})
        self._loop.call_later(_KILL_AFTER_S, self._kill)

    def _kill(self) -> None:
        self._supervisor.kill_all()

    def _reload(self) -> None:
        notify("RELOADING=1")
        self._admission.reload()
        self._supervisor.tell_workers({"kind": "reload"})
        self._supervisor.tell_coordinator({"kind": "reload"})
        notify("READY=1")

    def _children_changed(self) -> None:
        self._supervisor.reap()
        self._admission.reap()
        if not self._draining:
            return
        if not self._pool.slots and not self._coordinator_told:
            self._coordinator_told = True
            self._supervisor.tell_coordinator({"kind": "stop" if self._stopping else "drain"})
            self._loop.call_later(self._config.network.drain_timeout_s, self._stop_now)
        if self._supervisor.children == 0:
            self._loop.stop()
