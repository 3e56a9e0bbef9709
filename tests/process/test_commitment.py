"""Storage commitment by a running service, with pynetdicom as its SCU: told on its association and on another."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pynetdicom import AE

from tests.support.commitment import CLASS, SYNTAXES, Requestor, store
from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.pki import Authority
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until

MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def requestor() -> Iterator[Requestor]:
    made = Requestor()
    yield made
    made.leave()


def service(output: Path, *more: object) -> FastscpServer:
    return FastscpServer(["-v", "-dhl", "-od", output, "--storage-commitment", *more])  # type: ignore[list-item]


def release(association: Any, output: Path) -> None:
    """Release once the answer to the report is there: pynetdicom would send both at once."""
    wait_until(lambda: not list((output / ".fastscp" / "commitments").glob("*.json")), "the request is done with")
    association.release()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("sorting", [[], ["-su", ""]])
def test_told_on_the_same_association(output: Path, requestor: Requestor, syntax: str, sorting: list[str]) -> None:
    with service(output, *sorting) as server:
        uids = store(server.port, 3)
        association = requestor.associate(server.port, syntax)
        status, transaction = requestor.ask(association, uids)
        assert status == 0
        told = requestor.hear()
        assert (told.type, told.transaction, told.committed, told.failed) == (1, transaction, sorted(uids), {})
        release(association, output)


def test_failures_have_their_reasons(output: Path, requestor: Requestor) -> None:
    with service(output, "--commitment-wait", 0) as server:
        good, gone, damaged, other = store(server.port, 4)
        next(output.glob(f"*{gone}")).unlink()
        with next(output.glob(f"*{damaged}")).open("ab") as file:
            file.write(b"more")
        unknown = fresh_uid()
        association = requestor.associate(server.port)
        assert requestor.ask(association, [good, gone, damaged, unknown])[0] == 0
        told = requestor.hear()
        assert (told.type, told.committed) == (2, [good])
        assert told.failed == {gone: 0x0112, damaged: 0x0110, unknown: 0x0112}
        assert requestor.ask(association, [other], sop_class=MR)[0] == 0
        assert requestor.hear().failed == {other: 0x0119}
        release(association, output)


def test_objects_that_come_after_the_request_count(output: Path, requestor: Requestor) -> None:
    with service(output, "--commitment-wait", 20) as server:
        uid = fresh_uid()
        association = requestor.associate(server.port)
        assert requestor.ask(association, [uid])[0] == 0
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT)
            assert scu.store(1, CT, uid, data_set(uid)) == 0
        assert requestor.hear().committed == [uid]
        release(association, output)


@pytest.mark.parametrize(("changes", "status"), [
    ({"action": 2}, 0x0123), ({"requested_class": "1.2.840.10008.1.1"}, 0x0118), ({"requested_instance": "1.2.3"}, 0x0112),
    ({"without": ["TransactionUID"]}, 0x0115), ({"without": ["ReferencedSOPSequence"]}, 0x0115)])
def test_requests_that_are_none(output: Path, requestor: Requestor, changes: dict[str, object], status: int) -> None:
    with service(output) as server:
        association = requestor.associate(server.port)
        assert requestor.ask(association, [fresh_uid()], **changes)[0] == status  # type: ignore[arg-type]
        assert requestor.ask(association, [])[0] == 0x0115
        association.release()
        assert not (output / ".fastscp" / "commitments").exists()


def test_told_on_another_association_when_the_first_is_gone(output: Path, requestor: Requestor) -> None:
    requestor.listen()
    with service(output, "--commitment-wait", 3, "--commitment-peer", requestor.peer) as server:
        (uid,), missing = store(server.port), fresh_uid()
        association = requestor.associate(server.port)
        assert requestor.ask(association, [uid, missing])[0] == 0
        association.release()
        told = requestor.hear()
        assert (told.type, told.committed, told.failed) == (2, [uid], {missing: 0x0112})


def test_requestor_that_is_away_is_told_when_it_is_back(output: Path, requestor: Requestor) -> None:
    with service(output, "--commitment-peer", requestor.peer, "--commitment-retry-pause", 1, "--commitment-give-up", 600) as server:
        uids = store(server.port)
        association = requestor.associate(server.port)
        association_told = requestor.told
        assert requestor.ask(association, uids)[0] == 0
        association.abort()
        if association_told.qsize():  # it was quicker than the end of the association
            association_told.get()
            return
        wait_until(lambda: b"trying again" in server.log(), "a try that fails")
        requestor.listen()
        assert requestor.hear().committed == uids


def test_a_reload_brings_addresses_of_requestors(output: Path, tmp_path: Path, requestor: Requestor) -> None:
    file = tmp_path / "f.toml"
    text = f"storage-commitment = true\noutput-directory = '{output}'\ncommitment-retry-pause = 1\n"
    file.write_text(text)
    with FastscpServer(["-v", "-dhl", "--config", file]) as server:
        uids = store(server.port)
        association = requestor.associate(server.port)
        assert requestor.ask(association, uids)[0] == 0
        association.abort()
        wait_until(lambda: b"no address is configured" in server.log() or requestor.told.qsize(), "a try that fails")
        if requestor.told.qsize():  # it was quicker than the end of the association
            return
        requestor.listen()
        file.write_text(f"{text}commitment-peer = ['{requestor.peer}']\n")
        server.signal(signal.SIGHUP)
        assert requestor.hear().committed == uids


def test_a_reload_does_not_begin_with_commitment(output: Path, tmp_path: Path) -> None:
    """Requests would be taken that nobody carries out."""
    file = tmp_path / "f.toml"
    file.write_text(f"output-directory = '{output}'\nsort-on-study-uid = 'S'\n")
    with FastscpServer(["-v", "-dhl", "--config", file]) as server:
        file.write_text(f"{file.read_text()}storage-commitment = true\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: b"without anything that needs storage commitment: restart it" in server.log(), "the reload is refused")
        association = AE("MODALITY")
        association.add_requested_context(CLASS, SYNTAXES)
        assert not association.associate("127.0.0.1", server.port).is_established


def test_told_below_a_directory_that_is_not_utf_8(tmp_path: Path, requestor: Requestor) -> None:
    output = tmp_path / os.fsdecode(b"o\xff")
    output.mkdir()
    requestor.listen()
    with service(output, "--commitment-peer", requestor.peer) as server:
        uids = store(server.port)
        association = requestor.associate(server.port)
        assert requestor.ask(association, uids)[0] == 0
        association.release()
        assert requestor.hear().committed == uids


def test_request_survives_the_service(output: Path, requestor: Requestor) -> None:
    arguments = ["--commitment-wait", "4", "--commitment-peer", requestor.peer, "--commitment-retry-pause", "1"]
    with service(output, *arguments) as server:
        uids = store(server.port, 2)
        association = requestor.associate(server.port)
        missing = fresh_uid()
        assert requestor.ask(association, [*uids, missing])[0] == 0
        server.kill()
    association.abort()
    requestor.listen()
    with service(output, *arguments):
        told = requestor.hear()
        assert (told.committed, told.failed) == (sorted(uids), {missing: 0x0112})


@pytest.mark.parametrize("victim", ["coordinator", "commitment"])
def test_death_of_a_process_loses_no_request(output: Path, requestor: Requestor, victim: str) -> None:
    requestor.listen()
    with service(output, "--commitment-wait", 3, "--commitment-peer", requestor.peer) as server:
        uids, missing = store(server.port), fresh_uid()
        association = requestor.associate(server.port)
        assert requestor.ask(association, [*uids, missing])[0] == 0
        wait_until(lambda: committing(server), "the process of storage commitment")
        process = committing(server)[0] if victim == "commitment" else server.role("coordinator")[0]
        process.send_signal(signal.SIGKILL)
        told = requestor.hear()
        assert (told.committed, told.failed) == (uids, {missing: 0x0112})


def committing(server: FastscpServer) -> list[psutil.Process]:
    return server.role("commitment")


@pytest.mark.parametrize("options", [["-su", "", "-rns", "-tos", "1"], ["-su", "", "-tos", "1", "--completed-directory", "done"]])
def test_index_follows_files(output: Path, tmp_path: Path, requestor: Requestor, options: list[str]) -> None:
    options = [str(tmp_path / word) if word == "done" else word for word in options]
    with service(output, *options) as server:
        uids = store(server.port, 2)
        before = {path.name for path in output.rglob("CT*")}
        assert len(before) == 2
        wait_until(lambda: not before & {path.name for path in output.rglob("CT*")}, "the end of the studies")
        association = requestor.associate(server.port)
        assert requestor.ask(association, uids)[0] == 0
        assert requestor.hear().committed == sorted(uids)
        release(association, output)


def test_without_the_option_nothing_of_it_is_there(output: Path) -> None:
    with FastscpServer(["-dhl", "-od", output]) as server:
        store(server.port)
        entity = AE()
        entity.add_requested_context("1.2.840.10008.1.20.1")
        association = entity.associate("127.0.0.1", server.port)
        assert not association.accepted_contexts
        association.abort()
    assert [path.name for path in output.iterdir() if path.name.startswith(".")] == []


def index(output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fastscp.cli.index", *words, "-od", str(output)], capture_output=True, text=True,
                          timeout=60, check=False)


def test_index_of_a_running_service_finds_what_is_removed_or_damaged(output: Path) -> None:
    with service(output, "-su", "") as server:
        good, gone, damaged = store(server.port, 3)
        listed = index(output, "list")
        assert [uid in listed.stdout for uid in (good, gone, damaged)] == [True] * 3
        assert index(output, "check").returncode == 0
        next(output.rglob(f"*{gone}")).unlink()
        path = next(output.rglob(f"*{damaged}"))
        octets = bytearray(path.read_bytes())
        octets[-1] ^= 1
        path.write_bytes(octets)
        found = index(output, "check")
        assert found.returncode == 1
        assert found.stdout.count("is missing") == found.stdout.count("has other octets") == 1
        assert index(output, "find", good).returncode == 0


@pytest.mark.parametrize("password", ["", "secret"])
def test_told_with_tls(output: Path, tmp_path: Path, requestor: Requestor, password: str) -> None:
    authority = Authority.make(tmp_path / "ca")
    ours, theirs = authority.issue("gateway"), authority.issue("modality")
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(theirs.certificate_file(), theirs.key_file())
    there.load_verify_locations(authority.certificate_file())
    there.verify_mode = ssl.CERT_REQUIRED
    requestor.listen(ssl_context=there)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain(theirs.certificate_file(), theirs.key_file())
    tls = ["+tls", ours.key_file(password=password), ours.certificate_file(), "+cf", authority.certificate_file()]
    if password:
        tls += ["+pw", password]
    with service(output, *tls, "--commitment-wait", 2, "--commitment-peer", f"{requestor.peer},tls") as server:
        association, missing = requestor.associate(server.port, tls_args=(client, "gateway")), fresh_uid()
        assert requestor.ask(association, [missing])[0] == 0
        association.release()
        assert requestor.hear().failed == {missing: 0x0112}
