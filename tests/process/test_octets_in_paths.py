"""Directories whose names are not UTF-8, with everything that names them: hooks, events, manifests, the state."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, StorescpServer, wait_until

ODD = b"caf\xe9 \xff"
PREFIX = os.fsdecode(b"\xc4")
MEANT = {0x100000 + code: code for code in range(0xDC80, 0xDD00)}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / os.fsdecode(ODD)
    path.mkdir()
    return path


def send(server: FastscpServer | StorescpServer, instance: str, study: str = "1.2.3") -> int:
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        return scu.store(1, CT, instance, data_set(instance, study=study))


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def names(directory: Path) -> list[bytes]:
    return sorted(name for name in os.listdir(os.fsencode(directory)) if not name.startswith(b"."))


@pytest.mark.parametrize("sorting", [["-su", "S"], ["-su", PREFIX]], ids=["plain prefix", "odd prefix"])
def test_sorted_with_everything(tmp_path: Path, output: Path, sorting: list[str]) -> None:
    done = tmp_path / os.fsdecode(b"done\xe9")
    events, ran = tmp_path / "events", tmp_path / "ran"
    arguments = ["-od", output, *sorting, "-xcr", f"cat '#p/#f' > /dev/null && printf '%s\\n' '#p/#f' \"$FASTSCP_PATH\" >> {ran}",
                 "-xcs", f"test -f '#p/CT000001' && printf '%s\\n' '#p' >> {ran}", "-rns", "--study-manifest", "--event-log", events,
                 "--completed-directory", done, "-tos", "600", "--workers", "2", "--log-json", "-v"]
    study = os.fsdecode(os.fsencode(sorting[1]) + b"_1.2.3")
    with FastscpServer(arguments) as server:
        assert send(server, "7.1") == 0
        server.role("coordinator")[0].kill()
        assert send(server, "7.2") == 0
        server.kill()  # the study is in the state alone now
    with FastscpServer(arguments) as server:
        assert send(server, "7.3") == 0
        assert server.stop() == 0
        log = server.log()
    assert all(isinstance(json.loads(line), dict) for line in log.splitlines())
    assert names(output) == []
    assert names(done) == [os.fsencode(study)]
    assert names(done / study) == [b"CT000001", b"CT000002", b"CT000003", b"manifest.json"]
    manifest = json.loads((done / study / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["directory"].translate(MEANT) == str(done / study)
    (completed,) = [event for event in told(events) if event["event"] == "study.completed"]
    assert completed["directory"].translate(MEANT) == str(done / study)
    assert {event["directory"].translate(MEANT) for event in told(events) if event["event"] == "object.stored"} == {str(output / study)}
    lines = ran.read_bytes().splitlines()
    assert lines[-1] == os.fsencode(done / study)
    for instance in (b"7.1", b"7.2", b"7.3"):
        assert os.fsencode(output / study) + b"/CT." + instance in lines
    assert os.fsencode(output / study) in lines


@pytest.mark.parametrize("options", [["-xcr", "test -f '#p/#f'"], ["--event-log"], ["--quarantine"]], ids=lambda options: options[0])
def test_unsorted(tmp_path: Path, output: Path, options: list[str]) -> None:
    quarantine = tmp_path / os.fsdecode(b"q\xe9")
    quarantine.mkdir()
    values = {"--event-log": [output / os.fsdecode(b"log\xe9")], "--quarantine": [quarantine, "--event-log", tmp_path / "events"]}
    with FastscpServer(["-od", output, *options, *values.get(options[0], [])]) as server:
        assert send(server, "7.1") == 0
        if options[0] == "--quarantine":
            with RawSCU("127.0.0.1", server.port) as scu:
                scu.associate(CT_CONTEXT)
                assert scu.store(1, CT, "7.2", data_set("7.9")) == 0xB007
            wait_until(lambda: any(event["event"] == "object.quarantined" for event in told(tmp_path / "events")), "event told")
            kept = [event for event in told(tmp_path / "events") if event["event"] == "object.quarantined"]
            assert kept[0]["directory"].translate(MEANT) == str(quarantine)
            assert len(names(quarantine)) == 2
        assert server.stop() == 0
        assert b"hook" not in server.log()
    assert b"CT.7.1" in names(output)


@pytest.mark.oracle
def test_as_storescp(tmp_path: Path, output: Path) -> None:
    other = tmp_path / os.fsdecode(ODD + b"2")
    other.mkdir()
    with FastscpServer(["-od", output, "-su", "S", "-rns", "-tos", "600"]) as ours, StorescpServer(["-od", other, "-su", "S"]) as theirs:
        for server in (ours, theirs):
            assert send(server, "7.1") == 0
        assert names(output) == names(other) == [b"S_1.2.3"]
        assert names(output / "S_1.2.3") == names(other / "S_1.2.3") == [b"CT.7.1"]
