"""Every system call of the coordinator, and every write of its state, fails once: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fastscp import jsontext
from fastscp.coordinator.engine import Engine
from fastscp.coordinator.rounds import RETRY_S
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.errors import ProcessError, StorageError
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from tests.support import said
from tests.support.ended_studies import EndedStudies, tree
from tests.support.fakes import FakeSocket
from tests.support.faults import KINDS, Faults, FaultyConnection, faulty_engine
from tests.unit.coordinator.test_process import Bench, ack

HOOKS = HookPolicy(on_reception="r", on_end_of_study="e", jobs=2)


def policy(root: Path, **more: Any) -> StudyPolicy:
    (root / "done").mkdir(parents=True)
    (root / "out").mkdir()
    return StudyPolicy(sorting=Sorting.STUDY_UID, rename=True, manifest=True, completed_directory=str(root / "done"), **more)


# -- the state ----------------------------------------------------------------------------------------


class Life:
    """A coordinator with a worker that behaves: refused objects are sent again, hooks end well."""

    def __init__(self, root: Path) -> None:
        (root / "state").mkdir(parents=True)
        self.root = root
        self.bench = Bench(root / "out", policy(root), HOOKS, state_directory=root / "state")
        self.worker: FakeSocket = self.bench.worker()
        self.told: list[dict[str, Any]] = []
        self.refused = 0

    @property
    def connection(self) -> FaultyConnection:
        found = self.bench.coordinator._state._engine._connection  # type: ignore[attr-defined]
        assert isinstance(found, FaultyConnection)
        return found

    def go_on(self) -> None:
        for pid in self.bench.processes.running:
            self.bench.end(pid)
        self.bench.loop.advance(RETRY_S)
        self.told += self.worker.take_sent()

    def place(self, request: int, study: str) -> Path:
        self.bench.say(self.worker, said.place(request, study))
        for _ in range(20):
            self.go_on()
            for answer in self.told:
                if answer["kind"] == "placed" and answer["request"] == request:
                    if answer["status"]:
                        self.refused += 1
                        assert answer["status"] == 0xA700
                        assert "disk I/O error" in answer["message"]
                        assert os.listdir(self.root / "out") == (["1.1"] if request % 100 > 1 else [])
                        return self.place(request + 100, study)
                    return Path(answer["directory"])
        raise AssertionError("no place")

    def store(self, event: int, study: str) -> None:
        directory = self.place(event, study)
        (directory / f"CT.{event}").write_text(f"object {event}")
        self.bench.say(self.worker, said.stored(event, study, str(directory), f"CT.{event}", request=None))
        for _ in range(20):
            self.go_on()
            if ack(event) in self.told:
                return
        raise AssertionError("no acknowledgement")

    def end(self) -> None:
        self.bench.order("drain")
        for _ in range(50):
            self.go_on()
            if self.bench.loop.stopped:
                return
        raise AssertionError("no end")


def test_write_of_the_state_that_fails(tmp_path: Path) -> None:
    number, refused, calls = 0, 0, 1
    while calls >= number:
        number += 1
        life = Life(tmp_path / str(number))
        life.connection.count, life.connection.failing = 0, number
        life.store(1, "1.1")
        life.store(2, "1.1")
        life.store(3, "1.2")
        life.end()
        refused += life.refused
        calls = life.connection.count
        assert tree(life.root / "done") == {"1.1/CT000001": "object 1", "1.1/CT000002": "object 2", "1.2/CT000001": "object 3"}
        assert tree(life.root / "out") == {}
        hooks = sorted(arguments[-1] for arguments, _ in life.bench.processes.spawned.values())
        assert hooks == ["e", "e", "r", "r", "r"], number
        assert [answer["event"] for answer in life.told if answer["kind"] == "ack"] == [1, 2, 3]
        trouble = [bool(answer["reason"]) for answer in life.told if answer["kind"] == "trouble"]
        assert trouble in ([], [True, False])
        life.bench.coordinator.close()
        assert SqliteState(life.root / "state").recover().tasks == []
    assert number > 8
    assert refused


def test_state_that_was_removed_is_made_again_whatever_fails_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(monkeypatch, "coordinator")
    for kind in ("stat", "mkdir", "open"):
        hit, number = True, 0
        while hit:
            number += 1
            directory = tmp_path / f"{kind}-{number}"
            directory.mkdir()
            engine = Engine(directory / FILE_NAME, prepare=lambda directory=directory: os.makedirs(directory, exist_ok=True))  # type: ignore[misc]
            engine.migrate(("CREATE TABLE kept (number INTEGER);",))
            engine.write("INSERT INTO kept VALUES (?)", (1,))
            engine.commit()
            for name in os.listdir(directory):
                os.unlink(directory / name)
            directory.rmdir()
            engine.write("INSERT INTO kept VALUES (?)", (2,))
            faults.arm(kind, number)
            try:
                engine.commit()
            except StorageError:
                assert faults.hit
            hit = faults.disarm()
            engine.commit()
            engine.close()
            assert [number for (number,) in sqlite3.connect(directory / FILE_NAME).execute("SELECT number FROM kept")] == [1, 2]


def test_database_that_cannot_be_made_again_yet_is_kept_in_memory(tmp_path: Path) -> None:
    attempts = [0]

    class Refusing(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement.startswith("PRAGMA journal_mode") and attempts[0]:
                attempts[0] -= 1
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *values)

    directory = tmp_path / "state"
    directory.mkdir()
    engine = Engine(directory / FILE_NAME, prepare=lambda: directory.mkdir(exist_ok=True),
                    connect=lambda *arguments, **named: sqlite3.connect(*arguments, factory=Refusing, **named))
    engine.migrate(("CREATE TABLE kept (number INTEGER);",))
    for name in os.listdir(directory):
        os.unlink(directory / name)
    engine.write("INSERT INTO kept VALUES (?)", (1,))
    attempts[0] = 2
    for _ in range(2):
        with pytest.raises(StorageError, match="No space left on device"):
            engine.commit()
        assert engine.read("SELECT number FROM kept").fetchall() == [(1,)]
    engine.commit()
    engine.close()
    assert sqlite3.connect(directory / FILE_NAME).execute("SELECT number FROM kept").fetchall() == [(1,)]


def test_another_state_in_its_place_ends_the_process(tmp_path: Path) -> None:
    engine = Engine(tmp_path / FILE_NAME)
    engine.migrate(("CREATE TABLE kept (number INTEGER);",))
    os.rename(tmp_path / FILE_NAME, tmp_path / "moved")
    Engine(tmp_path / FILE_NAME).close()
    engine.write("INSERT INTO kept VALUES (?)", (1,))
    with pytest.raises(ProcessError, match="another state"):
        engine.commit()


def test_what_cannot_be_read_ends_the_process_and_keeps_what_was_written(tmp_path: Path) -> None:
    state = SqliteState(tmp_path, engine=faulty_engine)
    state.set_revision("1.1", 1, 0.0)
    state._engine._connection.close()
    with pytest.raises((ProcessError, sqlite3.ProgrammingError)):
        state.revision("1.1")


@pytest.mark.parametrize(("failure", "reason"), [
    ("write", "No space left on device"), ("open", "Too many open files"), ("fsync", "Input/output error")])
def test_reason_is_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, reason: str) -> None:
    """The words of sqlite3 are the same for a quota, a broken disk and more."""
    engine = faulty_engine(tmp_path / FILE_NAME)
    engine.migrate(("CREATE TABLE kept (number INTEGER);",))
    connection = engine._connection
    assert isinstance(connection, FaultyConnection)
    connection.count, connection.failing = 0, 1
    faults = Faults(monkeypatch, "coordinator")
    faults.arm(failure, 1)
    engine.write("INSERT INTO kept VALUES (?)", (1,))
    with pytest.raises(StorageError, match=f"cannot be written: {reason}"):
        engine.commit()
    assert not (tmp_path / ".probe").exists()


# -- directories and files ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_call_that_fails_for_the_place_of_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    faults = Faults(monkeypatch, "coordinator", "store")
    number, hit = 0, True
    while hit:
        number += 1
        root = tmp_path / str(number)
        studies = EndedStudies(root / "out", policy(root, durable=True))
        faults.arm(kind, number)
        answers = [studies.place("1.1"), studies.place("1.1")]
        hit = faults.disarm()
        assert {answer["status"] for answer in answers} <= ({0, 0xA700} if hit else {0})
        if answers[0]["status"]:
            assert os.strerror(KINDS[kind]) in answers[0]["message"]
        assert studies.place("1.1")["status"] == 0
        assert os.listdir(root / "out") == ["1.1"]


@pytest.mark.parametrize("kind", KINDS)
def test_call_that_fails_at_the_end_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whatever fails, the objects are there once, where they are said to be, and the hook comes."""
    faults = Faults(monkeypatch, "coordinator", "store", "study")
    number, hit = 0, True
    while hit:
        number += 1
        root = tmp_path / str(number)
        studies = EndedStudies(root / "out", policy(root, durable=True))
        for instance in ("7.1", "7.2"):
            studies.store("1.1", instance)
        task = studies.end()
        faults.arm(kind, number)
        step = studies.finish(task)
        for _ in range(5):
            if not step.done:
                step = studies.finish(task)
        hit = faults.disarm()
        assert step.done
        (completed,) = studies.completed
        directory = Path(completed["directory"])
        assert step.then is not None
        assert step.then.call["values"]["p"] == str(directory)
        assert sorted(tree(directory).values()) == ["octets of 7.1", "octets of 7.2"], f"{kind} {number}"
        assert {object_["file"] for object_ in completed["objects"]} == set(tree(directory)), f"{kind} {number}"
        if (directory / "manifest.json").exists():
            told = json.loads((directory / "manifest.json").read_text())
            files = {entry["file"] for series in told["series"] for entry in series["instances"]}
            assert files == set(tree(directory)), f"{kind} {number}"
        assert not [path for path in root.rglob("*") if path.name.startswith(".fastscp-")]
        studies.store("1.2", "8.1")
        assert studies.finish().done


