"""``--sync``: no success before file and name are on the disk, and no second attempt after a flush that failed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.process.loop import IN
from fastscp.store.policy import OnDuplicate, StorePolicy, Sync
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.worker import flushing
from fastscp.worker.connection import Connection
from fastscp.worker.quarantine import KEPT
from tests.corpus import wire
from tests.support.fake_worker import FD, Bench, FakeTransport, Peer, data_set, echo, store
from tests.support.faults import Faults

NAME = f"CT.{wire.INSTANCE}"


class Journal:
    """What was done, in order: flushes of files and directories, links, renames and answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entries: list[str] = []
        for kind in ("link", "rename", "mkdir"):
            self._record(monkeypatch, kind)
        fsync, send = os.fsync, FakeTransport.send

        def flush(fd: int) -> None:
            path = os.readlink(f"/proc/self/fd/{fd}")
            self.entries.append(f"fsync {os.path.basename(path)}" if os.path.isdir(path) else "fsync file")
            fsync(fd)

        def answer(transport: FakeTransport, octets: Any) -> int:
            self.entries.append("answer")
            return send(transport, octets)

        def whole(_fd: int) -> bool:
            self.entries.append("syncfs")
            return True

        monkeypatch.setattr(os, "fsync", flush)
        monkeypatch.setattr(FakeTransport, "send", answer)
        monkeypatch.setattr(flushing, "flush_file_system", whole)

    def _record(self, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        real = getattr(os, kind)

        def call(*arguments: Any, **named: Any) -> Any:
            self.entries.append(kind)
            return real(*arguments, **named)

        monkeypatch.setattr(os, kind, call)

    def take(self) -> list[str]:
        entries, self.entries = self.entries, []
        return entries


def bench_for(directory: Path, sync: Sync, study: StudyPolicy | None = None, hooks: HookPolicy | None = None,
              **store_policy: Any) -> Bench:
    directory.mkdir(exist_ok=True)
    bench = Bench(Config(hooks=hooks or HookPolicy(), network=NetworkPolicy(acse_timeout_s=30), study=study or StudyPolicy(),
                         store=StorePolicy(str(directory), sync=sync, **store_policy))).established()
    bench.context.service.reception.directory.follow_path()
    return bench


def another(bench: Bench, fd: int) -> Bench:
    """Open another association beside that of ``bench``, in the same process."""
    other = object.__new__(Bench)
    other.__dict__.update(bench.__dict__)
    other.transport = FakeTransport(fd)
    other.connection = Connection(bench.context, fd, other.transport, Peer("10.0.0.9", fd), [].append)
    other.connection.start()
    other.transport.arriving.append(wire.RQ)
    bench.loop.fire(fd, IN)
    other.transport.sent.clear()
    return other


def send(bench: Bench, octets: bytes) -> None:
    bench.transport.arriving.append(octets)
    bench.loop.fire(bench.transport.fd, IN)


def test_without_the_option_nothing_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_for(tmp_path / "out", Sync.NONE)
    journal = Journal(monkeypatch)
    bench.arrive(store())
    assert journal.take() == ["link", "answer"]


def test_object_and_its_name_are_on_the_disk_before_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_for(tmp_path / "out", Sync.OBJECT)
    journal = Journal(monkeypatch)
    bench.arrive(store())
    assert journal.take() == ["fsync file", "link", "fsync out", "answer"]
    bench.arrive(store(2))
    assert journal.take() == ["fsync file", "link", "link", "rename", "fsync out", "answer"]
    assert bench.statuses() == [0, 0]


@pytest.mark.parametrize("sync", [Sync.OBJECT, Sync.GROUP])
def test_with_sorting_it_is_the_directory_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Sync) -> None:
    bench = bench_for(tmp_path / "out", sync, StudyPolicy(sorting=Sorting.STUDY_UID))
    (tmp_path / "out" / "S_1").mkdir()
    journal = Journal(monkeypatch)
    bench.arrive(store())
    bench.reporter.placed(tmp_path / "out" / "S_1")
    bench.rounds()
    assert journal.take()[:2] == ["fsync file", "link"]
    bench.reporter.notify("on_acknowledged")
    bench.rounds()
    assert "answer" in journal.take()
    assert bench.statuses() == [0]


def test_directory_that_is_made_again_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_for(tmp_path / "out", Sync.OBJECT, StudyPolicy(sorting=Sorting.STUDY_UID))
    journal = Journal(monkeypatch)
    bench.arrive(store())
    bench.reporter.placed(tmp_path / "out" / "S_1")
    assert journal.take() == ["mkdir", "fsync out", "fsync file", "link", "fsync S_1"]


def test_copy_on_another_file_system_is_flushed_before_it_has_its_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sync in (Sync.OBJECT, Sync.GROUP):
        bench = bench_for(tmp_path / sync.value, sync)

        link = os.link

        def refuse(source: str, *arguments: Any, link: Any = link, **named: Any) -> None:
            if source.startswith("/proc/"):  # the temporary is elsewhere
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            link(source, *arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, "link", refuse)
            journal = Journal(patch)
            bench.arrive(store())
            bench.rounds()
            entries = journal.take()
            assert entries.index("link", 1 + entries.index("link")) > max(at for at, entry in enumerate(entries) if entry == "fsync file")
            assert entries.count("fsync file") == 2
            assert entries[-2:] == [f"fsync {sync.value}", "answer"]


