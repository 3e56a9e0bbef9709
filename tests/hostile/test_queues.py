"""Whatever waits has a bound: hooks, events, lines of the log. Who does not read must not stop who sends."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support import datasets as ds
from tests.support.hostile import associated, store_message
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.rawscu import RawSCU, command_set, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

SERVED_WITHIN_S = 1.0
UNREAD_REPORTS = 2000  #: of one worker: as many as it keeps, and as many as a channel holds
UNKNOWN = p_data(pdv(5, 3, command_set([(0x0002, b"1.2.840.10008.1.1\0"), (0x0100, b"\x30\x02"), (0x0110, b"\1\0"),
                                        (0x0800, b"\1\1")])))


def pss(process: psutil.Process) -> int:
    return int(process.memory_full_info().pss)


def store(scu: RawSCU) -> str:
    uid = fresh_uid()
    assert scu.store(1, CT, uid, data_set(uid)) == 0
    return uid


class Neighbour:
    """Asks for echoes all the time; each has to be answered within a second."""

    def __init__(self, port: int) -> None:
        self.answers = 0
        self.failure: BaseException | None = None
        self._scu = associated(port)
        self._scu.sock.settimeout(SERVED_WITHIN_S)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                assert self._scu.echo(5) == 0
                self.answers += 1
                self._end.wait(0.01)
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        self._end.set()
        self._thread.join()
        self._scu.close()


@contextmanager
def served(port: int) -> Iterator[None]:
    """Let a neighbour be served meanwhile."""
    neighbour = Neighbour(port)
    try:
        yield
    finally:
        neighbour.stop()
    assert neighbour.failure is None, repr(neighbour.failure)
    assert neighbour.answers > 0


# -- events -------------------------------------------------------------------------------------------


def test_fifo_that_nobody_reads_costs_bounded_memory_and_holds_up_nobody(tmp_path: Path) -> None:
    fifo, output = tmp_path / "events", tmp_path / "out"
    output.mkdir()
    os.mkfifo(fifo)
    count = 5500  # times 4 KB of event each: more than waits
    long = b"1" * 1022
    with FastscpServer(["--workers", "1", "-dhl", "--event-log", fifo, "+uf", "-od", output]) as server:
        with associated(server.port) as scu:
            store(scu)
        (coordinator,), (worker,) = server.role("coordinator"), server.role("worker")
        before = pss(coordinator), pss(worker)
        with served(server.port), associated(server.port) as scu:
            for _ in range(count // 50):
                uids = [fresh_uid() for _ in range(50)]
                scu.send(b"".join(store_message(uid, _with_long_values(uid, long)) for uid in uids))
                for _ in uids:
                    assert scu.read_status() == 0
        assert pss(coordinator) - before[0] < 40 << 20
        assert pss(worker) - before[1] < 16 << 20
        assert len(list(output.iterdir())) == count + 1
        dropped = _read_events(fifo, server)
    assert dropped > 0


def _with_long_values(uid: str, long: bytes) -> bytes:
    return (ds.explicit(0x00080016, "UI", CT.encode() + b"\0" * (len(CT) & 1)) + ds.explicit(0x00080018, "UI", _padded(uid))
            + ds.explicit(0x00080060, "CS", long) + ds.explicit(0x0020000D, "UI", long) + ds.explicit(0x0020000E, "UI", long))


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) & 1)


def _read_events(fifo: Path, server: FastscpServer) -> int:
    """Read what there is, and on while objects come; return how many events were dropped."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    received = bytearray()
    dropped: list[int] = []

    def told() -> bool:
        with associated(server.port) as scu:
            store(scu)
        while True:
            try:
                received.extend(os.read(reader, 1 << 20))
            except BlockingIOError:
                break
        *lines, rest = bytes(received).split(b"\n")
        received[:] = rest
        events = [json.loads(line) for line in lines]
        dropped.extend(event["count"] for event in events if event["event"] == "events.dropped")
        return bool(dropped)

    try:
        wait_until(told, "the reader is told how many events it missed")
    finally:
        os.close(reader)
    return sum(dropped)


# -- the log ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["-v", "-d"])
def test_log_that_nobody_reads_holds_up_nobody(tmp_path: Path, level: str) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    server = FastscpServer(["--workers", "2", "-dhl", level, "-od", tmp_path])
    server._log.close()
    server._log = os.fdopen(writer, "wb")  # type: ignore[assignment]
    try:
        with server:
            with served(server.port), served(server.port), associated(server.port) as scu:
                uids = [store(scu) for _ in range(300)]
                scu.release()
            assert {path.name for path in tmp_path.iterdir()} == {f"CT.{uid}" for uid in uids}
            assert server.stop() == 0
    finally:
        os.close(reader)


@pytest.mark.parametrize("level", ["-v", "-d"])
def test_repeated_requests_do_not_fill_the_log_at_any_level(tmp_path: Path, level: str) -> None:
    with FastscpServer(["--workers", "1", "-dhl", level, "-od", tmp_path]) as server:
        with associated(server.port) as scu:
            for _ in range(60):
                scu.send((UNKNOWN + _echo()) * 100)
                for _ in range(200):
                    scu.read_status()
            uids = [store(scu) for _ in range(20)]
            scu.release()
        assert server.stop() == 0
        log = server.log()
    assert len(log) < 1 << 20
    assert b" further lines about 127.0.0.1 are left out" in log
    for uid in uids:
        assert f"storing DICOM file: {tmp_path}/CT.{uid}".encode() in log, "lines about stored objects are all there"


