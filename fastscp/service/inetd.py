"""One association on a socket that a super server hands over: inetd, xinetd, systemd with ``Accept=yes``.

Strategy: this process is the worker. It serves the one connection, then drains and ends. Only when hooks,
sorting or an event log are configured is a coordinator forked beside it. Rules of host access apply as in
the service. Descriptor 0 is replaced by /dev/null at once, so that no hook ever sees the peer's socket.

Invariants: exactly one association; the process ends when it has ended and its hooks have run.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable

from fastscp.acceptor.admission import Admission
from fastscp.acceptor.pool import AcceptedConnection
from fastscp.acceptor.resolver import Resolver
from fastscp.config import Config
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.net.listener import tune
from fastscp.net.peer import Peer, peer_at
from fastscp.net.systemd import adopt_connection
from fastscp.process import fdpass, packets
from fastscp.process.child import Closeable, Processes, SystemProcesses
from fastscp.process.loop import IN, Loop
from fastscp.process.renounce import renounce_new_privileges
from fastscp.process.titles import set_title
from fastscp.service.privileges import drop_privileges
from fastscp.service.tidying import remove_leftovers
from fastscp.worker.process import Worker, WorkerSettings

_log = logging.getLogger(APPLICATION)

_STDIN = 0
_COORDINATOR_START_S = 30.0
_NAME_S = 6.0  #: longer than a look-up may take


def serve_descriptor(config: Config, settings: WorkerSettings) -> int:
    """Serve the connection this process was started for; return the exit status.

    Raises ProcessError when there is none, or the coordinator cannot start.
    """
    sock = adopt_connection() or take_stdin()
    peer = peer_of(sock)
    tune(sock)
    if config.network.user is not None:
        drop_privileges(config.network.user)
    set_title(f"association with {peer.address}")
    helper = None
    if any(own.needs_coordinator for own in config.every):
        helper = CoordinatorChild(lambda control: run_coordinator(control, config), SystemProcesses(), sock)
        helper.wait_ready()
    if not config.access.enabled:  # commands of access rules may need them, as hooks may, which the coordinator runs
        renounce_new_privileges()
    worker = Worker(None, config, settings, only_one=True)
    if helper is not None:
        helper.attach(worker.loop, worker.reporter.attach)

    def turn_away(peer: Peer, reason: str) -> None:
        if config.tells_events:
            worker.reporter.note(packets.turned_away(peer.address, peer.name, peer.port, reason))
        worker.loop.stop()

    def tell_name(address: str, name: str) -> None:
        worker.name_peers(address, name)
        if helper is not None:
            helper.tell({"kind": "host", "address": address, "host": name})

    resolver = Resolver() if config.looks_up_hosts else None
    admission = Admission(
        config.access, worker.loop, lambda accepted: worker.adopt(1, accepted.sock, accepted.peer),
        on_refused=turn_away, on_name=tell_name, resolver=resolver, names_wanted=config.names_wanted)
    admission.start()
    admission.admit(AcceptedConnection(sock, peer))
    status = worker.run()
    if helper is not None and resolver is not None:
        await_names(admission, resolver)
    admission.close()
    remove_leftovers(config.store)
    return status if helper is None else helper.finish() or status


def await_names(admission: Admission, resolver: Resolver) -> None:
    """Wait for host names that hooks are still to be told, within the resolver's time limit."""
    while admission.names_to_come and select.select([resolver], [], [], _NAME_S)[0]:
        admission.answers()


def run_coordinator(control: socket.socket, config: Config) -> int:
    """Be the coordinator process; return its exit status."""
    from fastscp.coordinator import process as coordinator  # noqa: PLC0415 - many associations do without

    return coordinator.main(control, config)


def take_stdin(stdin: int = _STDIN) -> socket.socket:
    """Return the socket on descriptor 0, under another descriptor. Raises ProcessError when it is none."""
    try:
        sock = socket.socket(fileno=os.dup(stdin))
    except OSError as error:
        raise ProcessError(f"standard input is not a socket: start this from a super server ({error.strerror})") from error
    os.set_inheritable(sock.fileno(), False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, stdin)
    os.close(null)
    return sock


def peer_of(sock: socket.socket) -> Peer:
    """Return the other end. Raises ProcessError for anything but a TCP connection."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6} or sock.type != socket.SOCK_STREAM:
        raise ProcessError("the socket handed over is not a TCP socket")
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ProcessError("the socket handed over is a listening one: the super server has to accept (nowait, wait = no)")
    try:
        address = sock.getpeername()
    except OSError as error:
        raise ProcessError(f"the socket handed over has no peer: {error.strerror}") from error
    return peer_at(address)


class CoordinatorChild:
    """The coordinator of one association, and its event channel."""

    def __init__(self, run: Callable[[socket.socket], int], processes: Processes, connection: Closeable) -> None:
        """Start it; ``run`` gets its end of the control channel, ``connection`` is closed in it."""
        self._processes = processes
        self._control, theirs = fdpass.channel_pair()
        self._pid = processes.start(lambda: run(theirs), title="coordinator", close=(connection, self._control),
                                    name="coordinator")
        theirs.close()

    def wait_ready(self, time_limit_s: float = _COORDINATOR_START_S) -> None:
        """Wait until it has recovered what an earlier one left. Raises ProcessError when it cannot."""
        ready, _, _ = select.select([self._control], [], [], time_limit_s)
        packet = self._control.recv(fdpass.PACKET_OCTETS) if ready else b""
        if not packet or packets.decode_control(packet)["kind"] != "ready":
            raise ProcessError("the coordinator could not start")

    def attach(self, loop: Loop, take_channel: Callable[[int], None]) -> None:
        """Give both sides their end of the event channel; ``loop`` stops when the coordinator is gone.

        ``take_channel`` gets a descriptor of its own.
        """
        ours, theirs = fdpass.channel_pair()
        packet = packets.encode({"kind": "worker", "name": f"association ({os.getpid()})"})
        fdpass.send_with_descriptor(self._control, packet, theirs.fileno())
        theirs.close()
        take_channel(ours.detach())
        loop.register(self._control.fileno(), IN, lambda _mask: self._died(loop))

    def _died(self, loop: Loop) -> None:
        _log.critical("the coordinator is gone, giving up the association")
        loop.unregister(self._control.fileno())
        loop.stop()

    def tell(self, order: packets.Order | packets.Host) -> None:
        """Send it an order, or the name of a host."""
        try:
            self._control.send(packets.encode(order))
        except (BrokenPipeError, ConnectionResetError):
            _log.debug("the coordinator ended first")

    def finish(self) -> int:
        """Let it end open studies and run what is left to run; return its exit status."""
        self.tell({"kind": "drain"})
        exit_code = self._processes.wait(self._pid)
        self._control.close()
        return abs(exit_code)
