"""A new service beside one that still drains, on the same port and state."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.hostile import associated, store_one
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU, associate_rq
from tests.support.servers import DEADLINE_S, FastscpServer, wait_until
from tests.support.upgrades import Steady

BACK_WITHIN_S = 10.0  #: 2 seconds, and what a busy machine adds; the pauses themselves are tested without a clock


def test_new_service_waits_for_one_that_drains(tmp_path: Path) -> None:
    output, ended = tmp_path / "output", tmp_path / "ended"
    output.mkdir()
    options = ["--workers", "1", "-dhl", "-su", "study", "-tos", "600", "--exec-on-eostudy", f"echo '#p' >> {ended}"]
    old = FastscpServer([*options, "-od", output])
    with old:
        scu = associated(old.port)
        uids = [fresh_uid()]
        assert scu.store(1, CT, uids[0], data_set(uids[0])) == 0
        done = threading.Event()

        def go_on() -> None:
            """Be under way, so that the drain lets it go on."""
            while not done.is_set():
                uid = fresh_uid()
                assert scu.store(1, CT, uid, data_set(uid)) == 0
                uids.append(uid)
                done.wait(0.1)
            scu.release()

        sender = threading.Thread(target=go_on)
        sender.start()
        old.signal(signal.SIGTERM)
        wait_until(lambda: not listening(old), "the old one listens no more")

        class Beside(FastscpServer):
            def wait_ready(self) -> None:
                wait_until(lambda: b"waiting up to" in self.log(), "the new one waits")
                peer = RawSCU("127.0.0.1", self.port)  # the port is open already
                peer.send(associate_rq([(1, CT, ["1.2.840.10008.1.2.1"])]))
                done.set()
                sender.join(DEADLINE_S)
                super().wait_ready()
                assert peer.read_pdu()[0] == 2
                peer.close()

        new = Beside([*options, "-od", output])
        new.port = old.port
        with new:
            assert old.process is not None
            assert old.process.wait(DEADLINE_S) == 0
            uids.append(store_one(new.port))
    assert {path.name for path in output.rglob("CT.*")} == {f"CT.{uid}" for uid in uids}
    assert len(ended.read_text().split()) == 2


def listening(server: FastscpServer) -> bool:
    try:
        RawSCU("127.0.0.1", server.port).close()
    except ConnectionRefusedError:
        return False
    return True


def test_service_that_waits_can_be_ended(tmp_path: Path) -> None:
    options = ["--workers", "1", "-dhl", "-su", "study", "-od", tmp_path]
    with FastscpServer(options) as old:
        store_one(old.port)

        class Beside(FastscpServer):
            def wait_ready(self) -> None:
                wait_until(lambda: b"waiting up to" in self.log(), "the new one waits")

        with Beside(options) as new:
            assert new.stop() == 0
        store_one(old.port)


def test_reload_replaces_every_worker_and_nobody_notices(tmp_path: Path) -> None:
    output, ran = tmp_path / "output", tmp_path / "ran"
    output.mkdir()
    with FastscpServer(["--workers", "2", "-dhl", "-su", "s", "-xcr", f"echo '#f' >> {ran}", "-od", output]) as server:
        idle, busy = associated(server.port), associated(server.port)
        sender = Steady(server.port)
        sender.start()
        for _ in range(2):
            sender.progress(5)
            former = {process.pid for process in server.role("worker")}
            server.signal(signal.SIGHUP)
            wait_until(lambda former=former: len({process.pid for process in server.role("worker")} - former) == 2,  # type: ignore[misc]
                       "new workers")
            sender.progress(5)
            uid = fresh_uid()
            assert busy.store(1, CT, uid, data_set(uid)) == 0
            sender.stored.append(f"CT.{uid}")
        assert idle.echo(5) == 0
        idle.release()
        busy.release()
        wait_until(lambda: len(server.role("worker")) == 2, "the former workers end with their last association")
        sender.finish()
        assert b"ended" not in server.log()
    assert {path.name for path in output.rglob("CT.*")} == set(sender.stored)
    assert sorted(ran.read_text().split()) == sorted(sender.stored)


@pytest.mark.parametrize("title", ["coordinator", "worker 1", "worker 2"])
def test_kill_in_the_middle_of_a_reload_costs_no_more_than_any_other(tmp_path: Path, title: str) -> None:
    output, ran = tmp_path / "output", tmp_path / "ran"
    output.mkdir()
    with FastscpServer(["--workers", "2", "-dhl", "-su", "s", "-xcr", f"echo '#f' >> {ran}", "-od", output]) as server:
        stored = [f"CT.{store_one(server.port)}"]
        former = {process.pid for process in server.role("worker")}
        server.signal(signal.SIGHUP)
        wait_until(lambda: {process.pid for process in server.role("worker")} - former, "the first new worker")
        for process in server.role(title):
            process.kill()
        begin = time.monotonic()
        while True:
            try:
                stored.append(f"CT.{store_one(server.port)}")
                break
            except (Aborted, OSError, AssertionError):
                assert time.monotonic() - begin < BACK_WITHIN_S
        wait_until(lambda: len(workers := {process.pid for process in server.role("worker")}) == 2 and not workers & former,
                   "the reload goes on")
        stored.append(f"CT.{store_one(server.port)}")
        wait_until(lambda: set(stored) <= set(ran.read_text().split()), "hooks run")
    assert set(stored) <= {path.name for path in output.rglob("CT.*")}