def test_what_is_kept_in_the_quarantine_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").mkdir()
    for sync in (Sync.OBJECT, Sync.GROUP):
        bench = bench_for(tmp_path / "out", sync, quarantine=str(tmp_path / "kept"))
        with monkeypatch.context() as patch:
            journal = Journal(patch)
            bench.arrive(store(data=data_set("1.2.8")))
            bench.rounds()
            entries = journal.take()
        assert bench.statuses() == [KEPT]
        assert [entry for entry in entries if entry.startswith("fsync")][-4:] == ["fsync file", "fsync kept"] * 2
        assert entries[-1] == "answer"


def test_objects_that_end_together_share_their_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench_for(tmp_path / "out", Sync.GROUP)
    others = [another(one, FD + number) for number in (1, 2)]
    journal = Journal(monkeypatch)
    for number, bench in enumerate((one, *others)):
        send(bench, store(1, f"1.2.{number}"))
    assert journal.take() == []
    one.rounds()
    assert journal.take() == ["syncfs", "link", "link", "link", "fsync out", "answer", "answer", "answer"]
    assert [bench.statuses() for bench in (one, *others)] == [[0]] * 3


def test_single_object_of_a_group_is_flushed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_for(tmp_path / "out", Sync.GROUP)
    journal = Journal(monkeypatch)
    bench.arrive(store(1) + store(2, "1.2.9"))
    bench.rounds()
    assert journal.take() == ["fsync file", "link", "fsync out", "answer"] * 2
    assert bench.statuses() == [0, 0]


@pytest.mark.parametrize("early", [True, False])
def test_hooks_that_ran_before_the_name_was_flushed_are_not_waited_for_again(tmp_path: Path, early: bool) -> None:
    """The association would wait for ever."""
    bench = bench_for(tmp_path / "out", Sync.GROUP, hooks=HookPolicy(on_reception="true", synchronous=True))
    bench.arrive(store(1) + echo(2))
    bench.rounds()
    bench.reporter.notify("on_sent")
    if early:
        bench.reporter.notify("on_ran")
        assert bench.statuses() == [], "nothing of what follows comes first"
    bench.rounds()
    if not early:
        assert bench.statuses() == [0]
        assert bench.connection.blocked
        bench.reporter.notify("on_ran")
        bench.rounds()
    assert bench.statuses() == [0, 0] if early else [0]
    assert not bench.connection.blocked


def test_old_kernels_get_a_flush_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench_for(tmp_path / "out", Sync.GROUP)
    other = another(one, FD + 1)
    journal = Journal(monkeypatch)
    monkeypatch.setattr(flushing, "flush_file_system", lambda _fd: False)
    send(one, store(1, "1.2.1"))
    send(other, store(1, "1.2.2"))
    one.rounds()
    assert journal.take() == ["fsync file", "fsync file", "link", "link", "fsync out", "answer", "answer"]


@pytest.mark.parametrize("sync", [Sync.OBJECT, Sync.GROUP])
def test_flush_of_a_file_that_fails_fails_the_object_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Sync) -> None:
    bench = bench_for(tmp_path / "out", sync)
    faults = Faults(monkeypatch, "store")
    faults.arm("fsync", 1)
    bench.arrive(store())
    bench.rounds()
    assert bench.statuses() == [0xA700]
    assert faults.calls["fsync"] == 1, "it is not tried again"
    assert os.listdir(tmp_path / "out") == []
    bench.arrive(store())
    bench.rounds()
    assert bench.statuses() == [0]


@pytest.mark.parametrize("sync", [Sync.OBJECT, Sync.GROUP])
def test_flush_of_a_name_that_fails_ends_the_association(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Sync) -> None:
    bench = bench_for(tmp_path / "out", sync)
    faults = Faults(monkeypatch, "store")
    faults.arm("fsync", 2)
    bench.arrive(store())
    bench.rounds()
    assert bench.statuses() == [-7]
    assert faults.calls["fsync"] == 2


def test_flush_of_a_group_that_fails_fails_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench_for(tmp_path / "out", Sync.GROUP)
    other = another(one, FD + 1)

    def fail(_fd: int) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(flushing, "flush_file_system", fail)
    send(one, store(1, "1.2.1"))
    send(other, store(1, "1.2.2"))
    one.rounds()
    assert [bench.statuses() for bench in (one, other)] == [[0xA700], [0xA700]]
    assert os.listdir(tmp_path / "out") == []


def test_object_that_is_dropped_while_it_waits_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench_for(tmp_path / "out", Sync.GROUP)
    other = another(one, FD + 1)
    journal = Journal(monkeypatch)
    send(one, store(1, "1.2.1"))
    send(other, store(1, "1.2.2"))
    other.connection.close("gone")
    one.rounds()
    assert one.statuses() == [0]
    assert journal.take() == ["fsync file", "link", "fsync out", "answer"]
    assert os.listdir(tmp_path / "out") == ["CT.1.2.1"]
    send(one, store(1, "1.2.3"))
    assert one.loop.next_round()
    one.connection.close("gone")  # it has its name, and nobody is answered
    one.rounds()
    assert sorted(os.listdir(tmp_path / "out")) == ["CT.1.2.1", "CT.1.2.3"]


@pytest.mark.parametrize("sync", [Sync.OBJECT, Sync.GROUP])
@pytest.mark.parametrize("rule", [OnDuplicate.KEEP, OnDuplicate.COMPARE])
def test_file_that_is_kept_is_on_the_disk_before_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Sync,
                                                         rule: OnDuplicate) -> None:
    bench = bench_for(tmp_path / "out", sync, on_duplicate=rule)
    bench.arrive(store())
    bench.rounds()
    journal = Journal(monkeypatch)
    bench.arrive(store(2))
    bench.rounds()
    entries = journal.take()
    assert bench.statuses() == [0, 0]
    assert entries[-1] == "answer"
    assert {"fsync file", "fsync out"} <= set(entries[:-1])
