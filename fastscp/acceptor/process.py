"""The acceptor process: listens, admits, hands sockets to workers, supervises, owns the signals.

Invariants: it never reads an octet of a peer and never waits for one; a connection it accepted is handed
to a worker, or closed with a log line. Order of a shutdown: stop listening, let the workers finish,
let the coordinator end its studies, exit. A successor or predecessor (``fastscp.process.succession``) accepts while
this one does not; the workers of both tell one coordinator.

SIGTERM, SIGINT   drain; the second one stops at once
SIGHUP            reload access rules, certificates and log files, replace the workers
SIGUSR2           start the installed program and let it take over
SIGCHLD           collect and replace children
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from fastscp.acceptor.admission import Admission, Claim
from fastscp.acceptor.listening import Listening
from fastscp.acceptor.measures import Measures, gauges
from fastscp.acceptor.notices import Notices
from fastscp.acceptor.policy import AcceptorPolicy, Bequest, Children
from fastscp.acceptor.pool import AcceptedConnection, Pool, WorkerSlot
from fastscp.acceptor.predecessor import Predecessor
from fastscp.acceptor.resolver import Resolver
from fastscp.acceptor.succession import Succession
from fastscp.acceptor.supervisor import Supervisor
from fastscp.acceptor.watch import Watch
from fastscp.errors import FastscpError
from fastscp.log.limit import PeerLimit
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.metrics.table import Metric
from fastscp.net.peer import Peer
from fastscp.net.systemd import notify, stopping
from fastscp.process import packets
from fastscp.process.child import Processes, SystemProcesses
from fastscp.process.loop import Loop, Timer
from fastscp.process.succession import start_program

_log = logging.getLogger(NETWORK)
_application_log = logging.getLogger(APPLICATION)

_KILL_AFTER_S = 5.0
_GRACE_S = 1.0  #: a worker that has not ended so long after the drain timeout does not come round


class AcceptorProcess:
    """One running service.

    It owns ``listeners`` and the ``resolver``, without which no peer has a host name. Everything else by which it
    touches the world is an argument, too: the loop, the children's processes, the service manager, the clock.
    """

    def __init__(self, policy: AcceptorPolicy, listeners: Iterable[socket.socket], children: Children, *,
                 resolver: Resolver | None = None, predecessor: Predecessor | None = None,
                 start_program: Callable[[socket.socket], int] = start_program, loop: Loop | None = None,
                 processes: Processes | None = None, notify: Callable[..., bool] = notify,
                 watchdog_s: float | None = None, measures: Measures | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._loop = loop = loop or Loop()
        self._notify = notify
        processes = processes or SystemProcesses()
        self._listening = Listening(loop, listeners, self._has_room, self._admit)
        self._pool = Pool(self._pool_changed, policy.connections_per_worker, clock)
        self._said = PeerLimit(clock, loop.call_later)
        self._admission = Admission(policy.access, loop, self._pool.submit, self._refused, said=self._said,
                                    on_name=self._tell_name, resolver=resolver, names_wanted=policy.names_wanted)
        self._supervisor = Supervisor(children, processes, loop, self._pool, self._own_sockets,
                                      on_ready=self._coordinator_ready, on_look=self._admission.look, on_renewed=self._renewed,
                                      on_start_failure=self._give_up, watch=Watch(policy.hang_timeout_s), measures=measures,
                                      clock=clock)
        self._succession = Succession(self, loop, processes, self._pool, self._supervisor, policy=policy,
                                      predecessor=predecessor, start_program=start_program, notify=notify)
        self._pool.on_claim = self._judge
        self._watchdog_s = watchdog_s
        self._children = children
        self._measures = measures
        self._notices = Notices(loop, self._supervisor.introduce, wanted=policy.tells_events, measures=measures)
        self._started = False  #: from here on workers are replaced, not started
        self._announced = False  #: the service manager knows that we serve
        self._draining = False
        self._stopping = False
        self._coordinator_told = False
        self._workers_deadline: Timer | None = None

    def _own_sockets(self) -> Iterable[socket.socket]:
        yield from self._listening.sockets
        yield from self._succession.sockets()
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
        loop.on_signal(signal.SIGTERM, self.terminate)
        loop.on_signal(signal.SIGINT, self.terminate)
        loop.on_signal(signal.SIGHUP, self.reload)
        loop.on_signal(signal.SIGUSR2, self._succession.begin)
        loop.on_signal(signal.SIGCHLD, self._children_changed)
        if not self._succession.follow():
            self._supervisor.start_coordinator()
        self._supervisor.watch()
        self._supervisor.launch_monitor()
        if self._measures is not None:
            self._measures.watch(loop, self._gauges)
        if self._watchdog_s is not None:
            self._tell_watchdog(self._watchdog_s)

    def _tell_watchdog(self, limit_s: float) -> None:
        """Give the service manager a sign of life, twice in the time it waits for one."""
        if self._succession.our_turn:
            self._notify("WATCHDOG=1")
        self._loop.call_later(limit_s / 2, lambda: self._tell_watchdog(limit_s))

    def _gauges(self) -> dict[Metric, float]:
        return gauges(self._pool, self._policy.workers if self._succession.our_turn else 0, self.untaken(), draining=self._draining)

    def finish(self) -> int:
        """Give everything back after the loop has stopped; return the exit status."""
        self._close_waiting()
        self._said.detach()
        self._notices.close()
        self._succession.close()
        self._supervisor.coordination.close()
        self._supervisor.monitoring.end(others_listen=self._succession.away)
        self._loop.close()
        self._admission.close()
        _application_log.info("stopped")
        return 0 if self._draining or self._succession.away else 1

    def _coordinator_ready(self) -> None:
        self.connect_notices()
        self._succession.coordinator_is_ready()
        if not self._started:
            self.serve()

    def connect_notices(self) -> None:
        """Tell a coordinator that has recovered what an earlier run left what only this process knows."""
        try:
            self._notices.connect()
        except OSError as error:
            _log.error("no event channel for the acceptor process: %s", error)

    def serve(self) -> None:
        """Start as many workers as there are to be, and say so when they are up."""
        if self._draining:
            return
        self._started, self._announced = True, False
        for index in range(self._policy.workers):
            if not self._pool.serves(index):
                self._supervisor.launch_worker(index)
        self._update_listening()

    def _pool_changed(self) -> None:
        """Adapt to a worker that came up or went, or a connection that ended."""
        if self._pool.up_count == self._policy.workers:
            self._succession.workers_are_up()
        if self._measures is not None:
            self._measures.look(self._gauges())
        self._update_listening()
        self._supervisor.renewal.go_on()

    def _give_up(self) -> None:
        """End the service whose coordinator could not start even once."""
        _application_log.critical("the coordinator could not start, giving up")
        self._loop.stop()

    # -- accepting --------------------------------------------------------------------------------

    def _update_listening(self) -> None:
        """Listen while there is room, if it is our turn."""
        self._listening.update()
        self._succession.look()
        if self._supervisor.monitoring.resting is not self._succession.away:
            self._supervisor.monitoring.rest(on=self._succession.away)
            self._supervisor.launch_monitor()
        if self._succession.our_turn and not self._announced and self._pool.up_count == self._policy.workers:
            self._announced = True
            self._notify("READY=1", f"STATUS=receiving with {self._policy.workers} workers", f"MAINPID={os.getpid()}")

    def look_again(self) -> None:
        """Accept connections or not, and end if there is nothing left to do here."""
        self._update_listening()
        self._end_if_done()

    def _has_room(self) -> bool:
        """Tell whether another connection may be accepted here."""
        if self._draining or not self._succession.our_turn or not self._pool.slots or self._pool.full:
            return False
        pending = self._admission.pending_count
        limit, held = self._policy.max_associations, self._policy.connections_held
        return (limit is None or self._pool.open_count + pending + self._succession.open_elsewhere < limit) and (
            held is None or self._pool.held_count + pending < held)

    def _admit(self, connection: AcceptedConnection) -> None:
        if self._measures is not None:
            self._measures.accepted()
        if self._policy.proxies and self._policy.proxies.speaks(connection.peer.address):
            connection.proxied = True  # whose it is a worker will read, and ask whether he is let in
            self._pool.submit(connection)
        else:
            self._admission.admit(connection)

    def _judge(self, slot: WorkerSlot, claim: packets.Claim) -> None:
        """Decide about a peer behind a balancer."""
        def answer(peer: Peer, allowed: bool) -> None:
            self._pool.tell_verdict(slot, {"kind": "verdict", "number": claim["number"], "allowed": allowed,
                                           "address": peer.address, "host": peer.host, "host_follows": peer.host_follows})

        server = (claim["server_address"], claim["server_port"])
        self._admission.judge(Claim(Peer(claim["address"], claim["port"]), server, answer))

    @property
    def goes_down(self) -> bool:
        """Whether this process is to end."""
        return self._draining

    def untaken(self) -> int:
        """Return how many connections are accepted that no worker has taken."""
        return self._pool.held_count + self._admission.pending_count

    def estate(self) -> Bequest:
        """Return what a successor inherits."""
        return replace(self._children.bequest, listeners=self._listening.sockets)

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

    def terminate(self) -> None:
        """Drain; the second time, or before it was our turn, end at once."""
        if self._draining or not (self._succession.our_turn or self._succession.away):
            self.stop_now()
            return
        self._draining = True
        if self._measures is not None:
            self._measures.look(self._gauges())
        _application_log.info("draining: no further connections, %d may end within %g seconds", self._pool.open_count,
                              self._policy.drain_timeout_s)
        if not self._succession.away:  # else the service manager has another process to manage
            self._notify(*stopping(2 * self._policy.drain_timeout_s))  # for the associations, and for the hooks
        self._go_down()
        self._close_waiting()
        self._succession.tell_predecessor("drain")
        self._workers_deadline = self._loop.call_later(self._policy.drain_timeout_s + _GRACE_S, self._end_waiting)
        self._children_changed()

    def _go_down(self) -> None:
        """Take nothing more and replace nobody."""
        self._succession.cancel()
        self._listening.close()
        self._admission.stop()
        self._supervisor.drain()

    def _end_waiting(self) -> None:
        """Wait no more for associations, ours and a predecessor's."""
        self._supervisor.kill_workers()
        self._succession.forget_predecessor()
        self._end_if_done()

    def stop_now(self) -> None:
        """End at once: what was acknowledged is on disk, what the hooks still owe is in the state."""
        if not self._stopping:
            _application_log.info("stopping at once")
        self._stopping = True
        if not self._draining:
            self._draining = True
            self._go_down()
        self._supervisor.tell_workers({"kind": "stop"})
        self._succession.tell_predecessor("stop")
        if not self._pool.slots:
            self._supervisor.tell_coordinator({"kind": "stop"})
        self._loop.call_later(_KILL_AFTER_S, self._kill)
        self._children_changed()

    def _kill(self) -> None:
        self._succession.forget_predecessor()
        self._supervisor.kill_all()
        self._end_if_done()

    def reload(self) -> None:
        """Read everything again that can change, and replace the workers."""
        if self._succession.away:
            _application_log.info("nothing to reload: another process has taken over")
            return
        _application_log.info("reloading configuration, access rules, certificates and the event log")
        if self._succession.our_turn:
            self._notify("RELOADING=1")
        self._admission.reload()
        rules = None
        try:
            rules = self._children.reload()
        except (FastscpError, OSError) as error:  # new workers begin with what there was
            _log.error("not reloaded, what was in force stays: %s", error)
        self._supervisor.coordination.reload(rules)
        self._succession.reload_successor()
        self._supervisor.renew()

    def _renewed(self) -> None:
        if self._succession.our_turn:
            self._notify("READY=1")

    def _children_changed(self) -> None:
        self._supervisor.reap()
        self._admission.reap()
        self._succession.reap()
        self._end_if_done()

    def _end_if_done(self) -> None:
        """End coordinator and service, when nobody is left who needs them."""
        needed = self._succession.is_needed
        if self._draining and not (self._pool.slots or needed or self._coordinator_told):
            self._coordinator_told = True
            self._close_waiting()  # what a worker that was stopped has given back
            if self._workers_deadline is not None:  # the hooks have a time of their own
                self._workers_deadline.cancel()
            self._supervisor.tell_coordinator({"kind": "stop" if self._stopping else "drain"})
            self._loop.call_later(self._policy.drain_timeout_s, self.stop_now)
        if (self._draining or (self._succession.away and not needed)) and self._supervisor.children == 0:
            self._loop.stop()
