"""The table of log lines in docs/deviations.md against what storescp and fastscp log for the same session."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, EXPLICIT_LE, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, Server, StorescpServer, wait_until

pytestmark = pytest.mark.oracle

PAGE = Path(__file__).parents[2] / "docs" / "deviations.md"
SAME = "the same"
NONE = "—"
#: what storescp dumps below ``PDU Type``: octets
OCTETS = re.compile(r"D: ( {2}[0-9a-f]{2})+")
VERIFICATION = (3, "1.2.840.10008.1.1", ["1.2.840.10008.1.2"])


@dataclass(frozen=True)
class Row:
    theirs: re.Pattern[str] | None
    ours: re.Pattern[str] | None
    same: bool


def pattern(level: str, cell: str) -> re.Pattern[str] | None:
    """Return what matches the lines that a cell describes; None for no line."""
    if cell == NONE:
        return None
    found = re.match(r"`([^`]*)`", cell)
    assert found is not None, cell
    return re.compile(f"{level}: " + ".*".join(map(re.escape, found[1].split("…"))))


def rows() -> Iterator[Row]:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Log lines\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 3 or len(cells[0]) != 1:
            continue
        theirs = pattern(cells[0], cells[1])
        same = cells[2].startswith(SAME)
        yield Row(theirs, theirs if same else pattern(cells[0], cells[2]), same)


def associate(server: Server, contexts: list[tuple[int, str, list[str]]]) -> RawSCU:
    scu = RawSCU("127.0.0.1", server.port)
    scu.associate(contexts)
    return scu


def session(server: Server) -> None:
    """Everything that goes well, twice, and some that does not, one association after another."""
    for _ in range(2):
        scu = associate(server, [*CT_CONTEXT, VERIFICATION, (5, "1.2.3", [EXPLICIT_LE]), (7, CT, ["1.2.3.4"])])
        scu.echo(3)
        for uid, study in (("1.2.1", "1.2"), ("1.2.2", "1.2"), ("1.2.3", "1.3"), ("1.2/4", "1.3")):
            assert scu.store(1, CT, uid, data_set(uid, study=study)) == 0
        scu.release()
    associate(server, CT_CONTEXT).abort()
    scu = associate(server, [(5, "1.2.3", [EXPLICIT_LE])])
    scu.release()
    scu = associate(server, CT_CONTEXT)
    assert scu.store(1, CT, "1.9", data_set("1.9", study="")) == 0xC000
    scu.release()
    wait_until(lambda: server.log().count(b"I: Association Release") == 4, "the last association is logged")
    wait_until(lambda: b"I: Association Aborted" in server.log(), "the aborted association is logged")


def logged(server: Server, directory: Path) -> list[str]:
    with server:
        session(server)
        text = server.log().decode("latin-1").replace(str(directory), "DIR")
    return [line for line in text.splitlines() if line[3:].strip() and not OCTETS.fullmatch(line)]


@pytest.mark.parametrize("verbosity", ["-v", "-d"])
def test_lines_are_as_the_table_says(tmp_path: Path, verbosity: str) -> None:
    table = list(rows())
    assert len(table) > 60
    theirs_directory, ours_directory = tmp_path / "theirs", tmp_path / "ours"
    theirs_directory.mkdir()
    ours_directory.mkdir()
    theirs = logged(StorescpServer([verbosity, "-od", theirs_directory, "-su", "P"]), theirs_directory)
    ours = logged(FastscpServer([verbosity, "-od", ours_directory, "-su", "P"]), ours_directory)
    beginning = next(number for number, line in enumerate(ours) if "Association Received" in line)
    told = Counter(ours)

    unlisted = {line for line in theirs if not any(row.theirs and row.theirs.fullmatch(line) for row in table)}
    assert unlisted == set(), "lines of storescp that the table does not have"
    own = {line for line in ours[beginning:] if not any(row.ours and row.ours.fullmatch(line) for row in table)}
    assert own == set(), "lines of fastscp that the table does not have"

    for line, count in Counter(theirs).items():
        row = next(row for row in table if row.theirs and row.theirs.fullmatch(line))
        if row.same:
            assert told[line] >= count, f"not word for word: {line}"
        elif row.ours:
            assert any(row.ours.fullmatch(line) for line in ours), f"nothing in place of: {line}"
