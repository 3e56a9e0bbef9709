"""What came of a data set, had back from where it was written and from what was copied."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastscp.errors import StorageError
from fastscp.store import received as module
from fastscp.store.received import Received
from fastscp.store.sink import InstanceSink, OutputDirectory


@pytest.fixture
def directory(tmp_path: Path) -> OutputDirectory:
    return OutputDirectory(str(tmp_path))


@pytest.fixture
def sink(directory: OutputDirectory) -> InstanceSink:
    return directory.create(b"HEAD")


def had_back(received: Received, directory: OutputDirectory) -> bytes:
    target = directory.create(b"meta")
    target.leave_out(received.octets)
    steps = list(received.copy_to(target, 4))
    assert sum(steps) == received.octets
    octets = target.read(0, 1 << 24)
    target.discard()
    assert octets[:4] == b"meta"
    return octets[4:]


def test_ranges_and_copies_come_in_order(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    sink.write([b"ab__CDEFG__hi"])  # behind 4 octets
    received.take([b"xyzC", memoryview(b"DEFG12"), b"3"], [(3, 8, 5)])
    received.take([b"tail"])
    assert had_back(received, directory) == b"xyzCDEFG123tail"


def test_range_may_be_longer_than_what_came(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    sink.write([b"0123"])
    received.take([b"x0123"], [(1, 4, 100)])
    sink.write([b"456"])
    received.take([b"456"])
    assert had_back(received, directory) == b"x0123456"


def test_what_is_not_in_the_temporary_is_copied_whatever_was_expected(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    sink.write([b"0123"])
    received.take([b"x0123"], [(1, 4, 100)])
    received.take_unwritten([b"456", b"end"])
    received.take([b"more"])
    assert had_back(received, directory) == b"x0123456endmore"


def test_range_of_which_nothing_came(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    received.take([b"head"], [(4, 40, 100)])
    received.take_unwritten([b"other"])
    assert had_back(received, directory) == b"headother"


def test_ranges_that_overlap(sink: InstanceSink, directory: OutputDirectory) -> None:
    """Pixel Data between two looks, and a fragment of it that goes on."""
    received = Received(sink)
    sink.write([b"0123456789"])
    received.take([b"0123"], [(0, 4, 2)])
    received.take([b"456789"], [(1, 5, 8), (7, 11, 50)])
    assert had_back(received, directory) == b"0123456789"


def test_copies_beyond_memory_are_spooled(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    octets = os.urandom(900_000)
    for start in range(0, len(octets), 100_000):
        received.take([octets[start:start + 100_000]])
    assert len(received._memory) <= module._IN_MEMORY_OCTETS
    assert had_back(received, directory) == octets


def test_number_of_ranges_is_bounded(sink: InstanceSink, directory: OutputDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SEGMENTS", 10)
    received = Received(sink)
    expected = b""
    for number in range(50):
        offset = sink.size + 1
        sink.write([b"_abc"])
        received.take([b"%02d" % number, b"abc"], [(5 * number + 2, offset, 3)])
        expected += b"%02dabc" % number
    assert len(received._segments) <= 11
    assert had_back(received, directory) == expected


def test_secured_before_the_temporary_is_rearranged(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    sink.write([b"0123"])
    received.take([b"x0123y"], [(1, 4, 4)])
    received.secure()
    sink.truncate(4)
    sink.write([b"other"])
    assert had_back(received, directory) == b"x0123y"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL])
def test_another_file_system(sink: InstanceSink, directory: OutputDirectory, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "copy_file_range", refuse)
    received = Received(sink)
    octets = os.urandom(3_000_000)
    sink.write([octets])
    received.take([octets], [(0, 4, len(octets))])
    assert had_back(received, directory) == octets


def test_full_file_system(sink: InstanceSink, directory: OutputDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "copy_file_range", full)
    received = Received(sink)
    sink.write([b"0123"])
    received.take([b"0123"], [(0, 4, 4)])
    with pytest.raises(StorageError) as caught:
        had_back(received, directory)
    assert (caught.value.status, caught.value.errno) == (0xA700, errno.ENOSPC)


def test_temporary_that_is_too_short(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    received.take([b"0123"], [(0, 4, 4)])
    with pytest.raises(StorageError, match="shorter"):
        had_back(received, directory)


def test_copying_is_done_in_steps(sink: InstanceSink, directory: OutputDirectory) -> None:
    received = Received(sink)
    octets = os.urandom(9 << 20)
    sink.write([octets])
    received.take([octets], [(0, 4, len(octets))])
    target = directory.create()
    target.leave_out(len(octets))
    assert list(received.copy_to(target, 0)) == [4 << 20, 4 << 20, 1 << 20]
    assert target.read(0, len(octets)) == octets
