"""What a running service says and tells of what it refuses: real processes, real clients."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.pki import Authority
from tests.support.rawscu import RawSCU, associate_rq, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until


class Told:
    """The event stream of a service, in a file."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "events"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def wait(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.of(kind)) >= count, f"{count} of {kind}")
        return self.of(kind)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def begin(server: FastscpServer, uid: str) -> RawSCU:
    scu = RawSCU("127.0.0.1", server.port)
    scu.associate(CT_CONTEXT)
    scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, data_set(uid)[:900])))
    return scu


def test_every_object_of_an_association_has_its_outcome(output: Path, told: Told) -> None:
    good, cut, other, lost = (fresh_uid() for _ in range(4))
    with FastscpServer(["-dhl", "-od", output, "--event-log", told.path]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT, calling="CT1", called="GATEWAY")
            assert scu.store(1, CT, good, data_set(good)) == 0
            scu.send(p_data(pdv(1, 3, c_store_rq(CT, cut))) + p_data(pdv(1, 2, data_set(cut)[:-100])))
            comment = scu.read_command()[0x0902]
            assert scu.store(1, CT, other, data_set(good)) == 0xA900
            scu.send(p_data(pdv(1, 3, c_store_rq(CT, lost))) + p_data(pdv(1, 0, data_set(lost)[:900])))
            scu.abort()
        (closed,) = told.wait("association.closed")
        log = server.log().decode()
    assert comment.startswith(b"(7FE0,0010) data set ends inside a value")
    assert [event["sop_instance_uid"] for event in told.of("object.stored")] == [good]
    refused = told.of("object.refused")
    assert [(event["sop_instance_uid"], event["status"], event["tag"]) for event in refused] == [
        (cut, 0xC000, "7FE0,0010"), (other, 0xA900, "0008,0018"), (lost, None, None)]
    for event in refused:
        assert (event["calling_aet"], event["called_aet"], event["peer"]) == ("CT1", "GATEWAY", "127.0.0.1")
        assert event["association"] == closed["association"]
    assert (closed["how"], closed["stored"], closed["refused"]) == ("aborted", 1, 3)
    assert closed["octets"] == (output / f"CT.{good}").stat().st_size
    for uid in (cut, other, lost):
        (line,) = [line for line in log.splitlines() if f"SOP instance {uid}" in line]
        assert line.startswith("E: object of 127.0.0.1 (CT1 -> GATEWAY) ")
    assert log.count("\n") == 3


