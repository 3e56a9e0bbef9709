"""A service and the program it belongs to."""

from __future__ import annotations

import json
import socket

import pytest

from fastscp.process.loop import IN
from fastscp.service.owner import Owner, no_successor
from tests.support.fakes import FakeLoop


class FakeAcceptor:
    def __init__(self):
        self.goes_down = False
        self.drained = 0

    def terminate(self):
        self.drained += 1


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


def test_the_program_is_told_once_when_it_is_served(ends):
    owner = Owner(ends[0])
    owner.listening(11112)
    assert owner.notify("STATUS=starting")
    with pytest.raises(BlockingIOError):
        ends[1].recv(100)
    assert owner.notify("READY=1", "STATUS=receiving", "MAINPID=3")
    assert json.loads(ends[1].recv(100)) == {"port": 11112}
    owner.notify("READY=1")
    with pytest.raises(BlockingIOError):
        ends[1].recv(100)


def test_the_program_is_told_why_not(ends):
    Owner(ends[0]).failed("no port")
    assert json.loads(ends[1].recv(100)) == {"failed": "no port"}


def test_a_program_that_does_not_listen_holds_nothing_up(ends):
    ends[1].close()
    Owner(ends[0]).failed("no port")


def test_the_service_drains_when_the_program_is_gone(ends):
    loop, acceptor = FakeLoop(), FakeAcceptor()
    Owner(ends[0]).watch(loop, acceptor)
    loop.fire(ends[0].fileno(), IN)
    assert acceptor.drained == 0
    ends[1].close()
    loop.fire(ends[0].fileno(), IN)
    assert acceptor.drained == 1
    assert ends[0].fileno() not in loop


def test_a_service_that_ends_anyway_is_not_told_twice(ends):
    """The second time would be an end at once."""
    loop, acceptor = FakeLoop(), FakeAcceptor()
    Owner(ends[0]).watch(loop, acceptor)
    acceptor.goes_down = True
    ends[1].close()
    loop.fire(ends[0].fileno(), IN)
    assert acceptor.drained == 0


def test_no_program_follows_one_that_belongs_to_another(ends):
    with pytest.raises(OSError, match="not supported"):
        no_successor(ends[0])
