"""The index of stored objects: what is in it after stores, renames, moves, removals, and who reads it."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fastscp.cli import index as program
from fastscp.commitment.lookup import FILE_NAME, Lookup
from fastscp.coordinator.followers import Followers
from fastscp.coordinator.index import Index
from fastscp.coordinator.rounds import Commits
from fastscp.errors import ProcessError, StorageError
from fastscp.study.policy import Sorting, StudyPolicy
from tests.support.ended_studies import EndedStudies
from tests.support.fakes import FakeLoop


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "state", durable=False, wall=iter(range(100)).__next__)


def stored(index: Index, instance: str, directory: str, file: str, **fields: Any) -> None:
    packet: Any = {"directory": directory, "file": file, "sop_instance": instance, "sop_class": "1.2", "size": 3, "sha256": None,
                   "duplicate": None, **fields}
    index.stored(packet)


def paths(index: Index) -> dict[str, str]:
    index.commit()
    return {entry.path: entry.sop_instance for entry in Lookup(index.directory).all()}


def test_object_is_found_after_the_commit(index: Index) -> None:
    stored(index, "1.1", "/d", "a")
    assert Lookup(index.directory).find("1.1") == []
    index.commit()
    (entry,) = Lookup(index.directory).find("1.1")
    assert (entry.path, entry.sop_class, entry.size) == ("/d/a", "1.2", 3)


def test_file_that_was_replaced_is_the_new_object(index: Index) -> None:
    stored(index, "1.1", "/d", "a")
    stored(index, "1.2", "/d", "a")
    assert paths(index) == {"/d/a": "1.2"}


def test_object_that_was_not_written_changes_nothing(index: Index) -> None:
    stored(index, "1.1", "/d", "a", size=3)
    stored(index, "1.1", "/d", "a", size=9, duplicate="keep")
    index.commit()
    assert [entry.size for entry in Lookup(index.directory).find("1.1")] == [3]


def test_files_are_followed(index: Index) -> None:
    for name in "abc":
        stored(index, f"1.{name}", "/d/s", name)
    index.renamed("/d/s", [("a", "1"), ("b", "b")])
    index.removed("/d/s", "c")
    index.moved("/d/s", "/done/s")
    assert paths(index) == {"/done/s/1": "1.a", "/done/s/b": "1.b"}


def test_relative_directories_are_made_absolute(index: Index) -> None:
    stored(index, "1.1", "d", "a")
    index.renamed("d", [("a", "b")])
    assert paths(index) == {str(Path.cwd() / "d" / "b"): "1.1"}


def test_names_that_are_not_utf_8(index: Index) -> None:
    stored(index, "1.1", "/d\udcff", "a\udcfe")
    assert paths(index) == {"/d\udcff/a\udcfe": "1.1"}


def test_index_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(ProcessError, match="cannot be used"):
        Index(tmp_path, durable=False, wall=lambda: 0.0)
    with pytest.raises(ProcessError, match="cannot be read"):
        Lookup(tmp_path).find("1")


def test_reader_keeps_no_writer_up(index: Index) -> None:
    stored(index, "1.1", "/d", "a")
    index.commit()
    reading = iter(Lookup(index.directory).all())
    next(reading)
    stored(index, "1.2", "/d", "b")
    index.commit()
    assert sqlite3.connect(index.directory / FILE_NAME).execute("SELECT count(*) FROM files").fetchone() == (2,)


@pytest.mark.parametrize("moves", [False, True])
def test_index_follows_the_end_of_a_study(index: Index, tmp_path: Path, moves: bool) -> None:
    (tmp_path / "done").mkdir()
    policy = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True, completed_directory=str(tmp_path / "done") if moves else None)
    bench = EndedStudies(tmp_path / "out", policy)
    bench.finisher.files = Followers(index)
    for instance in ("7.1", "7.2"):
        directory = bench.store("1.1", instance)
        stored(index, instance, str(directory), f"CT.{instance}")
    bench.finish()
    parent = tmp_path / ("done" if moves else "out")
    assert paths(index) == {f"{parent}/1.1/CT000001": "7.1", f"{parent}/1.1/CT000002": "7.2"}


def test_repeat_that_is_removed_leaves_the_index(index: Index, tmp_path: Path) -> None:
    bench = EndedStudies(tmp_path / "out", StudyPolicy(sorting=Sorting.STUDY_UID, rename=True))
    bench.finisher.files = Followers(index)
    for _ in range(2):
        directory = bench.store("1.1", "7.1")
        stored(index, "7.1", str(directory), "CT.7.1")
        bench.finish()
    assert paths(index) == {str(tmp_path / "out" / "1.1" / "CT000001"): "7.1"}


class Refusing:
    """An index, or a state, that takes nothing when it is told so."""

    def __init__(self) -> None:
        self.commits = 0
        self.refuses = False

    def commit(self) -> None:
        if self.refuses:
            raise StorageError("no room")
        self.commits += 1


class Answering:
    """What workers are told of commits."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self, reason: str) -> None:
        self.told.append(reason)

    def release(self) -> None:
        self.told.append("")


