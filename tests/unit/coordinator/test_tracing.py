"""The process of traces as a destination of events."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastscp.coordinator.tracing import TracesDestination
from fastscp.traces.policy import TracesPolicy
from tests.support.servers import wait_until

POLICY = TracesPolicy("http://there/v1/traces")
#: reads to the end, and says how much it was
READER = "import socket, sys\nchannel = socket.socket(fileno=int(sys.argv[1]))\nsize = 0\nwhile octets := channel.recv(65536):\n    size += len(octets)\nsys.exit(size)"


def fill(destination):
    while True:
        destination.write(bytes(65536))


class Programs:
    def __init__(self, script=READER):
        self.script = script
        self.started = []

    def __call__(self, channel, policy):
        assert policy is POLICY
        process = subprocess.Popen([sys.executable, "-c", self.script, str(channel.fileno())], pass_fds=(channel.fileno(),))
        self.started.append(process)
        return process


def test_it_gets_what_is_written_and_ends_with_its_channel():
    programs = Programs()
    destination = TracesDestination(POLICY, programs)
    assert destination.fd == -1
    destination.open()
    assert destination.fd >= 0
    assert destination.write(b"line\n") == 5
    destination.close()
    assert destination.fd == -1
    assert [process.returncode for process in programs.started] == [5]


def test_one_that_died_is_found_by_a_write_and_buried_at_once():
    programs = Programs("import sys")
    destination = TracesDestination(POLICY, programs)
    destination.open()
    programs.started[0].wait(60)
    with pytest.raises(BrokenPipeError):
        destination.write(b"line\n")
    destination.close()
    destination.open()
    assert len(programs.started) == 2
    destination.close()


def test_one_that_is_deaf_is_not_waited_for():
    """It closed its end and lives on."""
    programs = Programs("import os, sys, signal\nos.close(int(sys.argv[1]))\nsignal.pause()")
    destination = TracesDestination(POLICY, programs)
    destination.open()

    def is_found():
        try:
            destination.write(b"line\n")
        except BrokenPipeError:
            return True
        except BlockingIOError:  # it has not come so far
            return False

    wait_until(is_found, "it is deaf")
    destination.close()
    assert programs.started[0].returncode == -9


def test_one_that_takes_nothing_blocks_nobody():
    programs = Programs("import signal\nsignal.pause()")
    destination = TracesDestination(POLICY, programs)
    destination.open()
    with pytest.raises(BlockingIOError):
        fill(destination)
    programs.started[0].kill()
    destination.close()


def test_what_cannot_be_started_is_an_error_of_the_system():
    def fail(_channel, _policy):
        raise OSError(11, "Resource temporarily unavailable")

    destination = TracesDestination(POLICY, fail)
    with pytest.raises(OSError, match="temporarily"):
        destination.open()
    assert destination.fd == -1
    destination.close()
