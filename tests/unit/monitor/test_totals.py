from __future__ import annotations

import os
import signal

from fastscp.metrics import table
from fastscp.metrics.board import Board
from fastscp.monitor.totals import Reader


def test_of_the_dead_only_counters_stay() -> None:
    board = Board()
    reader = Reader(board)
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        ledger = board.claim("worker")
        ledger.add(table.QUARANTINED, by=3)
        ledger.observe(table.OBJECT_SECONDS, 0.1)
        ledger.set(table.ASSOCIATIONS_OPEN, 5)
        ledger.report({"associations": []})
        os.write(told, b"x")
        signal.pause()
        os._exit(1)
    assert os.read(ready, 1) == b"x"
    os.close(ready)
    os.close(told)
    assert reader.totals().of(table.ASSOCIATIONS_OPEN) == 5
    assert [(process.role, process.pid, process.report) for process in reader.processes(reports=True)] == [
        ("worker", pid, {"associations": []})]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    totals = reader.totals()
    assert totals.of(table.ASSOCIATIONS_OPEN) == 0
    assert totals.of(table.QUARANTINED) == 3
    assert totals.quantile(table.OBJECT_SECONDS, 0.5) == 0.1
    assert reader.processes() == []


def test_a_series_that_comes_later_is_found() -> None:
    board = Board()
    reader, ledger = Reader(board), board.claim("worker")
    ledger.add(table.STUDIES_COMPLETED, "timeout")
    assert reader.totals().by(table.STUDIES_COMPLETED) == {"timeout": 1}
    ledger.add(table.STUDIES_COMPLETED, "shutdown", by=2)
    assert reader.totals().by(table.STUDIES_COMPLETED) == {"timeout": 1, "shutdown": 2}
    assert reader.totals().sum(table.STUDIES_COMPLETED) == 3


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    board = Board()
    ledger = board.claim("worker")
    assert Reader(board).totals().quantile(table.OBJECT_SECONDS, 0.5) is None
    for value in (0.0005, 0.002, 0.002, 99.0):
        ledger.observe(table.OBJECT_SECONDS, value)
    totals = Reader(board).totals()
    assert [totals.quantile(table.OBJECT_SECONDS, share) for share in (0.25, 0.5, 0.75, 1.0)] == [0.001, 0.0025, 0.0025, 30.0]
