"""Every C-STORE-RQ that arrived has one outcome, whatever ends it: counted, logged, told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastscp.config import Config
from fastscp.config.network import FaultPolicy, NetworkPolicy
from fastscp.dicom.options import OutputOptions
from fastscp.log.jsonlines import JSONLayout
from fastscp.net.transport import TransportError
from fastscp.process import packets
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.ul.encode import encode_data
from tests.corpus import wire
from tests.support.fake_worker import FD, Bench, data_set, echo, store

NETWORK = NetworkPolicy(acse_timeout_s=30, dimse_timeout_s=20, socket_timeout_s=60)
EVENTS = HookPolicy(event_log="-")
#: (0010,0010) that says it is longer than what comes
CUT_NAME = data_set() + bytes.fromhex("10 00 10 00 64 00 00 00") + b"Doe"
BEGUN = encode_data(3, 3, wire.store_command()) + encode_data(3, 0, data_set())


def bench_for(directory: Path, **policies: Any) -> Bench:
    policies = {"network": NETWORK, "store": StorePolicy(str(directory)), "hooks": EVENTS, **policies}
    return Bench(Config(**policies)).established()


@pytest.fixture
def told(tmp_path: Path) -> Bench:
    """Somebody reads events, and nothing else is configured."""
    return bench_for(tmp_path)


@pytest.fixture
def sorting(tmp_path: Path) -> Bench:
    return bench_for(tmp_path, study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S"))


def outcomes(bench: Bench) -> list[tuple[Any, ...]]:
    return [(note["status"], note["tag"], note["offset"], note["reason"]) for note in bench.reporter.notes]


def comments(bench: Bench) -> list[str]:
    """Return the Error Comment of each response."""
    found, sent = [], bytes(bench.transport.sent)
    while (at := sent.find(bytes.fromhex("00000209"))) >= 0:
        length = int.from_bytes(sent[at + 4 : at + 8], "little")
        found.append(sent[at + 8 : at + 8 + length].decode().rstrip())
        sent = sent[at + 8 + length :]
    return found


# -- answered with a failure ------------------------------------------------------------------------


def test_refused_object_is_named_in_full(told: Bench, caplog: pytest.LogCaptureFixture) -> None:
    told.arrive(store(data=CUT_NAME))
    offset = len(CUT_NAME) - 11
    (note,) = told.reporter.notes
    assert {name: value for name, value in note.items() if name != "duration_s"} == {
        "kind": "refused", "association": "worker-1-7", "calling_aet": "MODALITY", "called_aet": "STORESCP",
        "peer": "10.0.0.9", "peer_host": "10.0.0.9", "port": 4711, "sender": "", "directory": None, "file": None,
        "sop_class": wire.CT, "sop_instance": wire.INSTANCE, "study": "1.2.99", "series": "", "modality": "",
        "transfer_syntax": wire.IMPLICIT, "status": 0xC000, "tag": "0010,0010", "offset": offset,
        "reason": "data set ends inside a value"}
    assert note["duration_s"] >= 0
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        f"object of 10.0.0.9 (MODALITY -> STORESCP) refused with status C000: (0010,0010) data set ends inside a value, "
        f"offset {offset}; SOP class {wire.CT} (CTImageStorage), SOP instance {wire.INSTANCE}, study 1.2.99")


def test_facts_are_fields_of_the_json_log(told: Bench, caplog: pytest.LogCaptureFixture) -> None:
    told.arrive(store(data=CUT_NAME))
    line = orjson.loads(JSONLayout().format(caplog.records[0]))
    assert line["event"] == "object.refused"
    assert (line["peer"], line["calling_aet"], line["called_aet"]) == ("10.0.0.9", "MODALITY", "STORESCP")
    assert (line["sop_class_uid"], line["sop_instance_uid"], line["study_uid"]) == (wire.CT, wire.INSTANCE, "1.2.99")
    assert (line["status"], line["tag"]) == (0xC000, "0010,0010")
    assert line["level"] == "error"


def test_error_comment_puts_the_tag_first(told: Bench) -> None:
    told.arrive(store(data=CUT_NAME))
    assert comments(told) == ["(0010,0010) data set ends inside a value"]


@pytest.mark.parametrize(("data", "status", "tag", "reason"), [
    (data_set("1.2.9"), 0xA900, "0008,0018", "UIDs of data set and command differ"),
    (data_set()[34:], 0xC000, "0008,0016", "data set without a UID"),
    (b"", 0xA700, None, "empty data set"),
])
def test_what_the_data_set_is_refused_for(told: Bench, data: bytes, status: int, tag: str | None, reason: str) -> None:
    told.arrive(store(data=data))
    assert outcomes(told) == [(status, tag, None, reason)]
    assert told.statuses() == [status]


def test_object_without_study_where_studies_are_sorted(sorting: Bench) -> None:
    sorting.arrive(store(data=data_set(study="")))
    assert outcomes(sorting) == [(0xC000, "0020,000D", None, "data set without Study Instance UID cannot be sorted")]


def test_place_that_the_coordinator_refuses(sorting: Bench, tmp_path: Path) -> None:
    sorting.arrive(store())
    sorting.reporter.placed(tmp_path, status=0xC000)
    assert outcomes(sorting) == [(0xC000, None, None, "no")]
    assert sorting.statuses() == [0xC000]


def test_file_that_cannot_be_written(told: Bench, tmp_path: Path) -> None:
    (tmp_path / f"CT.{wire.INSTANCE}").mkdir()
    told.arrive(store())
    ((status, _, _, reason),) = outcomes(told)
    assert (status, told.statuses()) == (0xA700, [0xA700])
    assert reason.startswith("cannot ")


def test_directory_that_is_gone(told: Bench, tmp_path: Path) -> None:
    tmp_path.rmdir()
    told.arrive(store())
    ((status, _, _, reason),) = outcomes(told)
    assert status == 0xA700
    assert str(tmp_path) in reason


def test_silent_coordinator_before_the_place(sorting: Bench) -> None:
    sorting.arrive(store())
    sorting.loop.advance(30.1)
    assert outcomes(sorting) == [(0xA700, None, None, "the coordinator does not answer")]
    assert sorting.reporter.notes[0]["file"] is None


def test_silent_coordinator_behind_the_publication(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The object has its name, so no failure may be answered: the association ends, and the object is stored."""
    bench = bench_for(tmp_path, study=StudyPolicy(timeout_s=5))
    bench.arrive(store())
    bench.loop.advance(30.1)
    assert bench.statuses() == [-7]
    assert f"the coordinator does not confirm {tmp_path}/CT.{wire.INSTANCE}, aborting association" in caplog.text
    assert outcomes(bench) == []
    tally = bench.connection.storage.outcomes.tally
    assert (tally.stored, tally.refused) == (1, 0)
    assert (tmp_path / f"CT.{wire.INSTANCE}").exists()


