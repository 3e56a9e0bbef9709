"""The express lane of an ingest does what a reception does, octet for octet, or leaves a file alone."""

from __future__ import annotations

import errno
import logging
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from fastscp import core
from fastscp.config import Config
from fastscp.dicom.options import OutputOptions
from fastscp.ingest.express import FileLane, LanePolicy, lane_of
from fastscp.ingest.policy import IngestPolicy, Placement
from fastscp.ingest.preparing import Prepared, Preparer
from fastscp.ingest.sink import IngestDirectory
from fastscp.ingest.sources import Kind, Source
from fastscp.log.names import APPLICATION
from fastscp.store.policy import FileNames, OnDuplicate, StorePolicy, Sync
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.worker.context import Shared, reception_context
from fastscp.worker.express import depot_for
from tests.support import datasets as ds
from tests.support.ingest import made

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")

PYDICOM = sorted(path for path in (Path(pydicom.__file__).parent / "data").rglob("*") if path.is_file())
OUTPUTS = {"": OutputOptions(), "+B": OutputOptions(bit_preserving=True), "-F": OutputOptions(file_format=False),
           "+ti": OutputOptions(transfer_syntax=ds.IMPLICIT), "+te": OutputOptions(transfer_syntax=ds.EXPLICIT),
           "+td": OutputOptions(transfer_syntax=ds.DEFLATED), "+tb": OutputOptions(transfer_syntax=ds.BIG)}


class Pair:
    """The lane and the usual way, over the same directory."""

    def __init__(self, out: Path, output: OutputOptions, **policy: Any) -> None:
        out.mkdir(exist_ok=True)
        config = Config(output=output, store=StorePolicy(str(out), **policy))
        directory = IngestDirectory(str(out))
        self.out = out
        context = reception_context(config, directory, Shared())
        self.usual = Preparer(context, directory, "TITLE", Placement.COPY)
        depot = depot_for(context)
        assert depot is not None
        self._lanes = {places: FileLane(depot, context, LanePolicy("a-1", "TITLE", tells=places, places=places)) for places in (False, True)}
        self.lane = self._lanes[False]
        self.sorting = self._lanes[True]

    def same(self, source: Source) -> bool:
        """Learn a file the usual way, then compare what the lane makes of it; False when it leaves it alone."""
        usual = self.usual.prepare(source)
        expected = facts_of(usual)
        octets = None if usual.sink is None or expected.get("failed") else contents(usual.sink.fd)
        usual.discard()
        laid = self.lane.prepare(source)
        if laid is None:
            return False
        try:
            assert facts_of(laid) == expected
            assert contents(laid.made.descriptor) == octets
            return True
        finally:
            laid.discard()


def facts_of(prepared: Any) -> dict[str, Any]:
    """Return what is told of an object, without what differs from one temporary to the next or nobody asks for here."""
    facts: dict[str, Any] = prepared.facts()
    return {name: value for name, value in facts.items() if name not in {"inode", "study", "patient", "charset"}}


