"""``--otlp`` with a collector that decodes what arrives: what a trace says, and that nobody waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import objects
from tests.support.otlp import Collector, attributes
from tests.support.rawscu import Aborted, RawSCU
from tests.support.servers import FastscpServer, free_port, wait_until

ROOT = Path(__file__).parents[2]
ERROR = 2  #: Status.StatusCode.STATUS_CODE_ERROR


def store(port, *uids, release=True, dataset=None):
    with RawSCU("127.0.0.1", port) as scu:
        scu.associate(objects.CT_CONTEXT, calling="CT1", called="GATEWAY")
        statuses = [scu.store(1, objects.CT, uid, dataset or objects.data_set(uid)) for uid in uids]
        if release:
            scu.release()
        else:
            scu.abort()
    return statuses


def exporters(server):
    return [process for process in server.family() if "fastscp: traces" in " ".join(process.cmdline())]


def test_a_span_for_each_association_with_its_objects(tmp_path):
    uids = [objects.fresh_uid() for _ in range(3)]
    broken = objects.fresh_uid()
    with Collector() as collector:
        with FastscpServer(["--otlp", collector.endpoint, "-od", tmp_path, "--workers", "2", "--require-called-aet", "-aet", "GATEWAY"],
                           environment={"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=hospital"}) as server:
            assert store(server.port, *uids) == [0, 0, 0]
            assert store(server.port, broken, dataset=objects.data_set(broken)[:-100]) == [0xC000]
            assert store(server.port, uids[0], release=False) == [0]
            with RawSCU("127.0.0.1", server.port) as scu, pytest.raises(Aborted):
                scu.associate(objects.CT_CONTEXT, called="OTHER")
            wait_until(lambda: len(collector.spans) == 4, "four spans")
            assert len(exporters(server)) == 1
        assert len(collector.spans) == 4
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.headers[0]["x-tenant"] == "hospital"
    assert collector.resources[0]["service.name"] == "fastscp"
    by_how = {}
    for span in collector.spans:
        by_how.setdefault(attributes(span.attributes)["fastscp.how"], []).append(span)
    assert {how: len(spans) for how, spans in by_how.items()} == {"released": 2, "aborted": 1, "rejected": 1}
    whole = next(span for span in by_how["released"] if len(span.events) == 3)
    found = attributes(whole.attributes)
    assert (found["dicom.calling_aet"], found["dicom.called_aet"], found["network.peer.address"]) == ("CT1", "GATEWAY", "127.0.0.1")
    assert (found["fastscp.stored"], found["fastscp.refused"]) == (3, 0)
    assert found["fastscp.octets"] == sum((tmp_path / f"CT.{uid}").stat().st_size for uid in uids)
    told = [attributes(event.attributes) for event in whole.events]
    assert [one["dicom.sop_instance_uid"] for one in told] == uids
    assert {(one["dicom.sop_class_uid"], one["dicom.transfer_syntax_uid"], one["dicom.status"]) for one in told} == {(objects.CT, objects.EXPLICIT_LE, 0)}
    assert [one["fastscp.octets"] for one in told] == [(tmp_path / f"CT.{uid}").stat().st_size for uid in uids]
    assert whole.status.code != ERROR
    assert whole.start_time_unix_nano <= whole.events[0].time_unix_nano <= whole.events[2].time_unix_nano <= whole.end_time_unix_nano
    refused = next(span for span in by_how["released"] if span is not whole)
    event, = refused.events
    assert (event.name, attributes(event.attributes)["dicom.status"]) == ("object.refused", 0xC000)
    assert attributes(event.attributes)["fastscp.reason"]
    for how in ("aborted", "rejected"):
        assert by_how[how][0].status.code == ERROR


def test_a_collector_that_is_away_is_told_once_and_holds_nothing_up(tmp_path):
    port = free_port()
    with FastscpServer(["--otlp", f"http://127.0.0.1:{port}", "-od", tmp_path, "--workers", "1"]) as server:
        for _ in range(3):
            assert store(server.port, objects.fresh_uid()) == [0]
        wait_until(lambda: b"takes no spans, dropping them" in server.log(), "told")
        with Collector(port) as collector:
            def arrives():
                assert store(server.port, objects.fresh_uid()) == [0]
                return collector.spans

            wait_until(arrives, "spans again")
            wait_until(lambda: b"takes spans again" in server.log(), "told again")
        assert server.log().count(b"takes no spans") == 1
        assert server.stop() == 0
        assert b"spans were dropped in all" in server.log()


def test_a_collector_that_never_answers_holds_nothing_up(tmp_path):
    with Collector(silent=True) as collector, FastscpServer(["--otlp", collector.endpoint, "-od", tmp_path, "--workers", "1"]) as server:
        for _ in range(20):
            assert store(server.port, objects.fresh_uid()) == [0]
        assert server.stop() == 0
    assert len(list(tmp_path.glob("CT.*"))) == 20


def test_a_process_that_dies_is_replaced(tmp_path):
    with Collector() as collector, FastscpServer(["--otlp", collector.endpoint, "-od", tmp_path, "--workers", "1"]) as server:
        store(server.port, objects.fresh_uid())
        wait_until(lambda: collector.spans, "a span")
        first, = exporters(server)
        first.send_signal(signal.SIGSTOP)  # it takes nothing, and nobody waits
        assert store(server.port, objects.fresh_uid()) == [0]
        first.kill()

        def another():
            store(server.port, objects.fresh_uid())
            return [process for process in exporters(server) if process.pid != first.pid and process.status() != psutil.STATUS_ZOMBIE]

        wait_until(another, "another")
        before = len(collector.spans)
        wait_until(lambda: store(server.port, objects.fresh_uid()) and len(collector.spans) > before, "spans of the other")


def test_without_the_option_there_is_nothing_of_it(tmp_path):
    with FastscpServer(["-od", tmp_path, "--workers", "1"]) as server:
        assert store(server.port, objects.fresh_uid()) == [0]
        assert exporters(server) == []
        assert not any("opentelemetry" in line for process in server.family() for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines())


def test_what_is_missing_is_said_at_the_start(tmp_path):
    """An environment without the SDK: it is hidden from the import system."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Hidden:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('opentelemetry'):\n            raise ModuleNotFoundError(name)\nsys.meta_path.insert(0, Hidden())\n")
    done = subprocess.run([sys.executable, "-m", "fastscp", "--otlp", "http://127.0.0.1:4318", "-od", str(tmp_path), "11112"], cwd=ROOT, check=False,
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "--otlp needs the OpenTelemetry SDK" in done.stderr
    assert "pip install 'fastscp[otlp]'" in done.stderr


def test_a_wrong_endpoint_is_said_at_the_start(tmp_path):
    done = subprocess.run([sys.executable, "-m", "fastscp", "--otlp", "collector:4317", "-od", str(tmp_path), "11112"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Invalid value for option --otlp (collector:4317): a URL like" in done.stderr
