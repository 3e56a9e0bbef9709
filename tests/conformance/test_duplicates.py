"""``--on-duplicate`` with DCMTK's clients."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.objects import CT, EXPLICIT_LE, data_set
from tests.support.servers import FastscpServer

RULES = ("replace", "keep", "compare", "rename", "refuse")
UID = "1.2.3.4.5"
NAME = f"CT.{UID}"
SENDERS = 8

pytestmark = pytest.mark.oracle


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """One instance in two versions, as files."""
    from fastscp.dicom.filemeta import encode

    made = []
    for number, pixels in enumerate((2048, 4096)):
        path = tmp_path / f"version{number}.dcm"
        path.write_bytes(encode(CT.encode(), UID.encode(), EXPLICIT_LE, b"X") + data_set(UID, pixels=pixels))
        made.append(path)
    return made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def send(server: FastscpServer, path: Path) -> str:
    result = subprocess.run(["storescu", "-v", "localhost", str(server.port), str(path)], capture_output=True, text=True,
                            timeout=60, check=False)
    assert "Association Release" in result.stdout + result.stderr or "Releasing Association" in result.stdout + result.stderr
    return result.stdout + result.stderr


def names(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


def objects(events: Path) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, events.read_text().splitlines()) if event["event"].startswith("object.")]


@pytest.mark.parametrize("layout", [[], ["-su", ""], ["+B"], ["-F"], ["-fe", ".dcm"]], ids=["plain", "sorted", "+B", "-F", "-fe"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule(tmp_path: Path, output: Path, files: list[Path], rule: str, layout: list[str]) -> None:
    events = tmp_path / "events"
    one, two = files
    arguments = ["-od", str(output), "--on-duplicate", rule, "--event-log", str(events), *layout,
                 "-xcr", f'echo "$FASTSCP_DUPLICATE #f" >> {tmp_path}/hooks', "-xs"]
    with FastscpServer(arguments) as server:
        answers = [send(server, path) for path in (one, one, two)]
        assert server.stop() == 0
    directory = output / "1.2.3.4" if layout[:1] == ["-su"] else output
    extension = ".dcm" if layout[:1] == ["-fe"] else ""
    renamed = f"{NAME}_1{extension}", f"{NAME}_2{extension}"
    name = f"{NAME}{extension}"
    told = [event["duplicate"] for event in objects(events)]
    assert told == {"replace": [None, "replace", "replace"], "keep": [None, "keep", "keep"],
                    "compare": [None, "compare", "rename"], "rename": [None, "rename", "rename"],
                    "refuse": [None, "refuse", "refuse"]}[rule]
    assert names(directory) == {"compare": [name, renamed[0]], "rename": [name, *renamed]}.get(rule, [name])
    lengths = [len((directory / found).read_bytes()) for found in names(directory)]
    base = lengths[0] - 2048
    assert lengths == {"replace": [base + 2048], "compare": [base + 2048, base + 4096],
                       "rename": [base + 2048, base + 2048, base + 4096]}.get(rule, [base + 2048])
    if rule == "replace":
        assert len((directory / name).read_bytes()) >= 4096
    refused = ["Status: 0x111" in answer or "Duplicate" in answer for answer in answers]
    assert refused == [False, rule == "refuse", rule == "refuse"], answers
    hooks = [line.split(" ", 1) for line in (tmp_path / "hooks").read_text().splitlines()]
    assert [duplicate or None for duplicate, _ in hooks] == [what for what in told if what != "refuse"]
    assert [file for _, file in hooks] == [event["file"] for event in objects(events) if event["event"] == "object.stored"]
    for event in objects(events):
        if event["event"] == "object.stored":
            assert event["size"] == (directory / event["file"]).stat().st_size or rule == "replace"
            assert event["study_uid"] == ("" if layout == ["+B"] else "1.2.3.4")
        else:
            assert event["status"] == 0x0111


@pytest.mark.parametrize("layout", [[], ["-su", ""]], ids=["plain", "sorted"])
@pytest.mark.parametrize("rule", RULES)
def test_race_of_eight_senders(tmp_path: Path, output: Path, files: list[Path], rule: str, layout: list[str]) -> None:
    events = tmp_path / "events"
    with FastscpServer(["-od", str(output), "--workers", "4", "--on-duplicate", rule, "--event-log", str(events),
                        *layout]) as server:
        senders = [subprocess.Popen(["storescu", "-v", "--repeat", "5", "localhost", str(server.port), str(files[number % 2])],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for number in range(SENDERS)]
        for sender in senders:
            sender.communicate(timeout=120)
        assert server.stop() == 0
    directory = output / "1.2.3.4" if layout else output
    found = {name: (directory / name).read_bytes() for name in names(directory)}
    assert NAME in found
    told = Counter((event["duplicate"], event["event"]) for event in objects(events))
    number = sum(told.values())
    assert number >= SENDERS
    assert told[None, "object.stored"] == 1, "one of them is the first"
    if rule == "rename":
        assert sorted(found) == sorted([NAME, *(f"{NAME}_{n}" for n in range(1, number))])
    elif rule == "compare":
        assert sorted(found) == [NAME, f"{NAME}_1"]
        assert len(set(map(len, found.values()))) == 2
        assert told["rename", "object.stored"] == 1
    else:
        assert sorted(found) == [NAME]
    if rule == "refuse":
        assert told["refuse", "object.refused"] == number - 1
    assert {len(octets) for octets in found.values()} <= {found_length(path) for path in files}
    assert {name for name in os.listdir(output) if name.startswith(".fastscp-")} == set()


def found_length(path: Path) -> int:
    """Return how long a version is when it is stored: its file meta information names the sender."""
    from fastscp.dicom.filemeta import encode

    meta = encode(CT.encode(), UID.encode(), EXPLICIT_LE, b"STORESCU")
    return len(meta) + len(path.read_bytes()) - len(encode(CT.encode(), UID.encode(), EXPLICIT_LE, b"X"))
