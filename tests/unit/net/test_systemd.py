"""sd_listen_fds(3) and sd_notify(3) without systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from fastscp.net import systemd

#: puts a socket of the wanted kind on descriptor 3 and prints what adopting it brings
CHILD = """
import os, socket, sys
from fastscp.errors import ProcessError
from fastscp.net import systemd
kind, adopt, pid, count = sys.argv[1:]
os.closerange(3, 64)
sockets = []
for _ in range(int(count) if count.isdecimal() else 1):
    if kind == "udp":
        sock = socket.socket(type=socket.SOCK_DGRAM)
    elif kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind("")
        sock.listen()
    elif kind == "file":
        sock = open("/dev/null")
    else:
        sock = listener = socket.create_server(("127.0.0.1", 0))
        if kind == "connection":
            peer = socket.create_connection(listener.getsockname())
            sock, _ = listener.accept()
            descriptor = os.dup(sock.fileno())
            sock.close(), listener.close(), peer.detach()
            os.dup2(descriptor, 3)
            os.closerange(4, descriptor + 1) if descriptor > 4 else None
            sock = None
    sockets.append(sock)
os.environ["LISTEN_PID"] = str(os.getpid()) if pid == "self" else pid
os.environ["LISTEN_FDS"] = count
os.environ["LISTEN_FDNAMES"] = "a:b"
try:
    found = getattr(systemd, adopt)()
except ProcessError as error:
    print("error:", error)
else:
    found = found if isinstance(found, list) else [found]
    print([None if sock is None else (sock.fileno(), os.get_inheritable(sock.fileno()), sock.getblocking()) for sock in found])
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
"""


def adopt(kind, function, pid="self", count="1"):
    done = subprocess.run([sys.executable, "-c", CHILD, kind, function, pid, count], capture_output=True, text=True,
                          timeout=60, check=True)
    result, left = done.stdout.splitlines()
    assert left == "[]"  # hooks and workers must not believe that they are meant
    return result


def test_listening_sockets():
    assert adopt("listener", "adopt_listeners") == "[(3, False, False)]"
    assert adopt("listener", "adopt_listeners", count="2") == "[(3, False, False), (4, False, False)]"


def test_connection():
    assert adopt("connection", "adopt_connection") == "[(3, False, False)]"


@pytest.mark.parametrize("function", ["adopt_listeners", "adopt_connection"])
def test_variables_meant_for_another_process(function):
    assert adopt("listener", function, pid="1") in ("[]", "[None]")


@pytest.mark.parametrize(("kind", "function", "count", "words"), [
    ("listener", "adopt_connection", "1", "descriptor 3 is not a TCP connection (Accept=yes)"),
    ("connection", "adopt_listeners", "1", "descriptor 3 is not a listening TCP socket (Accept=no)"),
    ("udp", "adopt_listeners", "1", "descriptor 3 is not a listening TCP socket"),
    ("unix", "adopt_listeners", "1", "descriptor 3 is not a listening TCP socket"),
    ("file", "adopt_listeners", "1", "descriptor 3: Socket operation on non-socket"),
    ("listener", "adopt_connection", "2", "2 sockets, expected one connection"),
    ("listener", "adopt_listeners", "many", "LISTEN_FDS is not a number: many"),
])
def test_descriptors_of_another_kind(kind, function, count, words):
    result = adopt(kind, function, count=count)
    assert result.startswith("error: ")
    assert words in result


def test_without_socket_activation(monkeypatch):
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert systemd.adopt_listeners() == []
    assert systemd.adopt_connection() is None


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The other end of NOTIFY_SOCKET, with a name in the abstract namespace."""
    name = f"fastscp-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        yield sock


def test_notify(manager):
    assert systemd.notify("READY=1", "STATUS=fine")
    assert manager.recv(4096) == b"READY=1\nSTATUS=fine"


def test_reloading_comes_with_its_time(manager):
    assert systemd.notify("RELOADING=1")
    first, second = manager.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_nobody_wants_to_know(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")


def test_manager_that_is_gone_is_logged(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    assert not systemd.notify("READY=1")
    assert "cannot notify the service manager: " in caplog.text


def test_children_do_not_notify(monkeypatch):
    for name in ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"):
        monkeypatch.setenv(name, "x")
    systemd.hide_from_children()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"} & set(os.environ)


@pytest.mark.parametrize(("limit", "pid", "seconds"), [
    ("10000000", "own", 10.0), ("500000", None, 0.5), ("10000000", "1", None), ("0", "own", None), ("soon", "own", None),
    (None, None, None),
])
def test_signs_of_life_that_the_manager_wants(monkeypatch, limit, pid, seconds):
    for name, value in (("WATCHDOG_USEC", limit), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_s() == seconds


@pytest.mark.parametrize(("within_s", "microseconds"), [(0, 15_000_000), (60.0, 75_000_000), (0.5, 15_500_000)])
def test_stopping_asks_for_the_time_that_it_may_take(within_s, microseconds):
    """Whatever ``TimeoutStopSec=`` is: a drain is not cut off."""
    assert systemd.stopping(within_s) == ("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}")
