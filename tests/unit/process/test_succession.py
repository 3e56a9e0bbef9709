"""How a program is started to follow another."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from fastscp.errors import ProcessError
from fastscp.process import fdpass, succession


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "fastscp"
    path.write_text("#!/usr/bin/env python3\n")
    path.chmod(0o755)
    return str(path)


def test_program_that_names_its_interpreter_is_asked_for_it_again(script):
    """The path of the script may lead to another installation now, with an interpreter of its own."""
    assert succession.command_line(["/old/python", script, "-od", "/data", "104"], "/old/python") == [script, "-od", "/data", "104"]


@pytest.mark.parametrize("original", [
    ["python3", "-m", "fastscp", "104"], ["python3", "-X", "perf", "-m", "fastscp", "104"], ["python3", "/nowhere/fastscp", "104"],
    ["python3"],
])
def test_otherwise_the_interpreter_is_the_same(original):
    assert succession.command_line(original, "/venv/bin/python3") == ["/venv/bin/python3", *original[1:]]


def test_script_that_cannot_be_executed_or_names_nobody(tmp_path, script):
    os.chmod(script, 0o644)
    assert succession.command_line(["p", script], "/p") == ["/p", script]
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF")
    binary.chmod(0o755)
    assert succession.command_line(["p", str(binary)], "/p") == ["/p", str(binary)]


def test_program_finds_its_channel_and_nothing_that_means_another_process(monkeypatch, tmp_path):
    told = tmp_path / "told"
    code = (f"import os, socket; s = socket.socket(fileno=int(os.environ['FASTSCP_SUCCEEDS'])); s.send(b'there'); "
            f"open({str(told)!r}, 'w').write(repr([sorted(set(os.environ) & {{'WATCHDOG_PID', 'WATCHDOG_USEC', 'LISTEN_FDS', 'NOTIFY_SOCKET'}}),"
            f" [fd for fd in range(3, 64) if fd != s.fileno() and os.path.exists(f'/proc/self/fd/{{fd}}') and "
            f"not os.readlink(f'/proc/self/fd/{{fd}}').startswith('/proc')]]))")
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-c", code])
    for name in ("WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "1")
    ours, theirs = fdpass.channel_pair()
    pid = succession.start_program(theirs)
    assert not os.get_inheritable(theirs.fileno())
    theirs.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ours.recv(100) == b"there"
    assert told.read_text().startswith("[['NOTIFY_SOCKET', 'WATCHDOG_USEC'], ")
    ours.close()


def test_channel_is_adopted_once(monkeypatch):
    ours, theirs = fdpass.channel_pair()
    monkeypatch.setenv(succession.VARIABLE, str(theirs.fileno()))
    assert succession.is_successor()
    os.set_inheritable(theirs.fileno(), True)
    channel = succession.adopt_channel()
    assert channel.fileno() == theirs.detach()
    assert not os.get_inheritable(channel.fileno())
    assert not channel.getblocking()
    assert succession.VARIABLE not in os.environ  # neither workers nor hooks believe it is theirs
    assert not succession.is_successor()
    assert succession.adopt_channel() is None
    channel.close()
    ours.close()


@pytest.mark.parametrize("number", ["x", "-1", "987654"])
def test_what_is_no_descriptor_of_a_socket(monkeypatch, number):
    monkeypatch.setenv(succession.VARIABLE, number)
    with pytest.raises(ProcessError, match="is no descriptor of a socket"):
        succession.adopt_channel()


def test_other_sockets_are_no_channel_and_stay_open(monkeypatch):
    with socket.socket() as sock:
        monkeypatch.setenv(succession.VARIABLE, str(sock.fileno()))
        with pytest.raises(ProcessError, match="is no channel of packets"):
            succession.adopt_channel()
        sock.getsockname()


@pytest.mark.parametrize("octets", [b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_what_is_no_packet(octets):
    with pytest.raises(ProcessError):
        succession.decode(octets)


def test_packet_arrives_with_its_descriptor_and_the_end_without():
    ours, theirs = fdpass.channel_pair()
    with socket.socket() as sock:
        fdpass.send_with_descriptor(ours, succession.encode({"kind": "listener"}), sock.fileno())
    packet, descriptor = succession.receive(theirs)
    assert packet == {"kind": "listener"}
    os.close(descriptor)
    ours.close()
    assert succession.receive(theirs) == (None, None)
    theirs.close()
