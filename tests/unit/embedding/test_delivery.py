"""Events on their way to callbacks: their order, what callbacks do wrong, and what waits."""

from __future__ import annotations

import logging
import socket
import threading

import pytest

from fastscp import jsontext
from fastscp.embedding.delivery import Callbacks, Delivery, Mailbox
from fastscp.study import events
from tests.support.servers import wait_until
from tests.unit.embedding.test_records import CALLER, PACKET


def stored(number, **changes):
    return jsontext.dumps(events.object_stored(0, CALLER, {**PACKET, "sop_instance": str(number), **changes})) + b"\n"


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_callbacks_are_told_in_order_up_to_the_end(ends):
    told = []
    delivery = Delivery(ends[0], Callbacks(on_object=lambda one: told.append(one.sop_instance_uid)))
    octets = b"".join(map(stored, range(50)))
    for at in range(0, len(octets), 777):
        ends[1].sendall(octets[at:at + 777])
    ends[1].close()
    delivery.run()
    assert told == [str(number) for number in range(50)]
    assert delivery.dropped == 0


def test_each_callback_gets_its_own_events(ends):
    told = []
    delivery = Delivery(ends[0], Callbacks(*(lambda one, name=name: told.append((name, type(one).__name__)) for name in "osr")))
    end = {"study_uid": "1.2", "directory": "/d", "reason": "timeout", "revision": 1}
    for event in (events.object_stored(0, CALLER, PACKET), events.study_completed(0, end, CALLER, []), events.object_refused(0, PACKET),
                  events.association_rejected(0, {**CALLER, "reason": "r"}), events.study_opened(0, "1", "/d")):
        ends[1].sendall(jsontext.dumps(event) + b"\n")
    ends[1].close()
    delivery.run()
    assert told == [("o", "StoredObject"), ("s", "CompletedStudy"), ("r", "Refusal"), ("r", "Refusal")]


def test_only_what_is_called_for_is_wanted():
    assert Callbacks().kinds == frozenset()
    assert Callbacks(on_object=print).kinds == {"object.stored", "events.dropped"}
    assert Callbacks(on_study=print).kinds == {"study.completed", "events.dropped"}
    assert Callbacks(on_refused=print).kinds == {"object.refused", "object.quarantined", "association.rejected", "connection.refused", "events.dropped"}


def test_an_exception_is_logged_and_the_next_event_comes(ends, caplog):
    told = []

    def fail(one):
        told.append(one.sop_instance_uid)
        raise RuntimeError(f"not {one.sop_instance_uid}")

    ends[1].sendall(stored(1) + stored(2))
    ends[1].close()
    Delivery(ends[0], Callbacks(on_object=fail)).run()
    assert told == ["1", "2"]
    assert [(record.name, record.levelno, record.exc_info[1].args) for record in caplog.records] == [
        ("fastscp", logging.ERROR, ("not 1",)), ("fastscp", logging.ERROR, ("not 2",))]


def test_what_is_missing_is_counted_and_logged(ends, caplog):
    ends[1].sendall(jsontext.dumps(events.events_dropped(0, 7)) + b"\n" + b'{"schema":1,"ev\n')
    ends[1].close()
    delivery = Delivery(ends[0], Callbacks(on_object=print))
    delivery.run()
    assert delivery.dropped == 8
    assert "7 events are missing here" in caplog.messages[0]


def test_a_line_that_a_dying_process_began_does_not_spoil_the_next(ends):
    told = []
    ends[1].sendall(stored(1)[:40] + stored(2))
    ends[1].close()
    Delivery(ends[0], Callbacks(on_object=lambda one: told.append(one.sop_instance_uid))).run()
    assert told == ["2"]


def test_paths_of_any_octets(ends):
    told = []
    ends[1].sendall(stored(1, directory="/in/\udcff"))
    ends[1].close()
    Delivery(ends[0], Callbacks(on_object=lambda one: told.append(str(one.path)))).run()
    assert told == ["/in/\udcff/CT.1"]


def test_a_slow_callback_holds_up_only_what_has_no_room(ends):
    """The reader fills its room and then leaves the rest in the socket, where the service sees it."""
    begun, go_on, told = threading.Event(), threading.Event(), []

    def wait(one):
        begun.set()
        go_on.wait()
        told.append(one.sop_instance_uid)

    line = stored(1)
    delivery = Delivery(ends[0], Callbacks(on_object=wait), most_octets=10 * len(line))
    thread = threading.Thread(target=delivery.run)
    thread.start()
    ends[1].setblocking(False)
    sent = 0

    def is_full():
        nonlocal sent
        try:
            while True:
                sent += ends[1].send(line[sent % len(line):])
        except BlockingIOError:
            return True

    assert begun.is_set() or not is_full() or begun.wait(30)
    wait_until(lambda: is_full() and len(delivery._mailbox._lines) == 10, "the room is full")
    assert delivery._mailbox._octets <= 10 * len(line)
    go_on.set()
    ends[1].close()
    thread.join()
    assert len(told) == sent // len(line)


def test_a_mailbox_that_is_closed_lets_everybody_go():
    mailbox = Mailbox(3)
    mailbox.put(b"longer than that")
    putting = threading.Thread(target=mailbox.put, args=(b"waits",))
    putting.start()
    mailbox.close()
    putting.join(30)
    assert not putting.is_alive()
    assert list(mailbox) == []


def test_a_mailbox_ends_behind_its_last_line():
    mailbox = Mailbox()
    mailbox.put(b"1")
    mailbox.end()
    assert list(mailbox) == [b"1"]
