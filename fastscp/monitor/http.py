"""A small HTTP/1.1 server in a readiness loop: GET and HEAD, and streams of server-sent events.

Strategy: h11 reads requests and writes responses; here are sockets and limits. There are few connections; when one more
comes, the one that has been idle longest makes room for it, so that clients that are stuck keep nobody out. A request has
to be complete, and a response to be taken, within seconds. Whoever reads a stream too slowly is left out of some of it.

Invariants: nothing here ever waits for a client; memory is bounded by connections times the largest response; a request has
no content. What it does not do: TLS, passwords; it is for the loopback address or a network that is trusted.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import h11

from fastscp.log.names import NETWORK
from fastscp.process.loop import IN, OUT, Loop, Timer

_log = logging.getLogger(NETWORK)

MOST_CONNECTIONS = 32
MOST_STREAMS = 16
LIMIT_S = 10.0  #: for a request to come, and for a response to be taken
IDLE_S = 60.0  #: between two requests
_FINISH_S = 1.0  #: for answers that were begun, at the end
HEADER_OCTETS = 16384
_READ_OCTETS = 16384
_STREAM_OCTETS = 1 << 18  #: that wait for a slow reader of a stream


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    path: str
    accept: str = ""
    host: str = ""


@dataclass(frozen=True)
class Response:
    """What is answered; ``stream``: and goes on with what ``Server.publish`` brings."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    stream: bool = False


@dataclass(eq=False)
class _Connection:
    """One client."""

    sock: socket.socket
    protocol: h11.Connection = field(default_factory=lambda: h11.Connection(
        h11.SERVER, max_incomplete_event_size=HEADER_OCTETS))
    output: bytearray = field(default_factory=bytearray)
    timer: Timer | None = None
    streams: bool = False
    closing: bool = False  #: as soon as the output is sent
    blocked: bool = False  #: the client does not take what is there for it
    used: float = 0.0  #: when it was heard of last