def contents(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    descriptors = len(os.listdir("/proc/self/fd"))
    pairs = []

    def new(option: str = "", **policy: Any) -> Pair:
        pairs.append(Pair(tmp_path / "out", OUTPUTS[option], **policy))
        return pairs[-1]

    yield new
    assert len(os.listdir("/proc/self/fd")) - descriptors <= 2 * len(pairs), "left open"  # each directory keeps one, and the study's


@pytest.mark.parametrize(("option", "least"), [("", 60), ("+B", 100), ("-F", 60), ("+ti", 15), ("+te", 40), ("+tb", 15), ("+td", 0)])
def test_files_of_pydicom(pair: Callable[..., Pair], option: str, least: int) -> None:
    both = pair(option)
    taken = sum(both.same(Source(str(path))) for path in PYDICOM)
    assert taken >= least


@pytest.mark.parametrize("option", ["", "+B", "+ti"])
def test_damaged_files(pair: Callable[..., Pair], tmp_path: Path, option: str) -> None:
    """What is wrong with a file the usual way has to find: the lane may take only what is the same."""
    both, chance, taken = pair(option), random.Random(13), 0
    whole = made(1)
    for number in range(1200):
        octets = bytearray(whole)
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            octets[chance.randrange(120, len(octets))] = chance.choice([0, 1, 8, 0x20, 0x31, 0xFF, chance.randrange(256)])
        if chance.random() < 0.3:
            del octets[chance.randrange(100, len(octets)):]
        if chance.random() < 0.1:
            octets += chance.randbytes(chance.randrange(1, 40))
        path = tmp_path / str(number)
        path.write_bytes(octets)
        taken += both.same(Source(str(path)))
    assert taken > 200


@pytest.mark.parametrize(("octets", "takes"), [
    (made(1), True),
    (made(1)[:-1], False),
    (made(1) + b"\0", False),
    (made(1)[132:], False),
    (made(1).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"), False),
    (made(1, sop_class="1.2.840.10008.1.3.10"), False),
    (made(1).replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x14\x00 .2.840.10008.1.2.1\0"), False),
    (b"", False), (b"\0" * 200, False)])
def test_what_is_taken(pair: Callable[..., Pair], tmp_path: Path, octets: bytes, *, takes: bool) -> None:
    both = pair()
    (tmp_path / "a").write_bytes(made(1))
    assert both.same(Source(str(tmp_path / "a")))
    (tmp_path / "b").write_bytes(octets)
    assert both.same(Source(str(tmp_path / "b"))) is takes


@pytest.mark.parametrize("octets", [
    made(1, sop_class="1.2.840.10008.1.3.10"),
    made(1).replace(ds.explicit(0x00080060, "CS", b"CT"), ds.explicit(0x00070010, "LO", b"AB") + ds.explicit(0x00080018, "UI", b"1.2.3.8\0")),
    made(1).replace(b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0", b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.2\0"),
    made(1).replace(b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0", b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99")
    .replace(b"\x02\0\x03\0UI\x08\x001.2.3.1\0", b"\x02\0\x03\0UI\x08\x001.2.3.7\0")])
def test_what_is_preserved_is_still_looked_at(pair: Callable[..., Pair], tmp_path: Path, octets: bytes) -> None:
    """A DICOMDIR; data sets that are not in the transfer syntax that their files name."""
    (tmp_path / "a").write_bytes(octets)
    assert not pair("+B").same(Source(str(tmp_path / "a")))


def test_a_large_file_is_copied_behind_its_header(pair: Callable[..., Pair], tmp_path: Path) -> None:
    for option, octets in (("", 70_000), ("+B", 70_000), ("", 300_002), ("+B", 1 << 20)):
        both = pair(option)
        path = tmp_path / "large"
        path.write_bytes(made(1, pixels=octets)[:-octets] + random.Random(octets).randbytes(octets))
        assert both.same(Source(str(path)))
        laid = both.lane.prepare(Source(str(path)))
        assert laid is not None
        outcome = laid.publish({"index": 0})
        assert outcome is not None
        assert outcome["size"] == (both.out / "CT.1.2.3.1").stat().st_size > octets


def test_a_copy_that_fails_leaves_nothing(pair: Callable[..., Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_values: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fastscp.ingest.kernel.copy", full)
    both = pair("+B")
    (tmp_path / "large").write_bytes(made(1, pixels=70_000))
    (tmp_path / "small").write_bytes(made(1))
    assert both.same(Source(str(tmp_path / "small")))  # the directory is open
    before = len(os.listdir("/proc/self/fd"))
    assert both.lane.prepare(Source(str(tmp_path / "large"))) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_plain_files_that_may_be_read(pair: Callable[..., Pair], tmp_path: Path) -> None:
    both = pair("+B")
    path = tmp_path / "a"
    path.write_bytes(made(1))
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    assert not both.same(Source(str(tmp_path / "link")))
    assert both.same(Source(str(tmp_path / "link"), linked=True))
    for source in (Source(str(tmp_path / "pipe")), Source(str(tmp_path)), Source(str(tmp_path / "gone")),
                   Source(str(path), Kind.REGION, size=10), Source(str(path), Kind.PROBLEM)):
        assert both.lane.prepare(source) is None


def test_an_object_of_too_many_octets_is_left_alone(pair: Callable[..., Pair], tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(made(1))
    data_set = len(made(1)) - made(1).index(ds.explicit(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"))
    assert pair("+B", max_object_octets=data_set).same(Source(str(path)))
    assert not pair("+B", max_object_octets=data_set - 1).same(Source(str(path)))


def test_a_name_is_given_in_turn_and_an_earlier_file_replaced(pair: Callable[..., Pair], tmp_path: Path) -> None:
    both = pair("+B")
    path = tmp_path / "a"
    path.write_bytes(made(1))
    for reason in ("", "duplicate: replace"):
        laid = both.lane.prepare(Source(str(path)))
        assert laid is not None
        inode = laid.facts()["inode"]
        outcome = laid.publish({"index": 0})
        assert outcome is not None
        assert (outcome["result"], outcome["file"], outcome["reason"]) == ("stored", "CT.1.2.3.1", reason)
        assert (both.out / "CT.1.2.3.1").stat().st_ino == inode
        assert outcome["size"] == (both.out / "CT.1.2.3.1").stat().st_size
        assert "packet" not in outcome
    assert len(list(both.out.iterdir())) == 1


@pytest.mark.parametrize("item", [{"status": 0xA700, "message": "no"}, {"file": "CT.1.2.3.1", "inode": 1, "directory": "x"}, {"directory": "x"}])
def test_what_needs_a_decision_at_its_turn_goes_the_usual_way(pair: Callable[..., Pair], tmp_path: Path, item: dict[str, Any]) -> None:
    both = pair("+B")
    (tmp_path / "a").write_bytes(made(1))
    laid = both.lane.prepare(Source(str(tmp_path / "a")))
    assert laid is not None
    assert laid.publish({"index": 0, **item}) is None
    assert list(both.out.iterdir()) == []


def test_the_directory_of_a_study(pair: Callable[..., Pair], tmp_path: Path) -> None:
    both = pair()
    (tmp_path / "a").write_bytes(made(1))
    assert both.same(Source(str(tmp_path / "a")))
    place = both.out / "S_1.2.9"
    place.mkdir()

    def publish(**item: Any) -> dict[str, Any] | None:
        laid = both.sorting.prepare(Source(str(tmp_path / "a")))
        assert laid is not None
        assert laid.facts()["study"] == "1.2.9"
        return laid.publish({"index": 0, "directory": str(place), "late": False, "status": 0, "message": ""} | item)

    assert publish(late=True) is None
    assert publish(directory=None) is None
    assert publish(directory=str(tmp_path / "gone")) is None
    outcome = publish()
    assert outcome is not None
    packet = outcome["packet"]
    assert (packet["directory"], packet["file"], packet["study"], packet["sop_instance"], packet["association"]) == (
        str(place), "CT.1.2.3.1", "1.2.9", "1.2.3.1", "a-1")
    assert packet["size"] == (place / "CT.1.2.3.1").stat().st_size == outcome["size"]
    (place / "CT.1.2.3.1").unlink()
    place.rename(tmp_path / "moved")
    place.mkdir()
    assert publish() is None, "the path leads elsewhere"
    assert [*place.iterdir(), *(tmp_path / "moved").iterdir()] == []
    assert publish() is not None, "and from then on there"
    assert publish() is None, "what is there may be the same"


def test_an_object_without_a_study_has_no_place(pair: Callable[..., Pair], tmp_path: Path) -> None:
    both = pair()
    without = made(1).replace(ds.explicit(0x0020000D, "UI", b"1.2.9\0"), ds.explicit(0x0020000D, "UI", b""))
    assert without != made(1)
    (tmp_path / "a").write_bytes(without)
    assert both.same(Source(str(tmp_path / "a")))
    assert both.sorting.prepare(Source(str(tmp_path / "a"))) is None


CONFIG = Config(store=StorePolicy("."))
POLICY = IngestPolicy(paths=())


@pytest.mark.parametrize(("config", "policy", "has_lane"), [
    (CONFIG, POLICY, True),
    (CONFIG, replace(POLICY, placement=Placement.MOVE), False),
    (CONFIG, replace(POLICY, placement=Placement.LINK), False),
    (CONFIG, replace(POLICY, dry_run=True), False),
    (replace(CONFIG, study=StudyPolicy(sorting=Sorting.STUDY_UID)), POLICY, True),
    (replace(CONFIG, study=StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES)), POLICY, True),
    (replace(CONFIG, study=StudyPolicy(sorting=Sorting.PATIENT_NAME)), POLICY, False),
    (replace(CONFIG, study=StudyPolicy(timeout_s=1)), POLICY, False),
    (replace(CONFIG, output=OUTPUTS["+B"]), POLICY, True),
    (replace(CONFIG, output=OUTPUTS["+B"], study=StudyPolicy(sorting=Sorting.STUDY_UID)), POLICY, False),
    (replace(CONFIG, hooks=HookPolicy(event_log="events")), POLICY, True),
    (replace(CONFIG, hooks=HookPolicy(event_log="events", event_digest=True)), POLICY, False),
    (replace(CONFIG, store=StorePolicy(".", ignore=True)), POLICY, False),
    (replace(CONFIG, store=StorePolicy(".", file_names=FileNames.UNIQUE)), POLICY, False),
    (replace(CONFIG, store=StorePolicy(".", on_duplicate=OnDuplicate.KEEP)), POLICY, False),
    (replace(CONFIG, store=StorePolicy(".", sync=Sync.OBJECT)), POLICY, False),
    (replace(CONFIG, store=StorePolicy(".", extension="_x")), POLICY, False)])
def test_when_there_is_a_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config, policy: IngestPolicy, *, has_lane: bool) -> None:
    monkeypatch.chdir(tmp_path)
    context = reception_context(config, IngestDirectory("."), Shared())
    assert (lane_of(context, config, policy, "a-1") is not None) is has_lane


def test_no_lane_where_every_object_is_narrated(tmp_path: Path) -> None:
    log = logging.getLogger(APPLICATION)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        assert lane_of(reception_context(CONFIG, IngestDirectory(str(tmp_path)), Shared()), CONFIG, POLICY, "a-1") is None
    finally:
        log.setLevel(level)


def test_prepared_is_what_the_lane_is_compared_with(pair: Callable[..., Pair], tmp_path: Path) -> None:
    both = pair()
    (tmp_path / "a").write_bytes(made(1))
    prepared = both.usual.prepare(Source(str(tmp_path / "a")))
    assert isinstance(prepared, Prepared)
    assert facts_of(prepared)["instance"] == "1.2.3.1"
    prepared.discard()
