"""The HTTP server with real sockets and a loop that a test turns."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from fastscp.monitor import http
from fastscp.monitor.http import Request, Response, Server
from fastscp.process.loop import Loop
from tests.support.servers import wait_until


class Service:
    def __init__(self) -> None:
        self.loop = Loop()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.asked: list[Request] = []
        self.body = b"hello"
        self.server = Server(self.loop, listener, self.respond)
        self.server.start()
        self.listener = listener
        self.clients: list[socket.socket] = []

    def respond(self, request: Request) -> Response:
        self.asked.append(request)
        return Response(200, "text/plain", self.body, (("X-One", "1"),), stream=request.path == "/events")

    def turn(self) -> None:
        self.loop.call_later(0.002, self.loop.stop)
        self.loop.run()
        self.loop._stopped = False

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address)
        client.setblocking(False)
        self.clients.append(client)
        self.turn()
        return client

    def read(self, client: socket.socket, until: bytes = b"hello") -> bytes:
        received = bytearray()

        def there() -> bool:
            self.turn()
            with contextlib.suppress(BlockingIOError):
                received.extend(client.recv(1 << 20))
            return until in received

        wait_until(there, f"{until!r}")
        return bytes(received)

    def closed(self, client: socket.socket) -> bool:
        self.turn()
        try:
            return client.recv(1 << 16) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.turn()
        self.listener.close()
        self.loop.close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


def get(path: str = "/", *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


def test_one_connection_asks_again_and_again(service: Service) -> None:
    client = service.connect()
    for number in range(3):
        client.send(get(f"/{number}?x=1", "Accept: text/x"))
        answer = service.read(client)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"x-one: 1" in answer.lower()
        assert b"content-length: 5" in answer.lower()
    assert service.asked[2] == Request("/2", "text/x", "localhost")


def test_requests_in_pieces_and_behind_each_other(service: Service) -> None:
    client = service.connect()
    for octet in get("/slow"):
        client.send(bytes((octet,)))
        service.turn()
    service.read(client)
    client.send(get("/a") + get("/b"))
    service.read(client)
    wait_until(lambda: service.turn() or len(service.asked) == 3, "both")
    assert [request.path for request in service.asked] == ["/slow", "/a", "/b"]


def test_head_has_no_body(service: Service) -> None:
    client = service.connect()
    client.send(get(method="HEAD"))
    answer = service.read(client, b"\r\n\r\n")
    assert b"content-length: 5" in answer.lower()
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("octets", "status"), [
    (get(method="POST"), b"405"),
    (get(method="DELETE"), b"405"),
    (get("/", "Content-Length: 5") + b"hello", b"413"),
    (get("/", "Transfer-Encoding: chunked"), b"413"),
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # without Host
    (b"GET / HTTP/1.1\r\nX: " + b"y" * http.HEADER_OCTETS + b"\r\n", b"431"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
])
def test_what_is_refused_ends_the_connection(service: Service, octets: bytes, status: bytes) -> None:
    client = service.connect()
    client.send(octets)
    answer = service.read(client, b"\r\n\r\n")
    assert answer.split()[1] == status
    wait_until(lambda: service.closed(client), "the end")
    assert not service.asked


def test_who_sends_no_request_in_time_is_left(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIMIT_S", 0.05)
    client = service.connect()
    client.send(b"GET / HT")
    wait_until(lambda: service.closed(client), "the end")


def test_who_asks_for_nothing_more_is_left(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_S", 0.05)
    client = service.connect()
    client.send(get())
    service.read(client)
    wait_until(lambda: service.closed(client), "the end")


def test_who_does_not_take_a_response_is_left_and_holds_up_nobody(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIMIT_S", 0.3)
    service.body = b"x" * (64 << 20)
    stuck = service.connect()
    stuck.send(get("/stuck"))
    wait_until(lambda: service.turn() or service.asked, "the request")
    service.body = b"hello"
    other = service.connect()
    other.send(get())
    service.read(other)
    assert service.server._connections
    wait_until(lambda: service.turn() or not any(c.blocked for c in service.server._connections.values()), "the end")


def test_clients_that_are_stuck_keep_nobody_out(service: Service) -> None:
    for _ in range(http.MOST_CONNECTIONS + 3):
        service.connect()
    assert len(service.server._connections) <= http.MOST_CONNECTIONS
    client = service.connect()
    client.send(get())
    service.read(client)


def test_a_stream_gets_what_is_published(service: Service) -> None:
    client = service.connect()
    client.send(get("/events"))
    answer = service.read(client)
    assert b"content-length" not in answer.lower()
    assert service.server.streams == 1
    service.server.publish(b"data: 2\n\n")
    service.read(client, b"data: 2\n\n")


def test_a_reader_that_is_slow_misses_some_and_costs_no_memory(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIMIT_S", 60.0)
    client = service.connect()
    client.send(get("/events"))
    service.read(client)
    for _ in range(400):
        service.server.publish(b"z" * 65536)
    (connection,) = service.server._connections.values()
    assert len(connection.output) <= http._STREAM_OCTETS + 2 * 65536
    assert connection.timer is not None
    assert connection.timer.callback is not None


def test_only_so_many_read_streams(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_STREAMS", 1)
    first, second = service.connect(), service.connect()
    first.send(get("/events"))
    service.read(first)
    second.send(get("/events"))
    assert b" 503 " in service.read(second, b"too many")


def test_a_reader_that_goes_is_forgotten(service: Service) -> None:
    client = service.connect()
    client.send(get("/events"))
    service.read(client)
    client.close()
    wait_until(lambda: service.turn() or not service.server.streams, "forgotten")
    service.server.publish(b"x")


def test_at_the_end_answers_that_were_begun_are_sent(service: Service) -> None:
    service.body = b"x" * (8 << 20)
    client, idle = service.connect(), service.connect()
    client.send(get())
    wait_until(lambda: service.turn() or service.asked, "the request")
    done: list[bool] = []
    service.server.finish(lambda: done.append(True))
    assert not done
    assert service.closed(idle)
    received = 0
    while received < 8 << 20:
        service.turn()
        with contextlib.suppress(BlockingIOError):
            received += len(client.recv(1 << 20))
    wait_until(lambda: service.turn() or done, "the end")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(service.address)
