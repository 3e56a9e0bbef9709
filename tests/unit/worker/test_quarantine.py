"""--quarantine on one connection: what is kept, what is told, and what stays as it was."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.dicom.options import OutputOptions
from fastscp.dimse.command import decode_command
from fastscp.store import received as received_module
from fastscp.store.policy import StorePolicy
from fastscp.store.sink import InstanceSink
from fastscp.store.steps import result
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.ul.encode import encode_data
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.quarantine import KeepingReception, new_reception
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.fake_worker import Bench, data_set, store
from tests.support.rawscu import split_file

CUT = data_set()[:-3]
OTHER_UID = data_set(instance="1.9")
EVENTS = HookPolicy(on_reception="true", event_log="-")


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    out, kept = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    kept.mkdir()
    return out, kept


def bench_for(places: tuple[Path, Path], *, store: dict[str, Any] | None = None, **policies: Any) -> Bench:
    policy = StorePolicy(str(places[0]), quarantine=str(places[1]), **(store or {}))
    return Bench(Config(network=NetworkPolicy(acse_timeout_s=30), store=policy, **policies)).established()


def fragments(data: bytes) -> list[bytes]:
    """The beginning of a data set, in PDUs of 10,000 octets."""
    return [encode_data(3, 0, data[start:start + 10_000]) for start in range(0, len(data), 10_000)]


def kept_object(directory: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the one object in the quarantine and its report."""
    path, report = sorted(directory.iterdir())
    assert report.name == path.name + ".json"
    return path.read_bytes(), json.loads(report.read_text())


@pytest.mark.parametrize(("data", "status", "tag", "study"), [
    (CUT, 0xC000, "0020,000D", ""), (OTHER_UID, 0xA900, "0008,0018", "1.2.99"), (b"", 0xA700, None, ""),
    (data_set()[:34], 0xC000, "0008,0018", ""),
], ids=["cut", "other UID", "empty", "no UID"])
def test_object_is_kept_as_it_came_and_answered_with_a_warning(places: tuple[Path, Path], data: bytes, status: int,
                                                              tag: str | None, study: str) -> None:
    bench = bench_for(places, hooks=EVENTS)
    bench.arrive(store(data=data))
    assert bench.statuses() == [0xB007]
    assert list(places[0].iterdir()) == []
    octets, report = kept_object(places[1])
    instance = split_file(octets)
    assert instance.dataset == data
    assert (instance.sop_class, instance.sop_instance, instance.transfer_syntax) == (wire.CT, wire.INSTANCE, wire.IMPLICIT)
    assert b"MODALITY" in octets[:400]
    assert (report["status"], report["tag"], report["study_uid"]) == (status, tag, study)
    assert report["size"] == len(octets)
    assert {name: report[name] for name in ("calling_aet", "called_aet", "peer", "port", "sop_class_uid", "sop_instance_uid",
                                            "transfer_syntax_uid")} == {
        "calling_aet": "MODALITY", "called_aet": "STORESCP", "peer": "10.0.0.9", "port": 4711, "sop_class_uid": wire.CT,
        "sop_instance_uid": wire.INSTANCE, "transfer_syntax_uid": wire.IMPLICIT}
    assert report["reason"]
    assert bench.reporter.kinds == ["opened"], "no hook runs"
    (told,) = bench.reporter.notes
    assert told["kind"] == "quarantined"
    assert (told["directory"], told["status"], told["tag"], told["study"]) == (str(places[1]), status, tag, study)
    assert told["reason"] == report["reason"]


def test_association_goes_on(places: tuple[Path, Path]) -> None:
    bench = bench_for(places)
    bench.arrive(store(1, data=CUT) + store(2) + store(3, data=OTHER_UID))
    assert bench.statuses() == [0xB007, 0, 0xB007]
    assert [path.name for path in places[0].iterdir()] == ["CT.1.2.3.4.5"]
    assert len(list(places[1].iterdir())) == 4


