"""Faults while objects are on their way: full and lost directories, silent, dead and killed processes.

What was answered with success is on disk, whole; what was not is not there, or whole.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.hostile import (
    A_ABORT,
    RELEASE_RQ,
    associated,
    last_words,
    pdu,
    pdus,
    reset,
    store_message,
    store_one,
)
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.rawscu import DEFLATED, Aborted, RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import DEADLINE_S, FastscpServer, wait_until

ASSOCIATIONS = 4


def status_of_one(server: FastscpServer, pixels: int = 2048) -> int:
    """Send one object; return its status."""
    uid = fresh_uid()
    with associated(server.port) as scu:
        return scu.store(1, CT, uid, data_set(uid, pixels=pixels))


@pytest.mark.parametrize("options", [["-xcr", "true"], ["-su", "study"], ["--event-log", "/dev/null"]])
def test_answer_that_does_not_fit_behind_a_wait_costs_one_association(tmp_path: Path, options: list[str]) -> None:
    """N12: the answer is made when the coordinator has spoken, not when the data set ends."""
    with FastscpServer(["--workers", "1", "-ta", "1", "-dhl", "-od", tmp_path, *options]) as server:
        worker = server.role("worker")[0]
        with associated(server.port) as other:
            for maximum in (1, 7):
                with associated(server.port, max_pdu=maximum) as scu:
                    scu.send(store_message(fresh_uid()) + RELEASE_RQ)
                    assert pdus(last_words(scu.sock))[-1][0] == 7
            uid = fresh_uid()
            assert other.store(1, CT, uid, data_set(uid)) == 0
        assert worker.is_running()


def test_output_directory_removed_is_a_failure_and_made_again_is_used(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    with FastscpServer(["--workers", "1", "-od", output]) as server:
        processes = {process.pid for process in server.family()}
        store_one(server.port)
        shutil.rmtree(output)
        assert status_of_one(server) == 0xA700
        output.mkdir()
        uid = store_one(server.port)
        assert os.listdir(output) == [f"CT.{uid}"]
        assert {process.pid for process in server.family()} == processes


def test_worker_killed_while_the_output_directory_is_gone_is_replaced(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    with FastscpServer(["--workers", "1", "-od", output]) as server:
        victim = server.role("worker")[0]
        shutil.rmtree(output)
        victim.kill()
        assert status_of_one(server) == 0xA700
        output.mkdir()
        store_one(server.port)
        assert b"internal error" not in server.log()


def test_silent_coordinator_is_a_failure_status_in_time(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "1", "-ta", "1", "-dhl", "-su", "study", "-od", tmp_path]) as server:
        store_one(server.port)
        coordinator = server.role("coordinator")[0]
        coordinator.suspend()
        try:
            assert status_of_one(server) == 0xA700
        finally:
            coordinator.resume()
        uid = store_one(server.port)
        wait_until(lambda: sum(len(files) for _, _, files in os.walk(tmp_path)) >= 2, "files")
        assert list(tmp_path.rglob(f"CT.{uid}"))


def test_sigterm_while_the_coordinator_is_dead_loses_no_hook(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    output = tmp_path / "output"
    output.mkdir()
    with FastscpServer(["--workers", "1", "-dhl", "-xcr", f"touch {canary}", "-od", output]) as server:
        killed: set[int] = set()

        def living() -> list[psutil.Process]:
            return [process for process in server.role("coordinator") if process.pid not in killed]

        for _ in range(4):  # the fifth is long in coming
            victims: list[psutil.Process] = []
            wait_until(lambda victims=victims: victims.extend(living()) or victims, "a coordinator")  # type: ignore[misc]
            killed.add(victims[0].pid)
            victims[0].kill()
        uid = fresh_uid()
        with associated(server.port) as scu:
            scu.send(store_message(uid))
            wait_until((output / f"CT.{uid}").exists, "the object is published")
            server.signal(signal.SIGTERM)
            assert scu.read_status() == 0
        assert server.process is not None
        assert server.process.wait(DEADLINE_S) == 0  # a second signal would stop it at once
    assert canary.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, for root."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mount)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("options", [[], ["+B"], ["+td"], ["-su", "study"]])
def test_disk_full_leaves_nothing_and_is_survived(small_disk: Path, options: list[str]) -> None:
    """S14: ENOSPC at any write; what is given back is enough for the next object."""
    with FastscpServer(["--workers", "1", "-dhl", "-od", small_disk, *options]) as server:
        store_one(server.port)
        descriptors = server.idle_descriptors()
        before = {path for path in small_disk.rglob("*") if path.is_file() and path.name.startswith("CT.")}
        for _ in range(3):
            uid = fresh_uid()
            with associated(server.port) as scu:
                scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))))
                head = data_set(uid, pixels=0)[:-4]
                scu.send(p_data(pdv(1, 0, head + (8 << 20).to_bytes(4, "little"))))
                noise = random.Random(1)  # nothing that could be deflated
                for at in range(0, 8 << 20, 16000):
                    scu.send(p_data(pdv(1, 0, noise.randbytes(min(16000, (8 << 20) - at)))))
                scu.send(p_data(pdv(1, 2, b"")))
                assert scu.read_status() == 0xA700
        assert {path for path in small_disk.rglob("*") if path.is_file() and path.name.startswith("CT.")} == before
        store_one(server.port)
        assert {process.pid for process in server.family()} == set(descriptors)
        wait_until(lambda: server.descriptors() == descriptors, "descriptors are given back")


def zombies(server: FastscpServer) -> list[psutil.Process]:
    """Return the descendants that have died and were not reaped."""
    found = []
    for process in server.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Sender(threading.Thread):
    """Sends objects of known content, over and over, whatever happens to the server; remembers what was answered."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__()
        self._port = port
        self._random = random.Random(seed)
        self.done = threading.Event()
        self.acknowledged: dict[str, bytes] = {}
        self.refused: set[str] = set()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.done.is_set():
                with contextlib.suppress(Aborted, OSError):
                    self._associate()
        except BaseException as error:
            self.error = error

    def _associate(self) -> None:
        with associated(self._port) as scu:
            for _ in range(self._random.randrange(1, 12)):
                choice = self._random.random()
                uid = fresh_uid()
                content = data_set(uid, study=f"1.2.{self._random.randrange(4)}", pixels=self._random.randrange(1, 3000) * 2)
                if choice < 0.1:
                    return self._cut(scu, uid, content)
                if choice < 0.2:
                    self._pipelined(scu)
                status = scu.store(1, CT, uid, content)
                if status == 0:
                    self.acknowledged[uid] = content
                else:
                    self.refused.add(uid)
                if self.done.is_set():
                    return None
            scu.release()
        return None

    def _cut(self, scu: RawSCU, uid: str, content: bytes) -> None:
        message = store_message(uid, content)
        scu.send(message[:self._random.randrange(len(message) - 1)])
        if self._random.random() < 0.5:
            reset(scu.sock)

    def _pipelined(self, scu: RawSCU) -> None:
        uids = [fresh_uid() for _ in range(5)]
        scu.send(b"".join(store_message(uid) for uid in uids))
        for uid in uids:
            assert scu.read_status() == 0
            self.acknowledged[uid] = data_set(uid)


