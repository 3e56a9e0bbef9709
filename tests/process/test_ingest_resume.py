"""An ingest that is cut off, and goes on: nothing twice, hooks once, and a report that is true."""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import psutil
import pytest

from tests.support.ingest import COMMAND, environment, ingest, made, read_report, tree, without_times
from tests.support.servers import wait_until

STUDIES = 8
FILES = 400


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "in"
    directory.mkdir()
    for number in range(FILES):
        study = number * STUDIES // FILES
        (directory / f"IM{number:04d}").write_bytes(made(number, study=f"1.2.9.{study}", series=f"1.2.9.{study}.1"))
    (directory / "readme").write_text("no DICOM")
    return directory


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class Cut:
    """Runs that are killed, and one that ends."""

    def __init__(self, tmp_path: Path, options: list[str], sources: list[Path]) -> None:
        self.out = tmp_path / "out"
        self.out.mkdir()
        self.report = tmp_path / "report"
        self.calls = tmp_path / "calls"
        self.command = ["-od", str(self.out), *options, *map(str, sources)]

    def stored(self) -> int:
        return sum(1 for path in self.out.rglob("*") if path.is_file() and not path.name.startswith((".", "lock", "state", "ingest")))

    def cut_off(self, *, after: int, number: int, everybody: bool, resume: bool) -> int | None:
        """Start; send a signal once ``after`` more objects are there; return the exit status."""
        more = ["--resume"] if resume else []
        process = subprocess.Popen([*COMMAND, "--report", str(self.report), *more, *self.command], env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        begun = self.stored()
        wait_until(lambda: process.poll() is not None or self.stored() >= begun + after, "objects")
        found = family(process)
        for one in found if everybody else found[:1]:
            try:
                one.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        status = process.wait(60)
        assert process.stderr is not None
        process.stderr.close()
        wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found), "the others end")
        return status

    def finish(self) -> None:
        done = ingest(["--resume", *self.command], report=self.report)
        assert done.status == 0, done.errors

    def check(self, files: int = FILES) -> None:
        """Look at what came of it all."""
        found = tree(self.out)
        assert len(found) == files
        lines = [line for line in read_report(self.report) if line["result"] == "stored"]
        assert {str(line["target"]) for line in lines} == {str(self.out / name) for name in found}
        assert max(collections.Counter(line["source"] for line in lines).values()) == 1
        assert len(lines) == files
        assert [path.name for path in self.out.rglob(".fastscp-*")] == []


def hook(calls: Path) -> list[str]:
    return ["-xcs", f"echo $FASTSCP_STUDY_UID $FASTSCP_OBJECTS >>{calls}"]


def expected_calls() -> list[str]:
    return [f"1.2.9.{study} {FILES // STUDIES}" for study in range(STUDIES)]


@pytest.mark.parametrize("everybody", [False, True])
@pytest.mark.parametrize("options", [["+uf"], ["-ss", "P"]], ids=" ".join)
def test_killed_at_random_points(tmp_path: Path, source: Path, options: list[str], everybody: bool) -> None:
    generator = random.Random(" ".join(options) + str(everybody))
    cut = Cut(tmp_path, [*options, *(hook(tmp_path / "calls") if "-ss" in options else []), "--workers", "2"], [source])
    statuses = [cut.cut_off(after=generator.randrange(1, 90), number=signal.SIGKILL, everybody=everybody, resume=attempt > 0)
                for attempt in range(5)]
    assert -signal.SIGKILL in statuses
    cut.finish()
    cut.check()
    if "-ss" in options:
        calls = sorted(cut.calls.read_text().splitlines())
        # what runs while the coordinator itself is killed may not be known to have run
        assert (sorted(set(calls)) if everybody else calls) == expected_calls()
        assert len({name.partition("/")[0] for name in without_times(tree(cut.out))}) == STUDIES


