"""The end of waits for a server that answers nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from fastscp.fleet.watching import Watch
from tests.support.servers import wait_until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        yield ours, theirs


def test_a_wait_that_takes_too_long_ends_and_it_is_known_why(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch = Watch()
    with watch.limit(ours.fileno(), 0.01):
        assert ours.recv(1) == b""
    assert watch.over == 0.01
    assert theirs.recv(1) == b""
    os.fstat(ours.fileno())  # it is still its owner's


def test_a_later_wait_with_a_shorter_limit_ends_by_its_own(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    watch = Watch()
    with watch.limit(ours.fileno(), 3600):
        wait_until(lambda: watch.wakes is not None, "somebody watches")
        assert watch.over is None
    with watch.limit(ours.fileno(), 0.01):
        assert ours.recv(1) == b""
    assert watch.over == 0.01


def test_a_wait_that_ended_in_time_is_left_alone_and_the_next_is_watched(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch = Watch()
    with watch.limit(ours.fileno(), 2):
        wait_until(lambda: watch.wakes is not None, "somebody watches")
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
    wait_until(lambda: watch.wakes is None, "the limit is over, and nothing is waited for")
    assert watch.over is None
    theirs.send(b"y")
    assert ours.recv(1) == b"y"
    with watch.limit(ours.fileno(), 0.01):
        assert ours.recv(1) == b""


def test_a_socket_that_is_gone_harms_nobody() -> None:
    watch = Watch()
    with watch.limit(-1, 0.01):
        wait_until(lambda: watch.over is not None, "the limit is over")
    with watch.limit(-1, 0.02):
        wait_until(lambda: watch.over is not None, "the thread lives")
