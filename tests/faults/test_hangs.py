"""Processes that are stopped: others go on at once, and what hangs is killed and replaced."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.hostile import associated, store_message, store_one
from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, associate_rq
from tests.support.servers import DEADLINE_S, FastscpServer, wait_until

HANG_S = 3


@contextlib.contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """Stop processes; those that were not killed meanwhile go on afterwards."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def replaced(server: FastscpServer, role: str, former: psutil.Process) -> bool:
    return any(process.pid != former.pid for process in server.role(role)) and not former.is_running()


def test_connections_of_a_stopped_worker_are_served_by_another_long_before_it_is_killed(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "2", "--hang-timeout", "600", "-dhl", "-od", tmp_path]) as server:
        victim = server.role("worker 1")[0]
        with stopped(victim):
            scus = [RawSCU("127.0.0.1", server.port) for _ in range(10)]
            for scu in scus:
                scu.send(associate_rq(CT_CONTEXT))
            for scu in scus:
                assert scu.read_pdu()[0] == 2
                uid = fresh_uid()
                scu.send(store_message(uid))
                assert scu.read_status() == 0
                scu.release()
            store_one(server.port)
        store_one(server.port)
        assert victim.is_running()


@pytest.mark.parametrize("role", ["worker 1", "coordinator"])
def test_stopped_process_is_killed_and_replaced(tmp_path: Path, role: str) -> None:
    options = ["--workers", "1", "--hang-timeout", str(HANG_S), "-dhl", "-su", "study", "-ta", "60", "-od", tmp_path]
    with FastscpServer(options) as server:
        victim = server.role(role)[0]
        victim.suspend()
        store_one(server.port)  # waits for whoever comes next, not for its own time-out
        wait_until(lambda: replaced(server, role, victim), "a replacement")
        assert b"does not come round" in server.log()


def test_process_that_works_hard_is_not_killed(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "1", "--hang-timeout", "2", "-dhl", "-od", tmp_path]) as server:
        worker = server.role("worker")[0]
        end = time.monotonic() + 3
        while time.monotonic() < end:
            store_one(server.port)
        assert worker.is_running()
        assert b"come round" not in server.log()


def test_drain_takes_no_longer_for_a_stopped_worker(tmp_path: Path) -> None:
    server = FastscpServer(["--workers", "2", "--drain-timeout", "2", "-dhl", "-su", "study", "-od", tmp_path])
    with server:
        uid = store_one(server.port)
        server.role("worker 1")[0].suspend()
        server.signal(signal.SIGTERM)
        assert server.process is not None
        assert server.process.wait(DEADLINE_S) == 0
        assert b"worker 1 did not end in time" in server.log()
    assert list(tmp_path.rglob(f"CT.{uid}"))


def test_stopped_resolver_holds_up_nobody_for_long(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "1", "-xcr", "true #r", "-od", tmp_path]) as server:
        store_one(server.port)  # starts it
        resolver = server.role("resolver")[0]
        resolver.suspend()
        with socket.socket() as sock:
            sock.bind(("127.0.0.2", 0))  # a name that is not known yet
            sock.settimeout(DEADLINE_S)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(associate_rq(CT_CONTEXT))
            assert sock.recv(1) == b"\2"
        wait_until(lambda: not resolver.is_running(), "the resolver is killed")


class Logging(FastscpServer):
    """Its log goes into a pipe that the test empties."""

    def start(self) -> FastscpServer:
        self.reader, self._writer = os.pipe()
        self.lines: list[bytes] = []
        self._log.close()
        self._log = os.fdopen(self._writer, "wb", buffering=0)
        threading.Thread(target=self._empty, daemon=True).start()
        return super().start()  # type: ignore[return-value]

    def _empty(self) -> None:
        while octets := os.read(self.reader, 65536):
            self.lines.append(octets)

    def log(self) -> bytes:
        return b"".join(self.lines)


def test_process_stopped_at_any_moment_of_its_logging_does_not_freeze_the_others(tmp_path: Path) -> None:
    """The lock of the log is held for microseconds: stop a busy worker many times, at random."""
    draw = random.Random(4)
    with Logging(["--workers", "2", "-d", "-dhl", "--hang-timeout", "600", "-od", tmp_path]) as server:
        busy = associated(server.port)
        done = threading.Event()

        def keep_busy() -> None:
            with contextlib.suppress(Aborted, OSError):
                while not done.is_set():
                    uid = fresh_uid()
                    assert busy.store(1, CT, uid, data_set(uid)) == 0

        worker = max(server.role("worker"), key=lambda process: process.num_fds())
        thread = threading.Thread(target=keep_busy)
        thread.start()
        try:
            for _ in range(25):
                time.sleep(draw.random() / 50)  # when it is stopped is the point
                with stopped(worker):
                    store_one(server.port)
        finally:
            done.set()
            thread.join(DEADLINE_S)


def test_service_manager_gets_signs_of_life_while_the_loop_comes_round(tmp_path: Path) -> None:
    directory = tempfile.mkdtemp(prefix="fastscp-")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{directory}/notify")
        manager.settimeout(DEADLINE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": f"{directory}/notify", "WATCHDOG_USEC": "200000",
                       "PYTHONPATH": str(Path(__file__).parents[2])}
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        process = subprocess.Popen([sys.executable, "-m", "fastscp", "--workers", "1", "-od", str(tmp_path), str(port)],
                                   env=environment, stderr=subprocess.DEVNULL)
        try:
            for _ in range(10):
                while manager.recv(4096) != b"WATCHDOG=1":
                    continue
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    os.unlink(f"{directory}/notify")
    os.rmdir(directory)