@pytest.mark.parametrize(("elements", "status", "tag"), [
    ({0x0002: b""}, 0x0120, "0000,0002"),
    ({0x1000: b""}, 0x0120, "0000,1000"),
    ({0x1000: wire.uid(0x1000, "1." + "2" * 64)}, 0x0117, "0000,1000"),
    ({0x0800: wire.number(0x0800, 0x0101)}, 0xC000, "0000,0800"),
])
def test_request_that_is_not_served(told: Bench, elements: dict[int, bytes], status: int, tag: str) -> None:
    command = wire.command(*{**wire.store_elements(), **elements}.values())
    told.arrive(encode_data(3, 3, command) + (encode_data(3, 2, data_set()) if 0x0800 not in elements else b""))
    comment = comments(told)
    assert told.statuses() == [status]
    ((told_status, told_tag, offset, reason),) = outcomes(told)
    assert (told_status, told_tag, offset) == (status, tag, None)
    assert comment == [f"({tag}) {reason}"]


def test_request_on_the_verification_class_is_an_object_too(told: Bench) -> None:
    told.arrive(encode_data(1, 3, wire.store_command()) + encode_data(1, 2, data_set()))
    assert [outcome[0] for outcome in outcomes(told)] == [0x0122]


def test_other_requests_are_no_objects(told: Bench, caplog: pytest.LogCaptureFixture) -> None:
    elements = {**wire.store_elements(), 0x0100: wire.number(0x0100, 0x0020)}
    told.arrive(encode_data(3, 3, wire.command(*elements.values())) + encode_data(3, 2, data_set()))
    assert told.statuses() == [0x0211]
    assert told.reporter.notes == []
    assert "10.0.0.9 (MODALITY -> STORESCP): request 0020 answered with status 0211" in caplog.text


def test_values_of_peers_cannot_make_a_packet_too_long(told: Bench, caplog: pytest.LogCaptureFixture) -> None:
    told.arrive(store(data=data_set("1.2.9", study="1\n" * 2000)))
    (note,) = told.reporter.notes
    packets.encode(note)
    assert len(note["study"]) == packets.MAXIMUM_STRING
    assert "\n" not in caplog.messages[0]
    assert len(caplog.messages[0]) < 1000


