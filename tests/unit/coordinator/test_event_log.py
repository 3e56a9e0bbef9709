from __future__ import annotations

import errno
import json
import tracemalloc
from typing import Any

import pytest

from fastscp.coordinator.event_log import RETRY_S, EventLog
from fastscp.errors import ProcessError
from fastscp.process.loop import OUT
from tests.support.fakes import Clock, FakeDestination, FakeLoop

FULL = OSError(errno.ENOSPC, "No space left on device")
GONE = OSError(errno.EPIPE, "Broken pipe")


class Bench:
    def __init__(self, *, limit_octets: int = 1000, is_socket: bool = False) -> None:
        self.loop = FakeLoop()
        self.destination = FakeDestination(is_socket=is_socket)
        self.log = EventLog(self.destination, self.loop, limit_octets=limit_octets, wall=Clock())

    def put(self, *numbers: int, fill: int = 0) -> None:
        for number in numbers:
            self.log.put({"n": number, "fill": "x" * fill} if fill else {"n": number})

    def heard(self, opening: int = -1) -> list[Any]:
        """What the reader of one opening got: numbers, or whole events of the log's own."""
        events = [json.loads(line) for line in self.destination.written[opening].splitlines()]
        return [event.get("n", event) for event in events]


def test_events_are_written_in_order_when_flushed() -> None:
    bench = Bench()
    bench.put(1, 2)
    assert bench.heard() == []
    bench.log.flush()
    assert bench.heard() == [1, 2]


def test_rest_of_a_line_follows_when_the_destination_is_ready() -> None:
    bench = Bench()
    bench.destination.room = 12  # one line and a half
    bench.put(1, 2)
    bench.log.flush()
    assert bench.loop.masks == {77: OUT}
    bench.destination.room = None
    bench.loop.fire(77, OUT)
    assert bench.heard() == [1, 2]
    assert 77 not in bench.loop


def test_full_buffer_drops_the_newest_until_half_of_it_is_free() -> None:
    bench = Bench(limit_octets=400)  # five lines of 80 octets

    def read(octets: int | None) -> None:
        bench.destination.room = octets
        bench.log.flush()
        bench.loop.fire(77, OUT)

    read(0)
    bench.put(1, 2, 3, 4, 5, 6, 7, fill=62)
    read(160)
    bench.put(8, fill=62)  # 240 octets wait: not yet
    read(160)
    bench.put(9, fill=62)
    read(None)
    heard = bench.heard()
    dropped = next(event for event in heard if isinstance(event, dict))
    assert (dropped["event"], dropped["count"]) == ("events.dropped", 2)
    assert [event for event in heard if isinstance(event, int)] == [1, 2, 3, 4, 5, 8, 9]
    assert heard.index(dropped) == 6


def test_limit_is_where_dropping_begins() -> None:
    bench = Bench(limit_octets=16)  # two lines
    bench.destination.room = 0
    bench.put(1, 2, 3)
    bench.destination.room = None
    bench.log.flush()
    assert bench.heard() == [1, 2]


