"""Limits and options of listening sockets; no port is opened."""

from __future__ import annotations

import errno
import resource
import socket

import pytest

from fastscp.config.network import AddressFamily
from fastscp.errors import ProcessError
from fastscp.net import listener as module
from fastscp.net.listener import (
    connections_held,
    connections_per_worker,
    open_listener,
    raise_descriptor_limit,
)


class NoSocket:
    """A socket that writes down what is done to it."""

    made: list[NoSocket] = []  # noqa: RUF012 - emptied by the fixture
    missing: set[int] = set()  # noqa: RUF012
    in_use = False

    def __init__(self, family, kind):
        if family in self.missing:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
        self.family = family
        self.options = {}
        self.bound = None
        self.backlog = 0
        self.blocking = True
        self.closed = False
        self.made.append(self)

    def setsockopt(self, level, option, value):
        self.options[level, option] = value

    def bind(self, address):
        if self.in_use:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.bound = address

    def listen(self, backlog):
        self.backlog = backlog

    def setblocking(self, blocking):
        self.blocking = blocking

    def close(self):
        self.closed = True


@pytest.fixture
def sockets(monkeypatch):
    monkeypatch.setattr(NoSocket, "made", [])
    monkeypatch.setattr(NoSocket, "missing", set())
    monkeypatch.setattr(NoSocket, "in_use", False)
    monkeypatch.setattr(module.socket, "socket", NoSocket)
    return NoSocket


V6ONLY = socket.IPPROTO_IPV6, socket.IPV6_V6ONLY


@pytest.mark.parametrize(("family", "kind", "address", "v6only"), [
    (AddressFamily.IPV4, socket.AF_INET, ("", 104), None),
    (AddressFamily.IPV6, socket.AF_INET6, ("::", 104), True),
    (AddressFamily.DUAL, socket.AF_INET6, ("::", 104), False),
])
def test_addresses_of_each_family(sockets, family, kind, address, v6only):
    made = open_listener(104, family)
    assert (made.family, made.bound, made.options.get(V6ONLY)) == (kind, address, v6only)
    assert made.backlog > 1000
    assert not made.blocking
    assert made.options[socket.IPPROTO_TCP, socket.TCP_NODELAY] == 1
    assert made.options[socket.SOL_SOCKET, socket.SO_KEEPALIVE] == 1
    assert made.options[socket.SOL_SOCKET, socket.SO_REUSEADDR] == 1


def test_dual_without_ipv6_is_ipv4(sockets):
    sockets.missing.add(socket.AF_INET6)
    assert open_listener(104, AddressFamily.DUAL).family == socket.AF_INET
    with pytest.raises(ProcessError, match="cannot listen on port 104: Address family not supported"):
        open_listener(104, AddressFamily.IPV6)


def test_port_in_use_is_an_error_and_leaves_no_socket(sockets):
    sockets.in_use = True
    with pytest.raises(ProcessError, match="cannot listen on port 104: Address already in use"):
        open_listener(104, AddressFamily.IPV4)
    assert sockets.made[0].closed


@pytest.mark.parametrize(("limit", "connections"), [(1065, 250), (1068, 250), (1069, 251), (128, 15), (20, 1), (0, 1)])
def test_each_connection_may_have_a_socket_a_file_and_two_spools(limit, connections):
    assert connections_per_worker(limit) == connections


def test_connections_that_wait_leave_room_for_the_channels():
    assert connections_held(128, 2) == 84
    assert connections_held(128, 64) == 1


def test_limit_of_descriptors_is_raised_as_far_as_it_goes(monkeypatch):
    limits = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))
    assert raise_descriptor_limit() == 4096
    assert raise_descriptor_limit() == 4096
    assert limits == [(1024, 4096), (4096, 4096)]
