"""fastscp-studies: what it lists, what it asks for, what it refuses."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.cli import studies
from fastscp.coordinator import requests
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.errors import FastscpError
from fastscp.study.state import FailedRow, ObjectRow, StudyRow, TaskRow


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The output directory of a service that is down."""
    directory = tmp_path / ".fastscp"
    directory.mkdir()
    state = SqliteState(directory, wall=lambda: 1_700_000_060.0)
    state.open_study(StudyRow(1, "1.2.3", "/in/S_1.2.3", 1_700_000_000.0, made=True))
    for number, file in enumerate(("CT.1", "CT.2"), start=1):
        state.add_object(1, ObjectRow(file, file, "a", b"", b""), number, "w", number)
    state.open_study(StudyRow(2, "1.2.4", "/in/S_1.2.4", 1_700_000_010.0, made=True))
    state.open_study(StudyRow(3, "1.2.5", "/in/S_1.2.5", 1_700_000_010.0, made=True))
    state.end_study(3, 1_700_000_020.0)
    for number, status in ((4, 3), (7, -9)):
        state.fail_task(FailedRow(TaskRow(number, 1, "study", b"{}"), "1.2.3", "/in/S_1.2.3", f"send\n{number}", status, 2,
                                  1_700_000_100.0))
    state.close()
    return tmp_path


def run(output: Path, *words: str) -> list[str]:
    return studies.run(["-od", str(output), *words]).splitlines()


def asked(output: Path) -> list[tuple[str, list[int] | None]]:
    return [(request.kind, request.numbers) for request in requests.waiting(output / ".fastscp")]


def test_failed_hooks_are_listed_with_number_study_status_and_command(output: Path) -> None:
    assert [line.split() for line in run(output, "failed")] == [
        ["NUMBER", "HOOK", "STUDY", "STATUS", "ATTEMPTS", "FAILED", "REQUESTED", "DIRECTORY", "COMMAND"],
        ["4", "study", "1.2.3", "3", "2", "2023-11-14T22:15:00Z", "-", "/in/S_1.2.3", "send\\n4"],
        ["7", "study", "1.2.3", "signal", "9", "2", "2023-11-14T22:15:00Z", "-", "/in/S_1.2.3", "send\\n7"]]


def test_failed_hooks_for_programs(output: Path) -> None:
    run(output, "retry", "7")
    first, second = map(json.loads, run(output, "failed", "--json"))
    assert first == {"number": 4, "hook": "study", "study_uid": "1.2.3", "directory": "/in/S_1.2.3", "command": "send\n4",
                     "status": 3, "attempts": 2, "failed": "2023-11-14T22:15:00Z", "requested": None}
    assert (second["status"], second["requested"]) == (-9, "retry")


def test_open_studies(output: Path) -> None:
    assert [line.split() for line in run(output, "open")] == [
        ["STUDY", "OBJECTS", "SINCE", "LAST", "DIRECTORY"],
        ["1.2.3", "2", "2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z", "/in/S_1.2.3"],
        ["1.2.4", "0", "2023-11-14T22:13:30Z", "-", "/in/S_1.2.4"]]
    assert json.loads(run(output, "open", "--json")[1]) == {
        "study_uid": "1.2.4", "directory": "/in/S_1.2.4", "objects": 0, "since": "2023-11-14T22:13:30Z", "last": None}


def test_output_directory_that_is_not_utf_8(output: Path, tmp_path: Path) -> None:
    there = tmp_path / os.fsdecode(b"o\xff")
    there.mkdir()
    (output / ".fastscp").rename(there / ".fastscp")
    assert len(run(there, "open")) == 3


def test_a_reader_leaves_the_state_as_it_is(output: Path) -> None:
    before = (output / ".fastscp" / FILE_NAME).read_bytes()
    run(output, "failed")
    run(output, "retry", "4")
    assert (output / ".fastscp" / FILE_NAME).read_bytes() == before