def test_lost_destination_is_opened_again_after_a_second(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.destination.refuse = FULL
    bench.put(1)
    bench.log.flush()
    bench.put(2)
    bench.log.flush()
    bench.loop.advance(RETRY_S)
    assert caplog.messages == ["event log fake: No space left on device, trying again"]
    bench.destination.refuse = None
    bench.log.flush()
    assert bench.destination.fd < 0
    bench.loop.advance(RETRY_S)
    assert bench.heard() == [1, 2]
    bench.destination.refuse = FULL
    bench.put(3)
    bench.log.flush()
    assert len(caplog.messages) == 2


def test_loss_while_watched_stops_watching() -> None:
    bench = Bench()
    bench.destination.room = 0
    bench.put(1)
    bench.log.flush()
    bench.destination.refuse = GONE
    bench.loop.fire(77, OUT)
    assert 77 not in bench.loop
    assert bench.loop.next_timer == bench.loop.now + RETRY_S


@pytest.mark.parametrize(("is_socket", "second"), [(True, [1, 2]), (False, None)])
def test_next_reader_of_a_socket_begins_with_the_whole_line(*, is_socket: bool, second: list[int] | None) -> None:
    bench = Bench(is_socket=is_socket)
    bench.destination.room = 4
    bench.put(1, 2)
    bench.log.flush()
    bench.destination.refuse = GONE
    bench.loop.fire(77, OUT)
    bench.destination.refuse, bench.destination.room = None, None
    bench.loop.advance(RETRY_S)
    if second is not None:
        assert bench.heard() == second
    else:
        assert b"".join(bench.destination.written) == b'{"n":1}\n{"n":2}\n'


def test_events_of_the_time_without_destination_wait() -> None:
    loop, destination = FakeLoop(), FakeDestination(is_socket=True)
    destination.refuse = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    log = EventLog(destination, loop)
    log.put({"n": 1})
    log.flush()
    destination.refuse = None
    loop.advance(RETRY_S)
    assert destination.written == [b'{"n":1}\n']


def test_destination_that_cannot_be_opened_at_the_start_is_an_error() -> None:
    destination = FakeDestination()
    destination.refuse = FileNotFoundError(errno.ENOENT, "No such file or directory")
    with pytest.raises(ProcessError, match="event log fake cannot be opened: No such file"):
        EventLog(destination, FakeLoop())


def test_reopened_destination_gets_what_comes_later() -> None:
    bench = Bench()
    bench.put(1)
    bench.log.flush()
    bench.log.reopen()
    bench.put(2)
    bench.log.flush()
    assert (bench.heard(0), bench.heard(1)) == ([1], [2])


def test_reopening_a_blocked_destination_watches_the_new_one() -> None:
    bench = Bench()
    bench.destination.room = 0
    bench.put(1)
    bench.log.flush()
    bench.log.reopen()
    assert bench.loop.masks == {77: OUT}
    bench.destination.room = None
    bench.loop.fire(77, OUT)
    assert bench.heard(1) == [1]


def test_destination_that_cannot_be_reopened_is_tried_again() -> None:
    bench = Bench()
    bench.destination.refuse = FileNotFoundError(errno.ENOENT, "No such file or directory")
    bench.log.reopen()
    bench.put(1)
    bench.destination.refuse = None
    bench.loop.advance(RETRY_S)
    assert bench.heard() == [1]


def test_close_writes_what_it_can_and_tells_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.destination.room = 8
    bench.put(1, 2, 3)
    bench.log.close()
    assert bench.heard() == [1]
    assert caplog.messages == ["event log fake: 2 events were not written"]
    assert bench.destination.fd < 0
    assert 77 not in bench.loop


def test_destination_that_takes_nothing_is_left_alone_until_it_is_ready() -> None:
    bench = Bench()
    bench.destination.room = 0
    bench.put(1)
    bench.log.flush()
    tries = bench.destination.tries
    for number in range(2, 50):
        bench.put(number)
        bench.log.flush()
    assert bench.destination.tries == tries
    bench.destination.room = None
    bench.loop.fire(77, OUT)
    assert bench.heard() == list(range(1, 50))
    bench.put(50)
    bench.log.flush()
    assert bench.heard()[-1] == 50


def test_end_tries_once_more() -> None:
    bench = Bench()
    bench.destination.room = 0
    bench.put(1)
    bench.log.flush()
    bench.destination.room = None
    bench.log.close()
    assert bench.heard() == [1]


def test_lines_that_wait_take_no_more_memory_than_there_is_in_them() -> None:
    bench = Bench(limit_octets=1 << 20)
    bench.destination.room = 0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        bench.put(*range(4000), fill=500)
        assert tracemalloc.get_traced_memory()[0] - before < 1.5 * (1 << 20)
    finally:
        tracemalloc.stop()
