from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastscp.coordinator.backlog import Backlog
from fastscp.coordinator.by_sender import StudiesBySender
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.rules import AllRules, Rules
from fastscp.coordinator.sessions import Sessions
from fastscp.coordinator.state import SqliteState
from fastscp.coordinator.tasks import Lanes, Task
from fastscp.errors import ProcessError
from fastscp.process.loop import IN
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from tests.support import said
from tests.support.fakes import FakeLoop, FakeSink, FakeSocket

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)
SYNCHRONOUS = HookPolicy(on_reception="r", synchronous=True)


class Bench:
    def __init__(self, output: Path, hooks: HookPolicy = SYNCHRONOUS, *, tracks: bool = True,
                 known: Mapping[str, int] | None = None, **more: Any) -> None:
        self.output = output
        self.loop = FakeLoop()
        self.lanes = Lanes()
        self.sink = FakeSink()
        self.changes = 0
        self.state = SqliteState(None)
        self.studies = None
        rules = AllRules({"": Rules(BY_UID, hooks, str(output), ignore=False, keeps_studies=tracks)}, (), ())
        if tracks:
            self.studies = StudiesBySender(rules, self.state, self.lanes, self.sink)
        self.backlog = Backlog(self.lanes, self.state, numbers=None if self.studies is None else self.studies.numbers)
        self.sessions = Sessions(self.loop, self.lanes, self.studies, self.backlog, self.sink, rules,
                                 known=known or {}, changed=self.change, **more)

    def change(self) -> None:
        self.changes += 1

    def connect(self, incarnation: str = "w") -> FakeSocket:
        worker = FakeSocket()
        self.sessions.add(f"channel of {incarnation}", worker)
        self.say(worker, said.hello(incarnation), said.opened("a"))
        return worker

    def say(self, worker: FakeSocket, *said_packets: Mapping[str, Any]) -> None:
        for packet in said_packets:
            worker.put(packet)
        self.loop.fire(worker.fd, IN)

    def die(self, worker: FakeSocket) -> None:
        worker.dead = True
        self.loop.fire(worker.fd, IN)

    def told(self, worker: FakeSocket) -> list[dict[str, Any]]:
        self.sessions.answers.send()
        return worker.take_sent()

    def do_next(self) -> Task:
        task: Task = (self.lanes.ready_finishes or self.lanes.ready_hooks).popleft()
        self.lanes.finish(task)
        self.sessions.task_finished(task)
        return task


def ack(event: int) -> dict[str, Any]:
    return {"kind": "ack", "first": event, "event": event}


def ran(event: int) -> dict[str, Any]:
    return {"kind": "ran", "event": event}


def test_answers_wait_until_they_are_sent_and_leave_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.place(1, "1.1"))
    assert worker.sent == []
    assert bench.told(worker) == [
        {"kind": "placed", "request": 1, "directory": f"{tmp_path}/1.1", "status": 0, "message": "", "late": False, "lasting": True}]
    assert bench.told(worker) == []


def test_every_packet_asks_for_a_round(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    before = bench.changes
    bench.say(worker, said.place(1, "1.1"))
    assert bench.changes == before + 1
    bench.die(worker)
    assert bench.changes > before + 1


def test_without_studies_everything_goes_into_the_output_directory(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tracks=False)
    worker = bench.connect()
    bench.say(worker, said.place(1, ""))
    assert bench.told(worker)[0]["directory"] == str(tmp_path)


def test_object_is_acknowledged_and_its_hook_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", f"{tmp_path}/1.1"))
    assert bench.told(worker) == [ack(1)]
    bench.do_next()
    assert bench.told(worker) == [ran(1)]


def test_synchronous_worker_waits_for_everything_its_event_caused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HookPolicy(on_end_of_series="s", synchronous=True))
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", f"{tmp_path}/1.1"))
    assert bench.told(worker) == [ack(1), ran(1)]
    bench.say(worker, said.stored(2, "1.2", f"{tmp_path}/1.2"))
    assert bench.told(worker) == [ack(2)]
    bench.do_next()
    assert bench.told(worker) == []
    bench.do_next()
    assert bench.told(worker) == [ran(2)]


