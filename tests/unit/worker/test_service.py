"""The Storage service of one connection: place, publish, tell, answer, in this order and never out of it."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from fastscp.config import Config
from fastscp.config.network import FaultPolicy, NetworkPolicy
from fastscp.store import comparing
from fastscp.store.policy import OnDuplicate, StorePolicy
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.ul.encode import encode_data
from fastscp.worker.reception import Reception
from tests.corpus import wire
from tests.support.fake_worker import Bench, data_set, echo, store
from tests.support.fakes import TickingClock

NETWORK = NetworkPolicy(acse_timeout_s=30)


def bench_for(directory: Path, **policies: object) -> Bench:
    return Bench(Config(network=NETWORK, store=StorePolicy(str(directory)), **policies)).established()  # type: ignore[arg-type]


@pytest.fixture
def sorting(tmp_path: Path) -> Bench:
    return bench_for(tmp_path, study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S"))


@pytest.fixture
def hasty(tmp_path: Path) -> Bench:
    """A bench whose turns are over whenever somebody asks."""
    study = StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S")
    return Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)), study=study), clock=TickingClock()).established()


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_verification_is_answered(tmp_path: Path) -> None:
    bench = bench_for(tmp_path)
    bench.arrive(echo(1))
    assert bench.statuses() == [0]


def test_place_is_asked_for_as_soon_as_the_study_is_known(sorting: Bench) -> None:
    octets = data_set()
    sorting.arrive(encode_data(3, 3, wire.store_command()), encode_data(3, 0, octets[:-4]))
    assert sorting.reporter.kinds == ["opened"]
    sorting.arrive(encode_data(3, 0, octets[-4:]))
    assert sorting.reporter.told[-1] == ("place", "1.2.99")
    assert not sorting.connection.blocked, "the stream goes on meanwhile"


@pytest.mark.parametrize("early", [True, False])
def test_object_goes_where_the_coordinator_says_and_success_follows_its_acknowledgement(
        sorting: Bench, tmp_path: Path, early: bool) -> None:
    (tmp_path / "S_1").mkdir()
    parts = [encode_data(3, 3, wire.store_command()), encode_data(3, 0, data_set()), encode_data(3, 2, b"")]
    sorting.arrive(*parts[:2])
    if early:
        sorting.reporter.placed(tmp_path / "S_1")
    sorting.arrive(parts[2])
    if not early:
        assert sorting.connection.blocked
        assert files(tmp_path) == []
        sorting.reporter.placed(tmp_path / "S_1")
    assert files(tmp_path) == ["S_1/CT.1.2.3.4.5"]
    assert sorting.reporter.kinds == ["opened", "place", "stored"]
    assert sorting.reporter.packets[1]["directory"] == str(tmp_path / "S_1")
    assert sorting.reporter.packets[1]["request"] == 1
    assert sorting.statuses() == []
    sorting.reporter.notify("on_acknowledged")
    assert sorting.statuses() == [0]
    assert not sorting.connection.blocked


def test_refused_place_is_the_answer(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store())
    sorting.reporter.placed(tmp_path, status=0xC000)
    assert sorting.statuses() == [0xC000]
    assert files(tmp_path) == []
    assert sorting.reporter.kinds == ["opened", "place", "abandoned"]


def test_object_that_fails_after_it_was_placed_is_taken_back(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(encode_data(3, 3, wire.store_command()) + encode_data(3, 0, data_set()))
    sorting.reporter.placed(tmp_path)
    sorting.arrive(encode_data(3, 2, bytes.fromhex("20 00 0E 00 64 00 00 00 31 00")))  # ends inside a value
    status, = sorting.statuses()
    assert status & 0xF000 == 0xC000
    assert sorting.reporter.kinds[-1] == "abandoned"
    assert files(tmp_path) == []


def test_answer_that_comes_for_an_object_that_is_gone_changes_nothing(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store())
    answer = sorting.reporter.answers[1]
    sorting.connection.abort("no reason", source=2, reason=0)
    answer({"kind": "placed", "request": 1, "directory": str(tmp_path), "status": 0, "message": "", "late": False, "lasting": False})
    assert files(tmp_path) == []
    assert sorting.reporter.kinds == ["opened", "place", "abandoned", "closed"]


def test_place_of_the_object_before_is_not_used_again(sorting: Bench, tmp_path: Path) -> None:
    (tmp_path / "S_1").mkdir()
    (tmp_path / "S_2").mkdir()
    sorting.arrive(store(1, "1.1") + store(2, "1.2"))
    sorting.reporter.placed(tmp_path / "S_1", request=1)
    sorting.reporter.notify("on_acknowledged", 1)
    sorting.reporter.placed(tmp_path / "S_2", request=2)
    sorting.reporter.notify("on_acknowledged", 2)
    assert files(tmp_path) == ["S_1/CT.1.1", "S_2/CT.1.2"]


def test_object_without_study_is_refused_where_studies_are_sorted(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store(data=data_set(study="")))
    assert sorting.statuses() == [0xC000]
    assert sorting.reporter.kinds == ["opened"]
    assert files(tmp_path) == []


def test_silent_coordinator_is_given_up_and_its_late_answer_ignored(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store())
    answer = sorting.reporter.answers[1]
    sorting.loop.advance(30.1)
    assert sorting.statuses() == [0xA700]
    answer({"kind": "placed", "request": 1, "directory": str(tmp_path), "status": 0, "message": "", "late": False, "lasting": False})
    assert files(tmp_path) == []
    assert sorting.statuses() == []


def test_without_state_success_follows_the_event_into_the_channel(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(on_reception="true"))
    bench.arrive(store())
    assert bench.statuses() == []
    assert bench.reporter.notices[1]["on_acknowledged"] is None
    bench.reporter.notify("on_sent")
    assert bench.statuses() == [0]


def test_hooks_first_keeps_what_follows_waiting(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(on_reception="true", synchronous=True))
    bench.arrive(store(1) + echo(2))
    bench.reporter.notify("on_sent")
    assert bench.statuses() == [0]
    assert bench.connection.blocked
    bench.reporter.notify("on_ran")
    assert bench.statuses() == [0]
    assert not bench.connection.blocked


def test_hooks_first_does_not_wait_for_hooks_of_a_refused_object(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(on_reception="true", synchronous=True))
    bench.arrive(store(1, instance="1.2.3", data=data_set("1.2.4")) + echo(2))
    assert bench.statuses() == [0xA900, 0]


def test_ignored_objects_are_told_of_and_leave_no_file(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path), ignore=True),
                         hooks=HookPolicy(on_reception="true"))).established()
    bench.arrive(store())
    bench.reporter.notify("on_sent")
    assert bench.statuses() == [0]
    assert files(tmp_path) == []
    assert bench.reporter.packets[1]["file"] == ""


def test_events_are_numbered_and_say_what_was_stored(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(event_log="-", event_digest=True))
    bench.arrive(store(1, "1.2.3"))
    bench.reporter.notify("on_sent", 1)
    bench.arrive(store(2, "1.2.3"))
    packet = bench.reporter.packets[2]
    assert packet["replaced"] is True
    assert packet["size"] == (tmp_path / "CT.1.2.3").stat().st_size
    assert len(packet["sha256"]) == 64
    assert (packet["sop_class"], packet["study"], packet["prefix"]) == (wire.CT, "1.2.99", "CT")


@pytest.mark.parametrize(("rule", "unchanged", "file"), [
    (OnDuplicate.REPLACE, False, "CT.1.2.3"), (OnDuplicate.KEEP, True, "CT.1.2.3"), (OnDuplicate.COMPARE, True, "CT.1.2.3"),
    (OnDuplicate.RENAME, False, "CT.1.2.3_1"),
])
def test_events_say_what_was_done_with_a_duplicate(tmp_path: Path, rule: OnDuplicate, unchanged: bool, file: str) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path), on_duplicate=rule),
                         hooks=HookPolicy(event_log="-"))).established()
    for number in (1, 2):
        bench.arrive(store(number, "1.2.3"))
        bench.reporter.notify("on_sent", number)
    first, packet = bench.reporter.packets[1], bench.reporter.packets[2]
    assert (first["duplicate"], first["unchanged"]) == (None, False)
    assert (packet["duplicate"], packet["unchanged"], packet["file"]) == (rule.value, unchanged, file)
    assert packet["study"] == "1.2.99"
    bench.hang_up()
    written = 1 if unchanged else 2
    assert bench.reporter.numbers["octets"] == written * first["size"]
    assert bench.reporter.numbers["stored"] == 2


def test_refused_duplicate_is_told_and_the_association_goes_on(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path), on_duplicate=OnDuplicate.REFUSE),
                         hooks=HookPolicy(event_log="-"))).established()
    bench.arrive(store(1, "1.2.3"))
    bench.reporter.notify("on_sent", 1)
    bench.arrive(store(2, "1.2.3") + echo(3))
    assert bench.statuses() == [0, 0x0111, 0]
    (note,) = bench.reporter.notes
    assert (note["status"], note["reason"]) == (0x0111, "CT.1.2.3 is there already")


def test_long_values_of_peers_are_bounded_in_events(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(event_log="-"))
    bench.arrive(encode_data(3, 3, wire.store_command()) + encode_data(3, 2, data_set(study="1" * 5000)))
    assert len(bench.reporter.packets[1]["study"]) == 1024


@pytest.mark.parametrize(("faults", "statuses"), [
    (FaultPolicy(abort_during=True), [-7]), (FaultPolicy(abort_after=True), [-7])])
def test_aborts_on_demand(tmp_path: Path, faults: FaultPolicy, statuses: list[int]) -> None:
    bench = bench_for(tmp_path, faults=faults)
    bench.arrive(store())
    assert bench.statuses() == statuses
    assert files(tmp_path) == ([] if faults.abort_during else ["CT.1.2.3.4.5"])


def test_delay_during_a_transfer_comes_with_every_read(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, faults=FaultPolicy(sleep_during_s=3))
    bench.arrive(encode_data(3, 3, wire.store_command()), encode_data(3, 0, data_set()[:20]),
                 encode_data(3, 2, data_set()[20:]))
    for _ in range(3):
        assert bench.connection.blocked
        bench.loop.advance(3.1)
        bench.arrive()
    assert bench.statuses() == [0]


def test_refused_place_of_an_object_that_failed_already_does_not_change_its_answer(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(encode_data(3, 3, wire.store_command()) + encode_data(3, 0, data_set("1.2.9")))
    sorting.arrive(encode_data(3, 0, bytes.fromhex("20 00 0E 00 FF FF FF FF FE FF 0D E0 64 00 00 00")))
    sorting.reporter.placed(tmp_path, status=0xC123)
    sorting.arrive(encode_data(3, 2, b""))
    assert sorting.statuses() == [0xC000]


def test_with_state_nothing_follows_from_an_event_being_sent(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store())
    sorting.reporter.placed(tmp_path)
    assert sorting.reporter.notices[1]["on_sent"] is None


def test_coordinator_is_not_given_up_for_the_place_that_it_gave(sorting: Bench, tmp_path: Path) -> None:
    """The time counts anew for the acknowledgement, and not at all once that is there."""
    sorting.arrive(store(1) + echo(2))
    sorting.loop.advance(20)
    sorting.reporter.placed(tmp_path)
    sorting.reporter.notify("on_acknowledged")
    assert sorting.statuses() == [0, 0]
    sorting.loop.advance(31)
    assert sorting.statuses() == []


def test_early_place_of_the_next_object_does_not_publish_it_unfinished(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store(1, "1.1"))
    sorting.reporter.placed(tmp_path, request=1)
    sorting.reporter.notify("on_acknowledged", 1)
    sorting.arrive(encode_data(3, 3, wire.store_command(2, instance="1.2")) + encode_data(3, 0, data_set("1.2")))
    sorting.reporter.placed(tmp_path, request=2)
    assert files(tmp_path) == ["CT.1.1"]
    sorting.arrive(encode_data(3, 2, b""))
    assert files(tmp_path) == ["CT.1.1", "CT.1.2"]


def repeated(sorting: Bench, tmp_path: Path, *, late: bool, data: bytes | None = None) -> None:
    (tmp_path / "S_1").mkdir()
    for number, octets in ((1, None), (2, data)):
        sorting.arrive(store(number, data=octets) if octets is not None else store(number))
        sorting.rounds()
        sorting.reporter.placed(tmp_path / "S_1", request=number, late=late)
        if number == 1:
            sorting.rounds()
            sorting.reporter.notify("on_acknowledged", 1)


def test_object_of_a_study_that_ended_is_told_to_change_nothing(sorting: Bench, tmp_path: Path) -> None:
    repeated(sorting, tmp_path, late=True)
    assert [sorting.reporter.packets[event]["unchanged"] for event in (1, 2)] == [False, True]
    assert [sorting.reporter.packets[event]["replaced"] for event in (1, 2)] == [False, True]


def test_nothing_is_compared_in_a_study_that_never_ended(sorting: Bench, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Reception, "comparing")
    repeated(sorting, tmp_path, late=False)
    assert sorting.reporter.packets[2]["unchanged"] is False


def test_long_comparison_lets_others_have_their_turn(hasty: Bench, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "PIECE_OCTETS", 64)
    repeated(hasty, tmp_path, late=True)
    assert 2 not in hasty.reporter.packets
    assert hasty.connection.blocked
    assert hasty.rounds() > 5
    assert hasty.reporter.packets[2]["unchanged"] is True
    hasty.reporter.notify("on_acknowledged", 2)
    assert not hasty.connection.blocked


def test_object_that_is_dropped_while_it_is_compared_changes_nothing(hasty: Bench, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "PIECE_OCTETS", 64)
    descriptors = len(os.listdir("/proc/self/fd"))
    repeated(hasty, tmp_path, late=True)
    hasty.connection.abort("no reason", source=2, reason=0)
    assert hasty.rounds() == 1
    assert 2 not in hasty.reporter.packets
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1, "the output directory stays open"


@pytest.mark.parametrize("sorted_", [False, True])
def test_object_is_not_published_while_the_state_takes_nothing(tmp_path: Path, sorted_: bool) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID) if sorted_ else StudyPolicy(timeout_s=5)
    bench = bench_for(tmp_path, study=study)
    for trouble, status in (("the state cannot be written: no space", 0xA700), ("", 0)):
        bench.reporter.trouble = trouble
        bench.arrive(store())
        for request in list(bench.reporter.answers):
            bench.reporter.placed(tmp_path, request)
        if not status:
            bench.reporter.notify("on_acknowledged")
        assert bench.statuses() == [status]
        assert files(tmp_path) == ([] if status else [f"CT.{wire.INSTANCE}"])


def test_place_that_is_refused_when_the_object_has_its_name_changes_nothing(sorting: Bench, tmp_path: Path) -> None:
    """A coordinator that took the place of another may answer again."""
    sorting.arrive(store())
    answer = sorting.reporter.answers[1]
    sorting.reporter.placed(tmp_path)
    answer({"kind": "placed", "request": 1, "directory": "", "status": 0xA700, "message": "no space", "late": False, "lasting": False})
    sorting.reporter.notify("on_acknowledged")
    assert sorting.statuses() == [0]


def test_object_that_the_coordinator_cannot_take_over_is_never_answered_with_a_status(sorting: Bench, tmp_path: Path) -> None:
    (tmp_path / "S_1").mkdir()
    sorting.arrive(store())
    sorting.reporter.placed(tmp_path / "S_1")
    sorting.reporter.notify("on_failed")
    assert sorting.statuses() == [-7], "an A-ABORT, and nothing else"
    assert files(tmp_path) == ["S_1/CT.1.2.3.4.5"]
    sorting.reporter.notify("on_failed")
    sorting.reporter.notify("on_acknowledged")
    assert sorting.statuses() == []


# -- too much waits behind ----------------------------------------------------------------------------


def test_object_waits_for_its_turn_and_is_then_stored_as_ever(tmp_path: Path) -> None:
    bench = bench_for(tmp_path)
    intake = bench.context.service.intake
    intake.hold("hooks")
    bench.arrive(echo(1), store(2), echo(3))
    assert bench.statuses() == [0], "what came before it is answered"
    assert files(tmp_path) == []
    assert bench.connection.blocked
    intake.release("hooks")
    bench.rounds()
    bench.arrive()
    assert bench.statuses() == [0, 0]
    assert files(tmp_path) == ["CT.1.2.3.4.5"]


def test_object_under_way_is_finished_while_others_are_held_back(tmp_path: Path) -> None:
    bench = bench_for(tmp_path)
    bench.arrive(encode_data(3, 3, wire.store_command()))
    bench.context.service.intake.hold("hooks")
    bench.arrive(encode_data(3, 2, data_set()))
    assert bench.statuses() == [0]
    assert files(tmp_path) == ["CT.1.2.3.4.5"]


def test_peer_that_gives_up_what_is_held_back_leaves_nothing(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, hooks=HookPolicy(event_log="x"))
    intake = bench.context.service.intake
    intake.hold("hooks")
    bench.arrive(store(1)[:-10])
    bench.transport.arriving.append(store(1)[-10:])  # in the socket: a hook would be waited for
    bench.loop.fire(bench.transport.fd, select.EPOLLRDHUP)
    assert bench.finished == [bench.connection]
    assert files(tmp_path) == []
    assert [note["kind"] for note in bench.reporter.notes] == ["refused"], "the object has an outcome"
    intake.release("hooks")
    assert bench.rounds() == 0


def test_hold_that_begins_anew_holds_again(tmp_path: Path) -> None:
    bench = bench_for(tmp_path)
    intake = bench.context.service.intake
    intake.hold("hooks")
    bench.arrive(store(1))
    intake.release("hooks")
    intake.hold("packets")
    bench.rounds()
    assert bench.connection.blocked
    assert bench.statuses() == []
    intake.release("packets")
    bench.rounds()
    assert bench.statuses() == [0]
    assert files(tmp_path) == ["CT.1.2.3.4.5"]


def test_waiting_for_a_turn_has_no_time_limit(tmp_path: Path) -> None:
    network = NetworkPolicy(acse_timeout_s=30, socket_timeout_s=10, dimse_timeout_s=10)
    bench = Bench(Config(network=network, store=StorePolicy(str(tmp_path)))).established()
    bench.context.service.intake.hold("hooks")
    bench.arrive(store(1))
    bench.loop.advance(1000)
    assert bench.statuses() == []
    bench.context.service.intake.release("hooks")
    bench.rounds()
    assert bench.statuses() == [0]


def test_place_that_lasts_is_used_for_the_next_object_of_the_study(sorting: Bench, tmp_path: Path) -> None:
    (tmp_path / "S_1").mkdir()
    sorting.arrive(store(1, "1.1"))
    sorting.reporter.placed(tmp_path / "S_1", lasting=True)
    assert sorting.reporter.packets[1]["keeps"] is True
    sorting.reporter.notify("on_acknowledged", 1)
    sorting.arrive(store(2, "1.2"))
    assert files(tmp_path) == ["S_1/CT.1.1", "S_1/CT.1.2"]
    assert sorting.reporter.kinds == ["opened", "place", "stored", "again", "stored"]
    assert [sorting.reporter.packets[number]["request"] for number in (1, 2)] == [1, 1]


def test_object_that_fails_in_a_place_that_lasts_gives_it_back(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store(1, "1.1"))
    sorting.reporter.placed(tmp_path, lasting=True)
    sorting.reporter.notify("on_acknowledged", 1)
    sorting.arrive(store(2, "1.2", data_set("1.3")))
    assert sorting.statuses() == [0, 0xA900]
    assert sorting.reporter.kinds[-1] in {"again", "place", "abandoned"}
    sorting.arrive(store(3, "1.4"))
    assert sorting.reporter.told[-1] == ("place", "1.2.99")
