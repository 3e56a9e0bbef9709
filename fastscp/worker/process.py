"""A worker process: many associations in one readiness loop.

Strategy: connections arrive over the control channel as descriptors; each is acknowledged (TAKEN) before
its first octet is read. One receive buffer serves all connections, so nothing received may be kept
without a copy. A drain lets busy associations finish, ends idle ones, and then ends the process; retiring is
the same without an end of the idle ones.

Invariants: the death of this process costs its own associations only; the death of the acceptor process
(end of file on the control channel) is a drain. What it does not do: listen, sort, run hooks.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.log.names import NETWORK
from fastscp.net.peer import Peer
from fastscp.net.transport import PlainTransport, Transport
from fastscp.process import fdpass, journal, packets
from fastscp.process.heartbeat import Heartbeat
from fastscp.process.journal import Journal
from fastscp.process.loop import IN, OUT, Loop
from fastscp.store.hidden import state_path
from fastscp.store.policy import Sync
from fastscp.worker.connection import Connection
from fastscp.worker.context import Shared, worker_context
from fastscp.worker.express import with_lanes
from fastscp.worker.reporter import Reporter
from fastscp.worker.told import Memory, new_incarnation

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(NETWORK)

_IDLE_S = 1.0  #: at a drain, an association that asked for nothing that long is ended


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs beside the configuration, made before the fork."""

    tls_context: ssl.SSLContext | None = None
    shared: Shared = field(default_factory=Shared)


def _journal(config: Config, incarnation: str) -> Journal | None:
    """Return where events are kept that were answered; None where answers wait for the coordinator, or are of no interest to it."""
    if not any(own.keeps_studies for own in config.every) or config.store.sync is not Sync.NONE or config.network.mode is ProcessMode.INETD:
        return None
    state = state_path(config.study.state_directory, config.store.output_directory)
    return Journal(state / journal.DIRECTORY, incarnation)


