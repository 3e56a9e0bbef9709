"""Host names: asked for through the real helper process."""

from __future__ import annotations

import os
import select
import signal
import socket

import psutil
import pytest

from fastscp.acceptor import resolver as module
from fastscp.acceptor.resolver import HostName, Resolver
from fastscp.acceptor.resolver_child import look_up
from tests.support.servers import wait_until

DEADLINE_MS = 30_000


@pytest.fixture
def resolver():
    made = Resolver()
    yield made
    made.close()


def answers(resolver):
    """Wait for the next answers as a readiness loop does."""
    poller = select.epoll()
    poller.register(resolver.fileno(), select.EPOLLIN)
    assert poller.poll(DEADLINE_MS / 1000)
    poller.close()
    return resolver.on_readable()


def test_answer_comes_later_and_is_kept(resolver):
    assert resolver.request("127.0.0.1") is None
    ((address, name),) = answers(resolver)
    assert address == "127.0.0.1"
    expected, confirmed = look_up("127.0.0.1")
    assert (name, name.confirmed) == (expected, confirmed)
    assert resolver.request("127.0.0.1") == expected


def test_address_without_a_name(resolver):
    assert resolver.request("not an address") is None
    assert answers(resolver) == [("not an address", HostName(""))]
    assert resolver.request("not an address") == ""


def test_second_question_for_an_open_address_is_answered_once(resolver):
    assert resolver.request("127.0.0.1") is None
    assert resolver.request("127.0.0.1") is None
    assert len(answers(resolver)) == 1
    assert resolver.on_readable() == []


def test_no_helper_before_the_first_question(resolver):
    assert resolver.helper_pid == 0
    assert resolver.on_readable() == []
    assert resolver.sockets() == []


def test_dead_helper_answers_everybody_and_another_is_started_later(resolver, monkeypatch):
    assert resolver.request("127.0.0.1") is None
    assert answers(resolver)
    first = resolver.helper_pid
    psutil.Process(first).suspend()
    assert resolver.request("127.0.0.2") is None
    os.kill(first, signal.SIGKILL)
    assert answers(resolver) == [("127.0.0.2", "")]
    assert not psutil.pid_exists(first)
    assert resolver.request("127.0.0.3") == ""  # not at once
    resolver._not_before = 0.0
    assert resolver.request("127.0.0.3") is None
    assert resolver.helper_pid not in {0, first}


def test_number_of_open_questions_is_bounded(resolver, monkeypatch):
    monkeypatch.setattr(module, "_MOST_OUTSTANDING", 2)
    assert resolver.request("127.0.0.1") is None
    assert resolver.request("127.0.0.2") is None
    assert resolver.request("127.0.0.3") == ""


def test_helper_holds_no_descriptor_of_ours_and_ends_with_the_channel(resolver):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert resolver.request("127.0.0.1") is None
        assert answers(resolver)
        helper = psutil.Process(resolver.helper_pid)
        assert helper.net_connections(kind="tcp") == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0  # nobody else kept the port
    resolver._epoll.unregister(resolver._channel.fileno())
    resolver._channel.close()
    resolver._channel = None
    assert helper.wait(DEADLINE_MS / 1000) == 0


def test_close_ends_the_helper():
    resolver = Resolver()
    assert resolver.request("127.0.0.1") is None
    helper = resolver.helper_pid
    resolver.close()
    wait_until(lambda: not psutil.pid_exists(helper), "helper gone")