def test_name_is_the_one_of_unique_file_names(places: tuple[Path, Path]) -> None:
    bench = bench_for(places, store={"extension": ".dcm"})
    bench.arrive(store(data=CUT))
    names = sorted(path.name for path in places[1].iterdir())
    assert names[0].startswith("CT.X.2.25.")
    assert [name.rsplit(".", 2)[-2:] for name in names] == [[names[0].split(".")[4], "dcm"], ["dcm", "json"]]


def test_failure_in_the_middle_of_a_stream(places: tuple[Path, Path]) -> None:
    """What came before it was rewritten; what comes behind it goes to the quarantine at once."""
    head = ds.implicit(0x00080000, b"\1\0\0\0") + data_set() + ds.implicit(0x00282000, os.urandom(90_000))
    data = head + ds.implicit(0xFFFEE0DD, b"") + os.urandom(200_000)
    bench = bench_for(places)
    bench.arrive(encode_data(3, 3, wire.store_command()), *fragments(data))
    assert list(places[1].iterdir()) == []
    bench.arrive(encode_data(3, 2, b""))
    assert bench.statuses() == [0xB007]
    octets, report = kept_object(places[1])
    assert split_file(octets).dataset == data
    assert report["offset"] == len(head)


def test_out_of_order_and_contradicting(places: tuple[Path, Path]) -> None:
    """Sorted before the contradiction is found."""
    data = OTHER_UID + ds.implicit(0x00282000, os.urandom(90_000)) + ds.implicit(0x00100010, b"A^B ")
    bench = bench_for(places)
    bench.arrive(encode_data(3, 3, wire.store_command()), *fragments(data), encode_data(3, 2, b""))
    assert bench.statuses() == [0xB007]
    assert split_file(kept_object(places[1])[0]).dataset == data


