"""Objects that come again, and what that means for their study, its hooks, and for workers that die."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile import associated
from tests.support.objects import CT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until

A, B = "1.2.3", "1.2.4"
NAME = "CT.7.1"


def store(scu: RawSCU, instance: str, study: str, pixels: int = 64) -> int:
    return scu.store(1, CT, instance, data_set(instance, study=study, pixels=pixels))


def told(path: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, path.read_text().splitlines()) if event["event"] == kind]


@pytest.mark.parametrize(("rule", "pixels", "revisions", "files"), [
    ("keep", 64, [1], [NAME]), ("keep", 128, [1], [NAME]), ("compare", 64, [1], [NAME]),
    ("compare", 128, [1, 2], [NAME, f"{NAME}_1"]), ("rename", 128, [1, 2], [NAME, f"{NAME}_1"]), ("refuse", 64, [1], [NAME]),
    ("replace", 64, [1], [NAME]), ("replace", 128, [1, 2], [NAME]),
])
def test_late_duplicate_makes_a_revision_only_when_something_was_written(
        tmp_path: Path, rule: str, pixels: int, revisions: list[int], files: list[str]) -> None:
    output, events, ended, received = (tmp_path / name for name in ("out", "events", "ended", "received"))
    output.mkdir()
    with FastscpServer(["-od", output, "-su", "", "--workers", "1", "--on-duplicate", rule, "--event-log", events,
                        "-xcs", f"echo '#p' >> {ended}", "-xcr", f"echo '#p/#f' >> {received}"]) as server:
        scu = associated(server.port)
        statuses = [store(scu, "7.1", A), store(scu, "8.1", B), store(scu, "7.1", A, pixels), store(scu, "8.2", B)]
        scu.release()
        assert statuses == [0, 0, 0x0111 if rule == "refuse" else 0, 0]
        assert server.stop() == 0
    assert [event["revision"] for event in told(events, "study.completed") if event["study_uid"] == A] == revisions
    assert ended.read_text().splitlines().count(f"{output}/{A}") == len(revisions)
    assert sorted(os.listdir(output / A)) == files
    hooks = [line for line in received.read_text().splitlines() if f"/{A}/" in line]
    assert len(hooks) == (1 if rule == "refuse" else 2)
    assert all(Path(line).is_file() for line in hooks)
    again = told(events, "object.stored")[2]
    if rule != "refuse":
        assert (again["duplicate"], again["file"]) == (
            {"compare": "rename" if pixels == 128 else "compare"}.get(rule, rule), files[-1])


@pytest.mark.parametrize("rule", ["keep", "compare"])
def test_renames_and_the_manifest_know_each_file_once(tmp_path: Path, rule: str) -> None:
    with FastscpServer(["-od", tmp_path, "-su", "", "-rns", "--study-manifest", "--workers", "2", "--on-duplicate", rule,
                        "--event-log", tmp_path / "events", "--event-digest", "-tos", "600"]) as server:
        scu = associated(server.port)
        assert [store(scu, instance, A) for instance in ("7.1", "7.2", "7.1", "7.1")] == [0] * 4
        scu.release()
        assert server.stop() == 0
    assert sorted(os.listdir(tmp_path / A)) == ["CT000001", "CT000002", "manifest.json"]
    manifest = json.loads((tmp_path / A / "manifest.json").read_text())
    assert manifest["counts"]["instances"] == 2
    assert len({event["sha256"] for event in told(tmp_path / "events", "object.stored")}) == 2


@pytest.mark.parametrize("rule", ["keep", "compare"])
def test_hook_runs_for_a_file_that_a_dead_worker_stored_and_told_nobody_of(tmp_path: Path, rule: str) -> None:
    """As after SIGKILL between the name and the packet: nobody but the sender that comes again knows."""
    output, ran = tmp_path / "out", tmp_path / "ran"
    output.mkdir()
    with FastscpServer(["-od", output, "--workers", "1"]) as server, associated(server.port) as scu:
        assert store(scu, "7.1", A) == 0
        scu.release()
    with FastscpServer(["-od", output, "--workers", "1", "--on-duplicate", rule, "-xcr", f'echo "#f $FASTSCP_DUPLICATE" >> {ran}']) as server:
        with associated(server.port) as scu:
            assert store(scu, "7.1", A) == 0
            scu.release()
        wait_until(ran.exists, "the hook ran")
        assert server.stop() == 0
    assert ran.read_text().split() == [NAME, rule]


@pytest.mark.parametrize("rule", ["keep", "refuse"])
def test_large_duplicate_is_never_written(tmp_path: Path, rule: str) -> None:
    with FastscpServer(["-od", tmp_path, "--workers", "1", "--on-duplicate", rule]) as server, associated(server.port) as scu:
        assert store(scu, "7.1", A) == 0
        before = server.role("worker")[0].io_counters().write_chars
        assert store(scu, "7.1", A, pixels=8 << 20) == (0x0111 if rule == "refuse" else 0)
        assert server.role("worker")[0].io_counters().write_chars - before < 1 << 20
        scu.release()
    assert (tmp_path / NAME).stat().st_size < 4096


def test_refused_duplicate_is_not_quarantined(tmp_path: Path) -> None:
    output, quarantine = tmp_path / "out", tmp_path / "quarantine"
    output.mkdir()
    quarantine.mkdir()
    for sorting in ([], ["-su", "", "-tos", "600"]):
        with FastscpServer(["-od", output, "--quarantine", quarantine, "--on-duplicate", "refuse", *sorting]) as server, \
                associated(server.port) as scu:
            assert [store(scu, "7.1", A) for _ in range(2)] == [0, 0x0111]
            scu.release()
    assert os.listdir(quarantine) == []


def test_study_that_moved_away_has_no_duplicates(tmp_path: Path) -> None:
    output, done = tmp_path / "out", tmp_path / "done"
    output.mkdir()
    with FastscpServer(["-od", output, "-su", "", "--completed-directory", done, "--workers", "1", "--on-duplicate", "refuse"]) as server:
        scu = associated(server.port)
        statuses = [store(scu, "7.1", A), store(scu, "8.1", B)]
        wait_until((done / A).exists, "the study moved")
        statuses.append(store(scu, "7.1", A, 128))
        scu.release()
        assert statuses == [0, 0, 0]
        assert server.stop() == 0
    assert sorted(os.listdir(done)) == [A, f"{A}.r2", B]
