from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastscp.process import fdpass, notes, packets
from fastscp.process.journal import Journal, Journals
from fastscp.process.loop import Loop
from fastscp.worker.outgoing import MOST_NOTES, MOST_PACKETS
from fastscp.worker.reporter import MOST_GATHERED, Reporter
from tests.support import said


class Coordinator:
    """The far end of an event channel, and one round of the loop when asked for."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.full: list[tuple[str, bool]] = []
        self.reporter = Reporter(self.loop, "worker-1", on_full=lambda reason, full: self.full.append((reason, full)))
        self.channel: socket.socket | None = None

    def connect(self) -> None:
        ours, self.channel = fdpass.channel_pair()
        self.reporter.attach(os.dup(ours.fileno()))
        ours.close()

    def heard(self) -> list[dict[str, Any]]:
        packets = []
        assert self.channel is not None
        while True:
            try:
                packets += map(orjson.loads, self.channel.recv(65536).split(b"\n"))
            except BlockingIOError:
                return packets

    def answer(self, packet: dict[str, Any]) -> None:
        assert self.channel is not None
        self.channel.send(orjson.dumps(packet))
        self.turn()

    def turn(self) -> None:
        self.loop.call_later(0.002, self.loop.stop)
        self.loop._stopped = False
        self.loop.run()


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    made = Coordinator()
    yield made
    made.loop.close()


def test_answers_behind_a_reset_are_taken(coordinator: Coordinator) -> None:
    """A coordinator that dies with unread packets leaves a reset in front of its last answers (unix(7))."""
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    told: list[str] = []
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: told.append("ack"))
    assert coordinator.channel is not None
    coordinator.channel.send(orjson.dumps({"kind": "ack", "first": 1, "event": 1}))
    coordinator.channel.close()
    coordinator.turn()
    assert told == ["ack"]
    assert coordinator.reporter.idle


def test_answers_that_are_there_when_the_channel_turns_out_to_be_closed_are_taken(coordinator: Coordinator) -> None:
    """What was acknowledged is not told to the next coordinator: its hook may have run already."""
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    told: list[str] = []
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: told.append("ack"))
    assert coordinator.channel is not None
    coordinator.heard()
    coordinator.channel.send(orjson.dumps({"kind": "ack", "first": 1, "event": 1}))
    coordinator.channel.close()
    coordinator.reporter.stored(stored(2))  # before the loop has come round
    assert told == ["ack"]
    coordinator.connect()
    assert [packet["event"] for packet in coordinator.heard() if packet["kind"] == "stored"] == [2]


def test_answers_that_are_there_when_another_channel_comes_are_taken(coordinator: Coordinator) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    told: list[str] = []
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: told.append("ack"))
    former = coordinator.channel
    assert former is not None
    former.send(orjson.dumps({"kind": "ack", "first": 1, "event": 1}))
    coordinator.connect()  # before the loop has come round
    former.close()
    assert told == ["ack"]
    assert [packet["kind"] for packet in coordinator.heard()] == ["hello", "opened"]


def test_association_whose_end_finds_the_channel_closed_behind_the_last_acknowledgement(coordinator: Coordinator) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(1))
    assert coordinator.channel is not None
    coordinator.heard()
    coordinator.channel.send(orjson.dumps({"kind": "ack", "first": 1, "event": 1}))
    coordinator.channel.close()
    coordinator.reporter.closed("a", "released", stored=1, refused=0, octets=1)
    coordinator.connect()
    assert [packet["kind"] for packet in coordinator.heard()] == ["hello"]
    assert coordinator.reporter.idle


def opened(name: str) -> packets.Opened:
    return {"kind": "opened", "association": name, "calling_aet": "A", "called_aet": "B", "peer": "127.0.0.1",
            "peer_host": "localhost", "port": 1, "max_pdu": 0}


def stored(number: int, name: str = "a") -> packets.Stored:
    return {"kind": "stored", "event": number, "request": None, "keeps": False, "association": name, "directory": ".", "file": "f",
            "sop_class": "", "sop_instance": "", "study": "", "series": "", "modality": "", "prefix": "CT",
            "transfer_syntax": "", "size": 1, "duration_s": 0.0, "replaced": False, "unchanged": False, "duplicate": None, "sha256": None}


def kinds(packets: list[dict[str, Any]]) -> list[str]:
    return [packet["kind"] for packet in packets]


def test_event_is_sent_before_its_notice(coordinator: Coordinator) -> None:
    coordinator.connect()
    notices: list[str] = []
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(coordinator.reporter.next_event()), on_sent=lambda: notices.append("sent"),
                                on_acknowledged=lambda: notices.append("durable"))
    assert kinds(coordinator.heard()) == ["hello", "opened", "stored"]
    assert notices == ["sent"]
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    assert notices == ["sent", "durable"]
    assert coordinator.reporter.idle


def test_nothing_is_lost_while_there_is_no_coordinator(coordinator: Coordinator) -> None:
    notices: list[str] = []
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(coordinator.reporter.next_event()), on_sent=lambda: notices.append("sent"))
    coordinator.reporter.closed("a", "released", stored=0, refused=0, octets=0)
    assert notices == []
    coordinator.connect()
    assert kinds(coordinator.heard()) == ["hello", "opened", "stored", "closed"]
    assert notices == ["sent"]


def test_association_is_forgotten_with_its_last_acknowledgement(coordinator: Coordinator) -> None:
    """A new coordinator hears of an association while an event of it may have to be repeated, and then no more."""
    coordinator.connect()
    reporter = coordinator.reporter
    reporter.opened(opened("a"))
    for _ in range(2):
        reporter.stored(stored(reporter.next_event()))
    reporter.closed("a", "released", stored=0, refused=0, octets=0)
    coordinator.answer({"kind": "ack", "first": 2, "event": 2})
    coordinator.connect()
    assert kinds(coordinator.heard()) == ["hello", "opened", "stored", "closed"]
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    coordinator.connect()
    assert kinds(coordinator.heard()) == ["hello"]


def test_new_coordinator_hears_what_the_dead_one_did_not_answer(coordinator: Coordinator) -> None:
    coordinator.connect()
    reporter = coordinator.reporter
    placed: list[packets.Placed] = []
    sent: list[int] = []
    reporter.opened(opened("a"))
    reporter.opened(opened("b"))
    for _ in range(2):
        number = reporter.next_event()
        reporter.stored(stored(number), on_sent=lambda number=number: sent.append(number))
    request = reporter.place("a", "1.2", "P", "", placed.append)
    reporter.closed("b", "released", stored=0, refused=0, octets=0)
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    assert coordinator.channel is not None
    coordinator.channel.close()
    coordinator.turn()
    coordinator.connect()
    heard = coordinator.heard()
    assert kinds(heard) == ["hello", "opened", "stored", "place"]
    assert heard[0]["unacknowledged"] == 1
    assert heard[2]["event"] == 2
    assert sent == [1, 2]
    coordinator.answer({"kind": "placed", "request": request, "directory": "d", "status": 0, "message": "", "late": False, "lasting": False})
    assert placed[0]["directory"] == "d"


def test_new_coordinator_hears_of_transfers_under_way(coordinator: Coordinator) -> None:
    coordinator.connect()
    reporter = coordinator.reporter
    placed: list[packets.Placed] = []
    reporter.opened(opened("a"))
    requests = [reporter.place("a", "1.2", "P", "", placed.append) for _ in range(3)]
    for request in requests:
        coordinator.answer({"kind": "placed", "request": request, "directory": "d", "status": 0, "message": "", "late": False, "lasting": False})
    reporter.abandoned(requests[0])
    reporter.stored({**stored(reporter.next_event()), "request": requests[1]})
    coordinator.connect()
    heard = coordinator.heard()
    assert [packet.get("request") for packet in heard if packet["kind"] in {"stored", "place"}] == requests[1:]
    assert kinds(heard) == ["hello", "opened", "stored", "place"]
    coordinator.answer({"kind": "placed", "request": requests[2], "directory": "d", "status": 0, "message": "", "late": False, "lasting": False})
    assert len(placed) == 3  # the repeated answer is not heard


def test_hooks_that_end_before_the_acknowledgement_are_heard(coordinator: Coordinator) -> None:
    coordinator.connect()
    ran: list[str] = []
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(coordinator.reporter.next_event()), on_ran=lambda: ran.append("ran"))
    coordinator.answer({"kind": "ran", "event": 1})
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    assert ran == ["ran"]


def test_hooks_of_a_dead_coordinator_do_not_keep_anybody_waiting(coordinator: Coordinator) -> None:
    coordinator.connect()
    ran: list[str] = []
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(coordinator.reporter.next_event()), on_ran=lambda: ran.append("ran"))
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    assert ran == []
    coordinator.connect()
    assert ran == ["ran"]


def test_abandoned_request_is_not_answered(coordinator: Coordinator) -> None:
    coordinator.connect()
    placed: list[packets.Placed] = []
    coordinator.reporter.opened(opened("a"))
    request = coordinator.reporter.place("a", "1.2", "P", "", placed.append)
    coordinator.reporter.abandoned(request)
    coordinator.answer({"kind": "placed", "request": request, "directory": "d", "status": 0, "message": "", "late": False, "lasting": False})
    assert placed == []
    assert kinds(coordinator.heard())[-2:] == ["place", "abandoned"]


def test_full_channel_delays_the_notice_and_keeps_the_order(coordinator: Coordinator) -> None:
    coordinator.connect()
    sent: list[int] = []
    coordinator.reporter.opened(opened("a"))
    for _ in range(3000):
        number = coordinator.reporter.next_event()
        coordinator.reporter.stored(stored(number), on_sent=lambda number=number: sent.append(number))
    assert len(sent) < 3000
    heard: list[int] = []
    while len(heard) < 3000:
        heard += [packet["event"] for packet in coordinator.heard() if packet["kind"] == "stored"]
        coordinator.turn()
    assert sent == heard == list(range(1, 3001))


def test_event_that_follows_from_a_repeated_one_comes_after_all_repeats(coordinator: Coordinator) -> None:
    """The answer to a repeated event goes out, and the peer's next object is already there."""
    reporter = coordinator.reporter
    reporter.opened(opened("a"))

    def next_object() -> None:
        reporter.stored(stored(reporter.next_event()))

    for _ in range(3):
        reporter.stored(stored(reporter.next_event()), on_sent=next_object)
    coordinator.connect()
    events = [packet["event"] for packet in coordinator.heard() if packet["kind"] == "stored"]
    assert events == [1, 2, 3, 4, 5, 6]


