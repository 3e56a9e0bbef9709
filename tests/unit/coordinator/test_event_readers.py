"""Several readers of the event stream, each with its own buffer, and what only some of them want."""

from __future__ import annotations

import os
import socket

import orjson
import pytest

from fastscp.config import Config
from fastscp.coordinator.destination import InheritedDestination
from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.event_readers import EventReaders, open_readers
from fastscp.study import events
from fastscp.study.policy import HookPolicy, ReaderPolicy
from tests.support.fakes import FakeDestination, FakeLoop
from tests.unit.embedding.test_records import CALLER, PACKET

STORED = events.object_stored(0, CALLER, PACKET)
OPENED = events.study_opened(0, "1.2", "/d")


def kinds(octets):
    return [orjson.loads(line)["event"] for line in octets.splitlines()]


def test_nobody_reads_where_nobody_wants_to():
    assert open_readers(Config(), FakeLoop()) is None
    assert not Config().tells_events


def test_each_reader_gets_what_it_wants(tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        config = Config(hooks=HookPolicy(event_log=str(tmp_path / "events")), reader=ReaderPolicy(theirs.fileno(), frozenset({"object.stored"})))
        assert config.tells_events
        assert config.names_wanted
        readers = open_readers(config, FakeLoop())
        assert isinstance(readers, EventReaders)
        readers.put(OPENED)
        readers.put(STORED)
        assert readers.waiting_octets > 0
        readers.flush()
        assert readers.waiting_octets == 0
        assert kinds((tmp_path / "events").read_bytes()) == ["study.opened", "object.stored"]
        assert kinds(ours.recv(65536)) == ["object.stored"]
        os.rename(tmp_path / "events", tmp_path / "old")
        readers.reopen()
        readers.put(STORED)
        readers.close()
        assert kinds((tmp_path / "events").read_bytes()) == ["object.stored"]
        assert kinds(ours.recv(65536)) == ["object.stored"]


def test_one_that_takes_nothing_does_not_hold_up_the_other():
    slow, quick = FakeDestination(), FakeDestination()
    slow.room = 0
    loop = FakeLoop()
    size = len(orjson.dumps(STORED)) + 1
    readers = EventReaders([EventLog(slow, loop, limit_octets=2 * size), EventLog(quick, loop)])
    for _ in range(5):
        readers.put(STORED)
        readers.flush()
    assert len(kinds(quick.written[0])) == 5
    assert readers.dropped_ever == 3
    assert readers.waiting_octets == 2 * size


def test_only_what_is_wanted_takes_room():
    destination = FakeDestination()
    log = EventLog(destination, FakeLoop(), kinds={"object.stored"})
    log.put(OPENED)
    assert log.waiting_octets == 0
    log.put(STORED)
    log.flush()
    assert kinds(destination.written[0]) == ["object.stored"]


def test_a_reload_opens_only_paths_anew():
    destination = FakeDestination()
    destination.is_path = False
    log = EventLog(destination, FakeLoop())
    log.reopen()
    assert len(destination.written) == 1


def test_what_is_left_at_the_end_waits_for_a_reader_that_reads():
    """More than a socket holds: a study with thousands of objects at the very end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = EventLog(InheritedDestination(theirs.fileno(), "events"), FakeLoop())
        for _ in range(4000):
            log.put(STORED)
        received = bytearray()
        destination = log._destination
        write = destination.write

        def write_and_read(octets):  # the reader is as quick as that
            taken = write(octets)
            received.extend(ours.recv(1 << 20))
            return taken

        destination.write = write_and_read
        log.close()
        assert kinds(received) == ["object.stored"] * 4000


def test_what_is_left_at_the_end_does_not_wait_for_one_that_does_not(caplog, monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        destination = InheritedDestination(theirs.fileno(), "events of a test")
        destination.linger_s = 0.01
        log = EventLog(destination, FakeLoop())
        for _ in range(4000):
            log.put(STORED)
        log.close()
    assert "events of a test" in caplog.messages[-1]
    assert "were not written" in caplog.messages[-1]


def test_a_program_that_is_gone_is_an_error_that_is_tried_again():
    ours, theirs = socket.socketpair()
    with theirs:
        destination = InheritedDestination(theirs.fileno(), "events")
        destination.open()
        ours.close()
        with pytest.raises(BrokenPipeError):
            destination.write(b"x")
        destination.close()
        assert destination.fd == -1
        destination.close()
