"""Transports over socket pairs: no octet is lost, counted twice or waited for in vain."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct

import pytest

from fastscp.net.transport import HandshakeState, PlainTransport, TransportError, looks_like_tls
from fastscp.tls.transport import TLSTransport, explain
from tests.support.pki import Authority

PAYLOAD = os.urandom(3 << 20)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """Return server and client context."""
    authority = Authority.make(tmp_path_factory.mktemp("pki"))
    identity = authority.issue("server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(identity.certificate_file(), identity.key_file())
    server.num_tickets = 0
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(authority.certificate_file())
    return server, client


@pytest.fixture
def pair():
    """Return two connected TCP sockets, the first one non-blocking."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


class Client:
    """The other side: TLS over a non-blocking socket, in the same thread."""

    def __init__(self, sock, context):
        sock.setblocking(False)
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="server")
        self.unsent = b""

    def turn(self):
        """Move octets between socket and BIOs, as far as it goes."""
        self.unsent += self.outgoing.read()
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.sock.send(self.unsent):] if self.unsent else b""
        try:
            octets = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        if octets:
            self.incoming.write(octets)
        else:
            self.incoming.write_eof()

    def try_(self, call, *arguments):
        try:
            return call(*arguments)
        except ssl.SSLWantReadError:
            return None


def shake(transport, client):
    """Complete the handshake of both sides."""
    state = done = None
    while state is not HandshakeState.DONE or not done:
        done = done or client.try_(lambda: client.tls.do_handshake() or True)
        client.turn()
        if state is not HandshakeState.DONE:
            state = transport.handshake()


def plain(pair):
    return PlainTransport(pair[0])


@pytest.mark.parametrize(("octets", "expected"), [
    (b"\x16\x03\x01\x02\x00", True), (b"\x16\x03", True), (b"\x16", True), (b"\x16\x02", False), (b"", False),
    (b"\x01\x00\x00\x00", False), (b"\x15\x03\x01", False), (b"GET /", False),
])
def test_looks_like_tls(octets, expected):
    assert looks_like_tls(octets) is expected


class TestPlain:
    def test_there_is_no_handshake(self, pair):
        transport = plain(pair)
        assert transport.handshake() is HandshakeState.DONE
        pair[1].sendall(b"\x01\0\0\0")
        select.select([pair[0]], [], [])
        buffer = memoryview(bytearray(100))
        assert transport.receive_into(buffer) == 4
        assert bytes(buffer[:4]) == b"\x01\0\0\0"
        assert transport.receive_into(buffer) == -1
        assert transport.pending() == 0
        assert not transport.wants_write

    def test_tls_client_is_told_from_a_dicom_one(self, pair):
        pair[1].sendall(b"\x16\x03\x01\x02\x00\x01")
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match="wants TLS, this port is without"):
            plain(pair).receive_into(memoryview(bytearray(100)))

    def test_only_the_first_octets_count(self, pair):
        transport = plain(pair)
        buffer = memoryview(bytearray(100))
        for octets in (b"\x01", b"\x16\x03\x01"):
            pair[1].sendall(octets)
            select.select([pair[0]], [], [])
            assert transport.receive_into(buffer) == len(octets)

    def test_end_of_stream(self, pair):
        pair[1].close()
        select.select([pair[0]], [], [])
        assert plain(pair).handshake() is HandshakeState.DONE
        assert plain(pair).receive_into(memoryview(bytearray(10))) == 0

    def test_send_until_the_kernel_takes_no_more(self, pair):
        transport = plain(pair)
        sent = 0
        while (count := transport.send(PAYLOAD)) >= 0:
            sent += count
        assert sent > 0
        assert pair[1].recv(10) == PAYLOAD[:10]

    @pytest.mark.parametrize("use", [
        lambda transport: transport.receive_into(memoryview(bytearray(10))),
        lambda transport: transport.send(b"x"),
    ])
    def test_reset_is_a_transport_error(self, pair, use):
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair[1].close()
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match=r"Connection reset by peer|Broken pipe"):
            use(plain(pair))

    def test_close(self, pair):
        transport = plain(pair)
        transport.close()
        assert pair[0].fileno() == transport.fileno() == -1


