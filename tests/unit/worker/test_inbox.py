from __future__ import annotations

from fastscp.dimse.provider import DataEnd, DataFragments, StoreRequest
from fastscp.errors import PeerError
from fastscp.ul.answers import Answers
from fastscp.ul.association import Association
from fastscp.ul.encode import encode_data
from fastscp.ul.events import Established, ReleaseRequested
from fastscp.worker.inbox import Inbox
from tests.corpus import wire
from tests.support.fake_worker import NEGOTIATION, data_set, store


def filled(octets: bytes) -> Inbox:
    inbox = Inbox()
    inbox.put(Association(Answers(NEGOTIATION)).receive(memoryview(octets)))
    return inbox


def kinds(inbox: Inbox) -> list[type]:
    return [type(item) for item in inbox.items]


def test_items_come_in_order_of_arrival() -> None:
    inbox = filled(wire.RQ + store() + wire.RELEASE_RQ)
    assert kinds(inbox) == [Established, StoreRequest, DataFragments, DataEnd, ReleaseRequested]
    assert not inbox.inside_message


def test_a_broken_message_stands_in_its_place() -> None:
    inbox = filled(wire.RQ + store() + encode_data(9, 3, wire.echo_command()))
    assert kinds(inbox) == [Established, StoreRequest, DataFragments, DataEnd, PeerError]


def test_begun_messages_are_known() -> None:
    assert filled(wire.RQ + store()[:-20]).inside_message
    assert not Inbox().inside_message


def test_kept_items_do_not_need_the_receive_buffer() -> None:
    octets = bytearray(wire.RQ + store())
    inbox = filled(bytes(0))
    inbox.put(Association(Answers(NEGOTIATION)).receive(memoryview(octets)))
    inbox.keep()
    octets[:] = bytes(len(octets))
    assert b"".join(inbox.items[2].views) == data_set()