def test_any_number_of_events_that_follow_from_one_another_needs_no_depth(coordinator: Coordinator) -> None:
    """150 pipelining associations whose events were all waiting for the next coordinator, and 2000 of one of them."""
    reporter = coordinator.reporter
    depths: list[int] = []

    def next_object() -> None:
        depths.append(len(inspect.stack(0)))
        if len(depths) < 2000:
            reporter.stored(stored(reporter.next_event()), on_sent=next_object)

    for number in range(150):
        reporter.opened(opened(str(number)))
        reporter.stored(stored(reporter.next_event(), str(number)), on_sent=next_object)
    coordinator.connect()
    while len(depths) < 2000:
        coordinator.heard()
        coordinator.turn()
    assert max(depths) - min(depths) < 5


@pytest.mark.parametrize("kind", ["ack", "ran", "placed"])
def test_answers_are_acted_upon_after_all_were_read(coordinator: Coordinator, kind: str) -> None:
    coordinator.connect()
    reporter = coordinator.reporter
    reporter.opened(opened("a"))
    inside: list[bool] = []
    read = reporter._read

    def note() -> None:
        inside.append(reading)

    def watched() -> None:
        nonlocal reading
        reading = True
        read()
        reading = False

    reading = False
    reporter._read = watched  # type: ignore[method-assign]
    event = reporter.next_event()
    reporter.stored(stored(event), on_acknowledged=note, on_ran=note)
    request = reporter.place("a", "1.2", "P", "", lambda _packet: note())
    answers: dict[str, dict[str, Any]] = {
        "ack": {"first": event, "event": event}, "ran": {"event": event},
        "placed": {"request": request, "directory": "d", "status": 0, "message": ""}}
    coordinator.answer({"kind": kind, **answers[kind]})
    assert inside == [False]


