"""The monitor as a child of the acceptor process."""

from __future__ import annotations

import contextlib
import socket

import pytest

from fastscp.acceptor.monitoring import Monitoring
from fastscp.acceptor.policy import Monitor


class Site:
    def __init__(self, *, refuse: bool = False) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.started: list[str] = []
        self.ran: list[tuple[socket.socket, socket.socket]] = []
        self.channels: list[socket.socket] = []
        self.refuse = refuse
        self.monitoring = Monitoring(Monitor(self.listener, self.run, lambda: b"news"), self.start)

    def run(self, channel: socket.socket, listener: socket.socket, _heartbeat: object) -> int:
        self.ran.append((channel.dup(), listener.dup()))
        self.channels.append(channel)
        return 0

    def start(self, run, title: str, ours: socket.socket) -> int:
        if self.refuse:
            raise BlockingIOError
        for sock in self.monitoring.sockets():  # what a child closes: it still has its own
            assert sock is self.listener or sock is ours
        run(None)
        self.started.append(title)
        return 50 + len(self.started)


def test_it_has_the_port_and_ends_with_its_channel() -> None:
    site = Site()
    site.monitoring.start()
    site.monitoring.start()
    assert site.started == ["monitor"]
    channel, listener = site.ran[0]
    assert listener.getsockname() == site.listener.getsockname()
    assert not site.monitoring.missing
    site.monitoring.end(others_listen=False)
    assert channel.recv(1) == b""
    assert not site.monitoring.missing
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.getsockname())


def test_one_that_died_is_missing_and_started_again() -> None:
    site = Site()
    site.monitoring.start()
    assert not site.monitoring.bury(99)
    assert site.monitoring.bury(51)
    assert site.monitoring.missing
    site.monitoring.start()
    assert site.monitoring.pid == 52
    assert not Monitoring(None, site.start).missing
    assert not Monitoring(None, site.start).bury(0)


def test_a_start_that_fails_is_to_be_tried_again() -> None:
    site = Site(refuse=True)
    with contextlib.suppress(BlockingIOError):
        site.monitoring.start()
    assert site.monitoring.missing


def test_it_rests_while_a_successor_has_one() -> None:
    site = Site()
    site.monitoring.start()
    site.monitoring.rest(on=True)
    assert site.ran[0][0].recv(1) == b""
    site.monitoring.bury(51)
    assert not site.monitoring.missing
    site.monitoring.rest(on=False)
    assert site.monitoring.missing
    site.monitoring.end(others_listen=True)
    socket.create_connection(site.ran[0][1].getsockname()).close()


def test_it_is_told_what_a_reload_has_changed() -> None:
    site = Site()
    site.monitoring.renew()  # there is none yet
    site.monitoring.start()
    channel, _ = site.ran[0]
    site.monitoring.renew()
    assert channel.recv(100) == b"news"
    channel.close()
    for theirs in site.channels:
        theirs.close()
    site.monitoring.renew()  # it dies just now
    Monitoring(None, site.start).renew()