def test_json_log_has_the_facts_as_fields(output: Path) -> None:
    uid = fresh_uid()
    with FastscpServer(["-dhl", "-od", output, "--log-json"]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            assert scu.store(1, CT, uid, data_set(uid)[:-100]) == 0xC000
            scu.release()
        (line,) = [json.loads(line) for line in server.log().splitlines()]
    assert line["level"] == "error"
    assert (line["sop_instance_uid"], line["status"], line["tag"]) == (uid, 0xC000, "7FE0,0010")
    assert line["offset"] < len(data_set(uid))
    assert uid in line["message"]


def test_objects_under_way_are_told_of_when_the_service_is_stopped_at_once(output: Path, told: Told) -> None:
    uid = fresh_uid()
    with FastscpServer(["-od", output, "--event-log", told.path]) as server:
        scu = begin(server, uid)
        told.wait("association.opened")
        server.signal(signal.SIGTERM)
        wait_until(lambda: _refuses(server.port), "draining")
        server.signal(signal.SIGTERM)
        assert server.process is not None
        server.process.wait(30)
        scu.close()
    (event,) = told.of("object.refused")
    assert (event["sop_instance_uid"], event["status"], event["reason"]) == (uid, None, "the service stops")


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_death_of_a_worker_closes_its_associations_without_numbers(output: Path, told: Told) -> None:
    with FastscpServer(["--workers", "1", "-od", output, "--event-log", told.path]) as server:
        scu = begin(server, fresh_uid())
        told.wait("association.opened")
        server.role("worker")[0].kill()
        (closed,) = told.wait("association.closed")
        scu.close()
    assert (closed["how"], closed["stored"], closed["refused"], closed["octets"]) == ("failed", None, None, None)


def test_outcomes_behind_the_death_of_a_coordinator_are_told_to_the_next(output: Path, told: Told) -> None:
    uid = fresh_uid()
    with FastscpServer(["-od", output, "--event-log", told.path]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            told.wait("association.opened")
            server.role("coordinator")[0].kill()
            told.wait("association.opened", 2)
            assert scu.store(1, CT, uid, data_set(uid)[:-100]) == 0xC000
            scu.release()
        (event,) = told.wait("object.refused")
    assert event["sop_instance_uid"] == uid


@pytest.mark.oracle
def test_connection_refused_by_a_rule_is_told_to_the_stream(output: Path, told: Told, tmp_path: Path) -> None:
    deny = tmp_path / "hosts.deny"
    deny.write_text("ALL: ALL\n")
    allow = tmp_path / "hosts.allow"
    allow.write_text("")
    with FastscpServer(["-dhl", "+ac", "--hosts-allow", allow, "--hosts-deny", deny, "-od", output,
                        "--event-log", told.path]) as server:
        assert subprocess.run(["echoscu", "127.0.0.1", str(server.port)], capture_output=True, check=False).returncode
        (event,) = told.wait("connection.refused")
    assert event["peer"] == "127.0.0.1"
    assert event["reason"] == f"access denied by {deny}:1"


def test_rejected_association_is_told_to_the_stream(output: Path, told: Told) -> None:
    with FastscpServer(["-dhl", "-od", output, "--event-log", told.path]) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
            request = bytearray(associate_rq(CT_CONTEXT, calling="CT1", called="GATEWAY"))
            request[6:8] = b"\0\0"  # protocol version
            sock.sendall(request)
            assert sock.recv(1) == b"\x03"
        (event,) = told.wait("association.rejected")
    assert (event["calling_aet"], event["called_aet"], event["peer"]) == ("CT1", "GATEWAY", "127.0.0.1")
    assert "Protocol Version Not Supported" in event["reason"]


@pytest.mark.oracle
def test_sender_whose_contexts_are_all_refused_is_one_warning(output: Path) -> None:
    with FastscpServer(["-dhl", "--workers", "2", "-od", output]) as server:
        done = subprocess.run(["findscu", "-W", "-aet", "CT1", "-k", "0008,0052=PATIENT", "-k", "PatientName", "127.0.0.1",
                               str(server.port)], capture_output=True, check=False)
        wait_until(lambda: b"no presentation context" in server.log(), "the warning")
        log = server.log().decode()
    assert done.returncode
    assert log.startswith("W: no presentation context of 127.0.0.1 (CT1 -> ANY-SCP) is acceptable: "
                          "1.2.840.10008.5.1.4.31 (LittleEndian")
    assert log.count("\n") == 1


def test_hooks_that_fail_are_named_and_told(output: Path, told: Told) -> None:
    uid = fresh_uid()
    with FastscpServer(["-dhl", "-od", output, "-su", "S", "-tos", "1", "-xcs", "exit 7", "--event-log", told.path]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT, calling="CT1")
            assert scu.store(1, CT, uid, data_set(uid)) == 0
            scu.release()
        (ended,) = told.wait("hook.ended")
        wait_until(lambda: b"exit status 7" in server.log(), "the failed hook in the log")
        log = server.log().decode()
    (completed,), (started,) = told.of("study.completed"), told.of("hook.started")
    assert (completed["calling_aet"], completed["peer"]) == ("CT1", "127.0.0.1")
    directory = completed["directory"]
    for event in (started, ended):
        assert (event["study_uid"], event["directory"], event["command"]) == (completed["study_uid"], directory, "exit 7")
    assert ended["status"] == 7
    assert f"study hook 1 of study {completed['study_uid']} in {directory} (exit 7) ended with exit status 7" in log


def test_start_reload_and_end_are_said_once_by_one_process(output: Path) -> None:
    with FastscpServer(["-v", "--workers", "4", "-od", output]) as server:
        server.signal(signal.SIGHUP)
        wait_until(lambda: b"reloading" in server.log(), "reload")
        server.stop()
        lines = server.log().decode().splitlines()
    assert lines == [f"I: listening on 0.0.0.0:{server.port} (no TLS), 4 workers, output directory {output}",
                     "I: reloading configuration, access rules, certificates and the event log",
                     "I: draining: no further connections, 0 may end within 30 seconds", "I: stopped"]


@pytest.fixture
def secured(tmp_path: Path) -> list[str]:
    """TLS with a file that is worth a warning each time it is read."""
    identity = Authority.make(tmp_path / "pki").issue("localhost")
    return ["+tls", str(identity.key_file()), str(identity.certificate_file()), "-ic", "+dp", str(tmp_path / "none")]


def test_warnings_of_a_reload_are_said_once(output: Path, secured: list[str]) -> None:
    with FastscpServer(["-v", "--workers", "4", *secured, "-od", output]) as server:
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log().count(b"DH parameter") >= 2, "reload")
        server.stop()
        lines = server.log().decode().splitlines()
    assert f"I: listening on 0.0.0.0:{server.port} (TLS), 4 workers, output directory {output}" in lines
    assert sum("DH parameter" in line for line in lines) == 2, "at the start, and at the reload"


def test_certificates_that_cannot_be_reloaded_are_said_once(output: Path, secured: list[str]) -> None:
    with FastscpServer(["--workers", "4", *secured, "-od", output]) as server:
        Path(secured[2]).write_text("no certificate")
        server.signal(signal.SIGHUP)
        wait_until(lambda: b"not reloaded" in server.log(), "failed reload")
        server.stop()
        assert server.log().count(b"not reloaded") == 1


def test_death_of_the_acceptor_process_is_said_once(output: Path) -> None:
    with FastscpServer(["--workers", "4", "-od", output]) as server:
        family = server.family()
        assert server.process is not None
        server.process.kill()
        wait_until(lambda: all(not process.is_running() or process.status() == "zombie" for process in family),
                   "everybody has ended")
        log = server.log().decode()
    assert log.count("the acceptor process is gone") == 1
