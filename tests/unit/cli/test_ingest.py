from __future__ import annotations

import shlex
import sys

import pytest

from fastscp.cli import ingest
from fastscp.cli.options_ingest import TABLE
from fastscp.cli.parse import CommandLine, parse
from fastscp.config.network import ProcessMode
from fastscp.errors import UsageError
from fastscp.ingest.policy import IngestPolicy, Placement
from fastscp.store.policy import FileNames
from fastscp.study.policy import Sorting


def line(text: str) -> CommandLine:
    return parse("fastscp-ingest", shlex.split(text), TABLE)


@pytest.mark.parametrize(("text", "changes"), [
    ("x", {}), ("x -od /o y", {"paths": ("x", "y")}), ("--link x", {"placement": Placement.LINK}),
    ("--move --copy x", {}), ("--link --move x", {"placement": Placement.MOVE}), ("--dry-run --move x", {"dry_run": True}),
    ("--resume --strict --follow-links --null x", {"resume": True, "strict": True, "follow_links": True, "null_separated": True}),
    ("--report r -q --workers 7 x", {"report": "r", "quiet": True, "workers": 7}), ("-aet ME -aec YOU x", {"calling_aet": "ME", "called_aet": "YOU"})])
def test_policy(text: str, changes: dict[str, object]) -> None:
    policy = ingest.ingest_policy(line(text if "--workers" in text else f"--workers 1 {text}"))
    assert policy == IngestPolicy(**{"paths": ("x",), **changes})  # type: ignore[arg-type]


def test_configuration_is_that_of_the_service() -> None:
    config = ingest.configuration(line("+B -su P +uf -od /o/ -xcr c --event-log e --umask 027 --max-object-size 5M x".replace("+B ", "")))
    assert (config.store.output_directory, config.store.file_names, config.store.max_object_octets) == ("/o", FileNames.UNIQUE, 5 << 20)
    assert (config.study.sorting, config.study.prefix, config.hooks.on_reception, config.hooks.event_log) == (Sorting.STUDY_UID, "P", "c", "e")
    assert (config.network.umask, config.network.mode, config.network.port) == (0o027, ProcessMode.POOL, None)


def test_options_of_networks_are_unknown() -> None:
    with pytest.raises(UsageError, match="Unknown option --fork"):
        line("--fork x")


@pytest.mark.parametrize(("text", "words"), [
    ("-od", "Missing value for option --output-directory"), ("-v", "Missing parameter path"), ("--workers x y", "Invalid value"),
    ("+B -su S x", "not allowed with --bit-preserving"), ("-rns x", "only allowed with"), ("--umask 9 x", "not an octal number"),
    ("-od /nowhere/at/all x", "specified output directory does not exist"), ("--aetitle 12345678901234567 x", "more than 16 characters"),
    ("-xcr /nowhere/command x", "/nowhere/command")])
def test_usage_errors(text: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert ingest.main(["fastscp-ingest", *shlex.split(text)]) == 2
    error = capfd.readouterr().err
    assert words in error
    assert error.startswith("fastscp-ingest: ")


def test_help_and_version(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], ["--help"], ["x", "--nothing-else", "-h"][::2]):
        assert ingest.main(["fastscp-ingest", *arguments]) == 0
        assert "--dry-run" in capfd.readouterr().out
    monkeypatch.setattr(sys, "argv", ["fastscp-ingest", "--version"])
    assert ingest.main() == 0
    assert capfd.readouterr().out.startswith("$fastscp: fastscp-ingest v")