def test_place_that_another_callback_abandons_is_not_answered(coordinator: Coordinator) -> None:
    coordinator.connect()
    reporter = coordinator.reporter
    reporter.opened(opened("a"))
    placed: list[packets.Placed] = []
    requests: list[int] = []
    reporter.stored(stored(reporter.next_event()), on_acknowledged=lambda: reporter.abandoned(requests[0]))
    requests.append(reporter.place("a", "1.2", "P", "", placed.append))
    assert coordinator.channel is not None
    coordinator.channel.send(orjson.dumps({"kind": "ack", "first": 1, "event": 1}))
    coordinator.answer({"kind": "placed", "request": requests[0], "directory": "d", "status": 0, "message": ""})
    assert placed == []


def test_coordinator_that_dies_while_an_event_leads_to_another(coordinator: Coordinator) -> None:
    coordinator.connect()
    reporter = coordinator.reporter
    reporter.opened(opened("a"))

    def next_object() -> None:
        assert coordinator.channel is not None
        coordinator.channel.close()
        reporter.stored(stored(reporter.next_event()))

    reporter.stored(stored(reporter.next_event()), on_sent=next_object)
    coordinator.connect()
    assert [packet["event"] for packet in coordinator.heard() if packet["kind"] == "stored"] == [1, 2]


