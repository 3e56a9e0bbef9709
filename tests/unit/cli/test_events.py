"""The command line of fastscp-events; what it reads is tested with a database (tests/process/test_fleet.py)."""

from __future__ import annotations

import pytest

from fastscp.cli import events
from fastscp.cli.events import Wanted, parse
from fastscp.errors import UsageError

URL = "postgresql://h/d"


def test_what_is_given_is_wanted() -> None:
    assert parse(["--state", URL, "--follow", "--from", "7", "--consumer", "archive"]) == Wanted(URL, True, 7, "archive", "")
    assert parse(["--state", URL]) == Wanted(URL, False, None, "", "")
    assert parse(["--state", URL, "--migrate"]).instead == "--migrate"
    assert parse(["--state", URL, "--maintain", "--keep", "30d", "--keep-studies", "12h"]) == Wanted(
        URL, False, None, "", "--maintain", 30 * 86400, 12 * 3600)
    assert parse(["--state", URL, "--maintain", "--keep-studies", "1d"]).keep_s is None


def test_the_database_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSCP_STATE", URL)
    assert parse([]).url == URL
    assert parse(["--state", "postgres://other/d"]).url == "postgres://other/d"


@pytest.mark.parametrize(("arguments", "complaint"), [
    ([], "is needed"), (["--state"], "needs a url"), (["--state", "sqlite:x"], "only postgresql://"),
    (["--state", URL, "--from", "-1"], "--from"), (["--state", URL, "--from", "x"], "--from"),
    (["--state", URL, "--maintain"], "--maintain needs --keep"), (["--state", URL, "--keep", "30d"], "these need it"),
    (["--state", URL, "--maintain", "--keep", "0d"], "--keep: 0d"), (["--state", URL, "--maintain", "--keep", "30"], "--keep: 30"),
    (["--frm", "1"], "unknown option --frm"), (["archive"], "not expected"),
])
def test_mistakes_are_told(arguments: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTSCP_STATE", raising=False)
    with pytest.raises(UsageError, match=complaint):
        parse(arguments)


def test_a_mistake_ends_the_program(capfd: pytest.CaptureFixture[str]) -> None:
    assert events.main(["--frm"]) == 1
    assert capfd.readouterr().err == "fastscp-events: unknown option --frm\n"


def test_help_and_version_need_no_database(capfd: pytest.CaptureFixture[str]) -> None:
    assert events.main(["--help"]) == 0
    assert events.main(["--version"]) == 0
    out = capfd.readouterr().out
    assert all(long in out for _, long, _, _ in events.OPTIONS)
    assert "$fastscp: fastscp-events v" in out


def test_a_database_that_is_away_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert events.main(["--state", "postgresql:///d?host=/nowhere"]) == 1
    assert capfd.readouterr().err.startswith("fastscp-events: ")