class Server:
    """Accepts at ``listener``, which it owns, and answers by ``respond``."""

    def __init__(self, loop: Loop, listener: socket.socket, respond: Callable[[Request], Response]) -> None:
        self._loop = loop
        self._listener = listener
        self._respond = respond
        self._connections: dict[int, _Connection] = {}
        self._done: Callable[[], None] | None = None  #: it ends, and this is called when it has

    def start(self) -> None:
        """Accept connections from now on."""
        self._listener.setblocking(False)
        self._loop.register(self._listener.fileno(), IN, lambda _mask: self._accept())

    def finish(self, done: Callable[[], None]) -> None:
        """Accept nothing more; ``done`` is called as soon as every answer that was begun is sent, or in a second."""
        self._done = done
        self._loop.unregister(self._listener.fileno())
        self._listener.close()
        self._loop.call_later(_FINISH_S, done)
        for connection in list(self._connections.values()):
            if connection.streams or not connection.output:
                self._close(connection)
            connection.closing = True
        self._look_done()

    def _look_done(self) -> None:
        if self._done is not None and not self._connections:
            self._done()

    @property
    def streams(self) -> int:
        """How many clients read a stream."""
        return sum(connection.streams for connection in self._connections.values())

    def publish(self, octets: bytes) -> None:
        """Send to every reader of a stream; one that has not taken enough of what came before misses this."""
        for connection in list(self._connections.values()):
            if connection.streams and len(connection.output) < _STREAM_OCTETS:
                self._send(connection, connection.protocol.send(h11.Data(data=octets)))

    # -- connections ------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # gone again, or nothing left for it
            _log.debug("metrics: %s", error)
            return
        sock.setblocking(False)
        if len(self._connections) >= MOST_CONNECTIONS:
            self._close(min(self._connections.values(), key=lambda connection: connection.used))
        connection = self._connections[sock.fileno()] = _Connection(sock, used=self._loop.now)
        self._loop.register(sock.fileno(), IN, lambda mask: self._ready(connection, mask))
        self._limit(connection, LIMIT_S)

    def _ready(self, connection: _Connection, mask: int) -> None:
        try:
            if mask & OUT:
                self._flush(connection)
            if mask & ~OUT and connection.sock.fileno() >= 0:
                self._read(connection)
        except OSError as error:
            _log.debug("metrics: %s", error)
            self._close(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            octets = connection.sock.recv(_READ_OCTETS)
        except BlockingIOError:
            return
        if not octets or connection.streams or connection.closing:  # nobody has anything to say during a stream
            self._close(connection)
            return
        connection.used = self._loop.now
        connection.protocol.receive_data(octets)
        self._serve(connection)

    def _serve(self, connection: _Connection) -> None:
        """Answer one of the requests that have come; the next one in another round, when the answer was taken."""
        protocol = connection.protocol
        try:
            while connection.sock.fileno() >= 0 and not (connection.closing or connection.streams or connection.output):
                event = protocol.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.Request):
                    self._answer(connection, event)
                elif isinstance(event, h11.EndOfMessage):
                    self._complete(connection)
                    return
                else:
                    self._close(connection)
        except h11.RemoteProtocolError as error:
            _log.debug("metrics: %s", error)
            if protocol.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                self._reply(connection, Response(error.error_status_hint, "text/plain", b"bad request\n"), last=True)
            else:
                self._close(connection)

    def _answer(self, connection: _Connection, request: h11.Request) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        method = request.method.decode("latin-1")
        if method not in {"GET", "HEAD"}:
            refusal = Response(405, "text/plain", b"only GET and HEAD\n", (("Allow", "GET, HEAD"),))
            self._reply(connection, refusal, last=True)
            return
        if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
            self._reply(connection, Response(413, "text/plain", b"a request has no content\n"), last=True)
            return
        path = request.target.decode("latin-1").partition("?")[0]
        response = self._respond(Request(path, headers.get("accept", ""), headers.get("host", "")))
        if response.stream and self.streams >= MOST_STREAMS:
            response = Response(503, "text/plain", b"too many readers\n")
        self._reply(connection, response, last=False, head=method == "HEAD")

    def _reply(self, connection: _Connection, response: Response, *, last: bool, head: bool = False) -> None:
        protocol, streams = connection.protocol, response.stream and not head
        headers = [("Content-Type", response.content_type), ("Date", formatdate(usegmt=True)), *response.headers]
        if not response.stream:
            headers.append(("Content-Length", str(len(response.body))))
        if last or response.stream:
            headers.append(("Connection", "close"))
        octets = protocol.send(h11.Response(status_code=response.status, reason=HTTPStatus(response.status).phrase, headers=headers)) or b""
        if not head and response.body:
            octets += protocol.send(h11.Data(data=response.body)) or b""
        if not streams:
            octets += protocol.send(h11.EndOfMessage()) or b""
        connection.streams, connection.closing = streams, last or (response.stream and head)
        self._send(connection, octets)

    def _complete(self, connection: _Connection) -> None:
        """Be ready for the next request, if there may be one."""
        if connection.protocol.our_state is h11.DONE and connection.protocol.their_state is h11.DONE:
            connection.protocol.start_next_cycle()
            if connection.protocol.trailing_data[0]:
                self._loop.soon(lambda: self._serve(connection))
        elif connection.protocol.our_state is h11.MUST_CLOSE:
            connection.closing = True
            if not connection.output:
                self._close(connection)

    # -- sending ----------------------------------------------------------------------------------

    def _send(self, connection: _Connection, octets: bytes | None) -> None:
        connection.output += octets or b""
        try:
            self._flush(connection)
        except OSError as error:
            _log.debug("metrics: %s", error)
            self._close(connection)

    def _flush(self, connection: _Connection) -> None:
        sock, output = connection.sock, connection.output
        try:
            while output:
                del output[: sock.send(output)]
        except BlockingIOError:
            if not connection.blocked:
                connection.blocked = True
                self._loop.modify(sock.fileno(), IN | OUT)
                self._limit(connection, LIMIT_S)  # from here on, whatever trickles
            return
        if connection.blocked:
            connection.blocked = False
            self._loop.modify(sock.fileno(), IN)
        if connection.closing:
            self._close(connection)
        elif connection.streams:
            self._unlimit(connection)
        else:
            self._limit(connection, IDLE_S)
            self._loop.soon(lambda: self._serve(connection))

    def _limit(self, connection: _Connection, limit_s: float) -> None:
        self._unlimit(connection)
        connection.timer = self._loop.call_later(limit_s, lambda: self._close(connection))

    @staticmethod
    def _unlimit(connection: _Connection) -> None:
        if connection.timer is not None:
            connection.timer.cancel()

    def _close(self, connection: _Connection) -> None:
        fd = connection.sock.fileno()
        if fd < 0:
            return
        self._unlimit(connection)
        self._loop.unregister(fd)
        del self._connections[fd]
        connection.sock.close()
        self._look_done()