def test_name_of_a_directory_that_is_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # the test's own report is UTF-8, too
    bench = bench_for(tmp_path / "\udcff")
    bench.arrive(store())
    (note,) = bench.reporter.notes
    packets.encode(note)
    assert note["status"] == 0xA700


# -- cut off ----------------------------------------------------------------------------------------


def end_by_abort(bench: Bench) -> str:
    bench.arrive(wire.ABORT)
    return "aborted by the peer (source 2, reason 1)"


def end_by_closing(bench: Bench) -> str:
    bench.hang_up()
    return "connection closed by the peer"


def end_by_loss(bench: Bench) -> str:
    bench.transport.arriving.append(TransportError("Connection reset by peer"))
    bench.loop.fire(FD, 1)
    return "connection lost: Connection reset by peer"


def end_by_silence(bench: Bench) -> str:
    bench.loop.advance(61)
    return "timed out: the peer does not go on with its object"


def end_by_release(bench: Bench) -> str:
    bench.arrive(wire.RELEASE_RQ)
    return "association released inside it"


def end_by_nonsense(bench: Bench) -> str:
    bench.arrive(bytes.fromhex("08 00 00000000"))
    return "PDU"


def end_by_broken_message(bench: Bench) -> str:
    bench.arrive(encode_data(3, 3, wire.echo_command()))
    return "command fragment inside a data set"


def end_by_us(bench: Bench) -> str:
    bench.connection.abort("the service stops", source=2, reason=0)
    return "the service stops"


def end_by_force(bench: Bench) -> str:
    bench.connection.close("the service stops")
    return "the service stops"


ENDS = [end_by_abort, end_by_closing, end_by_loss, end_by_silence, end_by_release, end_by_nonsense, end_by_broken_message,
        end_by_us, end_by_force]


@pytest.mark.parametrize("end", ENDS)
def test_object_that_is_cut_off_has_no_status_and_says_what_ended_it(
        told: Bench, caplog: pytest.LogCaptureFixture, end: Any) -> None:
    told.arrive(BEGUN)
    words = end(told)
    ((status, tag, offset, reason),) = outcomes(told)
    assert (status, tag, offset) == (None, None, None)
    assert words in reason
    assert told.reporter.notes[0]["study"] == "1.2.99"
    assert told.reporter.numbers == {"stored": 0, "refused": 1, "octets": 0}
    lines = [record for record in caplog.records if "cut off" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].levelno == logging.ERROR


@pytest.mark.parametrize("end", ENDS)
def test_association_without_an_object_under_way_costs_none(told: Bench, end: Any) -> None:
    end(told)
    assert told.reporter.notes == []


def test_object_that_had_failed_already_keeps_its_reason(told: Bench, caplog: pytest.LogCaptureFixture) -> None:
    told.arrive(encode_data(3, 3, wire.store_command()) + encode_data(3, 0, data_set() + bytes.fromhex(
        "20 00 0E 00 FF FF FF FF FE FF 0D E0 64 00 00 00")))
    told.hang_up()
    ((status, tag, offset, reason),) = outcomes(told)
    assert (status, tag) == (None, "0020,000E")
    assert offset == len(data_set())
    assert reason == "undefined length of a value that is no sequence; connection closed by the peer"
    assert f"sequence, offset {offset}; connection closed" in caplog.text


def test_request_whose_data_set_is_passed_over(told: Bench) -> None:
    command = wire.command(*{**wire.store_elements(), 0x0002: b""}.values())
    told.arrive(encode_data(3, 3, command) + encode_data(3, 0, data_set()))
    assert told.reporter.notes == []
    told.hang_up()
    assert outcomes(told) == [(None, None, None, "connection closed by the peer")]


def test_requests_that_wait_behind_an_object_are_told_of_each(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, study=StudyPolicy(timeout_s=5))
    bench.arrive(store(1, "1.1") + echo(2) + store(3, "1.3") + encode_data(3, 3, wire.store_command(4, instance="1.4")))
    bench.connection.abort("the service stops", source=2, reason=0)
    assert [(note["sop_instance"], note["status"]) for note in bench.reporter.notes] == [("1.3", None), ("1.4", None)]
    assert bench.reporter.numbers["refused"] == 2
    assert bench.reporter.numbers["stored"] == 1, "what has its name stays, though nobody was answered"