def test_what_sorting_lacks(places: tuple[Path, Path]) -> None:
    bench = bench_for(places, study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S"))
    bench.arrive(store(data=data_set(study="")))
    assert bench.statuses() == [0xB007]
    assert kept_object(places[1])[1]["tag"] == "0020,000D"
    assert bench.reporter.kinds == ["opened"]


@pytest.mark.parametrize(("status", "answer"), [(0xC000, 0xB007), (0xA702, 0xA702)])
def test_place_that_is_refused(places: tuple[Path, Path], status: int, answer: int) -> None:
    """An impossible name is the object's fault, a full disk is not."""
    bench = bench_for(places, study=StudyPolicy(sorting=Sorting.STUDY_UID))
    bench.arrive(store())
    bench.reporter.placed(places[0], status=status)
    assert bench.statuses() == [answer]
    assert len(list(places[1].iterdir())) == (2 if answer == 0xB007 else 0)
    assert "abandoned" in bench.reporter.kinds


@pytest.mark.parametrize("where", ["create", "copy", "write", "publish"])
def test_quarantine_that_is_full_refuses_the_object(places: tuple[Path, Path], where: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_keywords: object) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill() -> None:
        if where == "create":
            monkeypatch.setattr(os, "open", full)
        elif where == "copy":
            monkeypatch.setattr(received_module.os, "copy_file_range", full)
        elif where == "write":
            monkeypatch.setattr(os, "writev", full)
            monkeypatch.setattr(os, "write", full)
        else:
            monkeypatch.setattr(os, "link", full)

    bench = bench_for(places)
    data = data_set() + ds.implicit(0x00282000, bytes(90_000)) + ds.implicit(0xFFFEE0DD, b"")
    bench.arrive(store(data=data_set()) + store(data=CUT))  # the directories are open
    assert bench.statuses() == [0, 0xB007]
    for path in places[1].iterdir():
        path.unlink()
    bench.arrive(encode_data(3, 3, wire.store_command()), *fragments(data[:-8]))
    before = len(os.listdir("/proc/self/fd"))
    fill()
    bench.arrive(encode_data(3, 0, data[-8:]), *fragments(bytes(70_000)), encode_data(3, 2, b""))
    monkeypatch.undo()
    assert bench.statuses() == [0xA700]
    assert list(places[1].iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) < before, "nothing stays open"
    bench.arrive(store(data=CUT))
    assert bench.statuses() == [0xB007]


def test_aborted_transfer_leaves_nothing(places: tuple[Path, Path]) -> None:
    bench = bench_for(places)
    bench.arrive(encode_data(3, 3, wire.store_command()), encode_data(3, 0, data_set() + ds.implicit(0xFFFEE0DD, b"")))
    before = len(os.listdir("/proc/self/fd"))
    bench.hang_up()
    assert len(os.listdir("/proc/self/fd")) < before
    assert list(places[1].iterdir()) == list(places[0].iterdir()) == []


def test_main_directory_that_fails_is_no_case_for_the_quarantine(places: tuple[Path, Path],
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: InstanceSink, target: str, **_options: object) -> Generator[None, None, bool]:
        raise received_module.StorageError("no space")
        yield

    bench = bench_for(places)
    bench.arrive(encode_data(3, 3, wire.store_command()), encode_data(3, 0, data_set()))
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(InstanceSink, "publishing", full)
    bench.arrive(encode_data(3, 2, b""))
    assert bench.statuses() == [0xA700]
    assert len(os.listdir("/proc/self/fd")) < before
    assert list(places[1].iterdir()) == []


@pytest.mark.parametrize("policies", [
    {"output": OutputOptions(bit_preserving=True)}, {"store": {"ignore": True}},
], ids=["+B", "--ignore"])
def test_what_is_not_read_is_not_kept(places: tuple[Path, Path], policies: dict[str, Any]) -> None:
    bench = bench_for(places, **policies)
    assert bench.context.service.reception.quarantine is None
    bench.arrive(store(data=CUT))
    assert bench.statuses() == [0]
    assert list(places[1].iterdir()) == []


def test_without_the_option_all_is_as_before(places: tuple[Path, Path]) -> None:
    bench = Bench(Config(network=NetworkPolicy(), store=StorePolicy(str(places[0])), hooks=EVENTS)).established()
    bench.arrive(store(data=CUT) + store(data=OTHER_UID))
    assert bench.statuses() == [0xC000, 0xA900]
    assert bench.reporter.kinds == ["opened"]


def test_bare_data_sets_are_kept_as_files(places: tuple[Path, Path]) -> None:
    bench = bench_for(places, output=OutputOptions(file_format=False))
    bench.arrive(store(data=CUT))
    assert split_file(kept_object(places[1])[0]).dataset == CUT


def test_gap_is_filled_while_the_rest_arrives(places: tuple[Path, Path]) -> None:
    context = bench_for(places).context.service.reception
    data = data_set() + ds.implicit(0x00282000, bytes(9 << 20)) + ds.implicit(0xFFFEE0DD, b"")
    reception = new_reception(context, AcceptedContext(3, wire.CT, wire.IMPLICIT),
                              decode_command(wire.store_command()), "MODALITY")
    assert isinstance(reception, KeepingReception)
    reception.feed([data[:50_000]], lambda: False)
    reception.feed([data[50_000:]], lambda: False)
    assert reception.failure is not None
    for _ in range(8):
        reception.feed([b"rest"], lambda: False)
    assert next(reception._steps, None) is None
    assert result(reception.keeping({})) is not None
    assert split_file(kept_object(places[1])[0]).dataset == data + 8 * b"rest"


def test_object_out_of_order_that_is_not_what_was_announced_is_kept_where_studies_are_durable(places: tuple[Path, Path]) -> None:
    """It is compared with nothing: what is needed to have it back would be given away for that."""
    bench = bench_for(places, study=StudyPolicy(sorting=Sorting.STUDY_UID), hooks=EVENTS)
    data = data_set(instance="1.9", study="")
    behind = ds.implicit(0x00080060, b"CT")  # out of order: the octets are copied before they change places
    bench.arrive(store(data=data + ds.implicit(0x00282000, bytes(6_000)) + behind))
    bench.loop.advance(0)
    assert bench.statuses() == [0xB007]
    assert split_file(kept_object(places[1])[0]).dataset.endswith(behind)