@pytest.mark.parametrize("options", [[], ["-xcr", "true"], ["-su", "study"]])
def test_processes_killed_at_random_lose_nothing_that_was_answered(tmp_path: Path, options: list[str]) -> None:
    with FastscpServer(["--workers", "2", "-dhl", "-od", tmp_path, *options]) as server:
        senders = [Sender(server.port, seed) for seed in range(ASSOCIATIONS)]
        for sender in senders:
            sender.start()
        draw = random.Random(len(options))
        roles = ["worker", "coordinator"] if options else ["worker"]
        killed = 0
        while killed < 6:
            enough = sum(len(sender.acknowledged) for sender in senders) + draw.randrange(20, 60)
            wait_until(lambda enough=enough: sum(len(sender.acknowledged) for sender in senders) >= enough,  # type: ignore[misc]
                       "progress under fire")
            victims = server.role(draw.choice(roles))
            if victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    draw.choice(victims).kill()
                    killed += 1
        for sender in senders:
            sender.done.set()
        for sender in senders:
            sender.join(60)
            assert sender.error is None
        wait_until(lambda: not zombies(server), "every dead process is reaped")
        assert b"internal error" not in server.log()
        assert server.stop() == 0
    stored = {path.name.removeprefix("CT."): path for path in tmp_path.rglob("CT.*")}
    assert not list(tmp_path.rglob("*.tmp"))
    for sender in senders:
        for uid, content in sender.acknowledged.items():
            assert stored[uid].read_bytes().endswith(content), uid
    whole = sum(len(sender.acknowledged) for sender in senders)
    for path in stored.values():  # also what was not answered any more is whole
        assert path.read_bytes()[-1:] == b"\0"
    assert len(stored) - whole < 100


