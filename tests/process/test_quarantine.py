"""--quarantine of a running service: with real clients, on another file system, beside hooks and the event stream."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, EXPLICIT_LE, data_set, element, fresh_uid
from tests.support.oracle import file_meta
from tests.support.rawscu import RawSCU, c_store_rq, p_data, pdv, read_instance
from tests.support.servers import FastscpServer, wait_until


def kept(directory: Path) -> list[Path]:
    """Return the objects in a quarantine; each has its report."""
    paths = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    objects = [path for path in paths if path.suffix != ".json"]
    assert sorted([*objects, *(path.with_name(path.name + ".json") for path in objects)]) == paths
    return objects


def events(path: Path, kind: str) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [event for event in map(json.loads, path.read_text().splitlines()) if event["event"] == kind]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system than that of other temporary files, where there is one."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield directory
    shutil.rmtree(directory)


def test_event_hooks_and_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    log, calls = tmp_path / "events", tmp_path / "calls"
    options = ["-od", out, "--quarantine", elsewhere, "--event-log", log, "-su", "S", "-xcr", f"echo #f >>{calls}"]
    uid = fresh_uid()
    broken = data_set(uid, pixels=3_000_000) + element(0xFFFE0010, b"LO", b"AB") + os.urandom(1_000_000)
    with FastscpServer(options) as server, RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT, calling="MODALITY", called="ARCHIVE")
        assert scu.store(1, CT, uid, broken) == 0xB007
        assert scu.store(1, CT, "1.2.3", data_set("1.2.3")) == 0
        scu.release()
        wait_until(lambda: calls.exists() and calls.read_text(), "the hook of the good object")
        wait_until(lambda: events(log, "object.quarantined") and events(log, "association.closed"), "the events")
        assert b"quarantined as" in server.log()
    assert calls.read_text() == "CT.1.2.3\n"
    path, = kept(elsewhere)
    assert read_instance(path).dataset == broken
    event, = events(log, "object.quarantined")
    report = json.loads(path.with_name(path.name + ".json").read_text())
    assert (event["directory"], event["file"]) == (str(elsewhere), path.name)
    for name in ("calling_aet", "called_aet", "peer", "port", "sop_class_uid", "sop_instance_uid", "study_uid", "series_uid",
                 "modality", "transfer_syntax_uid", "size", "status", "tag", "offset", "reason"):
        assert event[name] == report[name], name
    assert (report["called_aet"], report["study_uid"], report["transfer_syntax_uid"]) == ("ARCHIVE", "1.2.3.4", EXPLICIT_LE)
    assert (report["status"], report["offset"]) == (0xC000, len(data_set(uid, pixels=3_000_000)))
    assert not list(out.rglob(f"*{uid}*"))


@pytest.mark.oracle
def test_storescu_is_told_a_warning_and_dcmdump_reads_what_is_kept(tmp_path: Path) -> None:
    out, quarantine = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    quarantine.mkdir()
    sent = tmp_path / "sent.dcm"
    dataset = (element(0x00080016, b"UI", CT.encode()) + element(0x00080018, b"UI", b"1.2.3.4.5")
               + element(0x00100010, b"PN", b"DOE^JOHN"))
    sent.write_bytes(file_meta(EXPLICIT_LE) + dataset)
    with FastscpServer(["-od", out, "--quarantine", quarantine, "-su", "S"]) as server:
        done = subprocess.run(["storescu", "-v", "-xe", "127.0.0.1", str(server.port), str(sent)], capture_output=True, text=True,
                              check=False)
    assert "Received Store Response (Warning" in done.stdout + done.stderr
    path, = kept(quarantine)
    dumped = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, text=True, check=True).stdout
    assert "DOE^JOHN" in dumped
    assert "(0002,0016) AE [STORESCU]" in dumped


def test_quarantine_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fastscp", "-od", str(tmp_path), "--quarantine", str(tmp_path / "none"), "11112"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "specified quarantine directory does not exist" in done.stderr


def test_worker_killed_while_it_keeps_an_object_leaves_nothing(tmp_path: Path) -> None:
    out, quarantine = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    quarantine.mkdir()
    with FastscpServer(["-od", out, "--quarantine", quarantine, "--workers", "1"]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            scu.send(p_data(pdv(1, 3, c_store_rq(CT, "1.2.3"))))
            for _ in range(40):
                scu.send(p_data(pdv(1, 0, element(0xFFFE0010, b"LO", b"AB") + bytes(12_000))))
            os.kill(server.role("worker")[0].pid, signal.SIGKILL)
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            assert scu.store(1, CT, "1.2.4", data_set("1.2.5")) == 0xB007
            scu.release()
        path, = kept(quarantine)
        assert read_instance(path).sop_instance == "1.2.4"
        assert list(out.iterdir()) == []