def test_nobody_is_told_ran_unless_hooks_are_synchronous(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HookPolicy(on_reception="r"))
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", f"{tmp_path}/1.1"))
    bench.do_next()
    assert bench.told(worker) == [ack(1)]


def test_without_state_the_acknowledgement_waits_for_the_start_of_the_hook(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HookPolicy(on_reception="r"), tracks=False)
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", str(tmp_path)))
    assert bench.told(worker) == []
    bench.sessions.hook_taken(bench.lanes.ready_hooks[0])
    assert bench.told(worker) == [ack(1)]


def test_without_state_and_hook_the_acknowledgement_comes_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HookPolicy(), tracks=False)
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", str(tmp_path)))
    assert bench.told(worker) == [ack(1)]
    assert bench.lanes.pending == 0


def test_with_state_the_start_of_a_hook_is_no_news(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", f"{tmp_path}/1.1"))
    bench.told(worker)
    bench.sessions.hook_taken(bench.lanes.ready_hooks[0])
    assert bench.told(worker) == []


def test_repeated_event_counts_once_and_is_answered_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    packet = said.stored(1, "1.1", f"{tmp_path}/1.1")
    bench.say(worker, packet, packet)
    assert bench.told(worker) == [ack(1), ack(1)]
    assert bench.lanes.pending == 1
    assert bench.sink.kinds.count("object.stored") == 1


def test_events_taken_over_by_an_earlier_life_count_no_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path, known={"w": 5})
    worker = bench.connect()
    bench.say(worker, said.stored(5, "1.1", f"{tmp_path}/1.1"))
    assert bench.told(worker) == [ack(5), ran(5)]
    assert bench.lanes.pending == 0
    bench.say(worker, said.stored(6, "1.1", f"{tmp_path}/1.1"))
    assert bench.lanes.pending == 1


def test_numbers_of_one_worker_are_not_those_of_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path, known={"w": 5})
    other = bench.connect("other")
    bench.say(other, said.stored(1, "1.1", f"{tmp_path}/1.1"))
    assert bench.lanes.pending == 1


def test_repeated_hello_remembers_what_was_taken_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    packet = said.stored(1, "1.1", f"{tmp_path}/1.1")
    bench.say(worker, packet)
    bench.die(worker)
    bench.say(again := bench.connect(), packet)
    assert bench.lanes.pending == 1
    assert bench.told(again)[0] == ack(1)


def test_dead_worker_gives_up_its_transfers_and_associations(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.place(1, "1.1"), said.place(2, "1.2"))
    bench.say(worker, said.stored(1, "1.2", f"{tmp_path}/1.2", request=2))
    bench.die(worker)
    assert os.listdir(tmp_path) == ["1.2"]
    assert [event["how"] for event in bench.sink.events if event["event"] == "association.closed"] == ["failed"]
    assert worker.closed


def test_dead_worker_holds_no_study(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HookPolicy())
    first, second = bench.connect("first"), FakeSocket()
    bench.sessions.add("second", second)
    bench.say(second, said.hello("second"), said.opened("b"))
    bench.say(first, said.stored(1, "1.1", f"{tmp_path}/1.1", association="a"))
    bench.say(second, said.stored(1, "1.2", f"{tmp_path}/1.2", association="b"))
    assert bench.lanes.pending == 0
    bench.die(first)
    bench.say(second, said.stored(2, "1.2", f"{tmp_path}/1.2", "CT.2", association="b"))
    assert bench.lanes.pending == 1


def test_late_ends_of_hooks_of_a_dead_worker_are_told_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", f"{tmp_path}/1.1"))
    bench.die(worker)
    again = bench.connect()
    bench.do_next()
    assert bench.told(again) == []
    assert worker.sent == []


