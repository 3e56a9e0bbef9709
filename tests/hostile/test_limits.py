"""Peers that want everything: all associations, all time, all descriptors."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from tests.support.hostile import A_ABORT, RELEASE_RQ, associated, last_words, store_message, store_one
from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, associate_rq
from tests.support.servers import FastscpServer, wait_until

LOCAL_LIMIT_EXCEEDED = bytes.fromhex("00020302")


def requests(port: int, count: int, calling: str = "RAWSCU") -> tuple[list[RawSCU], list[RawSCU]]:
    """Request associations all at once; return those that were accepted and those that were rejected."""
    scus = [RawSCU("127.0.0.1", port) for _ in range(count)]
    for scu in scus:
        scu.send(associate_rq(CT_CONTEXT, calling))
    accepted, rejected = [], []
    for scu in scus:
        try:
            kind, body = scu.read_pdu()
        except (Aborted, ConnectionResetError):
            scu.close()  # one too many to be told
            continue
        if kind == 3:
            assert body == LOCAL_LIMIT_EXCEEDED
        (accepted if kind == 2 else rejected).append(scu)
    return accepted, rejected


@pytest.mark.parametrize("option", ["--max-associations-per-host", "--max-associations-per-aet"])
def test_limit_holds_across_all_workers_and_survives_their_deaths(tmp_path: Path, option: str) -> None:
    with FastscpServer(["--workers", "3", option, "5", "-od", tmp_path]) as server:
        for _ in range(2):
            accepted, rejected = requests(server.port, 20)
            assert len(accepted) == 5
            assert rejected
            for scu in rejected:
                scu.close()
            for scu in accepted:  # each of these may be followed at once by another
                scu.release()
                server_scu = RawSCU("127.0.0.1", server.port)
                server_scu.associate(CT_CONTEXT)
                uid = fresh_uid()
                assert server_scu.store(1, CT, uid, data_set(uid)) == 0
                server_scu.release()
        accepted, rejected = requests(server.port, 20)
        for worker in server.role("worker"):
            worker.kill()
        for scu in (*accepted, *rejected):
            scu.close()
        wait_until(lambda: len(server.role("worker")) == 3, "other workers")
        again, rejected = requests(server.port, 20)
        assert len(again) == 5
        for scu in (*again, *rejected):
            scu.close()


def test_other_titles_have_their_own_places(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "2", "--max-associations-per-aet", "2", "-od", tmp_path]) as server:
        first, _ = requests(server.port, 4, "GREEDY")
        second, _ = requests(server.port, 2, "MODEST")
        assert (len(first), len(second)) == (2, 2)


@pytest.mark.parametrize("option", ["--object-timeout", "--association-timeout"])
def test_trickle_has_an_end(tmp_path: Path, option: str) -> None:
    with FastscpServer(["--workers", "1", option, "2", "-od", tmp_path]) as server:
        scu = associated(server.port)
        message = store_message(fresh_uid())
        sent = 0
        with contextlib.suppress(OSError):
            while not readable(scu.sock):
                scu.send(message[sent:sent + 1])
                sent += 1
                assert sent < 1000
                time.sleep(0.05)  # the trickle itself
        assert last_words(scu.sock)[:1] in {b"\x07", b""}
        store_one(server.port)
        wait_until(lambda: len(list(tmp_path.iterdir())) == 1, "nothing of it is left")


def readable(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(30)
    return True


def test_peers_that_leave_while_their_hooks_hang_cost_nothing(tmp_path: Path) -> None:
    options = ["--workers", "1", "-dhl", "-xs", "-xcr", "sleep 600", "--hook-timeout", "600", "--drain-timeout", "0"]
    with FastscpServer([*options, "-od", tmp_path]) as server:
        worker = server.role("worker")[0]
        first = associated(server.port)
        uid = fresh_uid()
        assert first.store(1, CT, uid, data_set(uid)) == 0
        before = worker.num_fds()
        for number in range(30):
            scu = associated(server.port)
            uid = fresh_uid()
            assert scu.store(1, CT, uid, data_set(uid)) == 0
            scu.send((b"", RELEASE_RQ, A_ABORT)[number % 3])
            scu.close()
        wait_until(lambda: worker.num_fds() == before, "descriptors are given back")
        server.kill()
