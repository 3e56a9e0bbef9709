"""The service as processes: supervision, signals, descriptors, many associations."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, associate_rq, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until


def store_one(server: FastscpServer, uid: str | None = None) -> str:
    uid = uid or fresh_uid()
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        assert scu.store(1, CT, uid, data_set(uid)) == 0
        scu.release()
    return uid


def begin_transfer(server: FastscpServer, uid: str) -> RawSCU:
    """Open an association and send half an object."""
    scu = RawSCU("127.0.0.1", server.port)
    scu.associate(CT_CONTEXT)
    scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, data_set(uid)[:900])))
    return scu


def end_transfer(scu: RawSCU, uid: str) -> int:
    scu.send(p_data(pdv(1, 2, data_set(uid)[900:])))
    return scu.read_status()


def files(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if not name.startswith(".fastscp/"))


def worker_of(server: FastscpServer, scu: RawSCU) -> psutil.Process:
    """Return the worker that owns the association."""
    port = scu.sock.getsockname()[1]

    def owners() -> list[psutil.Process]:
        return [worker for worker in server.role("worker")
                for connection in worker.net_connections(kind="tcp")
                if connection.raddr and connection.raddr.port == port]

    wait_until(owners, "a worker owns the association")
    return owners()[0]


def test_roles_are_told_apart_in_ps(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "3", "-od", tmp_path]) as server:
        wait_until(lambda: len(server.role("worker")) == 3, "three workers")
        assert len(server.role("coordinator")) == 1
        assert len(server.role("acceptor")) == 1


def test_worker_killed_mid_transfer_leaves_no_file_and_costs_nobody_else(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "2", "-od", tmp_path]) as server:
        doomed_uid, other_uid = fresh_uid(), fresh_uid()
        doomed = begin_transfer(server, doomed_uid)
        other = begin_transfer(server, other_uid)
        victim, survivor = worker_of(server, doomed), worker_of(server, other)
        assert victim.pid != survivor.pid
        victim.kill()
        third = store_one(server)
        assert end_transfer(other, other_uid) == 0
        with pytest.raises((Aborted, OSError)):
            end_transfer(doomed, doomed_uid)
        wait_until(lambda: len(server.role("worker")) == 2, "the worker is replaced")
        assert files(tmp_path) == sorted([f"CT.{third}", f"CT.{other_uid}"])
        assert survivor.is_running()


def test_only_worker_killed_is_replaced_and_serves(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "1", "-od", tmp_path]) as server:
        store_one(server)
        for _ in range(2):
            wait_until(lambda: len(server.role("worker")) == 1, "one worker")
            server.role("worker")[0].kill()
            store_one(server)
        assert len(files(tmp_path)) == 3


def test_sigterm_ends_every_process_and_lets_a_transfer_finish(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        uid = fresh_uid()
        scu = begin_transfer(server, uid)
        worker_of(server, scu)
        family = server.family()
        server.signal(signal.SIGTERM)

        def refuses() -> bool:
            try:
                socket.create_connection(("127.0.0.1", server.port), 1).close()
            except OSError:
                return True
            return False

        wait_until(refuses, "no new connection is taken")
        assert end_transfer(scu, uid) == 0
        scu.release()
        assert server.stop() == 0
        assert files(tmp_path) == [f"CT.{uid}"]
        assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_sigterm_does_not_wait_for_idle_associations(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path, "--drain-timeout", "60"]) as server:
        scu = RawSCU("127.0.0.1", server.port)
        scu.associate(CT_CONTEXT)
        server.signal(signal.SIGTERM)
        kind, body = scu.read_pdu()
        assert (kind, body[2:]) == (7, b"\x02\x00")
        scu.close()
        assert server.stop() == 0


def test_second_sigterm_stops_at_once_and_keeps_no_partial_file(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path, "--drain-timeout", "600"]) as server:
        scu = begin_transfer(server, fresh_uid())
        worker_of(server, scu)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGINT)
        server.stop()
        assert files(tmp_path) == []


def test_death_of_the_acceptor_process_ends_the_others(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        store_one(server)
        family = server.family()
        os.kill(family[0].pid, signal.SIGKILL)
        assert server.process is not None
        server.process.wait(30)
        wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family[1:]),
                   "children end")


def test_descriptors_and_processes_return_to_the_base_line(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "2", "-od", tmp_path]) as server:
        together = [(begin_transfer(server, uid), uid) for uid in (fresh_uid() for _ in range(8))]
        assert len({worker_of(server, scu).pid for scu, _ in together}) == 2
        for scu, uid in together:
            assert end_transfer(scu, uid) == 0
            scu.release()
        base = server.idle_descriptors()
        for number in range(300):
            if number % 3 == 0:
                begin_transfer(server, fresh_uid()).close()
            elif number % 3 == 1:
                with socket.create_connection(("127.0.0.1", server.port)) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    sock.recv(100)
            else:
                store_one(server)
        wait_until(lambda: server.descriptors() == base, "every descriptor is given back")


def test_two_hundred_associations_at_once(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        pairs = [(begin_transfer(server, uid), uid) for uid in (fresh_uid() for _ in range(200))]
        for scu, uid in pairs:
            assert end_transfer(scu, uid) == 0
        for scu, _ in pairs:
            scu.release()
        assert files(tmp_path) == sorted(f"CT.{uid}" for _, uid in pairs)


def test_a_thousand_idle_associations_do_not_keep_four_senders_waiting(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        idle = []
        for _ in range(1000):
            scu = RawSCU("127.0.0.1", server.port)
            scu.associate(CT_CONTEXT)
            idle.append(scu)
        busy = [RawSCU("127.0.0.1", server.port) for _ in range(4)]
        for scu in busy:
            scu.associate(CT_CONTEXT)
        uids = [fresh_uid() for _ in range(100)]
        for number, uid in enumerate(uids):
            assert busy[number % 4].store(1, CT, uid, data_set(uid)) == 0
        for scu in (*idle, *busy):
            scu.release()
        assert files(tmp_path) == sorted(f"CT.{uid}" for uid in uids)


def test_single_process_serves_one_association_at_a_time(tmp_path: Path) -> None:
    with FastscpServer(["--single-process", "-od", tmp_path]) as server:
        first = RawSCU("127.0.0.1", server.port)
        first.associate(CT_CONTEXT)
        second = RawSCU("127.0.0.1", server.port)
        second.send(associate_rq(CT_CONTEXT))
        uid = fresh_uid()
        assert first.store(1, CT, uid, data_set(uid)) == 0
        second.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            second.sock.recv(1)
        second.sock.settimeout(30)
        first.release()
        kind, _ = second.read_pdu()
        assert kind == 2


def test_max_associations_makes_further_ones_wait(tmp_path: Path) -> None:
    with FastscpServer(["--max-associations", "2", "-od", tmp_path]) as server:
        first, second = RawSCU("127.0.0.1", server.port), RawSCU("127.0.0.1", server.port)
        first.associate(CT_CONTEXT)
        second.associate(CT_CONTEXT)
        third = RawSCU("127.0.0.1", server.port)
        third.send(associate_rq(CT_CONTEXT))
        third.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.sock.recv(1)
        third.sock.settimeout(30)
        second.abort()
        assert third.read_pdu()[0] == 2
        first.release()


def test_peer_that_says_nothing_is_closed_by_the_acse_timeout(tmp_path: Path) -> None:
    with FastscpServer(["-ta", "1", "-od", tmp_path]) as server, socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(30)
        sock.sendall(b"\x01\x00\x00\x00\x0f\xff")
        assert sock.recv(100) == b""


def test_peer_that_stalls_mid_object_is_aborted_by_the_dimse_timeout(tmp_path: Path) -> None:
    with FastscpServer(["-td", "1", "-od", tmp_path]) as server:
        scu = begin_transfer(server, fresh_uid())
        kind, _ = scu.read_pdu()
        assert kind == 7
        assert files(tmp_path) == []


def test_aborted_transfer_never_touches_the_file_that_was_there(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        uid = store_one(server)
        before = (tmp_path / f"CT.{uid}").read_bytes()
        inode = (tmp_path / f"CT.{uid}").stat().st_ino
        begin_transfer(server, uid).abort()
        begin_transfer(server, uid).close()
        store_one(server)
        assert (tmp_path / f"CT.{uid}").read_bytes() == before
        assert (tmp_path / f"CT.{uid}").stat().st_ino == inode


def test_peer_that_never_reads_answers_is_not_served_without_end(tmp_path: Path) -> None:
    """W26: many C-STORE, no answer ever read: the service stops reading, others go on."""
    with FastscpServer(["--workers", "1", "-od", tmp_path]) as server:
        deaf = RawSCU("127.0.0.1", server.port)
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.associate(CT_CONTEXT)
        deaf.sock.settimeout(3)
        echo = p_data(pdv(1, 3, bytes.fromhex("00000001020000003000" "00001001020000000100" "00000008020000000101")))
        end = time.monotonic() + 20
        with pytest.raises((TimeoutError, ConnectionError)):  # noqa: PT012 - which of the sends blocks is open
            while time.monotonic() < end:
                deaf.sock.sendall(echo * 500)
        store_one(server)
        worker = server.role("worker")[0]
        assert worker.memory_info().rss < 200e6
        deaf.close()


def test_port_in_use_is_an_error_with_exit_status_1(tmp_path: Path) -> None:
    import subprocess
    import sys

    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        root = Path(__file__).parents[2]
        result = subprocess.run([sys.executable, "-m", "fastscp", "-od", str(tmp_path), str(sock.getsockname()[1])],
                                capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert result.returncode == 1
    assert "cannot listen on port" in result.stderr


def test_directory_name_that_is_not_utf8(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(directory)
    name = os.fsdecode(directory)
    with FastscpServer(["-od", name]) as server:
        uid = store_one(server)
        assert os.listdir(directory) == [f"CT.{uid}".encode()]
