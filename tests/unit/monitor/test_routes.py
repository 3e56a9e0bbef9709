"""What is served, from a memory in which a test has counted."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from fastscp.metrics import table
from fastscp.metrics.board import Board
from fastscp.monitor.disks import Disks
from fastscp.monitor.history import History
from fastscp.monitor.http import Request
from fastscp.monitor.machine import Machine
from fastscp.monitor.routes import Facts, Routes, names_this_machine
from fastscp.monitor.totals import Reader
from tests.support.metrics import samples_of


class Bench:
    """A service whose processes are all this one."""

    def __init__(self, *, mark: int = 0, local: bool = True) -> None:
        self.board = Board()
        self.acceptor, self.worker = self.board.claim("acceptor"), self.board.claim("worker")
        self.coordinator, self.other = self.board.claim("coordinator"), self.board.claim("worker")
        self.free = 1000
        self.away = False  #: the output directory is not there
        self.reader = Reader(self.board)
        self.machine = Machine(self.board.claim("monitor"), Disks({"output": "/out", "state": "/gone"}, octets=mark), "/gone/state",
                               statvfs=self.statvfs)
        self.history = History()
        self.routes = Routes(self.reader, self.machine, self.history,
                             Facts("4.0", ("4.0", "3.11", "pure"), local, b"<page>"), wall=lambda: 1000.0)
        for metric, value in ((table.RECEIVING, 1), (table.WORKERS_WANTED, 2), (table.WORKERS_UP, 2), (table.STARTED, 900)):
            self.acceptor.set(metric, value)
        self.machine.look(self.reader.processes())

    def statvfs(self, path: str) -> os.statvfs_result:
        if path != "/out" or self.away:
            raise OSError(2, "gone")
        return SimpleNamespace(f_bavail=self.free, f_frsize=1, f_blocks=5000, f_favail=77)  # type: ignore[return-value]

    def get(self, path: str, accept: str = "", host: str = "localhost:9100"):
        return self.routes(Request(path, accept, host))

    def json(self, path: str):
        return json.loads(self.get(path).body)

    def samples(self) -> dict[str, dict[tuple[str, ...], float]]:
        return samples_of(self.get("/metrics").body.decode())


def test_metrics_of_all_processes_are_added_up() -> None:
    bench = Bench()
    bench.worker.add(table.OBJECTS, "CT", "LE", "0000", "", by=3)
    bench.other.add(table.OBJECTS, "CT", "LE", "0000", "", by=4)
    bench.other.add(table.OBJECTS, "CT", "LE", "A700", "")
    bench.worker.set(table.ASSOCIATIONS_OPEN, 2)
    bench.other.set(table.ASSOCIATIONS_OPEN, 5)
    bench.worker.observe(table.OBJECT_SECONDS, 0.002)
    bench.other.observe(table.OBJECT_SECONDS, 99.0)
    found = bench.samples()
    assert found["fastscp_objects_total"] == {("CT", "LE", "0000", ""): 7, ("CT", "LE", "A700", ""): 1}
    assert found["fastscp_associations_open"][()] == 7
    buckets = found["fastscp_object_duration_seconds_bucket"]
    assert (buckets["0.001",], buckets["0.0025",], buckets["30.0",], buckets["+Inf",]) == (0, 1, 1, 2)
    assert found["fastscp_object_duration_seconds_count"][()] == 2
    assert found["fastscp_build_info"] == {("4.0", "3.11", "pure"): 1}
    assert found["fastscp_disk_free_bytes"] == {("output",): 1000}
    assert found["fastscp_disk_free_inodes"] == {("output",): 77}


def test_the_format_is_the_one_that_is_asked_for() -> None:
    bench = Bench()
    bench.worker.add(table.OBJECTS, "CT", 'L"E\n', "0000", "")
    plain = bench.get("/metrics")
    assert plain.content_type.startswith("text/plain; version=")
    asked = bench.get("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert asked.content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(asked.body.decode())}
    assert families["fastscp_objects"].samples[0].labels["transfer_syntax"] == 'L"E\n'
    assert set(families) <= {metric.name for metric in table.METRICS}


def test_every_metric_without_labels_is_there_from_the_start() -> None:
    found = Bench().samples()
    for metric in table.METRICS:
        if not metric.labels and metric.kind is not table.Kind.HISTOGRAM:
            assert () in found[metric.exposed], metric.name


def test_ready_and_healthy() -> None:
    bench = Bench()
    assert bench.get("/readyz").status == bench.get("/healthz").status == 200
    assert bench.json("/readyz")["ok"] is True
    assert set(bench.json("/readyz")["checks"]) == {"receiving", "draining", "disk"}
    assert set(bench.json("/healthz")["checks"]) == {"acceptor", "workers", "coordinator"}


@pytest.mark.parametrize(("metric", "value", "check"), [(table.RECEIVING, 0, "receiving"), (table.DRAINING, 1, "draining")])
def test_not_ready_says_why(metric: table.Metric, value: float, check: str) -> None:
    bench = Bench()
    bench.acceptor.set(metric, value)
    assert bench.get("/readyz").status == 503
    assert [name for name, one in bench.json("/readyz")["checks"].items() if not one["ok"]] == [check]


def test_not_ready_without_room() -> None:
    bench = Bench(mark=1001)
    assert bench.get("/readyz").status == 503
    bench.free = 1001
    bench.machine.look(bench.reader.processes())
    assert bench.get("/readyz").status == 200


def test_not_ready_without_the_output_directory() -> None:
    """Every object would be refused."""
    bench = Bench()
    bench.away = True
    bench.machine.look(bench.reader.processes())
    assert bench.get("/readyz").status == 503
    assert bench.json("/readyz")["checks"]["disk"] == {"ok": False, "detail": "the output directory is not there"}
    assert "fastscp_disk_free_bytes" not in bench.samples()
    bench.away = False
    bench.machine.look(bench.reader.processes())
    assert bench.get("/readyz").status == 200


def test_not_healthy_without_workers() -> None:
    bench = Bench()
    bench.acceptor.set(table.WORKERS_WANTED, 3)
    assert bench.get("/healthz").status == 503
    assert bench.json("/healthz")["checks"]["workers"] == {"ok": False, "detail": "2 of 3 processes"}


def test_nothing_else_is_served() -> None:
    bench = Bench()
    assert bench.get("/").body == b"<page>"
    assert bench.get("/etc/passwd").status == bench.get("//metrics").status == 404
    for path in ("/", "/metrics", "/status", "/healthz", "/nothing"):
        headers = dict(bench.get(path).headers)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not any(name.startswith("Access-Control") for name in headers)


def test_a_page_of_another_site_is_answered_nothing() -> None:
    assert Bench().get("/status", host="rebound.example.com:9100").status == 421
    assert Bench(local=False).get("/status", host="rebound.example.com:9100").status == 200
    for host in ("localhost", "localhost:9100", "127.0.0.1:9100", "[::1]:9100", "[::1]", "a.localhost:1"):
        assert names_this_machine(host), host
    for host in ("example.com", "127.0.0.1.example.com", "localhost.example.com:80", "evil:localhost"):
        assert not names_this_machine(host), host


def test_status_has_what_all_processes_report() -> None:
    bench = Bench()
    bench.worker.report({"associations": [{"association": "a", "seconds": 1, "octets": 1}], "refusals": [{"time": 1, "reason": "x"}]})
    bench.other.report({"associations": [{"association": "b", "seconds": 9, "octets": 1}], "refusals": []})
    bench.acceptor.report({"refusals": [{"time": 2, "reason": "y"}]})
    bench.coordinator.report({"studies": [{"last": 1}], "completed": [{"time": 1}], "running": [], "ended": []})
    found = bench.json("/status")
    assert [one["association"] for one in found["associations"]] == ["b", "a"]
    assert [one["reason"] for one in found["refusals"]] == ["y", "x"]
    assert found["studies"] == {"open": [{"last": 1}], "completed": [{"time": 1}]}
    assert found["metrics"]["fastscp_receiving"] == 1
    assert found["ready"]["ok"]
    assert [process["role"] for process in found["processes"]] == ["acceptor", "worker", "coordinator", "worker", "monitor"]


def test_events_are_a_stream_of_the_status_and_the_last_minutes() -> None:
    bench = Bench()
    for second in range(3):
        bench.worker.add(table.OBJECTS, "CT", "LE", "0000", "", by=10)
        bench.worker.add(table.OBJECTS, "CT", "LE", "A700", "", by=2)
        bench.worker.add(table.OBJECT_BYTES, "CT", "LE", "", by=1000)
        bench.history.look(bench.reader.totals(), 1000.0 + 2 * second)
    response = bench.get("/events")
    assert response.stream
    assert response.content_type == "text/event-stream"
    assert response.body.startswith(b"data: {")
    assert response.body.endswith(b"}\n\n")
    assert response.body.count(b"\n") == 2
    assert json.loads(response.body[6:])["history"] == [[1002.0, 5.0, 500.0, 0.0, 1.0], [1004.0, 5.0, 500.0, 0.0, 1.0]]


def test_cpu_time_only_grows_over_deaths() -> None:
    used = {7: 5.0, 8: 1.0}

    class Handle:
        def __init__(self, pid: int) -> None:
            if pid not in used:
                raise psutil.NoSuchProcess(pid)
            self.pid = pid

        def oneshot(self):
            return self

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

        def cpu_times(self):
            return SimpleNamespace(user=used[self.pid], system=0.5)

        def memory_info(self):
            return SimpleNamespace(rss=100)

        def num_fds(self) -> int:
            return 3

    board = Board()
    ledger, reader = board.claim("monitor"), Reader(board)
    machine = Machine(ledger, Disks({}), None, process_of=Handle)  # type: ignore[arg-type]

    def cpu(*pids: int) -> float:
        machine.look([SimpleNamespace(role="worker", pid=pid) for pid in pids])  # type: ignore[misc]
        return reader.totals().of(table.CPU_SECONDS, "worker")

    assert cpu(7, 8) == 7.0
    used[7] = 6.0
    assert cpu(7, 8) == 8.0
    assert cpu(8) == 8.0
    del used[7]
    used[9] = 0.5
    assert cpu(7, 8, 9) == 9.0
    totals = reader.totals()
    machine.tell(totals)
    assert totals.of(table.PROCESSES, "worker") == 2
    assert totals.of(table.MEMORY, "worker") == 200
