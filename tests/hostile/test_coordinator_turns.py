"""Ends of studies that are worth a second of work: the questions of workers are answered meanwhile.

What counts is the order of events, not time: how many answers others get while one study is being finished.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from tests.support.coordination import CoordinatorProcess, ScriptedWorker, configuration

OBJECTS = 5000
FEW = 40


def fill(worker: ScriptedWorker, study: str, count: int) -> str:
    """Store a study of many small objects; return its directory."""
    placed = worker.place("a", study)
    directory = str(placed["directory"])
    awaited = 0
    for number in range(count):
        Path(directory, f"CT.{number}").write_text(str(number))
        worker.tell_stored("a", study, f"CT.{number}", directory, placed["request"] if not number else None)
        awaited += 1
        if awaited == 50:
            for _ in range(awaited):
                assert worker.hear()["kind"] == "ack"
            awaited = 0
    for _ in range(awaited):
        assert worker.hear()["kind"] == "ack"
    return directory


@pytest.mark.parametrize("manifest", [False, True])
def test_end_of_a_large_study_leaves_workers_their_answers(tmp_path: Path, manifest: bool) -> None:
    output, log, done = tmp_path / "out", tmp_path / "events", tmp_path / "done"
    output.mkdir()
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True, manifest=manifest)
    hooks = HookPolicy(on_end_of_study=f"touch {done}", event_log=str(log))
    with CoordinatorProcess(configuration(output, study, hooks)) as process:
        worker, other = process.worker(), process.worker()
        worker.open("a")
        directory = fill(worker, "1.1", OBJECTS)
        worker.close("a")
        other.open("b")
        other.store("b", "1.2", "CT.1")  # ends the other study
        answers = 0
        while not done.exists():
            other.place("b", "1.2")
            answers += 1
        assert answers >= FEW
        assert process.drain() == 0
    names = sorted(name for name in os.listdir(directory) if name != "manifest.json")
    assert names == [f"CT{number:06d}" for number in range(1, OBJECTS + 1)]
    if manifest:
        assert json.loads(Path(directory, "manifest.json").read_text())["counts"]["instances"] == OBJECTS


def test_late_object_waits_for_its_directory_and_others_do_not(tmp_path: Path) -> None:
    study = StudyPolicy(sorting=Sorting.STUDY_UID, rename=True)
    # the hook of its first object keeps the end of the study waiting, but not the renames once the directory is wanted
    hooks = HookPolicy(on_reception="case #f in CT.0) while ! [ -e #p/../go ]; do sleep 0.05; done;; esac", jobs=4)
    with CoordinatorProcess(configuration(tmp_path, study, hooks)) as process:
        worker, other = process.worker(), process.worker()
        worker.open("a")
        directory = fill(worker, "1.1", 1500)
        other.open("b")
        worker.close("a")
        other.store("b", "1.2", "CT.1")
        late = process.worker()
        late.open("c")
        late.ask("c", "1.1")
        answers = 0
        while late.hears_nothing():
            other.place("b", "1.2")
            answers += 1
        assert answers >= 10
        answer = late.hear()
        assert (answer["status"], answer["directory"]) == (0, directory)
        names = sorted(os.listdir(directory))
        assert names == [f"CT{number:06d}" for number in range(1, 1501)], "a late object finds no file that is to be renamed"
        (tmp_path / "go").touch()