def test_object_that_has_its_name_is_not_cut_off(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, study=StudyPolicy(timeout_s=5))
    bench.arrive(store() + bytes.fromhex("08 00 00000000"))
    assert bench.reporter.notes == []
    assert bench.reporter.numbers["stored"] == 1


def test_object_behind_one_that_has_its_name_is_cut_off_all_the_same(told: Bench) -> None:
    told.arrive(store(1, "1.1"))
    told.reporter.notify("on_sent", 1)
    told.arrive(encode_data(3, 3, wire.store_command(2, instance="1.2")))
    told.hang_up()
    assert [note["sop_instance"] for note in told.reporter.notes] == ["1.2"]
    assert told.reporter.notes[0]["file"] is None


def test_other_requests_that_wait_are_no_objects(told: Bench) -> None:
    elements = {**wire.store_elements(2), 0x0100: wire.number(0x0100, 0x0020)}
    told.arrive(store(1) + encode_data(3, 3, wire.command(*elements.values())) + encode_data(3, 2, data_set()))
    told.connection.close("the service stops")
    assert told.reporter.notes == []


def test_object_that_waits_for_its_place_is_cut_off(sorting: Bench) -> None:
    sorting.arrive(store())
    sorting.connection.close("the service stops")
    assert outcomes(sorting) == [(None, None, None, "the service stops")]


def test_ignored_object_is_not_cut_off(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, store=StorePolicy(str(tmp_path), ignore=True))
    bench.arrive(store())
    bench.connection.close("the service stops")
    assert bench.reporter.notes == []
    assert bench.reporter.numbers["stored"] == 1


@pytest.mark.parametrize(("faults", "notes"), [(FaultPolicy(abort_during=True), 1), (FaultPolicy(abort_after=True), 0)])
def test_aborts_on_demand(tmp_path: Path, faults: FaultPolicy, notes: int) -> None:
    bench = bench_for(tmp_path, faults=faults)
    bench.arrive(store())
    assert len(bench.reporter.notes) == notes
    assert all("--abort-during" in note["reason"] for note in bench.reporter.notes)


# -- associations -----------------------------------------------------------------------------------


def test_closed_association_says_what_came_of_it(told: Bench, tmp_path: Path) -> None:
    told.arrive(store(1, "1.1"))
    told.reporter.notify("on_sent", 1)
    told.arrive(store(2, "1.2"))
    told.reporter.notify("on_sent", 2)
    told.arrive(store(3, "1.3", data=data_set("1.4")))
    told.arrive(wire.RELEASE_RQ)
    octets = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert told.reporter.numbers == {"stored": 2, "refused": 1, "octets": octets}


def test_rejected_association_is_told_with_titles_and_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)), hooks=EVENTS)).start()
    bench.arrive(b"\1\0" + wire.RQ[2:6] + b"\0\0" + wire.RQ[8:])  # protocol version 0
    assert bench.reporter.notes == [{
        "kind": "rejected", "calling_aet": "MODALITY", "called_aet": "STORESCP", "peer": "10.0.0.9",
        "peer_host": "10.0.0.9", "port": 4711, "sender": "",
        "reason": "Rejected Permanent, Source: Service Provider (ACSE), Reason: Protocol Version Not Supported"}]
    assert "Refusing Association from 10.0.0.9 (MODALITY -> STORESCP): Rejected Permanent" in caplog.text
    assert bench.reporter.kinds == []


# -- nobody reads events ----------------------------------------------------------------------------


@pytest.mark.parametrize("hooks", [HookPolicy(), HookPolicy(on_reception="true")])
def test_without_a_reader_nothing_is_told_but_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                                     hooks: HookPolicy) -> None:
    bench = bench_for(tmp_path, hooks=hooks)
    bench.arrive(store(data=CUT_NAME), BEGUN)
    bench.hang_up()
    assert bench.reporter.notes == []
    assert [message.split()[5] for message in caplog.messages] == ["STORESCP)", "STORESCP)"]
    rejected = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)), hooks=hooks)).start()
    rejected.arrive(b"\1\0" + wire.RQ[2:6] + b"\0\0" + wire.RQ[8:])
    assert rejected.reporter.notes == []


def test_bit_preserving_knows_nothing_of_the_data_set(tmp_path: Path) -> None:
    bench = bench_for(tmp_path, output=OutputOptions(bit_preserving=True))
    bench.arrive(BEGUN)
    bench.hang_up()
    assert bench.reporter.notes[0]["study"] == ""
    assert bench.reporter.notes[0]["sop_instance"] == wire.INSTANCE
