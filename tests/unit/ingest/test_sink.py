"""Temporaries that are made from files, and the copying in the kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastscp.errors import StorageError
from fastscp.ingest import kernel
from fastscp.ingest.sink import DryDirectory, IngestDirectory, SourcedSink, SourceFile


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "source").write_bytes(bytes(range(256)) * 400)
    found = os.open(tmp_path / "source", os.O_RDONLY)
    yield found
    os.close(found)


def new(tmp_path: Path, descriptor: int, head: bytes, *, linkable: bool = True) -> SourcedSink:
    (tmp_path / "out").mkdir(exist_ok=True)
    directory = IngestDirectory(str(tmp_path / "out"))
    directory.source = SourceFile(descriptor, str(tmp_path / "source"), os.fstat(descriptor), linkable)
    sink = directory.create(head)
    assert sink is directory.created
    assert isinstance(sink, SourcedSink)
    return sink


def whole(tmp_path: Path) -> bytes:
    return (tmp_path / "source").read_bytes()


@pytest.mark.parametrize("head", [bytes(range(256)), b"another head of another length", b""])
def test_what_is_left_out_is_copied(tmp_path: Path, descriptor: int, head: bytes) -> None:
    source = whole(tmp_path)
    sink = new(tmp_path, descriptor, head)
    sink.write([source[256:300]])
    sink.leave_out(50_000)
    sink.copy_from(descriptor, 300, 50_000)
    sink.write([source[50_300:]])
    sink.complete()
    assert sink.is_source == (head == source[:256])
    assert sink.publish("x", replace=True) is False
    assert (tmp_path / "out" / "x").read_bytes() == head + source[256:]
    assert ((tmp_path / "out" / "x").stat().st_ino == (tmp_path / "source").stat().st_ino) == (head == source[:256])


def test_nothing_is_linked_unless_it_may(tmp_path: Path, descriptor: int) -> None:
    sink = new(tmp_path, descriptor, whole(tmp_path), linkable=False)
    sink.complete()
    assert not sink.is_source
    sink.publish("x", replace=True)
    assert (tmp_path / "out" / "x").stat().st_nlink == 1


@pytest.mark.parametrize("change", ["write", "patch", "short", "truncate"])
def test_whatever_differs_is_a_file_of_its_own(tmp_path: Path, descriptor: int, change: str) -> None:
    source = whole(tmp_path)
    sink = new(tmp_path, descriptor, source[:300])
    sink.leave_out(90_000)
    sink.copy_from(descriptor, 300, 90_000)
    if change == "write":
        sink.write([b"x" + source[90_301:]])
    elif change != "short":
        sink.write([source[90_300:]])
    if change == "patch":
        sink.patch(10, b"x")
    if change == "truncate":
        sink.truncate(5)
        sink.write([source[5:]])
    sink.complete()
    assert not sink.is_source
    sink.publish("x", replace=True)
    written = {"write": source[:90_300] + b"x" + source[90_301:], "patch": source[:10] + b"x" + source[11:],
               "short": source[:90_300], "truncate": source}[change]
    assert (tmp_path / "out" / "x").read_bytes() == written
    assert whole(tmp_path) == source


def test_what_stands_elsewhere_in_the_source_differs(tmp_path: Path, descriptor: int) -> None:
    source = whole(tmp_path)
    sink = new(tmp_path, descriptor, source[:100])
    sink.leave_out(len(source) - 100)
    sink.copy_from(descriptor, 50, len(source) - 100)
    sink.complete()
    assert not sink.is_source
    sink.publish("x", replace=True)
    assert (tmp_path / "out" / "x").read_bytes() == source[:100] + source[50:-50]


def test_a_patch_that_changes_nothing_is_no_difference(tmp_path: Path, descriptor: int) -> None:
    source = whole(tmp_path)
    sink = new(tmp_path, descriptor, source)
    sink.write([b""])
    sink.patch(10, source[10:20])
    assert sink.is_source


def test_whoever_looks_finds_everything(tmp_path: Path, descriptor: int) -> None:
    from fastscp.store.steps import result

    source = whole(tmp_path)
    sink = new(tmp_path, descriptor, source[:300])
    sink.leave_out(len(source) - 300)
    sink.copy_from(descriptor, 300, len(source) - 300)
    assert sink.read(250, 100) == source[250:350]
    assert not sink.is_source
    assert result(sink.compare(str(tmp_path / "source")))


def test_a_name_that_is_the_sources_own_stays(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "source", tmp_path / "out" / "x")
    sink = new(tmp_path, descriptor, whole(tmp_path))
    assert sink.publish("x", replace=True) is True
    assert sorted(os.listdir(tmp_path / "out")) == ["x"]
    assert (tmp_path / "source").stat().st_nlink == 2


def test_a_link_that_is_not_possible_is_a_copy(tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = new(tmp_path, descriptor, whole(tmp_path)[:100])
    sink.leave_out(102_300)
    sink.copy_from(descriptor, 100, 102_300)
    sink.complete()
    assert sink.is_source
    link = IngestDirectory.link_descriptor

    def refusing(self: IngestDirectory, fd: int, target: str, dir_fd: int) -> None:
        if fd == descriptor:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(self, fd, target, dir_fd)

    monkeypatch.setattr(IngestDirectory, "link_descriptor", refusing)
    sink.publish("x", replace=False)
    assert (tmp_path / "out" / "x").read_bytes() == whole(tmp_path)
    assert (tmp_path / "source").stat().st_nlink == 1


def test_a_source_that_shrinks_is_an_error(tmp_path: Path, descriptor: int) -> None:
    sink = new(tmp_path, descriptor, b"x")
    sink.leave_out(200_000)
    with pytest.raises(StorageError, match="Input/output error"):
        sink.copy_from(descriptor, 0, 200_000)
    sink.discard()


def test_a_dry_run_writes_nothing(tmp_path: Path, descriptor: int) -> None:
    directory = DryDirectory(str(tmp_path / "nowhere"))
    sink = directory.create(b"head")
    sink.leave_out(1000)
    assert directory.created is sink
    directory.created.copy_from(descriptor, 0, 1000)
    sink.write([b"tail"])
    assert sink.size == 1008
    sink.discard()


@pytest.mark.parametrize("begins", [(0, 0), (100, 100), (4196, 100), (5, 700)])
@pytest.mark.parametrize("error", [None, errno.EXDEV, errno.EINVAL])
def test_copies(tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch, begins: tuple[int, int],
                error: int | None) -> None:
    offset, at = begins
    asked = []

    def copying(source: int, target: int, count: int, from_: int, to: int) -> int:
        asked.append((from_, to))
        if error is not None:
            raise OSError(error, os.strerror(error))
        return os.pwrite(target, os.pread(source, min(count, 30_000), from_), to)

    monkeypatch.setattr(os, "copy_file_range", copying)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    os.pwrite(target, b"?" * at, 0)
    kernel.copy(descriptor, offset, target, at, 70_000)
    assert os.lseek(target, 0, os.SEEK_CUR) == 0
    os.close(target)
    assert (tmp_path / "target").read_bytes() == b"?" * at + whole(tmp_path)[offset:offset + 70_000]
    aligned = any(from_ % 4096 == 0 and to % 4096 == 0 for from_, to in asked)
    assert aligned == ((offset - at) % 4096 == 0), "blocks can be shared"


def test_an_error_of_the_disk_is_none_of_the_kernels_reasons(tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="No space"):
        kernel.copy(descriptor, 0, descriptor, 0, 10)
