"""With the compiled core or without it an ingest leaves the same files, the same report and the same events."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pydicom
import pytest

from fastscp import core
from tests.support.ingest import COMMAND, environment, made, read_report, tree, without_times

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")

PYDICOM = Path(pydicom.__file__).parent / "data"
#: of an event: what is never the same twice
PASSING = {"time", "duration_s", "association", "start", "end", "host", "directory", "path", "file", "objects", "state", "removed"}


def sources(directory: Path) -> None:
    """Make files of which many look alike, some are repeated with the same octets or others, some damaged."""
    directory.mkdir()
    chance = random.Random(7)
    for number in range(300):
        same = number - 1 if number % 9 == 8 else number
        octets = made(same, study=f"1.2.9.{same // 40}", series=f"1.2.9.{same // 40}.1", pixels=64 if same % 7 else 70_000, meta=number % 13 != 0)
        if number % 27 == 8:
            octets = octets[:-64] + bytes(64)
        if number % 31 == 0:
            octets = octets[:chance.randrange(len(octets))]
        if number % 37 == 0:
            octets = octets.replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"", 1)
        (directory / f"IM{number:05d}").write_bytes(octets)
    shutil.copytree(PYDICOM / "test_files", directory / "real")


def run(tmp_path: Path, name: str, options: list[str], *, pure: bool) -> tuple[dict[str, bytes], list[Any], list[Any]]:
    out, report, events = tmp_path / name, tmp_path / f"{name}.report", tmp_path / f"{name}.events"
    out.mkdir()
    extra = ["--event-log", str(events)] if "--event-log" in options else []
    done = subprocess.run([*COMMAND, "--report", str(report), "-od", str(out), *(one for one in options if one != "--event-log"), *extra,
                           str(tmp_path / "in")], capture_output=True, check=False, timeout=240,
                          env=environment() | ({"FASTSCP_PURE": "1"} if pure else {}))
    assert done.returncode == 1, done.stderr
    lines = [(line["source"], line["result"], line["reason"]) for line in read_report(report)]
    told = [] if not extra else [{key: value for key, value in json.loads(line).items() if key not in PASSING}
                                 for line in events.read_text(encoding="utf-8").splitlines()]
    told.sort(key=lambda event: event.get("study_uid") or "")  # the end of a study is told while objects of the next are stored
    return without_times(tree(out)), lines, told


@pytest.mark.parametrize("options", [
    [], ["+B"], ["-F"], ["+ti", "-fe", ".dcm"], ["--event-log"], ["-su", "S", "--event-log"], ["-ss", "P", "-rns", "--event-log"],
    ["--on-duplicate", "keep"]], ids=" ".join)
def test_the_same_is_left(tmp_path: Path, options: list[str]) -> None:
    sources(tmp_path / "in")
    compiled = run(tmp_path, "compiled", options, pure=False)
    pure = run(tmp_path, "pure", options, pure=True)
    assert sorted(compiled[0]) == sorted(pure[0])
    assert [name for name in compiled[0] if compiled[0][name] != pure[0][name]] == []
    assert compiled[1] == pure[1]
    assert len(compiled[1]) > 300
    for ours, theirs in zip(compiled[2], pure[2], strict=True):
        assert ours == theirs
    assert bool(compiled[2]) is ("--event-log" in options)
    assert os.listdir(tmp_path / "compiled")
