"""A worker process of an ingest, at the other end of a channel; and what prepares and publishes in it."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.dicom.options import OutputOptions
from fastscp.ingest.channel import Channel, Closed, channel_pair
from fastscp.ingest.dry import name_of
from fastscp.ingest.policy import Placement
from fastscp.ingest.preparing import Preparer
from fastscp.ingest.publishing import Publisher, PublishingPolicy
from fastscp.ingest.sink import IngestDirectory
from fastscp.ingest.sources import ARCHIVE, Kind, Source
from fastscp.ingest.worker import IngestWorker
from fastscp.net.peer import Peer
from fastscp.store.policy import FileNames, StorePolicy
from fastscp.study.policy import Sorting, StudyPolicy
from fastscp.worker.context import Shared, reception_context
from fastscp.worker.outcome import Caller
from tests.support import datasets as ds
from tests.support.ingest import made


class Bench:
    """A worker that runs in a thread until its channel is closed."""

    def __init__(self, out: Path, *, output: OutputOptions | None = None, moves: bool = False, tells: bool = True) -> None:
        out.mkdir(exist_ok=True)
        config = Config(output=output or OutputOptions(), store=StorePolicy(str(out)))
        directory = IngestDirectory(str(out))
        placement = Placement.MOVE if moves else Placement.COPY
        self.preparer = Preparer(reception_context(config, directory, Shared()), directory, "TITLE", placement)
        caller = Caller(Peer("127.0.0.1", 0, "localhost"), "TITLE", "ANY", introduced=True)
        publisher = Publisher(PublishingPolicy("a-1", tells=tells, durable=False, tells_events=True, moves=moves), caller, str(out))
        self.channel, theirs = channel_pair()
        worker = IngestWorker(theirs, self.preparer, publisher)

        def work() -> None:
            self.status = worker.run()
            theirs.close()

        self._arrived: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=work)
        self._thread.start()

    def close(self) -> None:
        self.channel.close()
        self._thread.join(20)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.channel.send(message)
        return self.next()

    def next(self) -> dict[str, Any]:
        if not self._arrived:
            self._arrived += self.channel.receive(wait=True)
        return self._arrived.pop(0)

    def prepare(self, *sources: Source, chunk: int = 1, done: tuple[list[int], ...] = ()) -> list[dict[str, Any]]:
        message = self.ask({"kind": "prepare", "chunk": chunk, "sources": [source.packed() for source in sources], "done": list(done)})
        facts: list[dict[str, Any]] = message["facts"]
        return facts

    def publish(self, count: int, chunk: int = 1, part: int = 0, **item: Any) -> list[dict[str, Any]]:
        message = self.ask({"kind": "publish", "chunk": chunk, "part": part, "items": [{"index": index, **item} for index in range(count)]})
        outcomes: list[dict[str, Any]] = message["outcomes"]
        return outcomes


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made_one = Bench(tmp_path / "out")
    yield made_one
    made_one.close()
    assert made_one.status == 0


def file(path: Path, octets: bytes) -> Source:
    path.write_bytes(octets)
    return Source(str(path))


def test_nothing_has_a_name_before_its_turn(bench: Bench, tmp_path: Path) -> None:
    facts = bench.prepare(file(tmp_path / "a", made(1)), file(tmp_path / "b", b"text"))
    assert [one["state"] for one in facts] == ["ready", "foreign"]
    assert (facts[0]["study"], facts[0]["patient"], facts[0]["instance"]) == ("1.2.9", "A^B ", "1.2.3.1")
    assert list((tmp_path / "out").iterdir()) == []
    outcomes = bench.publish(2)
    assert [outcome["result"] for outcome in outcomes] == ["stored", "foreign"]
    assert (tmp_path / "out" / "CT.1.2.3.1").stat().st_ino == facts[0]["inode"]
    assert (outcomes[0]["packet"]["association"], outcomes[0]["packet"]["size"]) == ("a-1", outcomes[0]["size"])


@pytest.mark.parametrize(("octets", "state", "reason"), [
    (b"", "foreign", "not DICOM"),
    (bytes(128) + b"DICM" + ds.explicit(0x00080018, "UI", b"1.2 "), "failed", "no SOP Class UID"),
    (bytes(128) + b"DICM" + ds.explicit(0x00080016, "UI", b"1.2 "), "failed", "no SOP Instance UID"),
    (made(1, sop_class="1.2.840.10008.1.3.10"), "skipped", "a DICOMDIR")])
def test_what_is_no_object(bench: Bench, tmp_path: Path, octets: bytes, state: str, reason: str) -> None:
    assert [(one["state"], one["reason"]) for one in bench.prepare(file(tmp_path / "a", octets))] == [(state, reason)]


def test_what_cannot_be_read(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file(tmp_path / "a", made(1)).path)
    os.mkfifo(tmp_path / "pipe")
    facts = bench.prepare(Source(str(tmp_path / "gone")), Source(str(tmp_path / "link")), Source(str(tmp_path / "link"), linked=True),
                          Source(str(tmp_path / "pipe")), Source("x", Kind.PROBLEM, note="odd"), Source("x", Kind.SKIPPED, note="link"),
                          Source(str(tmp_path / "a"), Kind.END, ARCHIVE))
    assert [(one["state"], one["reason"]) for one in facts] == [
        ("failed", "cannot be read: No such file or directory"), ("failed", "cannot be read: Too many levels of symbolic links"),
        ("ready", ""), ("skipped", "not a regular file"), ("failed", "odd"), ("skipped", "link"), ("ended", "")]
    assert facts[-1]["size"] == (tmp_path / "a").stat().st_size


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "out", output=OutputOptions(transfer_syntax=ds.IMPLICIT))
    jpeg = made(1).replace(ds.EXPLICIT.encode() + b"\0", b"1.2.840.10008.1.2.5\0")
    try:
        facts = bench.prepare(file(tmp_path / "a", jpeg))
        assert (facts[0]["state"], facts[0]["reason"]) == ("failed", "transfer syntax RLELossless cannot be converted")
    finally:
        bench.close()


def test_what_is_refused_is_told(bench: Bench, tmp_path: Path) -> None:
    facts = bench.prepare(file(tmp_path / "a", made(1)[:-10]))
    assert facts[0]["failed"]
    outcome = bench.publish(1)[0]
    assert (outcome["result"], outcome["notes"][0]["kind"]) == ("refused", "refused")


def test_what_the_coordinator_refuses(bench: Bench, tmp_path: Path) -> None:
    bench.prepare(file(tmp_path / "a", made(1)))
    outcome = bench.publish(1, status=0xA700, message="no room", directory="", late=False)[0]
    assert (outcome["result"], outcome["reason"]) == ("refused", "no room")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_there_already_is_told_and_not_published_again(bench: Bench, tmp_path: Path) -> None:
    there = tmp_path / "out" / "there"
    there.write_bytes(b"x")
    for inode, file_name in ((there.stat().st_ino, "there"), (1, "CT.1.2.3.1")):
        bench.prepare(file(tmp_path / "a", made(1)), chunk=inode)
        outcome = bench.publish(1, chunk=inode, directory=str(tmp_path / "out"), file="there", inode=inode)[0]
        assert (outcome["result"], outcome["file"]) == ("stored", file_name)


def test_dropped_and_closed_leave_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "out")
    before = len(os.listdir("/proc/self/fd"))
    bench.prepare(*[file(tmp_path / f"{number}", made(number)) for number in range(5)])
    bench.prepare(file(tmp_path / "x", made(1)), chunk=2)
    assert len(os.listdir("/proc/self/fd")) > before
    bench.channel.send({"kind": "drop", "chunk": 1, "part": 0})
    bench.close()
    assert list((tmp_path / "out").iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= before


def test_regions_and_members_of_a_zip(bench: Bench, tmp_path: Path) -> None:
    large = made(2, pixels=200_000)
    (tmp_path / "x").write_bytes(b"????" + large + b"????")
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("m", made(3, pixels=100_000), zipfile.ZIP_DEFLATED)
        archive.writestr("n", b"text")
    facts = bench.prepare(Source(str(tmp_path / "x"), Kind.REGION, 0, "m", 4, len(large)), Source(str(tmp_path / "z"), Kind.ZIPPED, 0, "m"),
                          Source(str(tmp_path / "z"), Kind.ZIPPED, 1, "n"), Source(str(tmp_path / "z"), Kind.ZIPPED, 9, "gone"))
    assert [one["state"] for one in facts] == ["ready", "ready", "foreign", "failed"]
    bench.publish(4)
    assert (tmp_path / "out" / "CT.1.2.3.2").read_bytes()[-200_000:] == large[-200_000:]
    assert len((tmp_path / "out" / "CT.1.2.3.3").read_bytes()) > 100_000


def test_a_source_that_moves_is_safe_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watching(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}").replace(str(tmp_path), ""))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watching)
    bench = Bench(tmp_path / "out", moves=True)
    try:
        bench.prepare(file(tmp_path / "a", made(1)))
        outcome = bench.publish(1)[0]
        assert "unsafe" not in outcome
        assert len(synced) == 2
        assert synced[0].startswith("/out/")
        assert synced[1] == "/out"
        monkeypatch.setattr(Publisher, "sync_directories", failing)
        bench.prepare(file(tmp_path / "a", made(2)), chunk=2)
        assert bench.publish(1, chunk=2)[0]["unsafe"]
    finally:
        bench.close()


def failing(_self: Publisher, _directories: set[str]) -> None:
    from fastscp.errors import StorageError

    raise StorageError("no disk")


def test_parts_of_a_stream_wait_for_each_other(bench: Bench, tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        for number in range(100):
            member = tarfile.TarInfo(f"m{number}")
            octets = made(number)
            member.size = len(octets)
            archive.addfile(member, io.BytesIO(octets))
    first = bench.ask({"kind": "prepare", "chunk": 1, "sources": [Source(str(tmp_path / "x.tgz"), Kind.STREAM).packed()], "done": [[2, 5]]})
    second = bench.next()
    assert [(len(one["facts"]), one["part"], one["last"]) for one in (first, second)] == [(32, 0, False), (32, 1, False)]
    assert [one["source"][2] for one in first["facts"][:4]] == [0, 1, 6, 7]
    assert (bench._arrived, bench.channel.receive(wait=False)) == ([], [])
    bench.publish(32)
    third = bench.next()
    assert (len(third["facts"]), third["last"]) == (32, False)
    bench.publish(32, part=1)
    assert bench.next() == {"kind": "prepared", "chunk": 1, "part": 3, "last": True, "facts": []}


def test_messages_of_any_length() -> None:
    ours, theirs = channel_pair()
    message = {"kind": "x", "text": "y" * 3_000_000}
    assert ours.put(message)
    got: list[dict[str, Any]] = []
    while not got:
        got = theirs.receive(wait=False)
        ours.flush()
    assert got == [message]
    theirs.close()
    with pytest.raises(Closed):
        ours.receive(wait=True)
    with pytest.raises(Closed):
        ours.put(message)
    ours.close()
    assert isinstance(ours, Channel)


@pytest.mark.parametrize(("store", "study", "name"), [
    (StorePolicy("/o"), StudyPolicy(), "/o/CT.1.2.3.1"), (StorePolicy("/o", extension=".x"), StudyPolicy(Sorting.STUDY_UID, "a/P"), "/o/a/P_1.2.9/CT.1.2.3.1.x"),
    (StorePolicy("/o", FileNames.UNIQUE), StudyPolicy(Sorting.CONCURRENT_STUDIES, "P"), "/o/<directory of study 1.2.9>/CT.X.<UID>"),
    (StorePolicy("/o", FileNames.TIME), StudyPolicy(Sorting.PATIENT_NAME), "/o/<directory of study 1.2.9>/<time>.CT")])
def test_names_of_a_dry_run(tmp_path: Path, store: StorePolicy, study: StudyPolicy, name: str) -> None:
    bench = Bench(tmp_path / "out")
    prepared = bench.preparer.prepare(file(tmp_path / "a", made(1)))
    assert name_of(store, study)(prepared) == name
    prepared.discard()
    bench.close()
