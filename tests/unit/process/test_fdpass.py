from __future__ import annotations

import array
import os
import resource
import socket

import pytest

from fastscp.errors import ProcessError
from fastscp.process import fdpass


def test_descriptor_arrives_close_on_exec_and_works() -> None:
    left, right = fdpass.channel_pair()
    reader, writer = os.pipe()
    with left, right:
        fdpass.send_with_descriptor(left, b"packet", writer)
        packet, descriptor = fdpass.receive(right)
        assert packet == b"packet"
        assert descriptor is not None
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, b"x")
        assert os.read(reader, 1) == b"x"
        os.close(descriptor)
    os.close(reader)
    os.close(writer)


def test_packet_without_descriptor_and_end_of_file() -> None:
    left, right = fdpass.channel_pair()
    with right:
        left.send(b"plain")
        assert fdpass.receive(right) == (b"plain", None)
        with pytest.raises(BlockingIOError):
            fdpass.receive(right)
        left.close()
        assert fdpass.receive(right) == (b"", None)


@pytest.mark.parametrize("count", [2, 20])
def test_more_descriptors_than_agreed_are_closed_and_refused(count: int) -> None:
    left, right = fdpass.channel_pair()
    reader, writer = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    with left, right:
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer] * count))])
        with pytest.raises(ProcessError):
            fdpass.receive(right)
        assert len(os.listdir("/proc/self/fd")) == before
    os.close(reader)
    os.close(writer)


def test_packets_behind_a_reset_are_received_before_the_end() -> None:
    left, right = fdpass.channel_pair()
    with right:
        right.send(b"never read")
        left.send(b"last words")
        left.close()
        assert fdpass.receive(right) == (b"last words", None)
        assert fdpass.receive(right) == (b"", None)


def test_packet_longer_than_agreed_is_refused() -> None:
    left, right = fdpass.channel_pair()
    with left, right:
        left.send(b"x" * (fdpass.PACKET_OCTETS + 1))
        with pytest.raises(ProcessError):
            fdpass.receive(right)


def test_descriptor_that_there_is_no_number_for_costs_itself_and_not_the_packet() -> None:
    left, right = fdpass.channel_pair()
    reader, writer = os.pipe()
    lowest = os.dup(writer)
    os.close(lowest)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with left, right:
        fdpass.send_with_descriptor(left, b"packet", writer)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        try:
            received = fdpass.receive(right)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert received == (b"packet", None)
    os.close(writer)
    assert os.read(reader, 1) == b""  # the kernel has not kept it either
    os.close(reader)
