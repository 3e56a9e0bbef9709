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
import sys

from fastscp.acceptor.admission import Admission
from fastscp.acceptor.pool import Connection as Accepted
from fastscp.acceptor.resolver import HostName
from fastscp.config import Config
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.net.listener import tune
from fastscp.net.peer import Peer, peer_at
from fastscp.net.systemd import adopt_connection
from fastscp.process import fdpass, packets
from fastscp.process.loop import IN
from fastscp.process.titles import set_title
from fastscp.service.privileges import drop_privileges
from fastscp.worker.process import Worker, WorkerSettings

_log = logging.getLogger(APPLICATION)

_STDIN = 0
_COORDINATOR_START_S = 30.0


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
    helper = CoordinatorChild(config, sock) if config.needs_coordinator else None
    worker = Worker(None, config, settings, only_one=True)
    if helper is not None:
        helper.attach(worker)
    admission = OneAdmission(config, worker)
    admission.start()
    admission.admit(Accepted(sock, peer))
    status = worker.run()
    admission.close()
    return status if helper is None else helper.finish() or status


def take_stdin() -> socket.socket:
    """Return the socket on descriptor 0, under another descriptor. Raises ProcessError when it is none."""
    try:
        sock = socket.socket(fileno=os.dup(_STDIN))
    except OSError as error:
        raise ProcessError(f"standard input is not a socket: start this from a super server ({error.strerror})") from error
    os.set_inheritable(sock.fileno(), False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, _STDIN)
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


class OneAdmission(Admission):
    """Admits the one connection into the worker of this very process."""

    def __init__(self, config: Config, worker: Worker) -> None:
        super().__init__(config, worker.loop, lambda accepted: worker.adopt(1, accepted.sock, accepted.peer))
        self._worker = worker

    def _decide(self, connection: Accepted, name: HostName) -> None:
        super()._decide(connection, name)
        if connection.sock.fileno() < 0:  # refused
            self._worker.loop.stop()


class CoordinatorChild:
    """The coordinator of one association, and its event channel."""

    def __init__(self, config: Config, connection: socket.socket) -> None:
        """Fork it and wait until it has recovered what an earlier one left."""
        self._control, theirs = fdpass.channel_pair()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if not self._pid:
            connection.close()
            self._control.close()
            self._run(theirs, config)
        theirs.close()
        self._wait_ready()

    @staticmethod
    def _run(control: socket.socket, config: Config) -> None:
        status = 70
        try:
            from fastscp.coordinator import process as coordinator  # noqa: PLC0415 - many associations do without

            set_title("coordinator")
            status = coordinator.main(control, config)
        except BaseException:  # noqa: BLE001 - the outermost frame of a process
            _log.critical("coordinator ends after an internal error", exc_info=True)
        finally:
            logging.shutdown()
            os._exit(status)

    def _wait_ready(self) -> None:
        ready, _, _ = select.select([self._control], [], [], _COORDINATOR_START_S)
        packet = self._control.recv(fdpass.PACKET_OCTETS) if ready else b""
        if not packet or packets.decode_control(packet)["kind"] != "ready":
            raise ProcessError("the coordinator could not start")

    def attach(self, worker: Worker) -> None:
        """Give both sides their end of the event channel; without a coordinator the worker ends."""
        ours, theirs = fdpass.channel_pair()
        packet = packets.encode({"kind": "worker", "name": f"association ({os.getpid()})"})
        fdpass.send_with_descriptor(self._control, packet, theirs.fileno())
        theirs.close()
        worker.reporter.attach(ours.detach())
        worker.loop.register(self._control.fileno(), IN, lambda _mask: self._died(worker))

    def _died(self, worker: Worker) -> None:
        _log.critical("the coordinator is gone, giving up the association")
        worker.loop.unregister(self._control.fileno())
        worker.loop.stop()

    def finish(self) -> int:
        """Let it end open studies and run what is left to run; return its exit status."""
        try:
            self._control.send(packets.encode({"kind": "drain"}))
        except (BrokenPipeError, ConnectionResetError):
            _log.debug("the coordinator ended first")
        _, status = os.waitpid(self._pid, 0)
        self._control.close()
        return abs(os.waitstatus_to_exitcode(status))
