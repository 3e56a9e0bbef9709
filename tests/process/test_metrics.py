"""The metrics of a running service: they agree with what was sent, whoever dies, and hold nobody up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from fastscp.dicom.uids import TRANSFER_SYNTAXES
from tests.support.hostile import associated, connect, store_one
from tests.support.metrics import Samples, Scraper, went_back
from tests.support.objects import CT, EXPLICIT_LE, IMPLICIT_LE, MULTI_FRAME_SC, data_set, fresh_uid
from tests.support.rawscu import Aborted, RawSCU
from tests.support.servers import FastscpServer, free_port, wait_until
from tests.support.upgrades import UpgradableServer

SYNTAX = TRANSFER_SYNTAXES[EXPLICIT_LE].name
SORTED = ["-su", "study", "-tos", "600"]
QUICK: list[str] = []  #: nobody wants to know of objects: the express lane may take them


class Sender:
    """Sends objects on associations of its own until it is told to stop; counts what was answered."""

    def __init__(self, port: int, title: str) -> None:
        self.port, self.title = port, title
        self.confirmed = 0
        self.sent = 0
        self.associations = 0
        self.lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Sender:
        self._thread.start()
        return self

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        contexts = [(1, CT, [EXPLICIT_LE]), (3, MULTI_FRAME_SC, [EXPLICIT_LE])]
        while not self._stop.is_set():
            try:
                with RawSCU("127.0.0.1", self.port) as scu:
                    scu.associate(contexts, calling=self.title)
                    self.associations += 1
                    for _ in range(10):
                        self.sent += 1
                        uid = fresh_uid()
                        assert scu.store(1, CT, uid, data_set(uid, pixels=20_000)) == 0
                        self.confirmed += 1
                    scu.release()
            except (Aborted, OSError):
                self.lost += 1


def serve(directory: Path, *options: str | Path) -> tuple[FastscpServer, Scraper]:
    directory.mkdir(exist_ok=True)
    port = free_port()
    return FastscpServer(["--workers", "2", "-dhl", "--metrics", str(port), "-od", directory, *options]), Scraper(port)


@pytest.mark.parametrize("options", [QUICK, SORTED], ids=["quick", "sorted"])
def test_counts_agree_with_what_was_sent_to_the_object(tmp_path: Path, options: list[str]) -> None:
    server, scraper = serve(tmp_path / "in", *options)
    with server:
        octets = 0
        for number in range(3):
            with RawSCU("127.0.0.1", server.port) as scu:
                scu.associate([(1, CT, [EXPLICIT_LE]), (3, CT, [IMPLICIT_LE]), (5, MULTI_FRAME_SC, [EXPLICIT_LE])], calling="ONE")
                for _ in range(20 + number):
                    uid = fresh_uid()
                    assert scu.store(1, CT, uid, data_set(uid, pixels=5000)) == 0
                for _ in range(2):
                    uid = fresh_uid()
                    assert scu.store(5, MULTI_FRAME_SC, uid, data_set(uid, sop_class=MULTI_FRAME_SC)) == 0
                uid = fresh_uid()
                assert scu.store(1, CT, uid, data_set(fresh_uid())) & 0xF000 in {0xA000, 0xC000}  # another UID in its data set
                scu.release()
        wait_until(lambda: scraper.value("fastscp_associations_open") == 0, "no association is open")
        found = scraper.samples()
        objects = found["fastscp_objects_total"]
        stored = {labels: value for labels, value in objects.items() if labels[2] == "0000"}
        assert sorted(stored.values()) == [6, 63]
        assert sum(objects.values()) == 72
        assert {labels[1] for labels in objects} == {SYNTAX}
        octets = sum(path.stat().st_size for path in (tmp_path / "in").rglob("*.*") if path.name.startswith(("CT.", "SC", "MF")))
        assert sum(found["fastscp_object_bytes_total"].values()) == octets
        assert found["fastscp_title_objects_total"] == {("ONE", "stored"): 69, ("ONE", "refused"): 3}
        assert found["fastscp_associations_accepted_total"][()] == 3
        assert found["fastscp_associations_ended_total"] == {("released",): 3}
        assert found["fastscp_object_duration_seconds_count"][()] == 72
        assert found["fastscp_connections_accepted_total"][()] == 3


@pytest.mark.parametrize("options", [QUICK, SORTED], ids=["quick", "sorted"])
def test_no_death_takes_anything_back(tmp_path: Path, options: list[str]) -> None:
    """What was answered is counted, what is counted is on the disk, and no counter goes back, whoever is killed."""
    server, scraper = serve(tmp_path / "in", *options)
    with server:
        senders = [Sender(server.port, f"S{number}").start() for number in range(3)]
        before: Samples = scraper.samples()
        backward: list[str] = []
        for title in ("worker", "monitor", "worker", "coordinator", "worker"):
            reached = sum(sender.confirmed for sender in senders)
            wait_until(lambda reached=reached: sum(sender.confirmed for sender in senders) > reached + 30, "objects")
            victim = server.role(title)[0]
            victim.kill()
            victim.wait(30)
            wait_until(lambda: answers(scraper), "metrics again")
            after = scraper.samples()
            backward += went_back(before, after)
            before = after
        for sender in senders:
            sender.finish()
        wait_until(lambda: scraper.value("fastscp_associations_open") == 0, "no association is open")
        found = scraper.samples()
        backward += went_back(before, found)
        assert not backward
        counted = sum(value for labels, value in found["fastscp_objects_total"].items() if labels[2] == "0000")
        files = sum(1 for path in (tmp_path / "in").rglob("CT.*"))
        confirmed = sum(sender.confirmed for sender in senders)
        assert confirmed <= counted <= files
        assert counted - confirmed <= sum(sender.lost for sender in senders)
        assert found["fastscp_process_restarts_total"]["worker",] == 3
        assert found["fastscp_process_restarts_total"]["coordinator",] == 1
        assert found["fastscp_process_restarts_total"]["monitor",] == 1
        assert found["fastscp_processes"]["worker",] == 2


def answers(scraper: Scraper) -> bool:
    try:
        return scraper.get("/healthz")[0] == 200
    except OSError:
        return False


def test_clients_of_dcmtk_are_counted_by_class_syntax_and_title(tmp_path: Path) -> None:
    if not any(os.access(os.path.join(path, "storescu"), os.X_OK) for path in os.environ["PATH"].split(":")):
        pytest.skip("needs storescu of DCMTK")
    server, scraper = serve(tmp_path / "in")
    path = tmp_path / "one.dcm"
    with server:
        store_one(server.port)
        (stored,) = (tmp_path / "in").glob("CT.*")
        path.write_bytes(stored.read_bytes())
        subprocess.run(["storescu", "-aet", "MODALITY", "127.0.0.1", str(server.port), *[str(path)] * 3], check=True, timeout=60)
        wait_until(lambda: scraper.value("fastscp_title_objects_total", "MODALITY", "stored") == 3, "three objects")
        assert scraper.sum("fastscp_objects_total") == 4


def test_studies_and_hooks_are_counted_and_shown(tmp_path: Path) -> None:
    server, scraper = serve(tmp_path / "in", "-su", "study", "-tos", "1", "-xcr", "true", "--exec-on-eostudy", "exit 3")
    with server:
        store_one(server.port)
        with associated(server.port) as scu:
            wait_until(lambda: scraper.json("/status")["associations"], "the association is shown")
            (shown,) = scraper.json("/status")["associations"]
            assert shown["peer"] == "127.0.0.1"
            assert shown["called_aet"]
            scu.release()
        wait_until(lambda: scraper.sum("fastscp_hooks_ended_total") == 2, "the end of the study's hook")
        found = scraper.samples()
        assert found["fastscp_studies_completed_total"] == {("timeout",): 1}
        assert found["fastscp_hooks_ended_total"] == {("reception", "0"): 1, ("study", "3"): 1}
        assert found["fastscp_hook_duration_seconds_count"] == {("reception",): 1, ("study",): 1}
        wait_until(lambda: len(scraper.json("/status")["hooks"]["ended"]) == 2, "hooks are shown")
        status = scraper.json("/status")
        assert [study["reason"] for study in status["studies"]["completed"]] == ["timeout"]
        assert {hook["status"] for hook in status["hooks"]["ended"]} == {0, 3}
        assert found["fastscp_state_bytes"][()] > 0


def test_refusals_are_shown_with_their_reasons(tmp_path: Path) -> None:
    server, scraper = serve(tmp_path / "in", "--max-associations-per-host", "1")
    with server:
        with associated(server.port), pytest.raises(Aborted):
            associated(server.port)
        wait_until(lambda: scraper.json("/status")["refusals"], "the refusal")
        (refusal,) = scraper.json("/status")["refusals"]
        assert refusal["what"] == "association rejected"
        assert "Local Limit Exceeded" in refusal["reason"]
        assert scraper.sum("fastscp_associations_rejected_total") == 1


def test_a_service_that_drains_is_not_ready(tmp_path: Path) -> None:
    server, scraper = serve(tmp_path / "in")
    with server:
        assert scraper.get("/readyz")[0] == 200
        with associated(server.port) as scu:
            uid = fresh_uid()
            scu.store(1, CT, uid, data_set(uid))
            server.signal(signal.SIGTERM)
            wait_until(lambda: scraper.get("/readyz")[0] == 503, "not ready")
            assert scraper.json("/readyz")["checks"]["draining"]["ok"] is False
            scu.release()
        assert server.process is not None
        assert server.process.wait(30) == 0
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", int(scraper.base.rpartition(":")[2])))


def test_clients_that_are_stuck_hold_nobody_up(tmp_path: Path) -> None:
    server, scraper = serve(tmp_path / "in")
    with server:
        port = int(scraper.base.rpartition(":")[2])
        stuck = [connect(port) for _ in range(40)]
        for sock in stuck[:20]:
            sock.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        store_one(server.port)
        assert scraper.sum("fastscp_objects_total") == 1
        (monitor,) = server.role("monitor")
        monitor.suspend()
        for _ in range(5):
            store_one(server.port)
        monitor.resume()
        wait_until(lambda: scraper.sum("fastscp_objects_total") == 6, "six objects")
        for sock in stuck:
            sock.close()


def test_another_program_goes_on_counting(tmp_path: Path) -> None:
    port = free_port()
    scraper = Scraper(port)
    (tmp_path / "in").mkdir()
    with UpgradableServer(["--workers", "2", "-dhl", "--metrics", str(port), "-od", tmp_path / "in"]) as server:
        for _ in range(3):
            store_one(server.port)
        before = scraper.samples()
        server.upgraded()
        wait_until(lambda: answers(scraper), "metrics of the new program")
        assert not went_back(before, scraper.samples())
        store_one(server.port)
        assert scraper.sum("fastscp_objects_total") == 4
        wait_until(lambda: scraper.get("/readyz")[0] == 200, "ready")


def test_ready_goes_by_what_a_reload_brings(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "f.toml"
    scraper = Scraper(port)
    text = f"output-directory = '{tmp_path}'\nmetrics = '{port}'\nworkers = 1\ndisable-host-lookup = true\n"
    file.write_text(text)
    with FastscpServer(["--config", file]) as server:
        wait_until(lambda: answers(scraper) and scraper.get("/readyz")[0] == 200, "ready")
        (monitor,) = server.role("monitor")
        (tmp_path / "ct").mkdir()
        file.write_text(f"{text}min-free = '100000T'\n[[sender]]\nname = 'ct'\noutput-directory = '{tmp_path}/ct'\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: scraper.get("/readyz")[0] == 503, "the disk is too full")
        wait_until(lambda: ("output of ct",) in scraper.samples()["fastscp_disk_free_bytes"], "the directory of the section")
        assert [process.pid for process in server.role("monitor")] == [monitor.pid], "its memory of the last minutes is kept"


def test_a_port_that_is_taken_is_told_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([sys.executable, "-m", "fastscp", "--metrics", str(port), "-od", tmp_path, str(free_port())],
                              capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"cannot serve metrics on 127.0.0.1 port" in done.stderr


def test_without_the_option_nothing_is_there(tmp_path: Path) -> None:
    with FastscpServer(["--workers", "2", "-dhl", "-od", tmp_path]) as server:
        store_one(server.port)
        assert not server.role("monitor")
        maps = [m.path for process in server.family() for m in process.memory_maps()]
        assert not any("fastscp-metrics" in path for path in maps)


@pytest.mark.slow
def test_a_scrape_each_second_costs_less_than_a_hundredth_of_a_cpu(tmp_path: Path) -> None:
    server, scraper = serve(tmp_path / "in")
    with server:
        for _ in range(3):
            store_one(server.port)
        (monitor,) = server.role("monitor")
        scraper.get("/metrics")
        before = cpu(monitor)
        end = time.monotonic() + 10
        scrapes = 0
        while time.monotonic() < end:
            scraper.get("/metrics")
            scrapes += 1
            time.sleep(1)
        assert (cpu(monitor) - before) / scrapes < 0.01


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def test_fastscp_top_shows_it(tmp_path: Path) -> None:
    server, scraper = serve(tmp_path / "in")
    with server:
        store_one(server.port)
        done = subprocess.run([sys.executable, "-m", "fastscp.cli.top", scraper.base, "--once"], capture_output=True, text=True,
                              timeout=60, check=True, env={**os.environ, "COLUMNS": "140"})
    assert "receiving" in done.stdout
    assert "objects 1 " in done.stdout
