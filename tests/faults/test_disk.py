"""Disks that are full, gone or read-only, and coordinators that stay silent, under a real server."""

from __future__ import annotations

import json
import os
import select
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.hostile import associated, last_words, pdus, store_one
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

STUDY = "1.2.77"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, for root."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room; return the file that takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (65536, 4096):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue
    return ballast


def begin(scu: RawSCU, uid: str, *, study: str = STUDY) -> bytes:
    """Send an object but for its last octets, which are returned."""
    octets = data_set(uid, study=study, pixels=64)
    scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid, 1))) + p_data(pdv(1, 0, octets[:-20])))
    return octets[-20:]


def stored_files(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("CT.*") if path.is_file()}


def leftovers(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.name.startswith((".fastscp-", "tmp"))]


# -- a coordinator that stays silent ------------------------------------------------------------------


@pytest.mark.parametrize("repeated", [False, True])
def test_object_that_has_its_name_is_never_answered_with_a_failure(tmp_path: Path, *, repeated: bool) -> None:
    output, ran = tmp_path / "output", tmp_path / "ran"
    output.mkdir()
    options = ["--workers", "1", "-ta", "1", "-dhl", "-su", "S", "-xcr", f"echo r >> {ran}", "-xcs", f"echo s >> {ran}",
               "--sync", "object"]  # without flushes nobody would wait for the coordinator
    with FastscpServer([*options, "-od", output]) as server:
        uid = fresh_uid()
        with associated(server.port) as scu:
            if repeated:
                assert scu.store(1, CT, uid, data_set(uid, study=STUDY, pixels=64)) == 0
                wait_until(lambda: ran.exists() and ran.read_text().count("r") == 1, "its hook")
            rest = begin(scu, uid)
            wait_until((output / f"S_{STUDY}").exists, "the place")
            if repeated:  # the place was asked for, and is given before anything that comes behind it
                store_one(server.port)
            coordinator = server.role("coordinator")[0]
            coordinator.suspend()
            try:
                scu.send(p_data(pdv(1, 2, rest)))
                answers = [kind for kind, _ in pdus(last_words(scu.sock))]
            finally:
                coordinator.resume()
            assert answers == [7], "an A-ABORT, and no status"
        assert b"does not confirm" in server.log()
        assert server.stop() == 0
    assert f"CT.{uid}" in stored_files(output)
    assert sorted(ran.read_text().split()).count("s") >= 1
    assert ran.read_text().split().count("r") == (3 if repeated else 1)


def test_acknowledgement_may_come_late(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "1", "-ta", "30", "-dhl", "-su", "S", "-od", tmp_path]) as server:
        uid = fresh_uid()
        with associated(server.port) as scu:
            rest = begin(scu, uid)
            wait_until((tmp_path / f"S_{STUDY}").exists, "the place")
            coordinator = server.role("coordinator")[0]
            coordinator.suspend()
            scu.send(p_data(pdv(1, 2, rest)))
            wait_until(lambda: stored_files(tmp_path), "the file")
            coordinator.resume()
            assert scu.read_status() == 0


# -- the state ----------------------------------------------------------------------------------------


def status_of(server: FastscpServer, study: str = STUDY) -> tuple[int, str]:
    uid = fresh_uid()
    with associated(server.port) as scu:
        return scu.store(1, CT, uid, data_set(uid, study=study, pixels=64)), uid


def readable(scu: RawSCU) -> bool:
    return bool(select.select([scu.sock], [], [], 0)[0])