def test_state_that_a_coordinator_is_writing_is_read_and_not_held_up(output: Path) -> None:
    state = SqliteState(output / ".fastscp")
    state.add_task(TaskRow(9, 1, "study", b"{}"))
    state._engine._settle()  # in the middle of a transaction
    assert len(run(output, "failed")) == 3
    state.fail_task(FailedRow(TaskRow(9, 1, "study", b"{}"), "1.2.9", "/d", "x", 1, 1, 0.0))
    state.commit()
    assert len(run(output, "failed")) == 4
    state.close()


@pytest.mark.parametrize(("words", "expected", "says"), [
    (("retry", "4"), [("retry", [4])], "1 hook will be executed again at the next start of the service"),
    (("retry", "7", "4", "7"), [("retry", [7, 4])], "2 hooks will be executed again at the next start of the service"),
    (("forget", "all"), [("forget", [4, 7])], "2 hooks will be forgotten at the next start of the service"),
])
def test_what_is_asked_for(output: Path, words: tuple[str, ...], expected: object, says: str) -> None:
    assert run(output, *words) == [says]
    assert asked(output) == expected


def test_running_service_is_said_to_do_it_within_seconds(output: Path) -> None:
    lock = os.open(output / ".fastscp" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert run(output, "retry", "4") == ["1 hook will be executed again within seconds"]
    os.close(lock)
    assert run(output, "retry", "4")[0].endswith("at the next start of the service")


def test_hook_that_is_to_be_forgotten_is_not_listed_any_more(output: Path) -> None:
    run(output, "forget", "4")
    assert [line.split()[0] for line in run(output, "failed")] == ["NUMBER", "7"]
    with pytest.raises(FastscpError, match="no failed hook 4"):
        run(output, "retry", "4")
    run(output, "forget", "all")
    assert run(output, "retry", "all") == ["no hook has failed"]


def test_state_directory_of_its_own(output: Path) -> None:
    assert len(studies.run(["failed", "--state-dir", str(output / ".fastscp")]).splitlines()) == 3


def test_service_that_kept_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "failed", "--json") == []
    assert len(run(tmp_path, "open")) == 1


@pytest.mark.parametrize(("words", "message"), [
    (["list"], "no command list"), (["--json"], "a command is needed"), (["failed", "4"], "failed takes no 4"),
    (["retry"], "needs the numbers"), (["retry", "x"], "needs the numbers"), (["forget", "-1"], "unknown option -1"),
    (["retry", "99"], "no failed hook 99"), (["failed", "--state-dir"], "--state-dir needs a directory"),
    (["-x"], "unknown option -x"), (["failed", "--state-dir", "/gone/x"], "/gone is no directory"),
])
def test_what_is_refused(output: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert studies.main(["-od", str(output), *words]) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("fastscp-studies: ")
    assert message in shown.err
    assert asked(output) == []


def test_state_of_an_older_and_of_a_later_program(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for version, status, message in ((1, 0, ""), (99, 1, "has format 99")):
        connection = sqlite3.connect(output / ".fastscp" / FILE_NAME)
        connection.execute(f"PRAGMA user_version={version}")
        connection.close()
        assert studies.main(["-od", str(output), "failed"]) == status
        assert message in capfd.readouterr().err


def test_what_is_no_state_is_an_error_with_a_name(output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (output / ".fastscp" / FILE_NAME).write_bytes(b"nothing of ours" * 100)
    assert studies.main(["-od", str(output), "failed"]) == 1
    assert "state.sqlite3 cannot be read" in capfd.readouterr().err


def test_help_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert studies.main([]) == studies.main(["--help"]) == studies.main(["--version"]) == 0
    shown = capfd.readouterr().out
    assert shown.count("$fastscp: fastscp-studies v") == 3
    assert all(command in shown for command, _, _ in studies.COMMANDS)


@pytest.mark.parametrize("redirect", ["| head -1", ">&-"])
def test_reader_that_goes_away_is_no_failure(output: Path, redirect: str) -> None:
    state = SqliteState(output / ".fastscp")
    for number in range(100, 3000):
        state.fail_task(FailedRow(TaskRow(number, 1, "study", b"{}"), "1.2.3", "/d", "x" * 100, 1, 1, 0.0))
    state.close()
    command = f"'{sys.executable}' -m fastscp.cli.studies failed -od '{output}' {redirect}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert done.stdout.startswith("NUMBER") or redirect == ">&-"