def test_abandoned_transfer_is_given_up_once_and_only_if_it_was_placed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.place(1, "1.1"), said.place(2, "1.1"))
    bench.say(worker, said.abandoned(1), said.abandoned(1), said.abandoned(9))
    assert os.listdir(tmp_path) == ["1.1"]
    bench.say(worker, said.abandoned(2))
    assert os.listdir(tmp_path) == []


def test_requests_are_remembered_only_while_they_are_under_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    session = bench.sessions._sessions[1]
    bench.say(worker, said.place(1, ""), said.place(2, "1.1"), said.place(3, "1.1"))
    assert session.requests == {2, 3}
    bench.say(worker, said.stored(1, "1.1", f"{tmp_path}/1.1", request=2), said.abandoned(3))
    assert session.requests == set()


def test_refused_request_is_no_transfer(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.place(1, ""), said.abandoned(1))
    assert [answer["status"] for answer in bench.told(worker)] == [0xC000]


def test_object_of_an_unknown_association_is_taken_with_an_unknown_caller(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.closed("a"), said.stored(1, "1.1", f"{tmp_path}/1.1"))
    assert "object of association a, which was never opened" in caplog.text
    assert bench.lanes.ready_hooks[0].call["values"]["a"] == ""


def test_events_of_a_session_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tracks=False)
    worker = bench.connect()
    bench.say(worker, said.stored(1, "1.1", str(tmp_path)), said.closed("a", "aborted"))
    assert bench.sink.kinds == ["association.opened", "object.stored", "association.closed"]
    assert bench.sink.events[-1]["how"] == "aborted"


def test_what_an_earlier_life_knew_is_compared_with_who_is_here(tmp_path: Path) -> None:
    bench = Bench(tmp_path, known={"w": 5, "gone": 7})
    bench.connect("w")
    assert bench.sessions.unheard(["a", "b"]) == ["b"]
    assert bench.sessions.forget_gone() == ["gone"]
    assert bench.sessions.forget_gone() == []


def test_everything_in_the_channels_is_read_also_to_their_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first, second = bench.connect("first"), bench.connect("second")
    for event in range(1, 301):
        first.put(said.stored(event, "1.1", f"{tmp_path}/1.1", f"CT.{event}"))
    second.put(said.stored(1, "1.1", f"{tmp_path}/1.1", "MR.1"))
    second.dead = True
    bench.sessions.read_all()
    assert len(bench.state.files(1)) == 301
    assert second.closed
    bench.sessions.close()
    assert first.closed


def test_notes_are_events_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.refused("of no association any more"), said.rejected("bad"),
              {"kind": "turned_away", "peer": "192.0.2.7", "peer_host": "x", "port": 5, "reason": "access denied"},
              {"kind": "missed", "count": 3})
    refused, rejected, turned_away, missed = bench.sink.events[1:]
    assert (refused["event"], refused["status"], refused["tag"], refused["offset"]) == (
        "object.refused", 0xC000, "0010,0010", 236)
    assert (refused["calling_aet"], refused["peer_host"]) == ("SCU", "localhost")
    assert (rejected["event"], rejected["reason"], rejected["called_aet"]) == ("association.rejected", "bad", "SCP")
    assert (turned_away["event"], turned_away["peer"], turned_away["reason"]) == (
        "connection.refused", "192.0.2.7", "access denied")
    assert (missed["event"], missed["count"]) == ("events.dropped", 3)
    assert bench.told(worker) == []


def test_closed_association_tells_its_numbers_and_a_lost_one_does_not_know_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.opened("b"), {**said.closed("b"), "stored": 3, "refused": 2, "octets": 100})
    closed = bench.sink.events[-1]
    assert (closed["stored"], closed["refused"], closed["octets"]) == (3, 2, 100)
    bench.die(worker)
    lost = bench.sink.events[-1]
    assert (lost["association"], lost["how"]) == ("a", "failed")
    assert (lost["stored"], lost["refused"], lost["octets"]) == (None, None, None)
