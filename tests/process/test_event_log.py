"""The event log against real files, FIFOs, sockets and standard output."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastscp.coordinator.destination import PathDestination
from fastscp.coordinator.event_log import EventLog
from fastscp.errors import ProcessError
from fastscp.process.loop import Loop
from tests.support.servers import wait_until


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def turn(loop: Loop, until: Callable[[], object], what: str) -> None:
    """Run the loop until something holds."""

    def look() -> bool:
        loop.call_later(0.01, loop.stop)
        loop.run()
        loop._stopped = False
        return bool(until())

    wait_until(look, what)


def parsed(octets: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in octets.splitlines()]


def test_file_is_appended_to_and_opened_anew_after_rotation(tmp_path: Path, loop: Loop) -> None:
    path = tmp_path / "events"
    path.write_text('{"n":0}\n')
    log = EventLog(PathDestination(str(path)), loop)
    log.put({"n": 1})
    log.flush()
    path.rename(tmp_path / "rotated")
    log.reopen()
    log.put({"n": 2})
    log.close()
    assert parsed((tmp_path / "rotated").read_bytes()) == [{"n": 0}, {"n": 1}]
    assert parsed(path.read_bytes()) == [{"n": 2}]


def test_fifo_may_have_its_reader_later_and_loses_nothing_until_full(tmp_path: Path, loop: Loop) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    log = EventLog(PathDestination(str(path)), loop)
    for number in range(20_000):  # more than a pipe holds
        log.put({"n": number, "fill": "x" * 20})
    log.flush()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    received = bytearray()

    def read() -> bool:
        with contextlib.suppress(BlockingIOError):
            received.extend(os.read(reader, 1 << 20))
        return received.count(b"\n") == 20_000

    turn(loop, read, "everything read")
    os.close(reader)
    log.close()
    assert [event["n"] for event in parsed(bytes(received))] == list(range(20_000))


def test_full_buffer_drops_the_newest_and_says_how_many(tmp_path: Path, loop: Loop) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    log = EventLog(PathDestination(str(path)), loop, limit_octets=200_000)
    for number in range(10_000):
        log.put({"n": number, "fill": "x" * 80})
        log.flush()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    received = bytearray()
    told = False

    def read() -> bool:
        nonlocal told
        try:
            received.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            if not told:
                log.put({"n": "last"})
                log.flush()
                told = True
        return b"last" in received

    turn(loop, read, "the last event")
    os.close(reader)
    log.close()
    events = parsed(bytes(received))
    dropped = [event for event in events if event.get("event") == "events.dropped"]
    numbers = [event["n"] for event in events if "n" in event]
    assert len(dropped) == 1
    assert numbers == [*range(len(numbers) - 1), "last"]
    assert dropped[0]["count"] == 10_000 - (len(numbers) - 1)
    assert events[-2] == dropped[0]


def test_unix_socket_is_connected_again_and_begins_with_a_whole_line(loop: Loop) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.settimeout(10)
        log = EventLog(PathDestination(path), loop)
        log.put({"n": 1})
        log.flush()
        first, _ = listener.accept()
        assert parsed(first.recv(4096)) == [{"n": 1}]
        first.close()
        for number in (2, 3):
            log.put({"n": number})
            log.flush()
        listener.setblocking(False)
        accepted: list[socket.socket] = []

        def again() -> bool:
            try:
                accepted.append(listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        turn(loop, again, "connected again")
        accepted[0].settimeout(10)
        turn(loop, lambda: not log._lines, "written")
        assert parsed(accepted[0].recv(4096))[-1] == {"n": 3}
        log.close()
        for sock in (*accepted, listener):
            sock.close()


def test_unix_socket_that_went_with_its_listener_is_waited_for(loop: Loop) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        log = EventLog(PathDestination(path), loop)
        listener.accept()[0].close()
        listener.close()
        os.unlink(path)
        log.put({"n": 1})
        log.flush()
        turn(loop, lambda: log._destination.fd < 0, "the loss noticed")
        log.reopen()
        assert not os.path.exists(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        turn(loop, lambda: not log._lines, "written to the next listener")
        connection, _ = listener.accept()
        assert parsed(connection.recv(4096)) == [{"n": 1}]
        log.close()
        connection.close()
        listener.close()


def test_standard_output(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    log = EventLog(PathDestination("-"), loop)
    log.put({"n": 1})
    log.reopen()
    log.put({"n": 2, "fill": "x" * 10_000})
    log.close()
    assert [event["n"] for event in parsed(capfd.readouterr().out.encode())] == [1, 2]


def test_blocked_standard_output_blocks_nobody(loop: Loop) -> None:
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    os.close(writer)
    try:
        log = EventLog(PathDestination("-"), loop)
        for number in range(5000):
            log.put({"n": number, "fill": "x" * 100})
        log.flush()
        received = bytearray()

        def read() -> bool:
            received.extend(os.read(reader, 65536))
            return received.count(b"\n") == 5000

        turn(loop, read, "everything read")
        log.close()
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(reader)
    assert [event["n"] for event in parsed(bytes(received))] == list(range(5000))


def test_standard_output_whose_reader_ended_does_not_keep_the_loop_busy(loop: Loop) -> None:
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    os.close(writer)
    try:
        log = EventLog(PathDestination("-"), loop)
        for number in range(5000):
            log.put({"n": number, "fill": "x" * 100})
        log.flush()
        assert 1 in loop
        os.close(reader)
        turn(loop, lambda: 1 not in loop, "the loss noticed")
        assert log._lines
        log._close()
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_destination_that_cannot_be_opened_is_an_error(tmp_path: Path, loop: Loop) -> None:
    with pytest.raises(ProcessError, match="cannot be opened"):
        EventLog(PathDestination(str(tmp_path / "nowhere" / "events")), loop)


def test_full_disk_is_tried_again(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(PathDestination("/dev/full"), loop)
    log.put({"n": 1})
    log.flush()
    log.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "event log /dev/full: No space left on device, trying again"]
    log.close()
