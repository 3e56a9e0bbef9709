"""Journal, report and books of an ingest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from fastscp.errors import ProcessError, UsageError
from fastscp.ingest.books import Books
from fastscp.ingest.journal import Entry, Intent, Journal, Lock
from fastscp.ingest.policy import Placement
from fastscp.ingest.report import Report
from fastscp.ingest.run import open_report
from fastscp.ingest.sources import ARCHIVE, Kind, Source
from fastscp.ingest.tally import Tally


def journal(tmp_path: Path, *, resume: bool = False, output: str = "/out") -> Journal:
    return Journal(tmp_path, output, resume=resume, incarnation="1-a")


def facts(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"size": status.st_size, "mtime": status.st_mtime_ns, "identity": [status.st_dev, status.st_ino], "state": "ready"}


def entry(path: Path, result: str = "stored", number: int = -1) -> Entry:
    status = path.stat()
    return Entry(os.fsencode(path), number, status.st_size, status.st_mtime_ns, result, "/out/x")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"abc")
    return tmp_path / "file"


def test_what_was_committed_is_known(tmp_path: Path, file: Path) -> None:
    first = journal(tmp_path)
    first.enter(entry(file))
    first.commit(None)
    first.enter(entry(tmp_path, number=5))
    first.close()
    again = journal(tmp_path, resume=True)
    assert again.resumed
    assert again.done(str(file), -1) == "/out/x"
    assert again.done(str(tmp_path), 5) is None
    again.close()
    anew = journal(tmp_path)
    assert not anew.resumed
    assert anew.done(str(file), -1) is None


@pytest.mark.parametrize("change", ["size", "mtime", "gone", "refused"])
def test_what_has_changed_is_not_known(tmp_path: Path, file: Path, change: str) -> None:
    kept = journal(tmp_path)
    kept.enter(entry(file, "refused" if change == "refused" else "stored"))
    kept.commit(None)
    if change == "size":
        stamp = file.stat().st_mtime_ns
        file.write_bytes(b"abcd")
        os.utime(file, ns=(stamp, stamp))
    elif change == "mtime":
        os.utime(file, ns=(1, 1))
    elif change == "gone":
        file.unlink()
    assert kept.done(str(file), -1) is None


def test_members_are_told_in_ranges(tmp_path: Path, file: Path) -> None:
    kept = journal(tmp_path)
    for number, result in ((0, "stored"), (1, "not-dicom"), (2, "refused"), (4, "stored"), (ARCHIVE, "archive")):
        kept.enter(entry(file, result, number))
    kept.commit(None)
    assert kept.members_done(str(file)) == [[0, 1], [4, 4]]


def test_intents_last_until_they_are_over(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    intents = [Intent("a\xff", -1, "/out", 77, 5, "1.2"), Intent("b", 3, "/out", 78, 6, "1.3")]
    group = kept.intend(intents)
    kept.commit(None)
    kept.close()
    again = journal(tmp_path, resume=True)
    assert again.intents() == intents
    assert again.events == 6
    assert again.intend([Intent("c", -1, "/out", 79, 9, "1.4")]) == group + 1
    again.over(group)
    again.commit(None)
    again.close()
    last = journal(tmp_path, resume=True)
    assert [one.path for one in last.intents()] == ["c"]
    assert last.events == 9, "also of groups that are over: the coordinator knows these numbers"
    last.over(group + 1)
    last.commit(None)
    assert (last.intents(), last.events) == ([], 9)


def test_the_identity_of_a_run_lasts(tmp_path: Path) -> None:
    journal(tmp_path).close()
    again = Journal(tmp_path, "/out", resume=True, incarnation="2-b")
    assert again.fact("incarnation") == "1-a"
    with pytest.raises(UsageError):
        Journal(tmp_path, "/elsewhere", resume=True, incarnation="2-b")


def test_a_journal_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "ingest.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(ProcessError):
        journal(tmp_path, resume=True)


def test_one_at_a_time(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    pauses: list[float] = []
    with pytest.raises(ProcessError, match="in use by another ingest"):
        Lock(tmp_path, patience_s=0.1, pause=pauses.append)
    assert len(pauses) > 2
    lock.close()
    Lock(tmp_path, patience_s=0, pause=pauses.append).close()


# -- report -------------------------------------------------------------------------------------------


def lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_what_was_written_behind_the_last_commit_goes(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "report"
    kept = journal(tmp_path)
    books = Books(kept, Report(str(path)), Placement.COPY)
    books.enter(Source(str(file)), facts(file), {"result": "stored", "target": "/out/x"})
    books.commit()
    books.enter(Source("b"), {}, {"result": "refused", "reason": "why"})
    assert books._report is not None
    books._report.flush()
    assert len(lines(path)) == 2
    kept.close()
    report = open_report(str(path), journal(tmp_path, resume=True))
    assert report is not None
    report.add("c", "stored", "t", "")
    report.flush()
    assert [line["source"] for line in lines(path)] == [str(file), "c"]


def test_another_report_has_what_is_known(tmp_path: Path, file: Path) -> None:
    kept = journal(tmp_path)
    kept.enter(entry(file))
    kept.enter(Entry(os.fsencode(file), 3, 3, 3, "stored", "/out/y", "", b"m/1"))
    kept.enter(entry(file, "archive", ARCHIVE))
    kept.commit(None)
    assert open_report(None, kept) is None
    kept.close()
    report = open_report(str(tmp_path / "other"), journal(tmp_path, resume=True))
    assert report is not None
    assert [(line["source"], line["target"]) for line in lines(tmp_path / "other")] == [
        (str(file), "/out/x"), (f"{file}!/m/1", "/out/y")]


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="cannot be written"):
        Report(str(tmp_path / "no" / "report"))
    report = Report("/dev/full")
    report.add("a", "stored", "b", "")
    with pytest.raises(ProcessError, match="No space left"):
        report.flush()


# -- books --------------------------------------------------------------------------------------------


def moving(tmp_path: Path) -> Books:
    return Books(journal(tmp_path), None, Placement.MOVE)


def test_a_source_is_removed_after_the_commit(tmp_path: Path, file: Path) -> None:
    (tmp_path / "target").write_bytes(b"abc")
    books = moving(tmp_path)
    books.enter(Source(str(file)), facts(file), {"result": "stored", "target": str(tmp_path / "target")})
    assert file.exists()
    books.commit()
    assert not file.exists()


@pytest.mark.parametrize("why", ["refused", "unsafe", "member", "another", "no target", "own name"])
def test_a_source_is_not_removed(tmp_path: Path, file: Path, why: str) -> None:
    target = tmp_path / "target"
    if why != "no target":
        target.write_bytes(b"abc")
    known = facts(file)
    books = moving(tmp_path)
    outcome = {"result": "refused" if why == "refused" else "stored", "target": str(file if why == "own name" else target)}
    if why == "unsafe":
        outcome["unsafe"] = True  # type: ignore[assignment]
    if why == "another":
        file.rename(tmp_path / "old")
        file.write_bytes(b"new")
    books.enter(Source(str(file), Kind.REGION, 3, "m") if why == "member" else Source(str(file)), known, outcome)
    books.commit()
    assert file.exists()
    assert books.tally.unmoved == 0


def test_a_source_that_is_safe_and_still_there_is_removed_by_the_next_run(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"abc")
    kept = journal(tmp_path)
    kept.enter(Entry(os.fsencode(file), -1, *file.stat()[6:7], file.stat().st_mtime_ns, "stored", str(target)))
    kept.commit(None)
    kept.close()
    books = Books(journal(tmp_path, resume=True), None, Placement.MOVE)
    assert books.known(str(file), -1)
    assert not file.exists()
    assert books.tally.known == 1


def test_what_was_published_and_not_told_is_found_by_its_inode(tmp_path: Path, file: Path) -> None:
    kept = journal(tmp_path)
    inode = file.stat().st_ino
    kept.intend([Intent("a", -1, str(tmp_path), inode, 5, "1.2"), Intent("b", -1, str(tmp_path), 1, 6, "1.3"),
                 Intent("c", -1, "/nowhere", inode, 7, "1.4")])
    kept.commit(None)
    kept.close()
    books = Books(journal(tmp_path, resume=True), None, Placement.COPY)
    books.find_published()
    assert {key: (one.event, name) for key, (one, name) in books.adopted.items()} == {("a", -1): (5, "file"), ("b", -1): (6, None)}


@pytest.mark.parametrize(("result", "done"), [("stored", True), ("not-dicom", True), ("refused", False)])
def test_an_archive_is_done_when_nothing_of_it_was_refused(tmp_path: Path, file: Path, result: str, done: bool) -> None:
    kept = journal(tmp_path)
    books = Books(kept, None, Placement.COPY)
    books.enter(Source(str(file), Kind.REGION, 0, "m"), facts(file), {"result": result})
    books.enter(Source(str(file), Kind.END, ARCHIVE), facts(file), {})
    books.commit()
    assert (kept.done(str(file), ARCHIVE) is not None) == done


# -- tally --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("results", "strict", "interrupted", "status"), [
    (["stored", "not-dicom", "skipped"], False, False, 0), (["stored", "refused"], False, False, 1),
    (["quarantined"], False, False, 1), (["stored", "not-dicom"], True, False, 1), (["stored"], True, False, 0),
    (["refused"], False, True, 3), ([], False, False, 0)])
def test_exit_status(results: list[str], strict: bool, interrupted: bool, status: int) -> None:
    tally = Tally()
    for result in results:
        tally.count(result, 10)
    assert tally.exit_status(strict=strict, interrupted=interrupted) == status
    assert tally.seen == len(results)


def test_a_source_that_could_not_be_removed_is_a_failure() -> None:
    assert Tally(stored=1, unmoved=1).exit_status(strict=False, interrupted=False) == 1


def adopted(tmp_path: Path) -> dict[str, str | None]:
    """Start once more; return what is taken for published, by source."""
    kept = journal(tmp_path, resume=True)
    books = Books(kept, None, Placement.COPY)
    books.find_published()
    kept.close()
    return {path: file for (path, _), (_, file) in books.adopted.items()}


def test_a_number_that_a_later_file_got_is_not_the_file_of_an_object_that_was_never_published(tmp_path: Path, file: Path) -> None:
    """The first run was killed before it published; the file of the second has the number of a temporary of the first."""
    inode = file.stat().st_ino
    kept = journal(tmp_path)
    kept.intend([Intent("a", -1, str(tmp_path), 1, 1, "1.2"), Intent("b", -1, str(tmp_path), inode, 2, "1.3")])
    kept.commit(None)
    kept.intend([Intent("a", -1, str(tmp_path), inode, 3, "1.2")])
    kept.commit(None)
    kept.close()
    found = adopted(tmp_path)
    assert (found["a"], found.get("b")) == ("file", None)


def test_intents_of_what_was_not_published_are_forgotten_by_the_next_run(tmp_path: Path) -> None:
    """So whoever is killed again before he comes to the object does not take another file for it."""
    kept = journal(tmp_path)
    later = tmp_path / "elsewhere"
    later.write_bytes(b"")
    kept.intend([Intent("a", -1, str(tmp_path / "out"), 1, 1, "1.2"), Intent("b", -1, str(tmp_path / "out"), later.stat().st_ino, 2, "1.3")])
    kept.commit(None)
    kept.close()
    assert adopted(tmp_path) == {}
    second = journal(tmp_path, resume=True)  # publishes a, and all of it is over
    (tmp_path / "out").mkdir()
    later.rename(tmp_path / "out" / "a")
    assert second.intents() == []
    assert second.events == 2
    second.over(second.intend([Intent("a", -1, str(tmp_path / "out"), 7, 3, "1.2")]))
    second.commit(None)
    second.close()
    assert adopted(tmp_path) == {}


def test_numbers_of_events_do_not_go_back_when_objects_are_told_again(tmp_path: Path) -> None:
    """Else a run that is killed meanwhile is followed by one that gives new objects numbers the coordinator knows."""
    kept = journal(tmp_path)
    kept.intend([Intent("a", -1, "/out", 1, 40, "1.2"), Intent("b", -1, "/out", 2, 50, "1.3")])
    kept.commit(None)
    kept.intend([Intent("a", -1, "/out", 1, 40, "1.2")])
    kept.commit(None)
    kept.close()
    assert journal(tmp_path, resume=True).events == 50
