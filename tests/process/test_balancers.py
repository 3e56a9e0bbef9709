"""A service that balancers pass connections on to, as raw octets: real processes, TLS, access rules, hooks, inetd."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.test_refusals import Told
from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.pki import Authority
from tests.support.proxy import version_1, version_2
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def behind(server: FastscpServer, header: bytes) -> RawSCU:
    scu = RawSCU("127.0.0.1", server.port)
    scu.send(header)
    return scu


def store(scu: RawSCU) -> int:
    uid = fresh_uid()
    scu.associate(CT_CONTEXT)
    return scu.store(1, CT, uid, data_set(uid))


@pytest.mark.parametrize(("header", "address"), [
    (version_1(), "192.0.2.7"), (version_2(), "192.0.2.7"), (version_2("2001:db8::7", destination="::1"), "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1")])
def test_address_of_the_header_counts_for_hooks_events_and_log(
        output: Path, told: Told, tmp_path: Path, header: bytes, address: str) -> None:
    hook = f"echo #r $FASTSCP_PEER >>{tmp_path}/peers"
    with FastscpServer(["-v", "-dhl", "--proxy-protocol", "127.0.0.0/8", "-od", output, "--event-log", told.path, "-xcr", hook]) as server:
        with behind(server, header) as scu:
            assert store(scu) == 0
        wait_until((tmp_path / "peers").exists, "the hook has run")
        wait_until(lambda: (tmp_path / "peers").read_text().endswith("\n"), "the hook has written")
        assert set((tmp_path / "peers").read_text().split()) == {address}
        assert [event["peer"] for event in told.wait("association.opened")] == [address]
        assert f"Association Received {address}".encode() in server.log()


def test_access_rules_and_limits_are_for_the_peer_behind_the_balancer(output: Path, told: Told, tmp_path: Path) -> None:
    rules = tmp_path / "deny"
    rules.write_text("ALL: 192.0.2.66 127.0.0.1\n")
    arguments = ["-dhl", "--proxy-protocol", "127.0.0.1", "+ac", "--hosts-deny", rules, "-od", output, "--event-log", told.path,
                 "--max-associations-per-host", "1"]
    with FastscpServer(arguments) as server:
        with behind(server, version_1("192.0.2.66")) as refused, pytest.raises((ConnectionError, Exception)):
            store(refused)
        assert [event["peer"] for event in told.wait("connection.refused")] == ["192.0.2.66"]
        assert server.log().count(b"access denied to 192.0.2.66") == 1
        with behind(server, version_2("192.0.2.7")) as first, behind(server, version_2("192.0.2.8")) as other:
            assert store(first) == 0
            assert store(other) == 0
            with behind(server, version_2("192.0.2.7")) as second, pytest.raises(Exception, match="PDU type 3"):
                second.associate(CT_CONTEXT)
        told.wait("association.closed", 2)
        rules.write_text("ALL: 192.0.2.7\n")  # counts from the next connection on
        with behind(server, version_2("192.0.2.7")) as refused, pytest.raises((ConnectionError, Exception)):
            store(refused)
        with behind(server, version_2("192.0.2.66")) as welcome:
            assert store(welcome) == 0


def test_tls_inside(output: Path, tmp_path: Path) -> None:
    identity = Authority.make(tmp_path / "ca").issue("localhost", "rsa")
    tls = ["+tls", str(identity.key_file()), str(identity.certificate_file()), "-ic"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with FastscpServer(["-dhl", "--proxy-protocol", "127.0.0.1", *tls, "-od", output]) as server:
        scu = RawSCU("127.0.0.1", server.port)
        plain = scu.sock.dup()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        scu.sock.sendall(version_2() + outgoing.read()[:40])  # the header with a part of the hello in one segment
        scu.close()
        plain.close()
        with behind(server, version_2()) as other:
            other.sock = context.wrap_socket(other.sock)
            assert store(other) == 0
    assert len(list(output.iterdir())) == 1


def test_checks_are_quiet_and_mistakes_are_told_once(output: Path) -> None:
    with FastscpServer(["-v", "-dhl", "-ta", "1", "--proxy-protocol", "127.0.0.1", "-od", output]) as server:
        before = server.log()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as check:
                check.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with socket.create_connection(("127.0.0.1", server.port)) as check:
                check.sendall(b"PROXY UNKNOWN\r\n")
        with behind(server, version_1()) as scu:
            assert store(scu) == 0
        assert [line for line in server.log()[len(before):].splitlines() if b"127.0.0.1" in line] == []
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as late:
            assert late.recv(1) == b""
        wait_until(lambda: b"does not come in time" in server.log(), "late header logged")
        assert server.log().count(b"closing a connection of 127.0.0.1") == 1
        server.idle_descriptors()


def test_nobody_else_may_send_a_header(output: Path) -> None:
    with FastscpServer(["-dhl", "--proxy-protocol", "192.0.2.0/24", "-od", output]) as server:
        with behind(server, version_1()) as liar:
            assert liar.read_pdu()[0] == 7
        with behind(server, b"") as honest:
            assert store(honest) == 0


@pytest.mark.parametrize(("header", "stored"), [(version_1(), 1), (version_1("192.0.2.66"), 0), (b"GET / HTTP/1.0\r\n\r\n", 0), (b"", 0)])
def test_super_server_hands_over_what_a_balancer_passes_on(output: Path, tmp_path: Path, header: bytes, stored: int) -> None:
    (tmp_path / "deny").write_text("ALL: 192.0.2.66\n")
    arguments = ["--inetd", "-dhl", "-ta", "2", "--proxy-protocol", "127.0.0.1", "+ac", "--hosts-deny", str(tmp_path / "deny"), "-od", str(output)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scu = RawSCU("127.0.0.1", listener.getsockname()[1])
        connection, _ = listener.accept()
    with connection:
        process = subprocess.Popen([sys.executable, "-m", "fastscp", *arguments], stdin=connection, stderr=subprocess.PIPE)
    scu.send(header)
    if stored:
        assert store(scu) == 0
        scu.close()
    process.communicate(timeout=30)
    assert process.returncode == 0
    scu.close()
    assert len([path for path in output.iterdir() if not path.name.startswith(".")]) == stored


def test_networks_that_are_none_end_the_start(output: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "fastscp", "--proxy-protocol", "10.1.2.3/16", "-od", str(output), "11112"],
                         capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode != 0
    assert "--proxy-protocol: 10.1.2.3/16 has host bits set" in run.stderr
