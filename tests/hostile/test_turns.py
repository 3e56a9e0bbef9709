"""Peers that are worth seconds of work: their neighbours on the same worker are served meanwhile.

What counts is the order of events, not time: how many answers a well-behaved association gets while the heavy one
waits for a single one, and after the last octet of it was sent.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support import datasets as ds
from tests.support.hostile import ECHO, associated, reset, store_message
from tests.support.objects import CT, EXPLICIT_LE, IMPLICIT_LE, data_set, fresh_uid
from tests.support.rawscu import DEFLATED, c_store_rq, command_set, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

CONTEXTS = [(1, CT, [EXPLICIT_LE]), (3, CT, [DEFLATED]), (5, "1.2.840.10008.1.1", [IMPLICIT_LE])]
FEW = 15  #: echoes, each of which takes two turns of the worker at least
_DISORDERED = ds.item(ds.explicit(0x00080102, "SH", b"") + ds.explicit(0x00080100, "SH", b""))


def disordered(uid: str, megabytes: int) -> bytes:
    """A data set of small elements in items, those of each item the wrong way round."""
    return data_set(uid) + ds.sequence(0x7FE10010, _DISORDERED * ((megabytes << 20) // len(_DISORDERED)))


def top_level_disordered(uid: str, megabytes: int, size: int) -> bytes:
    """A data set of elements of ``size`` octets that descend."""
    count = (megabytes << 20) // (size + 12)
    return data_set(uid) + b"".join(ds.explicit(0x70110010 + 2 * n, "OB", bytes(size)) for n in range(count, 0, -1))


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    octets = deflater.compress(data) + deflater.flush()
    return octets + b"\0" * (len(octets) & 1)


class Heavy:
    """An association that sends something and waits for its answer, in a thread of its own."""

    def __init__(self, port: int, octets: bytes, contexts: list[tuple[int, str, list[str]]] | None = None) -> None:
        self.scu = associated(port, contexts or CONTEXTS)
        self.scu.sock.settimeout(120)
        self.sent = threading.Event()
        self.answered = threading.Event()
        self.status: int | None = None
        self._octets = octets
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.scu.sock.sendall(self._octets)
            self.sent.set()
            self.status = self.scu.read_status()
        finally:
            self.sent.set()
            self.answered.set()

    def join(self) -> int | None:
        self._thread.join(120)
        assert not self._thread.is_alive()
        self.scu.close()
        return self.status


def served_meanwhile(port: int, heavy: Heavy) -> tuple[int, int]:
    """Ask for echoes until ``heavy`` is answered; return how many answers came, and how many after its last octet."""
    count = after = 0
    with associated(port) as scu:
        while not heavy.answered.is_set():
            sent = heavy.sent.is_set()
            assert scu.echo(5) == 0
            if not heavy.answered.is_set():
                count += 1
                after += sent
        scu.release()
    return count, after


@contextmanager
def one_worker(directory: Path, *options: str) -> Iterator[FastscpServer]:
    """Run a service with one worker, which has to be the same one at the end, without a leftover."""
    with FastscpServer(["--workers", "1", "-dhl", "+xd", *options, "-od", directory]) as server:
        with associated(server.port) as scu:  # the worker has all that it needs
            scu.release()
        (worker,) = server.role("worker")
        descriptors = worker.num_fds()
        yield server
        assert [process.pid for process in server.role("worker")] == [worker.pid], server.log().decode("latin-1")[-4000:]
        wait_until(lambda: worker.num_fds() <= descriptors + 1, "descriptors are given back", 120)  # the output directory
        assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def peak(process: psutil.Process) -> int:
    """Return the most memory that a process has ever had, in octets."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("megabytes", [8, 16])