#: what a peer does while its complete object waits for the coordinator
LEAVINGS = {
    "A-RELEASE-RQ": RELEASE_RQ,
    "A-ABORT": A_ABORT,
    "FIN": b"",
    "RST": None,
    "a violation": pdu(8, b""),
    "half a PDU header": b"\4\0",
    "another object and A-ABORT": store_message("1.2.4", message_id=2) + A_ABORT,
    "half an object": store_message("1.2.3", message_id=2)[:400],
    "a command inside a data set": store_message("1.2.3", message_id=2)[:400] * 2,
}


@pytest.mark.parametrize("options", [["-su", "study"], ["-xcr", "true"], ["-xcr", "true", "-xs"]])
def test_peer_that_leaves_while_its_object_waits_for_the_coordinator(tmp_path: Path, options: list[str]) -> None:
    with FastscpServer(["--workers", "1", "-dhl", "-ta", "2", "-ts", "1", "-od", tmp_path, *options]) as server:
        store_one(server.port)
        worker, coordinator = server.role("worker")[0], server.role("coordinator")[0]
        descriptors = server.idle_descriptors()[worker.pid]
        coordinator.suspend()
        peers = []
        try:
            for octets in LEAVINGS.values():
                scu = associated(server.port)
                scu.send(store_message(fresh_uid()) + (octets or b""))
                if octets is None:
                    reset(scu.sock)
                elif not octets:
                    scu.sock.shutdown(socket.SHUT_WR)
                peers.append(scu)
        finally:
            coordinator.resume()
        for name, scu in zip(LEAVINGS, peers, strict=True):
            if LEAVINGS[name] is not None:
                last_words(scu.sock)
            scu.close()
        store_one(server.port)
        assert worker.is_running()
        wait_until(lambda: worker.num_fds() == descriptors, "descriptors are given back")
        assert b"internal error" not in server.log()
        assert all(path.read_bytes()[-1:] == b"\0" for path in tmp_path.rglob("CT.*"))
        assert not list(tmp_path.rglob("CT.1.2.3"))


def test_deflate_bomb_is_bounded_in_memory_and_others_are_served(tmp_path: Path) -> None:
    """0.1 MB that inflate to 100 MB; refused or stored, with the memory of one window."""
    with FastscpServer(["--workers", "1", "+xd", "-od", tmp_path]) as server:
        store_one(server.port)
        worker = server.role("worker")[0]
        before = worker.memory_info().rss
        uid = fresh_uid()
        with associated(server.port, [(1, CT, [DEFLATED])]) as scu:
            deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
            head = data_set(uid, pixels=0)[:-4] + (100 << 20).to_bytes(4, "little")
            scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))))
            others = 0
            for part in [head, *[bytes(1 << 20)] * 100]:
                deflated = deflater.compress(part)
                for at in range(0, len(deflated), 16000):
                    scu.send(p_data(pdv(1, 0, deflated[at:at + 16000])))
                    store_one(server.port)
                    others += 1
            scu.send(p_data(pdv(1, 2, deflater.flush())))
            assert scu.read_status() == 0
        assert others > 3
        assert peak_octets(worker) - before < 16 << 20


def peak_octets(process: psutil.Process) -> int:
    """Return the largest resident size a process ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