# -- notes for the event stream ---------------------------------------------------------------------


def note(number: int) -> notes.Refused:
    return said.refused("a", instance=str(number))  # type: ignore[return-value]


def test_note_leaves_at_once_and_is_not_repeated(coordinator: Coordinator) -> None:
    coordinator.connect()
    coordinator.reporter.note(note(1))
    assert kinds(coordinator.heard()) == ["hello", "refused"]
    assert coordinator.reporter.idle
    coordinator.connect()
    assert kinds(coordinator.heard()) == ["hello"]


def test_notes_wait_for_a_coordinator_and_follow_what_counts(coordinator: Coordinator) -> None:
    reporter = coordinator.reporter
    reporter.opened(opened("a"))
    reporter.note(note(1))
    reporter.stored(stored(reporter.next_event()))
    reporter.closed("a", "released", stored=1, refused=1, octets=5)
    assert not reporter.idle
    coordinator.connect()
    heard = coordinator.heard()
    assert kinds(heard) == ["hello", "opened", "stored", "refused", "closed"]
    assert (heard[-1]["stored"], heard[-1]["refused"], heard[-1]["octets"]) == (1, 1, 5)


def test_notes_without_a_coordinator_are_bounded_and_the_rest_is_counted(coordinator: Coordinator) -> None:
    reporter = coordinator.reporter
    for number in range(MOST_NOTES + 5):
        reporter.note(note(number))
    assert len(reporter._outgoing) == MOST_NOTES
    coordinator.connect()
    heard: list[dict[str, Any]] = []
    while not reporter.idle:
        heard += coordinator.heard()
        coordinator.turn()
    heard += coordinator.heard()
    assert [packet["instance"] for packet in heard if packet["kind"] == "refused"] == [str(n) for n in range(MOST_NOTES)]
    assert heard[-1] == {"kind": "missed", "count": 5}
    reporter.note(note(1))
    assert kinds(coordinator.heard()) == ["refused"], "room again, and nothing missed"


