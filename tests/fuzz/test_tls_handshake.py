"""Damaged TLS handshakes and records: every one ends in a TransportError or waits for more, none in anything else."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl

import pytest

from fastscp.config.network import PeerVerification, TLSPolicy
from fastscp.net.transport import HandshakeState, TransportError
from fastscp.tls.context import build_context
from fastscp.tls.transport import TLSTransport
from tests.support.pki import Authority

ROUNDS = 400


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    identity = Authority.make(tmp_path_factory.mktemp("pki")).issue("server")
    return build_context(TLSPolicy(str(identity.key_file()), str(identity.certificate_file()), password="",
                                   verification=PeerVerification.VERIFY, expected_sni="server"))


def client():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing, server_hostname="server"), incoming, outgoing


def damage(generator, octets):
    """Change, drop, repeat or insert some octets."""
    octets = bytearray(octets)
    for _ in range(generator.choice([1, 1, 2, 5])):
        place = generator.randrange(len(octets) + 1)
        kind = generator.randrange(4)
        if kind == 0 and place < len(octets):
            octets[place] = generator.randrange(256)
        elif kind == 1:
            del octets[place : place + generator.choice([1, 2, 50])]
        elif kind == 2:
            octets[place:place] = octets[place : place + generator.choice([1, 5, 100])]
        else:
            octets[place:place] = generator.randbytes(generator.choice([1, 2, 30]))
    return bytes(octets)


@pytest.mark.parametrize("damaged_step", [0, 1, 2])
def test_damaged_steps(context, damaged_step):
    """Step 0 is the ClientHello, 1 the client's second flight, 2 application data."""
    generator = random.Random(damaged_step)
    errors = []
    buffer = memoryview(bytearray(1 << 16))
    for _ in range(ROUNDS):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        transport = TLSTransport(ours, context, expected_sni="server")
        tls, incoming, outgoing = client()
        step, state = 0, HandshakeState.WANTS_READ
        try:
            while step <= damaged_step:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                if step == 2:
                    tls.write(b"A-ASSOCIATE-RQ")
                octets = outgoing.read()
                theirs.sendall(damage(generator, octets) if step == damaged_step else octets)
                state = transport.handshake() if state is not HandshakeState.DONE else state
                if state is HandshakeState.DONE:
                    transport.receive_into(buffer)
                with contextlib.suppress(BlockingIOError):
                    incoming.write(theirs.recv(1 << 16))
                step += 1
        except TransportError as error:
            errors.append(str(error))
        finally:
            transport.close()
            theirs.close()
    assert len(errors) > ROUNDS / 10
    assert all(error.isprintable() for error in errors)


def test_noise(context):
    generator = random.Random(7)
    for _ in range(ROUNDS):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        octets = generator.randbytes(generator.choice([1, 3, 5, 20, 3000]))
        theirs.sendall(b"\x16\x03\x01" + octets if generator.random() < 0.5 else octets)
        theirs.shutdown(socket.SHUT_WR)
        transport = TLSTransport(ours, context, expected_sni="server")
        with pytest.raises(TransportError):
            handshake_to_the_end(transport)
        transport.close()
        theirs.close()


def handshake_to_the_end(transport):
    while transport.handshake() is not HandshakeState.DONE:
        pass


@pytest.mark.filterwarnings("error")
def test_server_name_that_is_no_text(context):
    """Python would report the name as an exception that nobody can catch."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    tls, _, outgoing = client()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    theirs.sendall(outgoing.read().replace(b"server", b"serv\xc3r"))
    with pytest.raises(TransportError, match="asked for another server name than server"):
        TLSTransport(ours, context, expected_sni="server").handshake()
    ours.close()
    theirs.close()