class TestTLS:
    def make(self, pair, contexts):
        transport, client = TLSTransport(pair[0], contexts[0]), Client(pair[1], contexts[1])
        shake(transport, client)
        return transport, client

    @pytest.mark.parametrize("size", [1 << 18, 1 << 14, 100])
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_receives_everything_in_order(self, pair, contexts, size, version, monkeypatch):
        contexts[1].maximum_version = version
        transport, client = self.make(pair, contexts)
        contexts[1].maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        buffer = memoryview(bytearray(size))
        payload = PAYLOAD if size > 1000 else PAYLOAD[: 1 << 17]
        received, written = bytearray(), 0
        while len(received) < len(payload):
            if written < len(payload) and len(client.unsent) < 1 << 20:
                written += client.tls.write(payload[written : written + (1 << 16)])
            client.turn()
            while (count := transport.receive_into(buffer)) > 0:
                received += buffer[:count]
                assert size < 1 << 18 or not transport.pending()
        assert received == payload
        assert not transport.wants_write

    def test_pending_tells_of_what_a_small_buffer_left(self, pair, contexts):
        transport, client = self.make(pair, contexts)
        client.tls.write(b"x" * 1000)
        client.turn()
        select.select([pair[0]], [], [])
        buffer = memoryview(bytearray(600))
        total, left = 0, []
        assert transport.pending() == 0
        while total < 1000:
            count = transport.receive_into(buffer)
            total += max(0, count)
            left.append(transport.pending())
        assert left[-2:] == [400, 0]

    def test_sends_everything_in_order_to_a_slow_reader(self, pair, contexts):
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        transport, client = self.make(pair, contexts)
        output, received, blocked = bytearray(PAYLOAD), bytearray(), 0
        while len(received) < len(PAYLOAD):
            if output:
                count = transport.send(output)
                if count >= 0:
                    del output[:count]
                    continue
                blocked += 1
                assert not transport.wants_write  # the caller has something to send and waits for that
            client.turn()
            while client.incoming.pending and (octets := client.try_(client.tls.read, 1 << 16)):
                received += octets
        assert bytes(received) == PAYLOAD
        assert blocked

    def test_first_request_may_come_with_the_last_flight(self, pair, contexts):
        transport, client = TLSTransport(pair[0], contexts[0]), Client(pair[1], contexts[1])
        while not client.try_(lambda: client.tls.do_handshake() or True):
            client.turn()
            transport.handshake()
        client.tls.write(b"A-ASSOCIATE-RQ")
        client.turn()
        select.select([pair[0]], [], [])
        assert transport.handshake() is HandshakeState.DONE
        assert transport.pending()
        buffer = memoryview(bytearray(100))
        assert bytes(buffer[: transport.receive_into(buffer)]) == b"A-ASSOCIATE-RQ"
        assert not transport.pending()
        assert transport.receive_into(buffer) == -1

    def test_close_notify_behind_data(self, pair, contexts):
        transport, client = self.make(pair, contexts)
        client.tls.write(b"last")
        client.try_(client.tls.unwrap)
        client.turn()
        select.select([pair[0]], [], [])
        buffer = memoryview(bytearray(100))
        assert bytes(buffer[: transport.receive_into(buffer)]) == b"last"
        assert transport.pending()
        assert transport.receive_into(buffer) == 0

    def test_end_without_close_notify(self, pair, contexts):
        transport, _ = self.make(pair, contexts)
        pair[1].close()
        select.select([pair[0]], [], [])
        buffer = memoryview(bytearray(100))
        assert transport.receive_into(buffer) == 0
        assert transport.receive_into(buffer) == 0

    def test_close_says_close_notify(self, pair, contexts):
        transport, client = self.make(pair, contexts)
        transport.close()
        assert transport.fileno() == -1
        select.select([pair[1]], [], [])
        client.turn()
        assert client.tls.read(10) == b""  # without close_notify it would raise

    @pytest.mark.parametrize(("octets", "words"), [
        (b"\x01\0\0\0\0\xcd\0\x01" + bytes(60), "the peer speaks DICOM without TLS, this port is for TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "the peer speaks something else without TLS"),
        (b"\x16\x03\x01\x00\x05hello", "TLS handshake failed"),
    ])
    def test_peer_without_tls(self, pair, contexts, octets, words):
        pair[1].sendall(octets)
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match=words):
            TLSTransport(pair[0], contexts[0]).handshake()
        assert pair[0].fileno() >= 0  # still ours to unregister and close

    def test_stalled_handshake_waits_for_the_peer(self, pair, contexts):
        transport = TLSTransport(pair[0], contexts[0])
        assert transport.handshake() is HandshakeState.WANTS_READ
        pair[1].sendall(b"\x16\x03\x01\x02")
        select.select([pair[0]], [], [])
        assert transport.handshake() is HandshakeState.WANTS_READ

    def test_peer_that_goes_during_the_handshake(self, pair, contexts):
        pair[1].sendall(b"\x16\x03\x01")
        pair[1].shutdown(socket.SHUT_WR)
        transport = TLSTransport(pair[0], contexts[0])
        select.select([pair[0]], [], [])
        assert transport.handshake() is HandshakeState.WANTS_READ
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match="closed during the TLS handshake"):
            transport.handshake()

    def test_reset_before_the_handshake(self, pair, contexts):
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair[1].close()
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match="Connection reset by peer"):
            TLSTransport(pair[0], contexts[0]).handshake()

    def test_damaged_record_ends_the_connection(self, pair, contexts):
        transport, client = self.make(pair, contexts)
        client.tls.write(b"x" * 100)
        octets = bytearray(client.outgoing.read())
        octets[-1] ^= 1
        pair[1].sendall(octets)
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match="TLS: "):
            transport.receive_into(memoryview(bytearray(1000)))
        transport.close()
        select.select([pair[1]], [], [])
        client.turn()
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            client.tls.read(10)

    def test_what_came_before_a_damaged_record_is_received_first(self, pair, contexts):
        transport, client = self.make(pair, contexts)
        client.tls.write(b"x" * 100)
        good = client.outgoing.read()
        client.tls.write(b"y" * 100)
        octets = bytearray(good + client.outgoing.read())
        octets[-1] ^= 1
        pair[1].sendall(octets)
        select.select([pair[0]], [], [])
        buffer = memoryview(bytearray(1000))
        assert (transport.receive_into(buffer), bytes(buffer[:100])) == (100, b"x" * 100)
        assert transport.pending()
        for _ in range(2):
            with pytest.raises(TransportError, match="TLS: "):
                transport.receive_into(buffer)

    def test_one_call_receives_all_that_has_come(self, pair, contexts):
        transport, client = self.make(pair, contexts)
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.tls.write(PAYLOAD[: 300 << 10])
        while client.unsent or client.outgoing.pending:
            client.turn()
        buffer = memoryview(bytearray(1 << 20))
        assert (transport.receive_into(buffer), bytes(buffer[: 300 << 10])) == (300 << 10, PAYLOAD[: 300 << 10])
        assert transport.receive_into(buffer) == -1

    @pytest.mark.parametrize(("octets", "mark"), [(100 << 10, (100 << 10) - 18437), (1 << 20, 256 << 10), (40 << 10, 1)])
    def test_expects_what_is_missing_less_a_record_that_may_have_begun(self, pair, contexts, octets, mark):
        transport, client = self.make(pair, contexts)
        client.tls.write(b"x" * 100)
        pair[1].sendall(client.outgoing.read()[:50])
        select.select([pair[0]], [], [])
        assert transport.receive_into(memoryview(bytearray(1000))) == -1
        transport.expect(octets)
        assert pair[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == mark

    def test_alert_reaches_the_peer(self, pair, contexts):
        client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_context.maximum_version = ssl.TLSVersion.TLSv1_2
        client_context.check_hostname = False
        client_context.verify_mode = ssl.CERT_NONE
        contexts[0].minimum_version = ssl.TLSVersion.TLSv1_3
        transport, client = TLSTransport(pair[0], contexts[0]), Client(pair[1], client_context)
        contexts[0].minimum_version = ssl.TLSVersion.TLSv1_2
        client.try_(client.tls.do_handshake)
        client.turn()
        select.select([pair[0]], [], [])
        with pytest.raises(TransportError, match="the peer's TLS version is not accepted"):
            transport.handshake()
        select.select([pair[1]], [], [])
        client.turn()
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            client.tls.do_handshake()


def test_explain_has_no_control_characters():
    error = ssl.SSLError(1, "text\nwith line")
    error.reason = None
    assert "\n" not in explain(error)
