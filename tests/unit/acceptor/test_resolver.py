"""What the asking side makes of its helper; the helper is the test."""

from __future__ import annotations

import select
import signal

import pytest

from fastscp.acceptor import resolver as module
from fastscp.acceptor.resolver import HostName, Resolver
from fastscp.acceptor.resolver_child import encode_answer
from tests.support.fake_processes import FakeProcesses


class Helper:
    """The far end of the channel, and the time."""

    def __init__(self):
        self.processes = FakeProcesses()
        self.now = 1000.0
        self.channel = None
        self.resolver = Resolver(self.processes, lambda: self.now, self.begin)

    def begin(self, channel, _time_limit_s):
        self.channel = channel.dup()
        self.channel.setblocking(False)
        return 0

    def questions(self):
        asked = []
        while True:
            try:
                asked.append(self.channel.recv(4096).decode())
            except BlockingIOError:
                return asked

    def answer(self, address, name="", *, confirmed=True):
        self.channel.send(encode_answer(address, name, confirmed=confirmed))


@pytest.fixture
def helper():
    made = Helper()
    yield made
    made.resolver.close()
    if made.channel is not None:
        made.channel.close()


def test_no_helper_before_the_first_question(helper):
    assert helper.processes.started == []
    assert helper.resolver.sockets() == []
    assert helper.resolver.on_readable() == []


def test_answer_comes_later_and_is_kept_for_its_time(helper):
    resolver = helper.resolver
    assert resolver.request("10.0.0.1") is None
    assert helper.questions() == ["10.0.0.1"]
    helper.answer("10.0.0.1", "pacs.example", confirmed=False)
    ((address, name),) = resolver.on_readable()
    assert (address, name, name.confirmed) == ("10.0.0.1", "pacs.example", False)
    helper.now += 299
    assert resolver.request("10.0.0.1") == "pacs.example"
    helper.now += 2
    assert resolver.request("10.0.0.1") is None
    assert len(helper.processes.started) == 1


def test_missing_name_is_asked_for_again_sooner(helper):
    helper.resolver.request("10.0.0.1")
    helper.answer("10.0.0.1")
    assert helper.resolver.on_readable() == [("10.0.0.1", "")]
    helper.now += 29
    assert helper.resolver.request("10.0.0.1") == ""
    helper.now += 2
    assert helper.resolver.request("10.0.0.1") is None


def test_two_who_ask_for_an_address_are_one_question_and_one_answer(helper):
    assert helper.resolver.request("10.0.0.1") is None
    assert helper.resolver.request("10.0.0.1") is None
    assert helper.questions() == ["10.0.0.1"]
    helper.answer("10.0.0.1", "pacs.example")
    assert len(helper.resolver.on_readable()) == 1
    assert helper.resolver.on_readable() == []


def test_late_name_is_kept_for_the_next_time_but_nobody_is_told_twice(helper):
    helper.resolver.request("10.0.0.1")
    helper.answer("10.0.0.1")
    helper.answer("10.0.0.1", "late.example")
    assert helper.resolver.on_readable() == [("10.0.0.1", "")]
    assert helper.resolver.request("10.0.0.1") == "late.example"


def test_dead_helper_answers_everybody_and_another_is_started_later(helper):
    resolver = helper.resolver
    resolver.request("10.0.0.1")
    resolver.request("10.0.0.2")
    helper.channel.close()
    assert sorted(resolver.on_readable()) == [("10.0.0.1", ""), ("10.0.0.2", "")]
    assert helper.processes.killed == [(1000, signal.SIGKILL)]
    assert resolver.request("10.0.0.3") == ""
    helper.now += 4.9
    assert resolver.request("10.0.0.3") == ""
    helper.now += 0.2
    assert resolver.request("10.0.0.3") is None
    assert helper.questions() == ["10.0.0.3"]


def test_helper_that_hangs_is_killed_answers_everybody_and_another_takes_its_place(helper):
    resolver = helper.resolver
    resolver.request("10.0.0.1")
    helper.now += 3
    resolver.request("10.0.0.2")
    helper.now += 3.9
    assert resolver.give_up() == []
    helper.now += 0.2
    assert sorted(resolver.give_up()) == [("10.0.0.1", ""), ("10.0.0.2", "")]
    assert helper.processes.killed == [(1000, signal.SIGKILL)]
    assert resolver.give_up() == []
    assert resolver.request("10.0.0.3") is None


