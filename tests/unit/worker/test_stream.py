from __future__ import annotations

import pytest

from fastscp.net.transport import HandshakeState, TransportError
from fastscp.process.loop import IN, OUT
from fastscp.worker.stream import Stream
from tests.support.fake_worker import FD, FakeTransport
from tests.support.fakes import FakeLoop


class Ends:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.transport = FakeTransport()
        self.ready: list[int] = []
        self.stream = Stream(self.loop, self.transport, self.ready.append)  # type: ignore[arg-type]

    @property
    def watched(self) -> int:
        return self.loop.watched(FD)


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_waits_for_octets_from_the_start(ends: Ends) -> None:
    assert ends.watched == 0
    ends.stream.open()
    assert ends.watched == IN
    ends.loop.fire(FD, IN)
    assert ends.ready == [IN]


def test_a_handshake_decides_what_is_waited_for(ends: Ends) -> None:
    ends.transport.connected = False
    ends.transport.handshake_states = [HandshakeState.WANTS_WRITE, HandshakeState.WANTS_READ, HandshakeState.DONE]
    ends.stream.open()
    assert not ends.stream.handshake()
    assert ends.watched == OUT
    ends.stream.update(reading=False)
    assert ends.watched == OUT, "nothing else counts before the handshake is over"
    assert not ends.stream.handshake()
    assert ends.watched == IN
    assert ends.stream.handshake()
    assert ends.watched == IN


def test_what_does_not_leave_waits_in_order(ends: Ends) -> None:
    ends.stream.open()
    ends.transport.room = 3
    ends.stream.output += b"abcde"
    ends.stream.flush()
    ends.stream.update(reading=True)
    assert (bytes(ends.transport.sent), bytes(ends.stream.output), ends.watched) == (b"abc", b"de", IN | OUT)
    ends.stream.output += b"f"
    ends.transport.room = 100
    ends.stream.flush()
    ends.stream.update(reading=True)
    assert (bytes(ends.transport.sent), bytes(ends.stream.output), ends.watched) == (b"abcdef", b"", IN)


def test_with_nothing_wanted_it_is_not_watched(ends: Ends) -> None:
    ends.stream.open()
    ends.stream.update(reading=False)
    assert FD not in ends.loop
    ends.stream.update(reading=True)
    assert ends.watched == IN


@pytest.mark.parametrize(("waiting", "watched"), [(1 << 16, IN | OUT), ((1 << 16) + 1, OUT)])
def test_a_peer_that_takes_no_answers_is_not_read(ends: Ends, waiting: int, watched: int) -> None:
    ends.stream.open()
    ends.transport.room = 0
    ends.stream.output += bytes(waiting)
    ends.stream.update(reading=True)
    assert ends.watched == watched


def test_the_transports_own_octets_are_waited_for(ends: Ends) -> None:
    ends.stream.open()
    ends.transport.wants_write = True
    ends.stream.update(reading=True)
    assert ends.watched == IN | OUT


def test_closed_it_leaves_the_loop_and_stays_out(ends: Ends) -> None:
    ends.stream.open()
    assert not ends.stream.closed
    ends.stream.close()
    assert ends.stream.closed
    assert FD not in ends.loop
    assert ends.transport.closes == 1
    ends.stream.update(reading=True)
    assert FD not in ends.loop


def test_a_lost_connection_is_the_callers(ends: Ends) -> None:
    ends.stream.open()
    ends.transport.broken = True
    ends.stream.output += b"a"
    with pytest.raises(TransportError):
        ends.stream.flush()