def _echo() -> bytes:
    return p_data(pdv(5, 3, command_set([(0x0002, b"1.2.840.10008.1.1\0"), (0x0100, b"\x30\0"), (0x0110, b"\1\0"),
                                         (0x0800, b"\1\1")])))


def test_host_that_is_not_let_in_does_not_fill_the_log(tmp_path: Path) -> None:
    deny = tmp_path / "deny"
    deny.write_text("ALL: ALL\n")
    output = tmp_path / "out"
    output.mkdir()
    with FastscpServer(["-dhl", "+ac", "--hosts-allow", "/dev/null", "--hosts-deny", deny, "-od", output]) as server:
        for _ in range(500):
            scu = RawSCU("127.0.0.1", server.port)
            assert scu.sock.recv(1) == b"", "it is closed"
            scu.close()
        assert server.stop() == 0
        lines = [line for line in server.log().splitlines() if b"access denied" in line]
    assert len(lines) <= 101
    repeated = sum(int(line.rpartition(b"repeated ")[2].split()[0]) for line in lines if b"repeated" in line)
    assert repeated + len(lines) - bool(repeated) == 500, "nothing is left out untold"


# -- hooks --------------------------------------------------------------------------------------------


def _hook(tmp_path: Path) -> str:
    """Return a hook that waits for a file, and then says that it ran."""
    return f"while ! [ -e {tmp_path}/go ]; do sleep 0.1; done; echo #f >>{tmp_path}/ran"


def _ran(tmp_path: Path) -> list[str]:
    path = tmp_path / "ran"
    return path.read_text().split() if path.exists() else []


def _store_many(scu: RawSCU, count: int) -> None:
    for _ in range(count // 50):
        scu.send(b"".join(store_message(uid) for uid in (fresh_uid() for _ in range(50))))
        for _ in range(50):
            assert scu.read_status() == 0


def _store_until_held(scu: RawSCU) -> list[str]:
    """Send objects until one has to wait for its answer; return those that were answered."""
    answered: list[str] = []
    scu.sock.settimeout(1.0)
    while True:
        uid = fresh_uid()
        scu.send(store_message(uid, data_set(uid)))
        try:
            assert scu.read_status() == 0
        except TimeoutError:
            return answered
        answered.append(uid)


@pytest.mark.parametrize("sorting", [[], ["-su", ""]], ids=["plain", "sorted"])
def test_hooks_that_hang_slow_senders_down_and_nothing_is_lost(tmp_path: Path, sorting: list[str]) -> None:
    output = tmp_path / "out"
    output.mkdir()
    most = 20
    arguments = ["--workers", "2", "-dhl", "--hook-jobs", "4", "--max-waiting-hooks", str(most), "-xcr", _hook(tmp_path),
                 *sorting, "-od", output]
    with FastscpServer(arguments) as server, served(server.port):
        waiting = [associated(server.port) for _ in range(6)]
        sent = [uid for scu in waiting for uid in _store_until_held(scu)]
        # objects are answered before the coordinator has looked at what is in its channels
        assert most <= len(sent) <= most + 2 * UNREAD_REPORTS, "the way is shut, with what was on it behind the door"
        given_up = associated(server.port)
        lost = fresh_uid()
        given_up.send(store_message(lost, data_set(lost)))
        given_up.close()
        (tmp_path / "go").touch()
        for scu in waiting:
            scu.sock.settimeout(30)
            assert scu.read_status() == 0
            scu.release()
        wait_until(lambda: len(_ran(tmp_path)) == len(sent) + len(waiting), "every hook runs once")
        names = [path.name for path in output.rglob("CT.*")]
        assert sorted(_ran(tmp_path)) == sorted(names)
        assert f"CT.{lost}" not in names
        assert b"further objects have to wait, too" in server.log()
        assert b"objects are let in again" in server.log()


def test_waiting_hooks_take_little_memory(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    count = 4000
    with FastscpServer(["--workers", "1", "-dhl", "--hook-jobs", "1", "-xcr", _hook(tmp_path), "-od", output]) as server:
        with associated(server.port) as scu:
            store(scu)
            (coordinator,), (worker,) = server.role("coordinator"), server.role("worker")
            _store_many(scu, 400)
            before = pss(coordinator), pss(worker)
            with served(server.port):
                _store_many(scu, count)
            assert pss(coordinator) - before[0] < 4 << 20, "less than a KiB each"
            assert pss(worker) - before[1] < 1 << 20
        server.kill()


def test_drain_does_not_wait_for_what_is_held_back(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    arguments = ["--workers", "1", "-dhl", "--hook-jobs", "1", "--max-waiting-hooks", "2", "--drain-timeout", "300",
                 "-xcr", _hook(tmp_path), "-od", output]
    with FastscpServer(arguments) as server:
        scu = associated(server.port)
        uids = _store_until_held(scu)
        assert len(uids) >= 2
        scu.sock.settimeout(30)
        server.signal(15)
        kind, _ = scu.read_pdu()
        assert kind == 7, "an A-ABORT"
        (tmp_path / "go").touch()
        assert server.process is not None
        assert server.process.wait(60) == 0
    assert {path.name for path in output.iterdir() if not path.name.startswith(".")} == {f"CT.{uid}" for uid in uids}
    assert sorted(_ran(tmp_path)) == sorted(f"CT.{uid}" for uid in uids)