@pytest.mark.parametrize("odd", [[], [0], [1], [2], [0, 1, 2, 3], [3], [1, 3]])
def test_rows_of_one_statement_are_written_together_also_paths_that_are_not_utf_8(tmp_path: Path, odd: list[int]) -> None:
    engine = Engine(tmp_path / FILE_NAME)
    engine.migrate(("CREATE TABLE kept (number INTEGER, path TEXT);",))
    engine.write("INSERT INTO kept VALUES (?, ?)", (100, "first"))
    engine.write("UPDATE kept SET path = ? WHERE number = ?", ("changed", 100))
    for number in range(4):
        engine.write("INSERT INTO kept VALUES (?, ?)", (number, "a\udcff" if number in odd else "a"))
    assert len(engine.read("SELECT * FROM kept").fetchall()) == 5
    engine.commit()
    engine.close()
    kept = sqlite3.connect(tmp_path / FILE_NAME).execute("SELECT number, path FROM kept").fetchall()
    assert [(number, jsontext.meant(path)) for number, path in kept] == [
        (100, "changed"), *((number, "a\udcff" if number in odd else "a") for number in range(4))]


def test_many_rows_with_paths_that_are_not_utf_8_go_together(tmp_path: Path) -> None:
    engine = Engine(tmp_path / FILE_NAME)
    engine.migrate(("CREATE TABLE kept (path TEXT);",))
    for number in range(2000):
        engine.write("INSERT INTO kept VALUES (?)", (f"/a\udcff/{number}",))
    engine.commit()
    assert engine.read("SELECT count(*) FROM kept").fetchone() == (2000,)
    engine.close()
