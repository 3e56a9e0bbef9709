"""What a worker answered and could not tell is taken over once, whoever of both processes died."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from fastscp.coordinator.inheriting import Inheriting
from fastscp.process.journal import Journal, Journals
from tests.support import said
from tests.unit.coordinator.test_sessions import Bench


def write(directory: Path, events: list[int], name: str = "w") -> Journal:
    journal = Journal(directory, name)
    for event in events:
        assert journal.keep("a", orjson.dumps(said.opened("a")), orjson.dumps(said.stored(event, "1.1", "/out/1.1", f"CT.{event}")))
    return journal


def files(bench: Bench) -> list[str]:
    (row,) = bench.state.recover().studies
    return bench.state.files(row.number)


def test_journals_of_the_dead_are_taken_over_and_removed_when_they_are_durable(tmp_path: Path) -> None:
    journals = tmp_path / "journals"
    inheriting = Inheriting(Journals(journals))
    write(journals, [1, 2]).close()
    bench = Bench(tmp_path)
    assert inheriting.all(bench.sessions.inherit) == ["a"]
    assert files(bench) == ["CT.1", "CT.2"]
    assert Journals(journals).incarnations() == ["w"]
    inheriting.durable()
    assert Journals(journals).incarnations() == []
    assert bench.sessions.connected == 0


def test_worker_that_is_alive_tells_it_again_and_it_counts_once(tmp_path: Path) -> None:
    journals = tmp_path / "journals"
    inheriting = Inheriting(Journals(journals))
    living = write(journals, [1, 2])
    bench = Bench(tmp_path)
    inheriting.all(bench.sessions.inherit)
    inheriting.durable()
    assert Journals(journals).incarnations() == ["w"], "it is in use"
    worker = bench.connect("w")
    bench.say(worker, said.hello("w"), said.opened("a"), *(said.stored(event, "1.1", "/out/1.1", f"CT.{event}") for event in (1, 2, 3)))
    assert files(bench) == ["CT.1", "CT.2", "CT.3"]
    assert bench.sink.kinds.count("object.stored") == 3
    living.close()


def test_worker_that_dies_is_followed_by_its_journal(tmp_path: Path) -> None:
    journals = tmp_path / "journals"
    inheriting = Inheriting(Journals(journals))
    bench = Bench(tmp_path, journal_of=inheriting.of)
    worker = bench.connect("w")
    bench.say(worker, said.stored(1, "1.1", "/out/1.1", "CT.1"))
    write(journals, [1, 2]).close()
    bench.die(worker)
    assert files(bench) == ["CT.1", "CT.2"]
    assert bench.sink.kinds.count("object.stored") == 2
    assert bench.sink.kinds.count("association.opened") == 1


def test_line_that_means_nothing_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journals = tmp_path / "journals"
    inheriting = Inheriting(Journals(journals))
    write(journals, [1]).close()
    with (journals / "w").open("ab") as file:
        file.write(b"{}\nnothing\n" + orjson.dumps(said.stored(2, "1.1", "/out/1.1", "CT.2")) + b"\n")
    bench = Bench(tmp_path)
    inheriting.all(bench.sessions.inherit)
    assert files(bench) == ["CT.1", "CT.2"]
    assert caplog.text.count("left out") == 2


def test_journal_that_cannot_be_read_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journals = tmp_path / "journals"
    inheriting = Inheriting(Journals(journals))
    (journals / "w").mkdir()
    assert inheriting.of("w") == []
    inheriting.durable()
    assert (journals / "w").is_dir()
    assert "cannot be read" in caplog.text


def test_directory_that_cannot_be_made_is_said_and_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inheriting = Inheriting(Journals(tmp_path / "missing" / "journals"))
    assert "no journals can be kept" in caplog.text
    assert inheriting.of("w") == []
    assert Inheriting(Journals(None)).of("w") == []