def test_helper_that_answers_does_not_hang(helper):
    resolver = helper.resolver
    for number in range(10):
        resolver.request(f"10.0.0.{number}")
        helper.now += 3
        helper.answer(f"10.0.0.{number}")
        resolver.on_readable()
        assert resolver.give_up() == []


def test_no_descriptor_for_a_helper_means_no_names_for_a_while(helper, monkeypatch):
    def none_left(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module.socket, "socketpair", none_left)
    assert helper.resolver.request("10.0.0.1") == ""
    monkeypatch.undo()
    assert helper.resolver.request("10.0.0.1") == ""
    helper.now += 5.1
    assert helper.resolver.request("10.0.0.1") is None


def test_dead_helper_that_was_not_noticed_yet_means_no_name_and_no_wait(helper):
    helper.resolver.request("10.0.0.1")
    helper.channel.close()
    assert helper.resolver.request("10.0.0.2") == ""
    assert helper.resolver.on_readable() == [("10.0.0.1", "")]


def test_no_process_for_a_helper_means_no_names_for_a_while(helper):
    helper.processes.refusals = 1
    assert helper.resolver.request("10.0.0.1") == ""
    assert helper.resolver.sockets() == []
    helper.now += 1
    assert helper.resolver.request("10.0.0.1") == ""
    helper.now += 5
    assert helper.resolver.request("10.0.0.1") is None


def test_number_of_open_questions_is_bounded(helper, monkeypatch):
    monkeypatch.setattr(module, "_MOST_OUTSTANDING", 2)
    assert helper.resolver.request("10.0.0.1") is None
    assert helper.resolver.request("10.0.0.2") is None
    assert helper.resolver.request("10.0.0.3") == ""


def test_cache_is_bounded(helper, monkeypatch):
    monkeypatch.setattr(module, "_MOST_KEPT", 2)
    for number in range(4):
        helper.resolver._keep(f"10.0.0.{number}", HostName("a"))
    assert list(helper.resolver._kept) == ["10.0.0.2", "10.0.0.3"]


def test_channel_is_known_to_whoever_forks(helper):
    helper.resolver.request("10.0.0.1")
    (channel,) = helper.resolver.sockets()
    assert helper.processes.started[0].closes == [channel]
    assert helper.processes.started[0].title == "resolver"


def test_descriptor_to_wait_on_is_readable_when_there_is_an_answer_and_outlives_the_helper(helper):
    poller = select.poll()
    poller.register(helper.resolver.fileno(), select.POLLIN)
    helper.resolver.request("10.0.0.1")
    assert poller.poll(0) == []
    helper.answer("10.0.0.1", "pacs.example")
    assert poller.poll(0)
    helper.resolver.on_readable()
    assert poller.poll(0) == []
    helper.channel.close()
    assert poller.poll(0)
    helper.resolver.on_readable()
    assert poller.poll(0) == []


def test_close_ends_the_helper_and_forgets_who_waits(helper):
    helper.resolver.request("10.0.0.1")
    helper.resolver.close()
    assert helper.processes.killed == [(1000, signal.SIGKILL)]
    assert helper.channel.recv(100) == b"10.0.0.1"
    assert helper.channel.recv(100) == b""
    helper.resolver = Resolver(helper.processes)  # what the fixture closes


def test_helper_that_is_gone_already_is_no_trouble(helper):
    def nobody(_pid, _signal):
        raise ProcessLookupError

    helper.resolver.request("10.0.0.1")
    helper.processes.kill = nobody
    helper.channel.close()
    assert helper.resolver.on_readable() == [("10.0.0.1", "")]
    assert helper.resolver.helper_pid == 0


def test_host_name_is_a_string_that_knows_whether_it_is_confirmed():
    assert HostName("a") == "a"
    assert HostName("a").confirmed
    assert not HostName("a", confirmed=False).confirmed
    assert not HostName()
