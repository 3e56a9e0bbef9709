"""Room for objects, on a file system that a test fills."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastscp.config import Config
from fastscp.process.flag import Flag
from fastscp.store.policy import MinFree, StorePolicy
from fastscp.ul.encode import encode_data
from fastscp.worker.room import LOOK_S, Room
from tests.corpus import wire
from tests.support.fake_worker import Bench, data_set, store
from tests.support.fakes import Clock

MEGABYTE = 1 << 20
TOTAL = 1000 * MEGABYTE


class FileSystem:
    """1000 MB in blocks of 4096 octets; what only root may use is not free."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.asked: list[str] = []
        self.refuse: OSError | None = None

    def statvfs(self, path: str) -> os.statvfs_result:
        self.asked.append(path)
        if self.refuse is not None:
            raise self.refuse
        free = self.free // 4096
        return os.statvfs_result((4096, 4096, TOTAL // 4096, free + 1000, free, 0, 0, 0, 0, 255))


def room(disk: FileSystem, wanted: MinFree, clock: Clock, flag: Flag | None = None) -> Room:
    return Room("/data/in", wanted, flag, statvfs=disk.statvfs, clock=clock)


@pytest.mark.parametrize(("wanted", "free", "short"), [
    (MinFree("100M", octets=100 * MEGABYTE), 100, False), (MinFree("100M", octets=100 * MEGABYTE), 99, True),
    (MinFree("5%", percent=5), 50, False), (MinFree("5%", percent=5), 49, True),
    (MinFree("0.5%", percent=0.5), 5, False), (MinFree("0.5%", percent=0.5), 4, True),
])
def test_limit(wanted: MinFree, free: int, short: bool) -> None:
    reason = room(FileSystem(free * MEGABYTE), wanted, Clock()).shortage()
    assert bool(reason) is short
    assert not short or reason == f"less than {wanted.text} free on the file system of /data/in"


def test_file_system_is_asked_now_and_then_and_after_much_was_stored() -> None:
    disk, clock = FileSystem(500 * MEGABYTE), Clock()
    space = room(disk, MinFree("5%", percent=5), clock)
    for _ in range(100):
        assert not space.shortage()
        space.spend(100_000)
    assert len(disk.asked) == 1
    clock.now += LOOK_S
    space.shortage()
    assert len(disk.asked) == 2
    space.spend(100 * MEGABYTE)
    disk.free = 0
    assert space.shortage()
    assert len(disk.asked) == 3


def test_room_comes_back_by_itself_and_each_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    disk, clock, flag = FileSystem(0), Clock(), Flag()
    workers = [room(disk, MinFree("5%", percent=5), clock, flag) for _ in range(3)]
    for free in (0, 0, 500, 500):
        disk.free = free * MEGABYTE
        clock.now += LOOK_S
        assert [bool(worker.shortage()) for worker in workers] == [not free] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "less than 5% free on the file system of /data/in (0 MB): objects are refused",
        "5% or more free again on the file system of /data/in: objects are stored"]


def test_what_another_worker_found_out_is_known_at_once() -> None:
    disk, clock, flag = FileSystem(500 * MEGABYTE), Clock(), Flag()
    one, other = (room(disk, MinFree("5%", percent=5), clock, flag) for _ in range(2))
    assert not one.shortage()
    disk.free = 0
    assert other.shortage()
    assert one.shortage()


def test_directory_that_cannot_be_asked_about_is_no_shortage() -> None:
    disk = FileSystem(0)
    disk.refuse = OSError(errno.ENOENT, "gone")
    assert not room(disk, MinFree("5%", percent=5), Clock()).shortage()


def test_object_is_refused_before_anything_of_it_is_written_and_its_data_set_dropped(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FileSystem(0)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    policy = StorePolicy(str(tmp_path), min_free=MinFree("5%", percent=5))
    bench = Bench(Config(store=policy)).established()
    space = bench.context.service.reception.room
    assert space is not None
    space._statvfs, clock = disk.statvfs, Clock()
    space._clock = clock
    octets = data_set()
    bench.arrive(encode_data(3, 3, wire.store_command()), encode_data(3, 0, octets[:20]))
    assert bench.context.service.reception.directory.fd < 0, "not even opened"
    bench.arrive(encode_data(3, 2, octets[20:]))
    assert bench.statuses() == [0xA700]
    disk.free = TOTAL
    clock.now += LOOK_S
    bench.arrive(store(2))
    assert bench.statuses() == [0]
    assert space._left < 0.95 * TOTAL / 16, "what is stored counts"


def test_without_the_option_nobody_asks(tmp_path: Path) -> None:
    for policy in (StorePolicy(str(tmp_path)), StorePolicy(str(tmp_path), ignore=True, min_free=MinFree("5%", percent=5))):
        assert Bench(Config(store=policy)).context.service.reception.room is None