def test_hook_of_an_object_without_study_goes_into_the_backlog_with_its_worker(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HookPolicy(on_reception="r"), tracks=False)
    worker = bench.connect()
    bench.say(worker, said.stored(4, "1.1", str(tmp_path)))
    bench.backlog.settle()
    assert bench.state.recover().events == {"w": 4}


def test_hook_of_a_section_without_studies_is_in_the_state_before_a_later_object_of_another_is(tmp_path: Path) -> None:
    """Else the death of the coordinator would lose it: what is told again up to the highest event in the state counts as known."""
    bench = Bench(tmp_path)
    rules = bench.studies._rules if bench.studies is not None else None
    assert rules is not None
    plain = Rules(StudyPolicy(), HookPolicy(on_reception="plain"), str(tmp_path), ignore=False, keeps_studies=False)
    bench.sessions.use(AllRules({**rules.by_sender, "plain": plain}, (), ()))
    worker = bench.connect()
    bench.say(worker, {**said.opened("p"), "sender": "plain"}, said.stored(4, "1.1", str(tmp_path), association="p"))
    recovered = bench.state.recover()
    assert [task.kind for task in recovered.tasks] == ["reception"]
    assert recovered.studies == []
    assert recovered.events == {"w": 4}
    bench.say(worker, said.stored(5, "1.2", str(tmp_path)))
    assert [study.uid for study in bench.state.recover().studies] == ["1.2"]
    numbers = [task.number for task in bench.state.recover().tasks]
    assert numbers == sorted(set(numbers))


def test_place_that_was_given_before_a_reload_is_a_studys_all_the_same(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.place(1, "1.1"))
    directory = bench.told(worker)[-1]["directory"]
    untracked = Rules(StudyPolicy(), HookPolicy(), str(tmp_path), ignore=False, keeps_studies=False)
    bench.sessions.use(AllRules({"": untracked}, (), ()))
    bench.say(worker, said.stored(1, "1.1", directory, request=1))
    assert [study.objects for study in bench.state.recover().studies] == [1]


def test_name_of_a_host_is_that_of_its_open_associations_from_then_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, {**said.opened("b", peer="10.0.0.9"), "peer_host": ""})
    bench.say(worker, {**said.opened("c", peer="10.0.0.8"), "peer_host": ""})
    bench.sessions.host_known("127.0.0.1", "other")
    bench.sessions.host_known("10.0.0.9", "pacs")
    bench.sessions.host_known("10.0.0.8", "")
    known = {name: (packet["peer_host"], json.loads(octets)["peer_host"])
             for name, (packet, octets) in bench.sessions._sessions[1].associations.items()}
    assert known == {"a": ("127.0.0.1", "127.0.0.1"), "b": ("pacs", "pacs"), "c": ("10.0.0.8", "10.0.0.8")}


# -- packets that cannot be handled ------------------------------------------------------------------


def failed(event: int) -> dict[str, Any]:
    return {"kind": "failed", "event": event}


@pytest.mark.parametrize("octets", [b"", b"{", b"[]", b"{}", b"\xff", b'{"kind": "nobody knows"}', b'{"kind": "closed"}',
                                    b'{"kind": "abandoned"}', b'{"kind": "opened", "association": 7}'][1:])
def test_packet_that_cannot_be_handled_is_logged_and_left_out(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, octets: bytes) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    worker.put(octets)
    bench.say(worker, said.place(1, "1.1"))
    assert [answer["request"] for answer in bench.told(worker)] == [1]
    (record,) = [record for record in caplog.records if "left out" in record.message]
    assert record.exc_info is not None


