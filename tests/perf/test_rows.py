"""The table of rows, and the command lines of the servers that are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf import peers
from perf.loads import LOADS
from perf.peers import PEERS, command, why_not
from perf.report import FIGURES
from perf.rows import ROWS, Row, Wanted, chosen

#: the issue's table, row by row, as names
TABLE = {
    "ct", "mr", "sr", "sequences", "each-ct", "each-mr", "each-sr", "enhanced", "enhanced-ti", "enhanced-tb", "enhanced-g", "200mb",
    "sorted-ct", "sorted-mr", "sorted-sr", "sorted-each-mr", "hooked-mr", "hooked-sr", "sorted-hooked-mr", "sorted-hooked-sr",
    "events-ct", "events-mr", "events-sr", "tls-ct", "tls-mr", "tls-4mb", "idle-1000", "idle-5000", "mixed", "paced-ct", "paced-mr", "paced-sr"}


def row(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


def test_every_row_that_is_promised_is_there_once() -> None:
    assert [row.name for row in ROWS if row.name not in TABLE] == []
    assert sorted(row.name for row in ROWS) == sorted(TABLE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_name_what_there_is(row: Row) -> None:
    assert set(row.loads) <= set(LOADS)
    assert set(row.peers) <= set(PEERS)
    for wanted in row.wanted:
        assert wanted.figure in FIGURES
        assert {wanted.ours, *([wanted.theirs] if wanted.theirs else [])} <= set(row.peers)


def test_rows_are_chosen_by_pattern_and_by_number_of_senders() -> None:
    assert [found.name for found in chosen(["tls-*", "mr"])] == ["mr", "tls-ct", "tls-mr", "tls-4mb"]
    one, four, sixteen = chosen(["mr"], [1, 4, 16])
    assert [(found.name, found.senders) for found in (one, four, sixteen)] == [("mr x1", 1), ("mr", 4), ("mr x16", 16)]
    assert four.wanted
    assert not one.wanted
    assert len(chosen([])) == len(ROWS)
    with pytest.raises(ValueError, match="no row is called mrr"):
        chosen(["mr", "mrr"])


def test_targets_are_those_of_the_issue() -> None:
    assert row("mr").wanted == (Wanted(0.30), Wanted(0.70, "storescp +B", "fastscp +B"), Wanted(2.5, "floor"))
    assert row("sorted-mr").wanted == (Wanted(0.45), Wanted(0.5, "fastscp", "storescp", "objects_per_s"))


def test_both_get_the_options_of_a_row_but_those_that_fork_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "dcmtk", lambda name: f"/bin/{name}")
    assert command("fastscp", row("sorted-mr"), 1, "/d")[2:] == ["fastscp", "-su", "P", "-rns", "-tos", "5", "-xcs", "true", "-od", "/d", "1"]
    assert command("storescp", row("sorted-mr"), 1, "/d") == ["/bin/storescp", "--fork", "-su", "P", "-tos", "5", "-od", "/d", "1"]
    assert "-rns" in command("storescp single", row("sorted-mr"), 1, "/d")
    assert command("storescp +B", row("mr"), 1, "/d", ["+tls", "k", "c"])[1:] == [
        "--fork", "+B", "-pdu", "131072", "+tls", "k", "c", "-od", "/d", "1"]


def test_event_log_is_beside_the_directory_and_plain_has_none() -> None:
    assert "/d.events" in command("fastscp", row("events-mr"), 1, "/d")
    assert "--event-log" not in command("fastscp plain", row("events-mr"), 1, "/d")


def test_dcmrecv_gets_a_profile_with_the_classes_of_the_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "dcmtk", lambda name: f"/bin/{name}")
    line = command("dcmrecv", row("mixed"), 1, str(tmp_path / "d"))
    assert line[1:3] == ["-xf", str(tmp_path / "d.cfg")]
    assert (tmp_path / "d.cfg").read_text().count("1.2.840.10008.5.1.4.1.1.") == 3


@pytest.mark.parametrize(("name", "row_name", "why"), [
    ("fastscp", "tls-mr", ""), ("pynetdicom", "tls-mr", "not with TLS"), ("floor", "mixed", "one presentation context"),
    ("dcmrecv", "sorted-mr", "has no -rns -su -tos -xcs"), ("before: fastscp", "mr", ""), ("fastscp plain", "events-mr", "")])
def test_who_takes_no_part_has_a_reason(name: str, row_name: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "dcmtk", lambda name: f"/bin/{name}")
    monkeypatch.setattr(peers, "floor_program", lambda: "/bin/floor")
    assert why in why_not(name, row(row_name))
    assert bool(why) == bool(why_not(name, row(row_name)))


def test_who_is_not_installed_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "dcmtk", lambda _name: "")
    monkeypatch.setattr(peers.shutil, "which", lambda _name: None)
    assert why_not("storescp", row("mr")) == "DCMTK's storescp is not installed"
    assert why_not("orthanc", row("mr")) == "Orthanc is not installed"