class Worker:
    """One worker process."""

    def __init__(self, channel: socket.socket | None, config: Config, settings: WorkerSettings, *,
                 only_one: bool = False, heartbeat: Heartbeat | None = None) -> None:
        """Make a worker; without a ``channel`` to the acceptor process nobody but ``adopt`` brings connections.

        ``only_one``: the process ends with its first connection. Raises StorageError.
        """
        self.loop = Loop()
        incarnation = new_incarnation(time.time())
        self.reporter = Reporter(self.loop, incarnation, self._unconnected, self._hold, Memory(journal=_journal(config, incarnation)))
        context = worker_context(config, self.loop, self.reporter, incarnation, settings.shared)
        self._context = with_lanes(context)
        self._reports = any(own.needs_coordinator for own in config.every)
        self._network = config.network
        self._only_one = only_one
        self._heartbeat = heartbeat
        self._channel = channel
        self._event_channel = 0  #: number of the one that came last
        self._news: deque[bytes] = deque()  #: not told yet
        self._news_blocked = False
        self._tls_context = settings.tls_context
        self._connections: set[Connection] = set()
        self._draining = False
        self._ending = False  #: the process ends with its last connection

    # -- process ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until the acceptor process says or dies otherwise; return the exit status."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        self.loop.on_signal(signal.SIGTERM, self.drain)
        gc.freeze()
        if self._heartbeat is not None:
            self._heartbeat.beat_in(self.loop)
        if self._channel is not None:
            self.loop.register(self._channel.fileno(), IN, self._control_ready)
            self._tell({"kind": "up"})
        self._context.said.attach()
        try:
            self.loop.run()
        finally:
            self._context.said.detach()
        self.reporter.close()
        return 0

    def _control_ready(self, mask: int) -> None:
        if mask & OUT:
            self._send_news()
        if mask & ~OUT:
            self._read_control()

    def _read_control(self) -> None:
        """Follow one order. Not a loop: epoll reports the next, and a read that finds none is a wasted call."""
        if self._channel is None:
            return
        try:
            packet, descriptor = fdpass.receive(self._channel)
        except BlockingIOError:
            return
        if packet:
            self._follow(packets.decode_order(packet), descriptor)
        else:
            self._acceptor_died()

    def _follow(self, order: packets.WorkerOrder, descriptor: int | None) -> None:
        if order["kind"] == "connection":
            if descriptor is None:  # no number left for it: the acceptor process still has the socket
                self._tell({"kind": "declined", "number": order["number"]})
                return
            self._tell({"kind": "taken", "number": order["number"]})
            peer = Peer(order["address"], order["port"], order["host"], order["host_follows"])
            # what the descriptor is, is known: asking the kernel would cost three calls per association
            family = socket.AF_INET6 if ":" in peer.address else socket.AF_INET
            self.adopt(order["number"], socket.socket(family, socket.SOCK_STREAM, 0, descriptor), peer)
        elif order["kind"] == "event_channel":
            self._event_channel = order["number"]
            if descriptor is None:
                self._unconnected()
            else:
                self.reporter.attach(descriptor)
        elif order["kind"] == "host":
            self.name_peers(order["address"], order["host"])
        elif order["kind"] == "drain":
            self.drain()
        elif order["kind"] == "stop":
            self._give_up()
        elif order["kind"] == "retire":
            self._retire()
        elif descriptor is not None:
            os.close(descriptor)

    def _hold(self, reason: str, on: bool) -> None:
        intake = self._context.service.intake
        (intake.hold if on else intake.release)(reason)

    def _unconnected(self) -> None:
        if self._channel is None:
            self.loop.call_later(0, self._end_without_coordinator)
        else:
            self._tell({"kind": "unconnected", "number": self._event_channel})

    def _end_without_coordinator(self) -> None:
        """Nobody is left who could bring another coordinator: what needs one would wait for nothing, so its peers are told."""
        if self._reports and not self.reporter.connected:
            _log.error("neither acceptor process nor coordinator is left, ending every association")
            self._give_up()

    def _tell(self, news: packets.WorkerNews) -> None:
        """Tell the acceptor process, now or, where it does not read what it was told, as soon as it does."""
        if self._channel is None:
            return
        self._news.append(packets.encode(news))
        if len(self._news) == 1:
            self._send_news()

    def _send_news(self) -> None:
        news, blocked = self._news, False
        while news and self._channel is not None and not blocked:
            try:
                self._channel.send(news[0])
            except BlockingIOError:
                blocked = True
            except (BrokenPipeError, ConnectionResetError):
                self._acceptor_died()
            else:
                news.popleft()
        if blocked != self._news_blocked and self._channel is not None:
            self._news_blocked = blocked
            self.loop.modify(self._channel.fileno(), IN | OUT if blocked else IN)

    def _acceptor_died(self) -> None:
        if self._channel is not None:
            self.loop.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
            _log.debug("the acceptor process is gone")  # the coordinator says it, once for all
            self.drain()
            self._end_without_coordinator()

    # -- connections ------------------------------------------------------------------------------

    def adopt(self, number: int, sock: socket.socket, peer: Peer) -> None:
        """Serve a connected socket from now on."""
        sock.setblocking(False)
        connection = Connection(self._context, number, self._transport(sock), peer, self._finished)
        self._connections.add(connection)
        connection.flow.enter(connection.start)

    def name_peers(self, address: str, name: str) -> None:
        """Take note of the host name of an address, "" when it has none."""
        for connection in self._connections:
            if connection.peer.host_follows and connection.peer.address == address:
                connection.name_peer(name)

    def _transport(self, sock: socket.socket) -> Transport:
        if self._tls_context is None:
            return PlainTransport(sock)
        from fastscp.tls.transport import TLSTransport  # noqa: PLC0415 - ssl is slow to import

        tls = self._network.tls
        return TLSTransport(sock, self._tls_context, expected_sni=tls.expected_sni if tls else None)

    def _finished(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._connections.discard(connection)
        self._tell({"kind": "finished", "number": connection.number})
        if self._ending and not self._connections:
            self.loop.call_later(0, self._stop_when_told)
        elif self._only_one:
            self.drain()

    # -- ending -----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let what is under way finish, within the drain timeout, then end."""
        if self._draining:
            return
        self._draining = self._ending = True
        self.loop.call_later(self._network.drain_timeout_s, self._give_up)
        self._end_idle()

    def _retire(self) -> None:
        """End with the last connection; no other comes, and none of them is told or hurried."""
        self._ending = True
        if not self._connections:
            self._stop_when_told()

    def _end_idle(self) -> None:
        """End associations that have been asking for nothing; look again while others are under way."""
        now = self.loop.now
        for connection in list(self._connections):
            storage = connection.storage
            busy = (connection.blocked and not storage.turnstile.held) or storage.busy or connection.flow.gathering
            if not busy and now - storage.idle_since >= _IDLE_S:
                connection.abort("the service stops", source=2, reason=0)
        if self._connections:
            self.loop.call_later(_IDLE_S / 4, self._end_idle)
        else:
            self._stop_when_told()

    def _stop_when_told(self) -> None:
        """Stop once the coordinator has every event: a last answer may have been sent before its ack."""
        if self._connections:
            return
        if self.reporter.idle or not self._reports:
            self.loop.stop()
        else:
            self.loop.call_later(0.02, self._stop_when_told)

    def _give_up(self) -> None:
        for connection in list(self._connections):
            connection.abort("the service stops", source=2, reason=0)
            connection.close("the service stops")
        self.loop.stop()
