"""More connections than the workers can take at once: they wait, none is lost, and the service ends in time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import RawSCU, associate_rq
from tests.support.servers import FastscpServer


class FastscpWithFewDescriptors(FastscpServer):
    """Runs with a hard limit of 128 descriptors per process."""

    def command(self) -> list[str]:
        return ["/bin/sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *super().command()]


def request(port: int, count: int) -> list[RawSCU]:
    """Connect and request ``count`` associations without waiting for an answer."""
    scus = [RawSCU("127.0.0.1", port) for _ in range(count)]
    for scu in scus:
        scu.send(associate_rq(CT_CONTEXT))
    return scus


def test_burst_for_stalled_workers_is_served_when_they_go_on(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "2", "-od", tmp_path]) as server:
        workers = [worker.pid for worker in server.role("worker")]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        scus = request(server.port, 800)  # more than two control channels hold
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert all(scu.read_pdu()[0] == 2 for scu in scus)
        for scu in scus:
            scu.close()


def test_drain_reaches_workers_whose_channels_are_full(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "1", "--drain-timeout", "600", "-od", tmp_path]) as server:
        worker = server.role("worker")[0].pid
        os.kill(worker, signal.SIGSTOP)
        scus = request(server.port, 600)
        server.signal(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        for scu in scus:
            scu.close()
        assert server.stop() == 0


def test_connections_beyond_the_descriptors_wait_and_cost_no_worker(tmp_path: Path) -> None:
    with FastscpWithFewDescriptors(["--workers", "2", "-od", tmp_path]) as server:
        workers = [worker.pid for worker in server.role("worker")]
        first = RawSCU("127.0.0.1", server.port)
        first.associate(CT_CONTEXT)
        others = request(server.port, 300)
        uid = fresh_uid()
        assert first.store(1, CT, uid, data_set(uid)) == 0
        for scu in others:
            assert scu.read_pdu()[0] == 2
            scu.close()
        assert [worker.pid for worker in server.role("worker")] == workers
