"""The documents that come from the option tables say what holds without an option, and say it truly."""

from __future__ import annotations

import re
import shlex

import pytest

from fastscp.cli.build import build
from fastscp.cli.check import check
from fastscp.cli.documents import default, manual_options, options_page
from fastscp.cli.option import Kind, Option
from fastscp.cli.options import OPTIONS
from fastscp.cli.options_blast import TABLE as BLAST
from fastscp.cli.options_ingest import TABLE as INGEST
from fastscp.cli.parse import parse
from fastscp.config.model import Config

TABLES = {"fastscp": OPTIONS, "fastscp-blast": BLAST.options, "fastscp-ingest": INGEST.options}
#: what is no value that could be given
WORDS = {"none", "unlimited", "number of usable CPUs", "as it is", "hidden in the output directory", "pydicom, unless DCMDICTPATH has some",
         "ffdhe2048 of RFC 7919", "asked for, where the key has one"}
#: a table that is named has to be there, one that is not may be missing
NAMED = {"--hosts-allow", "--hosts-deny"}
NEEDED = {"--write-xfer-deflated": "+td", "--storage-commitment": "--storage-commitment", "--sort-conc-studies": "-su x",
          "--state": "-su x -tos 5 --state postgresql://h/d",
          "--object-store": "-su x -tos 5 --object-store s3://bucket/p"}
STATED = [option for option in OPTIONS if option.arguments and option.long not in NAMED
          and (default(option) not in WORDS or default(option) in option.arguments[0].choices)]


def config(words: str) -> Config:
    line = parse("fastscp", shlex.split(f"{words} 11112"))
    check(line, verbose=True)
    return build(line)


def test_there_are_defaults_to_check() -> None:
    assert len(STATED) > 20
    assert {"--log-level", "--acse-timeout", "--on-duplicate", "--max-inflated-size"} <= {option.long for option in STATED}


@pytest.mark.parametrize("option", STATED, ids=lambda option: option.long)
def test_option_with_its_default_changes_nothing(option: Option) -> None:
    needed = NEEDED.get(option.requires[0], "") if option.requires else ""
    assert config(f"{needed} {option.long} {default(option)}") == config(needed)


@pytest.mark.parametrize("program", TABLES)
def test_each_option_with_a_value_has_a_default_in_the_tables_and_manual_pages(program: str) -> None:
    table = TABLES[program]
    rows = {line.split("`")[-2]: [cell.strip() for cell in line.replace("\\|", "").split("|")] for line in
            options_page("", "", (), table).splitlines() if line.startswith("| `")}
    entries = "\n".join(manual_options(table)).split(".TP\n")
    assert len(rows) == len(table)
    for option in table:
        shown = rows[option.long][4]
        assert shown == default(option)
        assert shown or not option.arguments
        entry = next(entry for entry in entries if entry.startswith(", ".join(f"\\fB{flag}\\fR" for flag in option.flags).replace("-", "\\-")))
        assert not option.arguments or re.search(r"\(default: |Default: \w", entry), option.long


def test_default_that_only_the_table_knows_comes_last() -> None:
    assert default(Option("--x", help="do x (default: 3)", absent="4")) == "3"
    assert default(Option("--x", help="do x", absent="4")) == "4"
    assert default(Option("--x", help="do x")) == "off"
    assert default(Option("--x", help="print x", ends=True)) == ""
    assert all(option.arguments[0].kind is not Kind.CHOICE or option.arguments[0].choices for option in OPTIONS if option.arguments)
