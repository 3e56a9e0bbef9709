"""What dead processes left is found and removed, what living ones have is not touched."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from fastscp.store import hidden, noreplace
from fastscp.store import sink as sink_module
from fastscp.store.directory import Directory
from fastscp.store.leftovers import tidy
from fastscp.store.sink import InstanceSink, OutputDirectory
from fastscp.store.steps import result
from tests.support.killed import in_child


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


@pytest.fixture
def no_anonymous_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "_anonymous_works", lambda _self: False)


@pytest.mark.usefixtures("no_anonymous_files")
def test_temporary_of_a_process_that_was_killed_is_removed_and_that_of_one_that_lives_is_not(tmp_path: Path) -> None:
    def be_killed() -> None:
        OutputDirectory(str(tmp_path)).create(b"x").write([b"y"])
        os._exit(9)

    living = OutputDirectory(str(tmp_path)).create(b"x")
    living.write([b"y"])
    (own,) = names(tmp_path)
    assert in_child(be_killed) == 9
    (left,) = set(names(tmp_path)) - {own}
    (tmp_path / "CT.1").write_bytes(b"x")
    assert tidy(str(tmp_path)) == [left]
    assert names(tmp_path) == [own, "CT.1"]
    living.publish("CT.2", replace=False)
    assert names(tmp_path) == ["CT.1", "CT.2"]


def test_names_are_of_no_process_number(tmp_path: Path) -> None:
    """In a container that starts anew, every process has the number that it had before."""
    one, other = hidden.Names(), hidden.Names()
    assert not {one.next() for _ in range(10)} & {other.next() for _ in range(10)}
    assert Directory(str(tmp_path)).hidden_name() != Directory(str(tmp_path)).hidden_name()


@pytest.mark.usefixtures("no_anonymous_files")
def test_temporary_that_somebody_takes_for_abandoned_before_it_is_locked_is_made_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, tidied = hidden.claim, []

    def late(fd: int) -> bool:
        if not tidied:
            tidied.extend(tidy(str(tmp_path)))
        return claim(fd)

    monkeypatch.setattr(hidden, "claim", late)
    sink = OutputDirectory(str(tmp_path)).create(b"x")
    assert len(tidied) == 1
    assert names(tmp_path) != tidied
    sink.publish("CT.1", replace=False)
    assert names(tmp_path) == ["CT.1"]


@pytest.mark.usefixtures("no_anonymous_files")
def test_temporary_that_somebody_is_about_to_remove_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who tidies up has the lock, and has not removed the file yet."""
    create, held = hidden.create_named, []

    def with_company(name: str, dir_fd: int) -> int:
        fd = create(name, dir_fd)
        if not held:
            held.append(os.open(tmp_path / name, os.O_RDWR))
            assert hidden.claim_abandoned(held[0])
        return fd

    monkeypatch.setattr(hidden, "create_named", with_company)
    sink = OutputDirectory(str(tmp_path)).create(b"x")
    os.close(held[0])
    assert len(tidy(str(tmp_path))) == 1
    sink.publish("CT.1", replace=False)
    assert names(tmp_path) == ["CT.1"]


def test_nothing_is_abandoned_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    (tmp_path / ".fastscp-0a-1.tmp").write_bytes(b"")
    monkeypatch.setattr(fcntl, "flock", refuse)
    assert tidy(str(tmp_path)) == []
    monkeypatch.setattr(Directory, "_anonymous_works", lambda _self: False)
    OutputDirectory(str(tmp_path)).create(b"x").publish("CT.1", replace=False)
    assert names(tmp_path) == [".fastscp-0a-1.tmp", "CT.1"]


def test_what_is_no_file_of_ours_stays(tmp_path: Path) -> None:
    others = [".fastscp", ".fastscp-0a-1", ".fastscp-0a.tmp", ".fastscp-0a-1.tmp.gz", ".fastscp-0a-b.tmp", ".fastscp-x-1.tmp"]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / ".fastscp-0a-2.tmp").symlink_to("target")
    (tmp_path / ".fastscp-0a-3.tmp").mkdir()
    os.mkfifo(tmp_path / ".fastscp-0a-4.tmp")
    before = names(tmp_path)
    assert tidy(str(tmp_path)) == []
    assert names(tmp_path) == before


@pytest.mark.parametrize("killed_at", ["copy begun", "copied"])
def test_copy_on_another_file_system_is_found_by_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          killed_at: str) -> None:
    def elsewhere(*_arguments: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    def killed(*_arguments: object, **_options: object) -> None:
        os._exit(9)

    output, study = tmp_path / "out", tmp_path / "study"
    output.mkdir()
    study.mkdir()

    def copy() -> None:
        monkeypatch.setattr(InstanceSink, "_give_name", elsewhere)
        if killed_at == "copy begun":
            monkeypatch.setattr(sink_module.os, "sendfile", killed)
        else:
            monkeypatch.setattr(noreplace, "give_name", killed)
        directory = OutputDirectory(str(output))
        sink = directory.create(b"octets")
        result(sink.publishing("CT.1", replace=True, place=directory.open_place(str(study))))

    assert in_child(copy) == 9
    (left,) = names(study)
    assert [Path(name).suffix for name in names(output)] == [".copy"]
    with (study / left).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert tidy(str(output)) == [], "its owner may live"
    removed = tidy(str(output))
    assert removed[0] == str(study / left)
    assert names(study) == names(output) == []


@pytest.mark.parametrize("noted", ["../CT.1", "", "../.fastscp-0a-1.keep", "../nowhere/.fastscp-0a-1.tmp", "CT.1\0"])
def test_note_of_a_copy_that_is_none_leads_nowhere(tmp_path: Path, noted: str) -> None:
    inside = tmp_path / "out"
    inside.mkdir()
    for name in ("CT.1", ".fastscp-0a-1.keep"):
        (tmp_path / name).write_bytes(b"")
    (inside / ".fastscp-0b-1.copy").write_text(noted)
    tidy(str(inside))
    assert names(tmp_path) == [".fastscp-0a-1.keep", "CT.1", "out"]
    assert names(inside) == []


def test_spool_never_has_a_name_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "_anonymous_works", lambda _self: False)
    sink = OutputDirectory(str(tmp_path)).create(b"x")
    spool = sink.spool()
    spool.write(b"spooled")
    spool.seek(0)
    assert spool.read() == b"spooled"
    assert len(names(tmp_path)) == 1
    sink.discard()
    assert names(tmp_path) == []
