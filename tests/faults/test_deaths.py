"""Processes of the service that die, one by one and all together; what was acknowledged stays, and its hooks run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.support.hostile import associated, store_message, store_one
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.rawscu import Aborted, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

BACK_WITHIN_S = 2.0
SORTED = ["--workers", "2", "-dhl", "-su", "study"]


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stored_files(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("CT.*")}


def test_acceptor_killed_while_an_object_comes_loses_neither_object_nor_hooks(tmp_path: Path) -> None:
    output, ran, ended = tmp_path / "output", tmp_path / "ran", tmp_path / "ended"
    output.mkdir()
    options = [*SORTED, "-xcr", f"echo '#f' >> {ran}", "--exec-on-eostudy", f"echo '#p' >> {ended}", "-tos", "600"]
    server = FastscpServer([*options, "-od", output])
    with server:
        first = store_one(server.port)
        family = server.family()
        scu = associated(server.port)
        uid = fresh_uid()
        content = data_set(uid)
        scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, content[:200])))
        wait_until(lambda: any(process.children() or True for process in family), "the family")
        family[0].kill()
        wait_until(lambda: gone(family[0]), "the acceptor process is dead")
        scu.send(p_data(pdv(1, 2, content[200:])))
        assert scu.read_status() == 0
        scu.release()
        wait_until(lambda: all(map(gone, family)), "everybody ends with its last peer")
    assert stored_files(output) == {f"CT.{first}", f"CT.{uid}"}
    assert sorted(ran.read_text().split()) == sorted([f"CT.{first}", f"CT.{uid}"])
    assert len(ended.read_text().split()) == 1


def test_peer_of_a_worker_without_acceptor_and_coordinator_is_told_at_once(tmp_path: Path) -> None:
    """Nobody would answer for it any more: it can go to the service that was started meanwhile."""
    with FastscpServer([*SORTED, "-ta", "600", "-od", tmp_path]) as server:
        store_one(server.port)
        family = server.family()
        coordinator = server.role("coordinator")[0]
        with associated(server.port) as scu:
            family[0].kill()
            wait_until(lambda: gone(family[0]), "the acceptor process is dead")
            coordinator.kill()
            scu.send(store_message(fresh_uid()))
            with pytest.raises((Aborted, ConnectionError)):
                scu.read_status()
        wait_until(lambda: all(map(gone, family)), "nobody stays behind")


def test_service_started_after_the_death_of_the_acceptor_does_not_wait_for_slow_peers(tmp_path: Path) -> None:
    """They go on for a moment; then the state is the new service's, and what was acknowledged is in it."""
    ended = tmp_path / "ended"
    (tmp_path / "output").mkdir()
    options = [*SORTED, "-ta", "600", "--drain-timeout", "600", "-xcs", f"echo '#p' >> {ended}", "-tos", "600", "-od", tmp_path / "output"]
    with FastscpServer(options) as server:
        uid = store_one(server.port)
        family = server.family()
        with associated(server.port) as slow:
            message = store_message(fresh_uid())
            slow.send(message[:len(message) // 2])
            family[0].kill()
            wait_until(lambda: gone(family[0]), "the acceptor process is dead")
            with FastscpServer(options) as successor:  # ready within the deadline, which is far less than a drain may take
                another = store_one(successor.port)
                with pytest.raises((Aborted, ConnectionError)):
                    slow.read_status()
                wait_until(lambda: all(map(gone, family)), "nobody stays behind")
                assert successor.stop() == 0
    assert stored_files(tmp_path / "output") == {f"CT.{uid}", f"CT.{another}"}
    assert len(ended.read_text().split()) == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.01])
def test_coordinator_killed_at_its_start_is_replaced(tmp_path: Path, delay_s: float) -> None:
    """Before the process does anything, or while it opens its state: the service serves all the same."""

    class Ambushed(FastscpServer):
        def wait_ready(self) -> None:
            assert self.process is not None
            mine = psutil.Process(self.process.pid)
            wait_until(mine.children, "the first child")
            time.sleep(delay_s)
            mine.children()[0].kill()
            super().wait_ready()

    with Ambushed([*SORTED, "-od", tmp_path]) as server:
        store_one(server.port)


def test_kill_after_kill_of_anything_leaves_no_long_pause(tmp_path: Path) -> None:
    with FastscpServer([*SORTED, "-od", tmp_path]) as server:
        for role in ("coordinator", "worker 1", "worker 2") * 4:
            victims: list[psutil.Process] = []
            wait_until(lambda role=role, victims=victims: victims.extend(server.role(role)) or victims, role)  # type: ignore[misc]
            victims[0].kill()
        begin = time.monotonic()
        while True:
            try:
                store_one(server.port)
                break
            except (Aborted, OSError, AssertionError):
                assert time.monotonic() - begin < 10
        # a generous bound for a busy machine; the pauses themselves are tested without one
        assert time.monotonic() - begin < 5 * BACK_WITHIN_S


@pytest.mark.parametrize("options", [["-xcr"], ["-su", "study", "-xcr"]])
def test_worker_killed_with_unread_answers_loses_no_hook(tmp_path: Path, options: list[str]) -> None:
    """What a worker told before it died counts, although answers to it were still unread."""
    output, ran = tmp_path / "output", tmp_path / "ran"
    output.mkdir()
    with FastscpServer(["--workers", "1", "-dhl", *options, f"echo '#f' >> {ran}", "-od", output]) as server:
        acknowledged = set()
        for _ in range(5):
            coordinator, worker = server.role("coordinator")[0], server.role("worker")[0]
            with associated(server.port) as scu:
                uids = [fresh_uid() for _ in range(8)]
                scu.send(b"".join(store_message(uid) for uid in uids))
                try:
                    for uid in uids:
                        assert scu.read_status() == 0
                        acknowledged.add(f"CT.{uid}")
                        if len(acknowledged) % 4 == 0:
                            os.kill(coordinator.pid, signal.SIGSTOP)  # it gets to hear of the rest after the death
                            worker.kill()
                            break
                finally:
                    os.kill(coordinator.pid, signal.SIGCONT)
            wait_until(lambda worker=worker: [process for process in server.role("worker") if process.pid != worker.pid],  # type: ignore[misc]
                       "another worker")
        assert server.stop() == 0
    assert acknowledged <= set(ran.read_text().split())
    assert acknowledged <= stored_files(output)


def test_everybody_killed_at_once_loses_no_hook(tmp_path: Path) -> None:
    output, ended = tmp_path / "output", tmp_path / "ended"
    output.mkdir()
    options = [*SORTED, "--exec-on-eostudy", f"echo '#p' >> {ended}", "-tos", "600", "-od", output]
    server = FastscpServer(options)
    with server:
        uid = store_one(server.port)
        server.kill()
    with FastscpServer(options) as server:
        assert server.stop() == 0
    assert stored_files(output) == {f"CT.{uid}"}
    assert len(ended.read_text().split()) == 1


def test_names_in_ps_are_those_of_the_manual(tmp_path: Path) -> None:
    with FastscpServer([*SORTED, "-od", tmp_path]) as server:
        listed = subprocess.run(["ps", "-o", "args=", "-p", ",".join(str(process.pid) for process in server.family())],
                                capture_output=True, check=True, text=True).stdout.splitlines()
        assert sorted(line.strip() for line in listed) == [
            f"fastscp: acceptor [{server.port}]", "fastscp: coordinator", "fastscp: worker 1", "fastscp: worker 2"]