def test_full_disk_of_the_state_refuses_with_the_reason_and_room_is_used_at_once(tmp_path: Path, disk: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    with FastscpServer(["--workers", "1", "-dhl", "-su", "S", "--state-dir", disk / "state", "-od", output]) as server:
        acknowledged = {store_one(server.port)}
        processes = {process.pid for process in server.family()}
        ballast = fill(disk)
        status = 0
        while status == 0:  # there may be room in the last page
            uid = fresh_uid()
            with associated(server.port) as scu:
                scu.send(p_data(pdv(1, 2, begin(scu, uid))))

                def waits(uid: str = uid) -> bool:
                    return b"cannot be written" in server.log() and f"CT.{uid}" in stored_files(output)

                wait_until(lambda scu=scu, waits=waits: readable(scu) or waits(), "the end of the room")  # type: ignore[misc]
                if not readable(scu):  # published when the state failed: it waits
                    ballast.unlink()
                    assert scu.read_status() == 0
                    acknowledged.add(uid)
                    ballast = fill(disk)
                    continue
                status = scu.read_status()
            if status == 0:
                acknowledged.add(uid)
        assert status == 0xA700
        assert b"cannot be written: No space left on device" in server.log()
        before = stored_files(output)
        assert status_of(server, "1.2.78")[0] == 0xA700
        assert stored_files(output) == before
        assert not (output / "S_1.2.78").exists()
        ballast.unlink()
        wait_until(lambda: status_of(server)[0] == 0, "room is used", 2)
        assert {process.pid for process in server.family()} == processes
        assert {f"CT.{uid}" for uid in acknowledged} <= stored_files(output)
    assert not leftovers(output)


def test_state_directory_that_is_removed_is_made_again_with_all_that_was_in_it(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    output = tmp_path / "output"
    output.mkdir()
    with FastscpServer(["--workers", "1", "-dhl", "-su", "S", "-xcs", f"echo #u >> {ran}", "-od", output]) as server:
        assert status_of(server, "1.2.1")[0] == 0
        coordinator = server.role("coordinator")[0].pid
        shutil.rmtree(output / ".fastscp")
        assert status_of(server, "1.2.1")[0] == 0
        assert server.role("coordinator")[0].pid == coordinator
        # the answer did not wait for the state; to open it would make an empty one
        wait_until(lambda: b"made again" in server.log(), "a state")
        database = sqlite3.connect(output / ".fastscp" / "state.sqlite3")
        wait_until(lambda: database.execute("SELECT count(*) FROM objects").fetchone() == (2,), "both objects")
        database.close()
        server.role("coordinator")[0].kill()
        wait_until(lambda: [process.pid != coordinator for process in server.role("coordinator")] == [True], "the next one")
        assert status_of(server, "1.2.2")[0] == 0
        assert server.stop() == 0
    assert os.path.exists(output / ".fastscp")


# -- room that has to stay ----------------------------------------------------------------------------


def test_objects_are_refused_before_the_disk_is_full_and_stored_again_by_itself(disk: Path) -> None:
    with FastscpServer(["--workers", "2", "--min-free", "50%", "-od", disk]) as server:
        store_one(server.port)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(600 << 10))
        wait_until(lambda: status_of(server)[0] == 0xA700, "no room")
        before = stored_files(disk)
        for _ in range(5):
            with associated(server.port) as scu:
                rest = begin(scu, fresh_uid())
                scu.send(p_data(pdv(1, 2, rest)))
                assert scu.read_status() == 0xA700
                uid = fresh_uid()
                assert scu.store(1, CT, uid, data_set(uid)) == 0xA700, "the association goes on"
        assert stored_files(disk) == before
        ballast.unlink()
        wait_until(lambda: status_of(server)[0] == 0, "room again")
        log = server.log().decode()
        assert log.count("objects are refused") == 1
        assert log.count("objects are stored") == 1
        assert "refused with status A700: less than 50% free on the file system of" in log
    assert not leftovers(disk)


# -- on the disk before the answer --------------------------------------------------------------------


def traced_calls(pid: int, calls: str, trace: Path, action: Callable[[], None]) -> list[str]:
    """Return the calls that a process made meanwhile, in order."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with subprocess.Popen(["strace", "-y", "-p", str(pid), "-e", f"trace={calls}", "-o", str(trace)],
                          stderr=subprocess.DEVNULL) as tracer:
        def attached() -> bool:
            if tracer.poll() is not None:
                pytest.skip("processes cannot be traced here")
            return f"TracerPid:\t{tracer.pid}" in Path(f"/proc/{pid}/status").read_text()

        wait_until(attached, "strace is there")
        action()
        tracer.terminate()
    return trace.read_text().splitlines()


@pytest.mark.parametrize("sync", ["object", "group"])
def test_file_and_directory_are_on_the_disk_before_success_leaves(tmp_path: Path, sync: str) -> None:
    output = tmp_path / "output"
    output.mkdir()
    with FastscpServer(["--workers", "1", "--sync", sync, "-od", output]) as server:
        store_one(server.port)
        with associated(server.port) as scu:
            uid = fresh_uid()

            def store() -> None:
                assert scu.store(1, CT, uid, data_set(uid)) == 0

            lines = traced_calls(server.role("worker")[0].pid, "fsync,linkat,sendto", tmp_path / "trace", store)
    calls = [line.partition("(")[0] for line in lines if "fsync(" in line or "linkat(" in line or "sendto(" in line]
    assert calls[:4] == ["fsync", "linkat", "fsync", "sendto"], lines
    assert f"<{output}>" in lines[2]
    assert all(line.rstrip().endswith("= 0") for line in lines[:3])


def test_state_is_on_the_disk_before_an_object_is_acknowledged(tmp_path: Path) -> None:
    """The coordinator synchronises its log before the worker hears of it."""
    output = tmp_path / "output"
    output.mkdir()
    for sync, expected in (("none", False), ("group", True)):
        with FastscpServer(["--workers", "1", "--sync", sync, "-dhl", "-su", "S", "-od", output]) as server:
            store_one(server.port)

            def store(port: int = server.port) -> None:
                store_one(port)

            lines = traced_calls(server.role("coordinator")[0].pid, "fsync,fdatasync,sendto", tmp_path / f"trace-{sync}", store)
        flushes = [at for at, line in enumerate(lines) if "sync(" in line and "state.sqlite3" in line]
        assert bool(flushes) is expected
        if expected:
            assert flushes[0] < next(at for at, line in enumerate(lines) if "sendto(" in line and "ack" in line)


# -- disks of files -----------------------------------------------------------------------------------


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def make_full(disk: Path) -> Callable[[], None]:
    return fill(disk).unlink


def make_read_only(disk: Path) -> Callable[[], None]:
    remount(disk, "ro")
    return lambda: remount(disk, "rw")


def remove(disk: Path) -> Callable[[], None]:
    shutil.rmtree(disk / "output")
    return (disk / "output").mkdir


@pytest.mark.parametrize(("harm", "reason"), [
    (make_full, "No space left on device"), (make_read_only, "Read-only file system"), (remove, "No such file or directory")])
@pytest.mark.parametrize("options", [[], ["-su", "S"]])
def test_disk_that_fails_is_a_failure_with_its_reason_and_used_again_at_once(
        tmp_path: Path, disk: Path, harm: Callable[[Path], Callable[[], None]], reason: str, options: list[str]) -> None:
    output, events = disk / "output", tmp_path / "events"
    output.mkdir()
    arguments = ["--workers", "1", "-dhl", *options, "--state-dir", tmp_path / "state", "--event-log", events]
    with FastscpServer([*arguments, "-od", output]) as server:
        store_one(server.port)
        processes = {process.pid for process in server.family()}
        mend = harm(disk)
        before = stored_files(output)
        status, refused = status_of(server, "1.2.5")
        assert status == 0xA700
        assert stored_files(output) == before
        assert reason in server.log().decode()
        mend()
        status, uid = status_of(server, "1.2.5")
        assert status == 0
        assert f"CT.{uid}" in stored_files(output)
        assert not leftovers(output)
        assert {process.pid for process in server.family()} == processes
        assert server.stop() == 0
    told = [json.loads(line) for line in events.read_text().splitlines()]
    (failed,) = [event for event in told if event["event"] == "object.refused"]
    assert failed["sop_instance_uid"] == refused
    assert reason in failed["reason"]


def test_full_disk_of_events_log_and_quarantine_stops_nobody(tmp_path: Path, disk: Path) -> None:
    output, kept, events = tmp_path / "output", disk / "kept", disk / "events"
    for directory in (output, kept):
        directory.mkdir()
    config = tmp_path / "log.cfg"
    config.write_text(f"log4cplus.rootLogger = INFO, F\nlog4cplus.appender.F = log4cplus::FileAppender\n"
                      f"log4cplus.appender.F.File = {disk}/log\nlog4cplus.appender.F.layout = log4cplus::SimpleLayout\n")
    arguments = ["--workers", "1", "-dhl", "--quarantine", kept, "--event-log", events, "-lc", config]
    bad = data_set("1.2.3.9")
    with FastscpServer([*arguments, "-od", output]) as server:
        acknowledged = {store_one(server.port)}
        processes = {process.pid for process in server.family()}
        ballast = fill(disk)
        for _ in range(5):
            acknowledged.add(store_one(server.port))
            with associated(server.port) as scu:
                assert scu.store(1, CT, fresh_uid(), bad) == 0xA700, "it cannot be kept"
        assert not list(kept.iterdir())
        ballast.unlink()
        with associated(server.port) as scu:
            assert scu.store(1, CT, fresh_uid(), bad) == 0xB007
        acknowledged.add(store_one(server.port))
        assert len(list(kept.iterdir())) == 2
        assert {process.pid for process in server.family()} == processes

        def stored() -> set[str]:
            text = events.read_text()
            lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half there
            return {event["sop_instance_uid"] for event in map(json.loads, lines) if event["event"] == "object.stored"}

        wait_until(lambda: stored() == acknowledged, "every event")
        wait_until(lambda: (disk / "log").read_text().count("Association Release") >= 2, "the log")
    assert stored_files(output) == {f"CT.{uid}" for uid in acknowledged}


def test_drain_while_the_state_takes_nothing_ends_in_time_and_the_next_start_goes_on(tmp_path: Path, disk: Path) -> None:
    output, ran = tmp_path / "output", tmp_path / "ran"
    output.mkdir()
    options = ["--workers", "1", "-ta", "2", "-dhl", "--drain-timeout", "2", "-su", "S", "-xcs", f"echo x >> {ran}", "--state-dir", disk / "state"]
    with FastscpServer([*options, "-od", output]) as server:
        acknowledged = store_one(server.port)
        ballast = fill(disk)

        def refused() -> bool:
            try:
                return status_of(server, fresh_uid()[:40])[0] == 0xA700
            except Aborted:  # published when the state failed
                return False

        wait_until(refused, "no room")
        assert server.stop() in {0, 1}
        assert not ran.exists() or ran.read_text() == ""
    ballast.unlink()
    with FastscpServer([*options, "-od", output]) as server:
        assert server.stop() == 0
    assert f"CT.{acknowledged}" in stored_files(output)
    assert "x" in ran.read_text().split()