def test_what_a_new_coordinator_hears_anyway_does_not_pile_up_meanwhile(coordinator: Coordinator) -> None:
    reporter = coordinator.reporter
    for number in range(50):
        reporter.opened(opened(str(number)))
        reporter.closed(str(number), "released", stored=0, refused=0, octets=0)
    assert reporter.idle
    assert not reporter._outgoing


def test_trouble_of_the_state_is_known_until_it_is_over_or_the_coordinator_is_another(coordinator: Coordinator) -> None:
    coordinator.connect()
    for reason in ("no space", "", "no space"):
        coordinator.answer({"kind": "trouble", "reason": reason})
        assert coordinator.reporter.trouble == reason
    coordinator.connect()
    assert coordinator.reporter.trouble == ""


def stored_with(coordinator: Coordinator, event: int, *notices: str) -> list[str]:
    """Tell of an object; return the notices that come, as they come."""
    came: list[str] = []
    names = {name: (lambda name=name: came.append(name)) for name in notices}
    coordinator.reporter.stored(said.stored(event, "1.1", "/d"), **names)  # type: ignore[arg-type]
    return came


def test_event_that_the_coordinator_cannot_take_over_is_told_and_not_repeated(coordinator: Coordinator) -> None:
    coordinator.connect()
    coordinator.reporter.opened(said.opened("a"))  # type: ignore[arg-type]
    came = stored_with(coordinator, 1, "on_acknowledged", "on_failed", "on_ran")
    coordinator.answer({"kind": "failed", "event": 1})
    assert came == ["on_failed"]
    assert coordinator.reporter.idle
    coordinator.reporter.closed("a", "aborted", stored=1, refused=0, octets=1)
    coordinator.heard()
    coordinator.connect()
    assert [packet["kind"] for packet in coordinator.heard()] == ["hello"]
    coordinator.answer({"kind": "failed", "event": 1})
    assert came == ["on_failed"]


def test_peer_that_was_answered_does_not_wait_for_hooks_that_will_not_run(coordinator: Coordinator) -> None:
    coordinator.connect()
    came = stored_with(coordinator, 1, "on_sent", "on_ran")
    coordinator.answer({"kind": "failed", "event": 1})
    assert came == ["on_sent", "on_ran"]


@pytest.mark.parametrize("packet", [{"kind": "nobody knows"}, {"kind": "ack"}, {"kind": "placed"}, {}, 7])
def test_strange_packet_of_the_coordinator_is_logged_and_left_out(
        coordinator: Coordinator, caplog: pytest.LogCaptureFixture, packet: Any) -> None:
    coordinator.connect()
    came = stored_with(coordinator, 1, "on_acknowledged")
    coordinator.answer(packet)
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    assert came == ["on_acknowledged"]
    assert "a packet of the coordinator is left out" in caplog.text


def test_hold_of_the_coordinator_is_passed_on_and_ends_with_it(coordinator: Coordinator) -> None:
    coordinator.connect()
    coordinator.answer({"kind": "hold", "on": True})
    coordinator.answer({"kind": "hold", "on": False})
    coordinator.answer({"kind": "hold", "on": True})
    coordinator.connect()
    assert coordinator.full == [("hooks", False), ("hooks", True), ("hooks", False), ("hooks", True), ("hooks", False)]


def test_packets_that_nobody_reads_hold_objects_back_until_half_of_them_are_read(coordinator: Coordinator) -> None:
    coordinator.connect()
    coordinator.full.clear()
    for number in range(MOST_PACKETS):
        coordinator.reporter.abandoned(number)
    assert coordinator.full == [], "some are in the channel"
    told = MOST_PACKETS
    while not coordinator.full:
        coordinator.reporter.abandoned(told)
        told += 1
        assert told < 10 * MOST_PACKETS
    assert coordinator.full == [("packets", True)]
    heard = 0
    while heard < told:
        heard += len(coordinator.heard())
        if coordinator.full[-1][1]:
            assert heard < told
        coordinator.turn()
    assert coordinator.full == [("packets", True), ("packets", False)]


# -- the journal --------------------------------------------------------------------------------------


