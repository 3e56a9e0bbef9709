"""The command line of fastscp-relay; what it does is tested with servers (tests/process/test_relay.py)."""

from __future__ import annotations

import pytest

from fastscp.cli import relay
from fastscp.cli.relay import Wanted, parse
from fastscp.errors import UsageError
from fastscp.relay.brokers import Target

STATE, BROKER = "postgresql://h/d", "redis://h/0"
NEEDED = ["--state", STATE, "--relay", BROKER]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (relay.STATE, relay.BROKER, relay.PASSWORD):
        monkeypatch.delenv(variable, raising=False)


def test_what_is_given_is_wanted() -> None:
    assert parse(NEEDED) == Wanted(STATE, Target(BROKER, "fastscp"), "relay:fastscp", 10_000, False)
    assert parse([*NEEDED, "--stream", "s", "--maxlen", "1000", "--replicas", "2", "--max-objects", "0", "--once"]) == Wanted(
        STATE, Target(BROKER, "s", 1000, 2), "relay:s", 0, True)
    assert parse([*NEEDED, "--consumer", "c"]).consumer == "c"


def test_what_is_secret_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSCP_STATE", STATE)
    monkeypatch.setenv("FASTSCP_RELAY", "rediss://h:6380/1")
    monkeypatch.setenv("FASTSCP_RELAY_PASSWORD", "secret")
    assert parse([]).url == STATE
    assert parse([]).target == Target("rediss://h:6380/1", "fastscp", password="secret")
    assert parse(["--relay", BROKER]).target.url == BROKER


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["--state", STATE], r"--relay or \$FASTSCP_RELAY is needed"), (["--relay", BROKER], r"--state or \$FASTSCP_STATE is needed"),
    (["--state", "mysql://h", "--relay", BROKER], "only postgresql://"), (["--state", STATE, "--relay", "nats://h"], "only redis://"),
    ([*NEEDED, "--maxlen", "999"], "--maxlen: 999"), ([*NEEDED, "--maxlen", "-1"], "--maxlen"), ([*NEEDED, "--replicas", "x"], "--replicas: x"),
    ([*NEEDED, "--stream", ""], "--stream"), ([*NEEDED, "--max-objects", "9" * 30], "--max-objects"), (["--strem", "s"], "unknown option --strem"),
    (["here"], "here is not expected"), (["--stream"], "--stream needs a name"),
])
def test_mistakes_are_told(arguments: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse(arguments)


def test_a_mistake_ends_the_program(capfd: pytest.CaptureFixture[str]) -> None:
    assert relay.main(["--strem"]) == 1
    assert capfd.readouterr().err == "fastscp-relay: unknown option --strem\n"


def test_a_url_that_cannot_be_read_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert relay.main(["--state", STATE, "--relay", "redis://h:port/0"]) == 1
    assert "this is no URL of Redis" in capfd.readouterr().err


def test_help_and_version_need_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert relay.main([]) == 0
    assert relay.main(["--help"]) == 0
    assert relay.main(["--version"]) == 0
    out = capfd.readouterr().out
    assert all(long in out for _, long, _, _ in relay.OPTIONS)
    assert "$fastscp: fastscp-relay v" in out