def test_disordered_items_leave_neighbours_their_turns(tmp_path: Path, megabytes: int) -> None:
    uid = fresh_uid()
    with one_worker(tmp_path) as server:
        before = peak(server.role("worker")[0])
        heavy = Heavy(server.port, store_message(uid, disordered(uid, megabytes)))
        count, after = served_meanwhile(server.port, heavy)
        assert heavy.join() == 0xC000, "more than can be sorted within bounded memory"
        assert count >= FEW
        assert after >= FEW // 3
        assert peak(server.role("worker")[0]) - before < 48 << 20
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_sorted_is_sorted_meanwhile(tmp_path: Path) -> None:
    uid = fresh_uid()
    data = disordered(uid, 2)
    with one_worker(tmp_path) as server:
        heavy = Heavy(server.port, store_message(uid, data))
        count, after = served_meanwhile(server.port, heavy)
        assert heavy.join() == 0
        assert count >= FEW
        assert after >= FEW
    octets = (tmp_path / f"CT.{uid}").read_bytes()
    wanted = ds.item(ds.explicit(0x00080100, "SH", b"") + ds.explicit(0x00080102, "SH", b""))
    assert octets.endswith(wanted * 1000)


@pytest.mark.parametrize("bomb", ["items", "pixels"])
def test_deflated_bomb_leaves_neighbours_their_turns(tmp_path: Path, bomb: str) -> None:
    uid = fresh_uid()
    data = disordered(uid, 33) if bomb == "items" else data_set(uid) + ds.explicit(0x7FE10010, "OB", bytes(200 << 20))
    octets = deflated(data)
    assert len(octets) < 400_000
    with one_worker(tmp_path) as server:
        before = peak(server.role("worker")[0])
        heavy = Heavy(server.port, store_message(uid, octets, context_id=3))
        count, after = served_meanwhile(server.port, heavy)
        assert heavy.join() == (0xC000 if bomb == "items" else 0)
        assert count >= FEW
        assert after >= FEW
        assert peak(server.role("worker")[0]) - before < 48 << 20


def test_small_deflated_object_costs_a_neighbour_no_store(tmp_path: Path) -> None:
    """All of it is in one read, with its request: nobody knows before that it will be inflated."""
    uid = fresh_uid()
    octets = deflated(disordered(uid, 8))
    assert len(octets) < 60_000
    stored = 0
    with one_worker(tmp_path) as server:
        heavy = Heavy(server.port, store_message(uid, octets, context_id=3))
        with associated(server.port) as scu:
            while not heavy.answered.is_set():
                other = fresh_uid()
                assert scu.store(1, CT, other, data_set(other)) == 0
                stored += not heavy.answered.is_set()
        heavy.join()
        assert stored >= FEW


def test_inflated_size_has_a_limit(tmp_path: Path) -> None:
    uid = fresh_uid()
    octets = deflated(data_set(uid) + ds.explicit(0x7FE10010, "OB", bytes(20 << 20)))
    with one_worker(tmp_path, "--max-inflated-size", "10M") as server, associated(server.port, CONTEXTS) as scu:
        scu.send(store_message(uid, octets, context_id=3))
        assert scu.read_status() == 0xA700
        other = fresh_uid()
        assert scu.store(1, CT, other, data_set(other)) == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"CT.{other}"]


def test_object_size_has_a_limit(tmp_path: Path) -> None:
    uid = fresh_uid()
    data = data_set(uid) + ds.explicit(0x7FE10010, "OB", bytes(3 << 20))
    with one_worker(tmp_path, "--max-object-size", "2M") as server, associated(server.port, CONTEXTS) as scu:
        scu.send(store_message(uid, data))
        assert scu.read_status() == 0xA700
        other = fresh_uid()
        assert scu.store(1, CT, other, data_set(other)) == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"CT.{other}"]


@pytest.mark.parametrize("options", [[], ["--event-log", "events", "--event-digest"], ["+td"], ["+cl", "9", "+td"]], ids=str)
def test_large_object_out_of_order_leaves_neighbours_their_turns(tmp_path: Path, options: list[str]) -> None:
    uid = fresh_uid()
    output = tmp_path / "out"
    output.mkdir()
    options = [str(tmp_path / word) if word == "events" else word for word in options]
    data = top_level_disordered(uid, 96, 60_000)
    with one_worker(output, *options) as server:
        heavy = Heavy(server.port, store_message(uid, data))
        count, after = served_meanwhile(server.port, heavy)
        assert heavy.join() == 0
        assert count >= FEW
        assert after >= FEW
    if "+td" not in options:
        assert (output / f"CT.{uid}").stat().st_size > 90 << 20