@pytest.mark.slow
def test_killed_at_twenty_random_points(tmp_path: Path, source: Path) -> None:
    generator = random.Random(20)
    cut = Cut(tmp_path, ["-ss", "P", "+uf", *hook(tmp_path / "calls")], [source])
    for attempt in range(20):
        cut.cut_off(after=generator.randrange(1, 30), number=signal.SIGKILL, everybody=bool(attempt % 2), resume=attempt > 0)
    cut.finish()
    cut.check()
    assert sorted(set(cut.calls.read_text().splitlines())) == expected_calls()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, source: Path, number: int) -> None:
    cut = Cut(tmp_path, ["-su", "S", *hook(tmp_path / "calls")], [source])
    assert cut.cut_off(after=60, number=number, everybody=number == signal.SIGINT, resume=False) == 3
    there = tree(cut.out)
    assert 60 <= len(there) < FILES
    assert len([line for line in read_report(cut.report) if line["result"] == "stored"]) == len(there)
    cut.finish()
    cut.check()
    assert sorted(cut.calls.read_text().splitlines()) == expected_calls()


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_archives_go_on_and_are_skipped_when_they_are_done(tmp_path: Path, source: Path, kind: str) -> None:
    packed = tmp_path / f"files.{kind}"
    with tarfile.open(packed, "w:gz" if kind.endswith("gz") else "w") as archive:
        for path in sorted(source.glob("IM*")):
            archive.add(path, path.name)
    cut = Cut(tmp_path, ["+uf"], [packed])
    cut.cut_off(after=50, number=signal.SIGKILL, everybody=True, resume=False)
    cut.finish()
    cut.check()
    begun = time.monotonic()
    done = ingest(["--resume", *cut.command], report=cut.report)
    assert (done.status, "0 stored, 1 done before" in done.errors) == (0, True), (done.errors, begun)
    cut.check()


def test_without_resume_a_run_begins_anew(tmp_path: Path, source: Path) -> None:
    cut = Cut(tmp_path, [], [source])
    for _ in range(2):
        done = ingest(cut.command, report=cut.report)
        assert "400 stored" in done.errors
        cut.check()


def test_what_has_changed_or_is_new_is_read_again(tmp_path: Path, source: Path) -> None:
    cut = Cut(tmp_path, [], [source])
    cut.finish()
    (source / "IM0007").write_bytes(made(7, pixels=128))
    (source / "new").write_bytes(made(1000))
    done = ingest(["--resume", *cut.command], report=cut.report)
    assert "2 stored, 400 done before" in done.errors
    assert len(tree(cut.out)) == FILES + 1


def test_what_was_refused_is_tried_again(tmp_path: Path, source: Path) -> None:
    cut = Cut(tmp_path, ["--max-object-size", "1000"], [source])
    (source / "large").write_bytes(made(1000, pixels=5000))
    assert ingest(cut.command, report=cut.report).status == 1
    cut.command.remove("--max-object-size")
    cut.command.remove("1000")
    cut.finish()
    assert len(tree(cut.out)) == FILES + 1
    assert [line["result"] for line in read_report(cut.report) if str(line["source"]).endswith("large")] == ["refused", "stored"]


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_what_was_refused_of_an_archive_is_tried_again(tmp_path: Path, kind: str) -> None:
    for number in range(50):
        (tmp_path / f"IM{number}").write_bytes(made(number, pixels=5000 if number == 7 else 64))
    with tarfile.open(tmp_path / f"files.{kind}", "w:gz" if kind.endswith("gz") else "w") as archive:
        for path in sorted(tmp_path.glob("IM*")):
            archive.add(path, path.name)
    cut = Cut(tmp_path, ["--max-object-size", "1000"], [tmp_path / f"files.{kind}"])
    assert ingest(cut.command, report=cut.report).status == 1
    cut.command.remove("--max-object-size")
    cut.command.remove("1000")
    done = ingest(["--resume", *cut.command], report=cut.report)
    assert (done.status, "1 stored, 49 done before" in done.errors) == (0, True), done.errors
    assert len(tree(cut.out)) == 50


def test_another_report_begins_with_what_is_known(tmp_path: Path, source: Path) -> None:
    cut = Cut(tmp_path, [], [source])
    cut.cut_off(after=100, number=signal.SIGKILL, everybody=True, resume=False)
    cut.report = tmp_path / "another"
    cut.finish()
    cut.check()


def test_a_journal_of_another_directory_is_refused(tmp_path: Path, source: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    state = tmp_path / "state"
    assert ingest(["-od", tmp_path / "one", "--state-dir", state, source]).status == 0
    assert ingest(["-od", tmp_path / "two", "--state-dir", state, "--resume", source]).status == 2
    assert tree(tmp_path / "two") == {}


def test_a_move_that_is_cut_off_goes_on(tmp_path: Path, source: Path) -> None:
    cut = Cut(tmp_path, ["--move", "-su", "S"], [source])
    for attempt in range(3):
        cut.cut_off(after=40, number=signal.SIGKILL, everybody=True, resume=attempt > 0)
    cut.finish()
    cut.check()
    assert os.listdir(source) == ["readme"]


def test_a_worker_that_dies_ends_the_run_and_resuming_goes_on(tmp_path: Path, source: Path) -> None:
    cut = Cut(tmp_path, ["+uf"], [source])
    process = subprocess.Popen([*COMMAND, "--report", str(cut.report), *cut.command], env=environment(), stderr=subprocess.PIPE)
    wait_until(lambda: cut.stored() >= 30, "objects")
    family(process)[1].kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert b"--resume goes on" in errors
    cut.finish()
    cut.check()
