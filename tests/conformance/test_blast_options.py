"""Every option of fastscp-blast is in its help, its manual page, its page of options and its completion, and has a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.cli.blast import usage
from fastscp.cli.options_blast import BLAST, TABLE
from tests.conformance.test_option_coverage import words

ROOT = Path(__file__).parents[2]

#: written out, so that an option that gets lost in the table is missed
OWN = [("--load",), ("--studies",), ("--series",), ("--objects",), ("--associations",), ("--objects-per-association",), ("--pipeline",), ("--pdu",),
       ("--rate",), ("--ramp",), ("--duration",), ("--idle",), ("--timeout",), ("--processes",), ("--delay",), ("--bandwidth",),
       ("-aet", "--calling-aet"), ("-aec", "--called-aet"), ("+tls", "--tls"), ("--tls-keys",), ("+cf", "--tls-ca"), ("--json",), ("--svg",),
       ("--verify",), ("--verify-events",), ("--verify-wait",), ("--hostile",), ("--hostile-host",)]


def test_options_are_those_listed() -> None:
    assert [option.flags for option in BLAST] == OWN
    assert [option.long for option in TABLE.options if option not in BLAST] == ["--help", "--version", "--quiet"]


def test_rules_name_options_that_there_are() -> None:
    assert {long for option in TABLE.options for long in (*option.conflicts, *option.requires)} <= set(TABLE.by_flag)


@pytest.mark.parametrize("flags", [option.flags for option in TABLE.options], ids=lambda flags: flags[-1])
def test_documents(flags: tuple[str, ...]) -> None:
    assert any(tuple(line.split()[: len(flags)]) == flags for line in usage().splitlines())
    page = (ROOT / "docs" / "fastscp-blast.1").read_text(encoding="utf-8")
    entry = ", ".join(f"\\fB{flag}\\fR" for flag in flags).replace("-", "\\-")
    assert any(line == entry or line.startswith(f"{entry} ") for line in page.splitlines())
    assert f"\n| {' '.join(f'`{flag}`' for flag in flags)} |" in (ROOT / "docs" / "options-blast.md").read_text(encoding="utf-8")
    for name in ("bash/fastscp-blast", "zsh/_fastscp-blast"):
        text = (ROOT / "docs" / "completion" / name).read_text(encoding="utf-8")
        assert all(flag in words(text) or f"{flag}[" in text or f" {flag} " in text for flag in flags)


@pytest.mark.parametrize("flags", OWN, ids=lambda flags: flags[-1])
def test_some_test_runs_it(flags: tuple[str, ...]) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "process").glob("test_blast*.py"))
    assert any(f'"{flag}"' in text for flag in flags)
