"""The helper's side: answers in time, whatever the name service does. The lookups are the test's own."""

from __future__ import annotations

import socket
import threading

import pytest

from fastscp.acceptor import resolver_child as module
from fastscp.acceptor.resolver_child import PACKET_OCTETS, decode_answer, encode_answer, look_up, serve

DEADLINE_S = 30


@pytest.fixture
def slow_helper():
    """``serve`` in a thread, with lookups that end when they are told to."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    release = threading.Event()
    threads = []

    def find(_address):
        release.wait()
        return "late.example", False

    def start(time_limit_s):
        thread = threading.Thread(target=serve, args=(theirs, time_limit_s, find))
        thread.start()
        threads.append(thread)
        ours.settimeout(DEADLINE_S)
        return ours, release

    yield start
    release.set()
    ours.close()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_time_limit_answers_without_a_name_and_the_late_name_follows(slow_helper):
    channel, release = slow_helper(0.01)
    channel.send(b"10.0.0.1")
    assert decode_answer(channel.recv(4096)) == ("10.0.0.1", "", True)
    release.set()
    assert decode_answer(channel.recv(4096)) == ("10.0.0.1", "late.example", False)


def test_questions_behind_hanging_lookups_are_answered_in_time(slow_helper):
    channel, _ = slow_helper(0.01)
    addresses = [f"10.0.0.{number}" for number in range(20)]
    for address in addresses:
        channel.send(address.encode())
    assert sorted(decode_answer(channel.recv(4096))[0] for _ in addresses) == sorted(addresses)


def test_name_that_was_found_is_the_answer(slow_helper):
    channel, release = slow_helper(DEADLINE_S)
    release.set()
    channel.send(b"10.0.0.1")
    channel.send(b"10.0.0.2")
    found = sorted(decode_answer(channel.recv(PACKET_OCTETS)) for _ in range(2))
    assert found == [("10.0.0.1", "late.example", False), ("10.0.0.2", "late.example", False)]


def test_helper_ends_with_the_channel(slow_helper):
    channel, _ = slow_helper(DEADLINE_S)
    channel.close()  # the fixture waits for the end


@pytest.mark.parametrize(("name", "confirmed"), [("pacs.example", True), ("liar.example", False), ("", True)])
def test_answers_are_decoded_as_they_were_encoded(name, confirmed):
    assert decode_answer(encode_answer("10.0.0.1", name, confirmed=confirmed)) == ("10.0.0.1", name, confirmed)


def test_name_of_any_length_fits_into_a_packet():
    packet = encode_answer("10.0.0.1", "x" * 10_000, confirmed=True)
    assert len(packet) == PACKET_OCTETS
    assert decode_answer(packet)[0] == "10.0.0.1"


@pytest.fixture
def name_service(monkeypatch):
    """A name service of one entry: ``forward`` is what its name leads back to."""

    def serve_names(name, forward):
        def getnameinfo(_address, _flags):
            return name, "0"

        def getaddrinfo(_name, _port, **_):
            if isinstance(forward, OSError):
                raise forward
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in forward]

        monkeypatch.setattr(module.socket, "getnameinfo", getnameinfo)
        monkeypatch.setattr(module.socket, "getaddrinfo", getaddrinfo)

    return serve_names


@pytest.mark.parametrize(("forward", "confirmed"), [
    (["10.0.0.9", "10.0.0.1"], True), (["10.0.0.9"], False), (socket.gaierror(-2, "not known"), False),
])
def test_name_is_confirmed_when_it_leads_back(name_service, forward, confirmed):
    name_service("pacs.example", forward)
    assert look_up("10.0.0.1") == ("pacs.example", confirmed)


def test_address_that_is_none_has_no_name():
    assert look_up("not an address") == ("", True)