@pytest.fixture
def journal(coordinator: Coordinator, tmp_path: Path) -> Journal:
    coordinator.reporter._journal = made = Journal(tmp_path, "worker-1")
    return made


def kept(tmp_path: Path) -> list[str]:
    return [orjson.loads(line)["kind"] for line in Journals(tmp_path).read("worker-1")]


def test_event_in_the_journal_is_safe_at_once_and_gathers_with_others(coordinator: Coordinator, journal: Journal, tmp_path: Path) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    coordinator.heard()
    told: list[int] = []
    for number in (1, 2):
        coordinator.reporter.stored(stored(number), on_acknowledged=lambda number=number: told.append(number))  # type: ignore[misc]
        assert told[-1] == number
    assert kept(tmp_path) == ["opened", "stored", "stored"]
    assert coordinator.heard() == []
    assert not coordinator.reporter.idle
    for _ in range(3):
        coordinator.turn()
    assert coordinator.channel is not None
    octets = coordinator.channel.recv(1 << 16)
    assert [orjson.loads(line)["event"] for line in octets.split(b"\n")] == [1, 2], "together"
    coordinator.answer({"kind": "ack", "first": 1, "event": 2})
    assert coordinator.reporter.idle
    assert told == [1, 2]


def test_what_comes_behind_gathered_events_does_not_overtake_them(coordinator: Coordinator, journal: Journal) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: None)
    coordinator.reporter.place("a", "1.2", "P", "", lambda _packet: None)
    assert kinds(coordinator.heard()) == ["hello", "opened", "stored", "place"]


def test_many_events_do_not_wait_for_more(coordinator: Coordinator, journal: Journal) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    coordinator.heard()
    for number in range(1, MOST_GATHERED + 1):
        coordinator.reporter.stored(stored(number), on_acknowledged=lambda: None)
    assert len(coordinator.heard()) == MOST_GATHERED


def test_event_that_the_journal_does_not_take_waits_for_the_coordinator(coordinator: Coordinator, journal: Journal) -> None:
    journal._given_up = True
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    told: list[str] = []
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: told.append("safe"))
    assert kinds(coordinator.heard()) == ["hello", "opened", "stored"]
    assert told == []
    coordinator.answer({"kind": "ack", "first": 1, "event": 1})
    assert told == ["safe"]


def test_event_that_was_answered_and_fails_concerns_nobody(coordinator: Coordinator, journal: Journal) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    told: list[str] = []
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: told.append("safe"), on_failed=lambda: told.append("failed"))
    coordinator.answer({"kind": "failed", "event": 1})
    assert told == ["safe"]


def test_nobody_waits_for_a_dead_coordinator_and_the_next_one_hears_all(coordinator: Coordinator, journal: Journal) -> None:
    coordinator.reporter.opened(opened("a"))
    told: list[int] = []
    for number in (1, 2):
        coordinator.reporter.stored(stored(number), on_acknowledged=lambda number=number: told.append(number))  # type: ignore[misc]
    assert told == [1, 2]
    coordinator.connect()
    assert kinds(coordinator.heard()) == ["hello", "opened", "stored", "stored"]


def test_journal_is_removed_at_the_end_when_everything_is_acknowledged(coordinator: Coordinator, journal: Journal, tmp_path: Path) -> None:
    coordinator.connect()
    coordinator.reporter.opened(opened("a"))
    coordinator.reporter.stored(stored(1), on_acknowledged=lambda: None)
    coordinator.reporter.close()
    assert coordinator.channel is not None
    told = [orjson.loads(coordinator.channel.recv(1 << 16))["kind"] for _ in range(3)]
    assert told == ["hello", "opened", "stored"], "nothing is left untold"
    assert kept(tmp_path) == ["opened", "stored"]
    coordinator.reporter._events.clear()
    coordinator.reporter._journal = other = Journal(tmp_path, "other")
    other.keep("a", b"A", b"1")
    coordinator.reporter.close()
    assert Journals(tmp_path).incarnations() == ["worker-1"]