def test_nobody_is_acknowledged_whose_object_is_not_in_the_index() -> None:
    state, index, answers = Refusing(), Refusing(), Answering()
    commits = Commits(FakeLoop(), state, answers, lambda: 0, lambda: None)  # type: ignore[arg-type]
    commits.index = index  # type: ignore[assignment]
    index.refuses = True
    assert not commits.commit()
    assert (state.commits, answers.told) == (0, ["no room"])
    index.refuses = False
    assert commits.commit()
    assert (state.commits, index.commits, answers.told) == (1, 1, ["no room", ""])


# -- fastscp-index -----------------------------------------------------------------------------------


@pytest.fixture
def objects(index: Index, tmp_path: Path) -> Path:
    directory = tmp_path / "objects"
    directory.mkdir()
    for name in ("good", "gone", "long", "changed"):
        (directory / name).write_bytes(name.encode())
        stored(index, f"1.{len(name)}", str(directory), name, size=len(name), sha256=hashlib.sha256(name.encode()).hexdigest())
    index.close()
    (directory / "gone").unlink()
    (directory / "long").write_bytes(b"longer")
    (directory / "changed").write_bytes(b"CHANGED")
    return directory


def test_list_and_find(index: Index, objects: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["list", "--state-dir", str(index.directory)]) == 0
    assert [line.split()[-1] for line in capfd.readouterr().out.splitlines()] == [
        str(objects / name) for name in ("good", "gone", "long", "changed")]
    assert program.main(["--state-dir", str(index.directory), "find", "1.7"]) == 0
    assert str(objects / "changed") in capfd.readouterr().out
    assert program.main(["--state-dir", str(index.directory), "find", "9.9"]) == 1


def test_check_finds_what_is_missing_and_damaged(index: Index, objects: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["check", "--state-dir", str(index.directory)]) == 1
    assert capfd.readouterr().out.splitlines() == [
        f"{objects}/gone is missing (1.4)", f"{objects}/long has another size (1.4)", f"{objects}/changed has other octets (1.7)"]
    assert program.main(["check", "--json", "--state-dir", str(index.directory)]) == 1
    assert capfd.readouterr().out.count('"problem"') == 3
    for name in ("gone", "long", "changed"):
        (objects / name).write_bytes(name.encode())
    assert program.main(["check", "--state-dir", str(index.directory)]) == 0


@pytest.mark.parametrize("words", [["find"], ["find", "1", "2"], ["list", "1"], ["what"], ["--what", "list"], ["list", "--state-dir"], ["--json"]])
def test_bad_command_lines(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(words) == 1
    assert capfd.readouterr().err.startswith("fastscp-index: ")


def test_help_version_and_no_state(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main([]) == program.main(["--help"]) == program.main(["--version"]) == 0
    assert capfd.readouterr().out.count("$fastscp: fastscp-index v") == 3
    assert program.main(["list", "-od", str(tmp_path)]) == 1
