"""Object and report get their names together, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp.errors import StorageError
from fastscp.store import quarantine as module
from fastscp.store.leftovers import tidy
from fastscp.store.quarantine import Quarantine
from fastscp.store.sink import InstanceSink
from tests.support.killed import in_child


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_object_and_report(tmp_path: Path) -> None:
    quarantine = Quarantine(str(tmp_path))
    sink = quarantine.create(b"head")
    sink.write([b"data"])
    quarantine.publish(sink, "CT.X.1", b"{}\n")
    assert names(tmp_path) == ["CT.X.1", "CT.X.1.json"]
    assert (tmp_path / "CT.X.1").read_bytes() == b"headdata"
    assert (tmp_path / "CT.X.1.json").read_bytes() == b"{}\n"


@pytest.mark.parametrize("taken", ["CT.X.1", "CT.X.1.json"])
def test_name_that_is_taken(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("old")
    quarantine = Quarantine(str(tmp_path))
    sink = quarantine.create(b"head")
    with pytest.raises(StorageError, match="taken"):
        quarantine.publish(sink, "CT.X.1", b"{}")
    sink.discard()
    assert names(tmp_path) == [taken]
    assert (tmp_path / taken).read_text() == "old"


@pytest.mark.parametrize("failing", [1, 2])
def test_neither_is_there_when_one_fails(tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, calls = InstanceSink.publish, []

    def fail(self: InstanceSink, target: str, *, replace: bool) -> bool:
        calls.append(target)
        if len(calls) == failing:
            raise StorageError("no space")
        return publish(self, target, replace=replace)

    monkeypatch.setattr(InstanceSink, "publish", fail)
    quarantine = Quarantine(str(tmp_path))
    sink = quarantine.create(b"head")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError):
        quarantine.publish(sink, "CT.X.1", b"{}")
    assert len(os.listdir("/proc/self/fd")) == before
    sink.discard()
    assert names(tmp_path) == []


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_process_killed_between_report_and_object_leaves_nothing_half(tmp_path: Path, killed_at: int,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the report, before the object, and before the note is removed."""
    publish, unlink, calls = InstanceSink.publish, os.unlink, []

    def killed(name: str) -> None:
        calls.append(name)
        if len(calls) >= killed_at:
            os._exit(7)

    def publishing(self: InstanceSink, target: str, *, replace: bool) -> bool:
        killed(target)
        return publish(self, target, replace=replace)

    def unlinking(name: str, *, dir_fd: int | None = None) -> None:
        killed(name)
        unlink(name, dir_fd=dir_fd)

    def be_killed() -> None:
        quarantine = Quarantine(str(tmp_path))
        sink = quarantine.create(b"head")
        monkeypatch.setattr(InstanceSink, "publish", publishing)
        monkeypatch.setattr(module.os, "unlink", unlinking)
        quarantine.publish(sink, "CT.X.1", b"{}")

    assert in_child(be_killed) == 7
    left = names(tmp_path)
    assert ("CT.X.1" in left) <= ("CT.X.1.json" in left), "an object is never without its report"
    assert any(name.endswith(".keep") for name in left)
    tidy(str(tmp_path))
    assert names(tmp_path) == (["CT.X.1", "CT.X.1.json"] if killed_at == 3 else [])


def test_nothing_is_undone_while_its_owner_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, found = InstanceSink.publish, []

    def publishing(self: InstanceSink, target: str, *, replace: bool) -> bool:
        published = publish(self, target, replace=replace)
        found.extend(tidy(str(tmp_path)))
        return published

    monkeypatch.setattr(InstanceSink, "publish", publishing)
    quarantine = Quarantine(str(tmp_path))
    quarantine.publish(quarantine.create(b"head"), "CT.X.1", b"{}")
    assert found == []
    assert names(tmp_path) == ["CT.X.1", "CT.X.1.json"]


def test_nothing_outside_is_touched(tmp_path: Path) -> None:
    inside = tmp_path / "quarantine"
    inside.mkdir()
    (tmp_path / "report.json").write_text("{}")
    (inside / ".fastscp-0a-1.keep").write_text("../report")
    (inside / ".fastscp-0a-2.keep").write_text("")
    tidy(str(inside))
    assert names(tmp_path) == ["quarantine", "report.json"]
    assert names(inside) == []
