"""Every option of fastscp-ingest is in its help, its manual page, its page of options and its completion, and has a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.cli.ingest import usage
from fastscp.cli.options import FASTSCP
from fastscp.cli.options_ingest import INGEST, TABLE
from tests.conformance.test_option_coverage import words

ROOT = Path(__file__).parents[2]

#: written out, so that an option that gets lost in the table is missed
OWN = [("--follow-links",), ("-0", "--null"), ("--copy",), ("--link",), ("--move",), ("--dry-run",), ("--resume",), ("--report",),
       ("--strict",), ("--workers",), ("-aet", "--aetitle"), ("-aec", "--call")]
#: of fastscp, as the issue of files instead of associations has it: output, names, sorting, events, quarantine, log
SHARED = ["--help", "--version", "--arguments", "--quiet", "--verbose", "--debug", "--log-level", "--log-config", "--output-directory",
          "--bit-preserving", "--write-dataset", "--write-xfer-implicit", "--disable-new-vr", "--group-length-create",
          "--length-undefined", "--padding-create", "--convert-un", "--compression-level", "--sort-conc-studies",
          "--sort-on-study-uid", "--sort-on-patientname", "--unique-filenames", "--timenames", "--filename-extension",
          "--exec-on-reception", "--exec-on-eostudy", "--rename-on-eostudy", "--eostudy-timeout", "--exec-sync", "--on-late",
          "--study-max-age", "--study-manifest", "--completed-directory", "--state-dir", "--transliterate-names",
          "--exec-on-eoseries", "--exec-argv", "--hook-jobs", "--hook-timeout", "--hook-retries", "--event-log", "--event-digest",
          "--max-object-size", "--max-inflated-size", "--quarantine", "--private-dictionary", "--log-json", "--umask", "--on-duplicate"]
EVERY = [option.flags for option in TABLE.options]
identify = pytest.mark.parametrize("flags", EVERY, ids=lambda flags: flags[-1])


def test_own_options_are_those_listed() -> None:
    assert [option.flags for option in INGEST] == OWN


def test_options_of_the_service_are_there() -> None:
    assert [long for long in SHARED if long not in TABLE.by_flag] == []


def test_nothing_about_networks_is_there() -> None:
    assert {"--fork", "--max-pdu", "--enable-tls", "--drain-timeout", "--ignore", "--inetd", "--promiscuous"} & set(TABLE.by_flag) == set()


def test_rules_name_options_that_there_are() -> None:
    named = {long for option in TABLE.options for long in (*option.conflicts, *option.requires)}
    assert named <= set(TABLE.by_flag)


def test_shared_options_are_the_same() -> None:
    own = {flags[-1] for flags in OWN}
    for option in TABLE.options:
        if option.long not in own:
            other = FASTSCP.by_flag[option.long]
            assert (option.flags, option.help, option.arguments) == (other.flags, other.help, other.arguments)


@identify
def test_documents(flags: tuple[str, ...]) -> None:
    assert any(tuple(line.split()[: len(flags)]) == flags for line in usage().splitlines())
    page = (ROOT / "docs" / "fastscp-ingest.1").read_text(encoding="utf-8")
    entry = ", ".join(f"\\fB{flag}\\fR" for flag in flags).replace("-", "\\-")
    assert any(line == entry or line.startswith(f"{entry} ") for line in page.splitlines())
    assert f"\n| {' '.join(f'`{flag}`' for flag in flags)} |" in (ROOT / "docs" / "options-ingest.md").read_text(encoding="utf-8")
    for name in ("bash/fastscp-ingest", "zsh/_fastscp-ingest"):
        text = (ROOT / "docs" / "completion" / name).read_text(encoding="utf-8")
        assert all(flag in words(text) or f"{flag}[" in text or f" {flag} " in text for flag in flags)


@pytest.mark.parametrize("flags", OWN, ids=lambda flags: flags[-1])
def test_some_test_runs_it(flags: tuple[str, ...]) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "process").glob("test_ingest*.py"))
    assert any(f'"{flag}"' in text for flag in flags)
