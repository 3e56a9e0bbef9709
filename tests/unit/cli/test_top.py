from __future__ import annotations

import copy
from typing import Any

import pytest

from fastscp.cli import top
from fastscp.cli.top import Rates, Wanted, _Rich, octets_text, parse, seconds_text, spark, view
from fastscp.errors import ProcessError, UsageError

STATUS: dict[str, Any] = {
    "version": "4.0.0", "time": 1000.0, "started": 100.0,
    "ready": {"ok": True, "checks": {"disk": {"ok": True, "detail": "room"}}},
    "associations": [{"peer": "10.0.0.1", "calling_aet": "[red]EVIL\x1b[2J", "called_aet": "US", "object": "CTImageStorage",
                      "octets_per_second": 5e6, "stored": 7, "refused": 2, "seconds": 5.0}],
    "refusals": [{"time": 1.0, "calling_aet": "BAD", "peer": "10.0.0.2", "what": "association rejected", "status": "", "reason": "why"}],
    "studies": {"open": [{"study_uid": "1.2.3", "objects": 4, "directory": "/in/a"}],
                "completed": [{"study_uid": "1.2.4", "objects": 9, "reason": "timeout", "directory": "/in/b"}]},
    "hooks": {"running": [], "ended": [{"time": 1.0, "hook": "study", "status": 3, "seconds": 1.0, "directory": "/in/b"}]},
    "metrics": {"fastscp_objects_total": [{"status": "0000", "value": 100.0}, {"status": "B000", "value": 1.0}, {"status": "A700", "value": 5.0}],
                "fastscp_object_bytes_total": [{"value": 1e9}], "fastscp_associations_open": 1.0, "fastscp_studies_open": 1.0,
                "fastscp_hooks_running": 0.0, "fastscp_hooks_queued": 2.0, "fastscp_workers_up": 2.0, "fastscp_workers_wanted": 2.0,
                "fastscp_disk_free_bytes": [{"directory": "output", "value": 5e10}]},
}


def shown(status: dict[str, Any], rates: Rates | None = None) -> str:
    rich = _Rich()
    console = rich.Console(width=140, record=True, file=open("/dev/null", "w"), force_terminal=False)  # noqa: SIM115
    console.print(view(status, rates or Rates(), "http://x", rich))
    return str(console.export_text())


def test_everything_is_seen_at_a_glance() -> None:
    text = shown(STATUS)
    for wanted in ("receiving", "objects 101", "failures 5", "1.0 GB", "CTImageStorage", "5.0 MB/s", "BAD 10.0.0.2", "association rejected",
                   "1.2.3", "timeout", "/in/b", "output: 50.0 GB free", "0 run, 2 wait", "2 of 2", "up 15 min"):
        assert wanted in text, wanted


def test_what_a_peer_calls_itself_is_text() -> None:
    text = shown(STATUS)
    assert "[red]EVIL" in text
    assert "\x1b" not in text


def test_a_service_that_is_not_ready_says_why() -> None:
    status = copy.deepcopy(STATUS)
    status["ready"] = {"ok": False, "checks": {"disk": {"ok": False, "detail": "1 octets free"}}}
    assert "not ready (disk: 1 octets free)" in shown(status)


def test_rates_are_the_difference_of_two_looks() -> None:
    rates = Rates()
    rates.look(STATUS)
    later = copy.deepcopy(STATUS)
    later["time"] += 2
    later["metrics"]["fastscp_objects_total"][0]["value"] += 10
    later["metrics"]["fastscp_object_bytes_total"][0]["value"] += 2e6
    rates.look(later)
    assert (list(rates.objects), list(rates.octets)) == ([5.0], [1e6])
    assert spark([0.0, 1.0, 2.0]).endswith(" ▄█")
    assert spark([]).strip() == ""


@pytest.mark.parametrize(("words", "wanted"), [
    ([], Wanted()),
    (["9200"], Wanted("http://127.0.0.1:9200")),
    (["gateway:9200", "--once"], Wanted("http://gateway:9200", once=True)),
    (["https://gateway/x", "-n", "0.5"], Wanted("https://gateway/x", 0.5)),
])
def test_command_lines(words: list[str], wanted: Wanted) -> None:
    assert parse(words) == wanted


@pytest.mark.parametrize("words", [["a", "b"], ["--no"], ["-n"], ["-n", "x"], ["-n", "0"], ["file:///etc/passwd"]])
def test_command_lines_that_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(words)


def test_numbers_are_written_as_one_reads_them() -> None:
    assert [octets_text(value) for value in (0, 999, 1500, 123_456, 5e12, 5e15)] == ["0 B", "999 B", "1.5 KB", "123 KB", "5.0 TB", "5000.0 TB"]
    assert [seconds_text(value) for value in (5, 300, 8000)] == ["5 s", "5 min", "2 h"]


def test_nobody_there_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert top.main(["fastscp-top", "127.0.0.1:1"]) == 1
    assert "no status at http://127.0.0.1:1" in capfd.readouterr().err
    with pytest.raises(ProcessError):
        top.fetch("http://127.0.0.1:1")


def test_help_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert top.main(["fastscp-top", "--help"]) == 0
    assert top.main(["fastscp-top", "--version"]) == 0
    text = capfd.readouterr().out
    assert all(long in text for _, long, _, _ in top.OPTIONS)