def test_items_in_a_value_that_is_no_sequence_end_nothing(tmp_path: Path) -> None:
    """Under +ti the dictionary decides what is read back as a sequence, as deep as it goes."""
    inside = b""
    for _ in range(3000):
        inside = ds.implicit_sequence(0x00081140, ds.item(inside))
    value = inside[8:]
    with one_worker(tmp_path, "+ti") as server, associated(server.port) as scu:
        for vr in ("OB", "UN"):
            uid = fresh_uid()
            data = data_set(uid) + ds.explicit(0x00400275, vr, value) + ds.explicit(0x00081140, vr, value)
            scu.send(store_message(uid, data))
            assert scu.read_status() in {0, 0xC000}
        other = fresh_uid()
        assert scu.store(1, CT, other, data_set(other)) == 0


def test_pdus_of_alternating_lengths_are_read_once(tmp_path: Path) -> None:
    """Eighty thousand PDUs to a megabyte, and none like the one before it."""
    uid = fresh_uid()
    fragments = p_data(pdv(1, 0, b"")) + p_data(pdv(1, 0, b"\0"))
    data = data_set(uid) + ds.explicit(0x7FE10010, "OB", bytes(40_000))
    head = data[:-40_000]
    octets = (p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, head)) + fragments * 40_000 + p_data(pdv(1, 2, b"")))
    with one_worker(tmp_path) as server:
        heavy = Heavy(server.port, octets)
        count, _ = served_meanwhile(server.port, heavy)
        assert heavy.join() == 0
        assert count >= 3
    assert (tmp_path / f"CT.{uid}").read_bytes().endswith(bytes(40_000))


def test_pipelined_requests_leave_neighbours_their_turns(tmp_path: Path) -> None:
    with one_worker(tmp_path) as server:
        heavy = Heavy(server.port, ECHO * 6000)
        try:
            answers = 0
            with associated(server.port) as scu:
                while not heavy.sent.is_set() or answers < FEW:
                    assert scu.echo(5) == 0
                    answers += 1
            assert answers >= FEW
        finally:
            heavy.scu.close()


@pytest.mark.parametrize("how", ["reset", "killed by the drain"])
def test_peer_that_leaves_its_heavy_object_behind_leaves_nothing(tmp_path: Path, how: str) -> None:
    uid = fresh_uid()
    with one_worker(tmp_path, "--drain-timeout", "0") as server:
        scu = associated(server.port, CONTEXTS)
        message = store_message(uid, deflated(disordered(uid, 33)), context_id=3)
        if how == "reset":
            scu.send(message)
            reset(scu.sock)
        else:
            scu.send(message[:-100])
            scu.close()
        with associated(server.port) as other:
            good = fresh_uid()
            assert other.store(1, CT, good, data_set(good)) == 0
        wait_until(lambda: [path.name for path in tmp_path.iterdir()] == [f"CT.{good}"], "nothing else is left", 60)


def test_repeated_request_that_nobody_knows_does_not_fill_the_log(tmp_path: Path) -> None:
    strange = p_data(pdv(5, 3, command_set([(0x0002, b"1.2.840.10008.1.1\0"), (0x0100, b"\x30\x02"), (0x0110, b"\1\0"),
                                            (0x0800, b"\1\1")])))
    count = 3000
    with FastscpServer(["--workers", "1", "-dhl", "-od", tmp_path]) as server:
        with associated(server.port) as scu:
            for _ in range(count // 100):
                scu.send(strange * 100)
                for _ in range(100):
                    assert scu.read_status() == 0x0211
            scu.release()
        lines = [line for line in server.log().decode("latin-1").splitlines() if "0230" in line]
        assert len(lines) <= 101
        server.stop()
        lines = [line for line in server.log().decode("latin-1").splitlines() if "0230" in line]
        repeated = [int(line.rpartition("repeated ")[2].split()[0]) for line in lines if "repeated" in line]
        assert sum(repeated) + len(lines) - len(repeated) == count, "nothing is left out untold"
