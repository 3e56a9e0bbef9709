from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from fastscp.blast.plan import Checks, Line, Plan, Target, TLSKeys
from fastscp.cli import blast
from fastscp.cli.options_blast import TABLE
from fastscp.cli.parse import CommandLine, parse
from fastscp.errors import UsageError

HERE = Target("here", 104)


def line(text: str) -> CommandLine:
    return parse("fastscp-blast", shlex.split(text), TABLE)


@pytest.mark.parametrize(("text", "changes"), [
    ("", {}), ("a b/", {"paths": ("a", "b/")}), ("--load MR", {"load": "mr"}), ("--studies 2 --series 3 --objects 4", {"studies": 2, "series": 3, "objects": 4}),
    ("--associations 5 --objects-per-association 6 --pipeline 7 --pdu 8192", {"associations": 5, "per_association": 6, "pipeline": 7, "pdu": 8192}),
    ("--rate 50/s --ramp 3 --duration 60", {"rate": 50.0, "ramp_s": 3, "duration_s": 60}), ("--rate 0.5", {"rate": 0.5}),
    ("--idle 9 --timeout 5 --processes 3", {"idle": 9, "timeout_s": 5, "processes": 3}),
    ("--delay 150 --bandwidth 64K", {"line": Line(0.15, 65536)}), ("-aet ME -aec YOU", {"target": Target("here", 104, "ME", "YOU")}),
    ("--tls", {"target": Target("here", 104, tls=TLSKeys())}),
    ("+tls --tls-keys k c --tls-ca x +cf y", {"target": Target("here", 104, tls=TLSKeys("k", "c", ("x", "y")))}),
    ("--verify d --verify-events e --verify-wait 0", {"checks": Checks("d", "e", 0)}),
    ("--hostile 30 --hostile-host here", {"hostile_percent": 30, "hostile_host": "here"}),
    ("--json j --svg s -q", {"json": "j", "svg": "s", "quiet": True})])
def test_plan(text: str, changes: dict[str, object]) -> None:
    assert blast.plan(line(f"here 104 {text}")) == Plan(**{"target": HERE, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "complaint"), [
    ("-q", "Missing parameter host"), ("here", "Missing parameter port"), ("here x", "Invalid parameter value x"), ("here 0", "Invalid parameter value 0"),
    ("here 65536", "Invalid parameter value 65536"), ("here 104 --load ct f", "--load not allowed with paths"),
    ("here 104 --load us", "Invalid value for option --load"), ("here 104 --rate x", "Invalid value for option --rate"),
    ("here 104 --rate 0", "Invalid value for option --rate"), ("here 104 --rate nan", "Invalid value for option --rate"),
    ("here 104 --hostile 91", "overflow"), ("here 104 --hostile-host h", "only allowed with --hostile"),
    ("here 104 --tls-ca x", "only allowed with --tls"), ("here 104 --verify-wait 3", "only allowed with --verify"),
    ("here 104 --pdu 100", "underflow"), ("here 104 --bogus", "Unknown option")])
def test_mistakes(text: str, complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert blast.main(["fastscp-blast", *shlex.split(text)]) == 2
    assert complaint in capfd.readouterr().err


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["--json", "/nowhere/x"], "cannot write /nowhere/x"), (["--verify", "/nowhere"], "/nowhere is no directory"), (["/nowhere"], "cannot read /nowhere"),
    (["--tls", "--tls-ca", "/nowhere"], "keys and certificates"), ([__file__], "cannot be sent: not DICOM")])
def test_what_cannot_begin(arguments: list[str], complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert blast.main(["fastscp-blast", "127.0.0.1", "1", *arguments]) == 2
    assert complaint in capfd.readouterr().err


def test_an_empty_directory_has_nothing_to_send(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert blast.main(["fastscp-blast", "127.0.0.1", "1", str(tmp_path)]) == 2
    assert "no DICOM file below" in capfd.readouterr().err


def test_help_and_version(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        assert blast.main(["fastscp-blast", *arguments]) == 0
        assert "usage: fastscp-blast [options] host port [path ...]" in capfd.readouterr().out
    monkeypatch.setattr(sys, "argv", ["fastscp-blast", "--version"])
    assert blast.main() == 0
    assert capfd.readouterr().out.startswith("$fastscp: fastscp-blast v")


def test_a_plan_needs_its_parameters() -> None:
    with pytest.raises(UsageError):
        blast.plan(line(""))
