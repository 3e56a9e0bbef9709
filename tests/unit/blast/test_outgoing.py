from __future__ import annotations

import random
from collections.abc import Sequence

from fastscp.blast.outgoing import Outgoing
from fastscp.blast.plan import Line
from fastscp.blast.wire import View
from tests.support.fakes import FakeLoop


class Wire:
    """Takes so many octets at a time."""

    def __init__(self, *rooms: int) -> None:
        self.rooms, self.sent = list(rooms), bytearray()

    def send(self, views: Sequence[View]) -> int:
        room = self.rooms.pop(0) if self.rooms else 1 << 30
        data = b"".join(views)[:room]
        self.sent += data
        return len(data)


def test_octets_leave_in_order_whatever_the_socket_takes() -> None:
    generator = random.Random(3)
    for _ in range(50):
        wire = Wire(*(generator.choice((0, 1, 5, 12, 40)) for _ in range(30)))
        outgoing = Outgoing(Line(), FakeLoop(), lambda: None)
        views = [bytes([number]) * generator.randrange(20) for number in range(10)]
        outgoing.put([views[0], memoryview(views[1]), bytearray(views[2])])
        outgoing.flush(wire)
        outgoing.put(list(views[3:]))
        for _ in range(40):
            outgoing.flush(wire)
        assert bytes(wire.sent) == b"".join(views)


def test_a_full_socket_is_told() -> None:
    outgoing = Outgoing(Line(), FakeLoop(), lambda: None)
    outgoing.put([b"abcdef"])
    wire = Wire(3, 0)
    assert outgoing.flush(wire)
    assert not outgoing.flush(wire)
    assert bytes(wire.sent) == b"abcdef"


def test_a_message_waits_its_time() -> None:
    loop, wire = FakeLoop(0.0), Wire()
    outgoing = Outgoing(Line(delay_s=0.1), loop, lambda: outgoing.flush(wire))
    outgoing.put([b"a"])
    loop.advance(0.05)
    outgoing.put([b"b"])
    loop.advance(0.049)
    outgoing.flush(wire)
    assert wire.sent == b""
    loop.advance(0.002)
    assert wire.sent == b"a"
    loop.advance(0.05)
    assert wire.sent == b"ab"


def test_a_narrow_line_takes_its_time() -> None:
    loop, wire = FakeLoop(0.0), Wire()
    outgoing = Outgoing(Line(octets_per_s=100_000), loop, lambda: outgoing.flush(wire))
    outgoing.put([bytes(30_000), bytes(20_000)])
    outgoing.flush(wire)
    sent = [len(wire.sent)]
    for _ in range(6):
        loop.advance(0.1)
        sent.append(len(wire.sent))
    assert all(abs(octets - 10_000 * number) <= 2_500 for number, octets in enumerate(sent[:6]))
    assert sent[-1] == 50_000


def test_cleared_nothing_leaves() -> None:
    loop, wire = FakeLoop(0.0), Wire()
    outgoing = Outgoing(Line(delay_s=0.1), loop, lambda: outgoing.flush(wire))
    outgoing.put([b"a"])
    outgoing.clear()
    loop.advance(1)
    assert wire.sent == b""