def test_object_that_cannot_be_taken_over_is_answered_and_counts_once(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    calls: list[str] = []

    def broken(*_: object) -> None:
        calls.append("stored")
        raise KeyError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(bench.studies, "stored", broken)
        bench.say(worker, said.stored(1, "1.1", str(tmp_path)))
        assert bench.told(worker) == [failed(1)]
        assert "CT.1" in caplog.text, "an operator can see which object it was"
    bench.say(worker, said.stored(2, "1.1", str(tmp_path), "CT.2"))
    assert bench.told(worker) == [ack(2)]
    assert calls == ["stored"]


def test_place_that_cannot_be_found_refuses_the_object_and_not_the_worker(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    with monkeypatch.context() as patch:
        patch.setattr(Placer, "open_directory", lambda *_: 1 / 0)
        bench.say(worker, said.place(1, "1.1"))
    (answer,) = bench.told(worker)
    assert (answer["kind"], answer["request"], answer["status"]) == ("placed", 1, 0x0110)
    bench.say(worker, said.abandoned(1), said.place(2, "1.1"))
    assert [answer["status"] for answer in bench.told(worker)] == [0]


def test_answer_that_is_no_packet_refuses_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    monkeypatch.setattr(Placer, "open_directory", lambda *_: (f"{tmp_path}/" + "x" * 70_000, False))
    bench.say(worker, said.place(1, "1.1"))
    assert [answer["status"] for answer in bench.told(worker)] == [0x0110]


def test_state_that_cannot_be_written_is_no_matter_of_one_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()

    def broken(*_: object) -> None:
        raise ProcessError("study state cannot be written: disk I/O error")

    monkeypatch.setattr(bench.state, "add_object", broken)
    with pytest.raises(ProcessError):
        bench.say(worker, said.stored(1, "1.1", str(tmp_path)))


def test_workers_are_told_to_hold_objects_back_new_ones_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.connect("w")
    bench.sessions.hold_objects(on=True)
    second = bench.connect("v")
    bench.sessions.answers.send()
    assert first.take_sent() == second.take_sent() == [{"kind": "hold", "on": True}]
    bench.sessions.hold_objects(on=False)
    third = bench.connect("u")
    bench.sessions.answers.send()
    assert first.take_sent() == second.take_sent() == [{"kind": "hold", "on": False}]
    assert third.take_sent() == []


# -- transfers that are kept --------------------------------------------------------------------------


def test_several_packets_may_come_as_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    together = b"\n".join(json.dumps(packet).encode() for packet in (
        said.stored(1, "1.1", f"{tmp_path}/1.1", "CT.1"), said.stored(2, "1.1", f"{tmp_path}/1.1", "CT.2"), said.place(1, "1.1")))
    worker._received.append((together, None))
    bench.loop.fire(worker.fd, IN)
    told = bench.told(worker)
    assert {"kind": "ack", "first": 1, "event": 2} in told
    assert told[-1]["kind"] == "placed"


def test_acknowledgements_with_something_between_them_are_not_joined(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first, second = bench.connect("v"), bench.connect("w")
    for event in (1, 2):
        for worker in (first, second):
            bench.say(worker, said.stored(event, "1.1", f"{tmp_path}/1.1", f"CT.{worker.fd}.{event}"))
    assert [packet for packet in bench.told(first) if packet["kind"] == "ack"] == [ack(1), ack(2)]


def test_worker_is_told_to_give_back_what_it_keeps(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker, other = bench.connect("v"), bench.connect("w")
    bench.sessions.recall([("w", 7)])
    assert bench.told(other) == [{"kind": "recall", "request": 7}]
    assert bench.told(worker) == []


def test_association_that_ends_gives_back_what_it_keeps(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.connect()
    bench.say(worker, said.place(1, "1.1"), said.stored(1, "1.1", f"{tmp_path}/1.1", "CT.1", request=1, keeps=True))
    assert bench.studies is not None
    study = bench.studies.of("")._tracker.find("1.1")
    assert study is not None
    assert study.transfers == len(study.kept) == 1
    bench.say(worker, said.closed("a"))
    assert study.transfers == len(study.kept) == 0
