"""Everything a hostile peer is known to send, to a service with every feature on: studies, hooks, quarantine, events.

A well-behaved neighbour is served meanwhile. Afterwards the same processes live, what was acknowledged is there and
unchanged, nothing else is, its hooks ran and no others, and descriptors and memory are as they were.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attacked import ALL_CONTEXTS, Attacked, Neighbour, attacked
from tests.support.harm import ACCEPTED_REQUESTS, COMMANDS, FIRST_OCTETS, TITLES, VIOLATIONS
from tests.support.harm_data import DATA_SETS
from tests.support.hostile import (
    ECHO,
    RELEASE_RQ,
    associated,
    connect,
    last_words,
    pdus,
    request,
    reset,
    store_message,
)
from tests.support.objects import CT, EXPLICIT_LE, data_set, fresh_uid
from tests.support.pki import Authority
from tests.support.rawscu import Aborted, associate_rq, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

ROOT = Path(__file__).parents[2]
#: lines without a case of their own in the tables -> the test that does the harm
ELSEWHERE = {
    "W02": "tests/hostile/test_every_line.py::test_connections_that_come_and_go",
    "W24": "tests/hostile/test_every_line.py::test_peer_that_leaves_after_any_octet",
    "W26": "tests/hostile/test_every_line.py::test_peer_that_never_reads",
    "W28": "tests/hostile/test_every_line.py::test_session_in_single_octets_and_cut_at_every_header",
    "N12": "tests/hostile/test_every_line.py::test_strange_maximum",
    "N14": "tests/hostile/test_every_line.py::test_associations_held_open",
    "N15": "tests/hostile/test_every_line.py::test_connections_that_come_and_go",
    "D07": "tests/hostile/test_every_line.py::test_instance_uids",
    "D08": "tests/hostile/test_every_line.py::test_requests_that_differ_from_their_data_sets",
    "D09": "tests/hostile/test_every_line.py::test_one_instance_over_many_associations_at_once",
    "S14": "tests/process/test_hostile_faults.py::test_disk_full_leaves_nothing_and_is_survived",
}
LINES = ["W01", "W02", "W03", "W04", "W05", "W06", "W07", "W08", "W09", "W10", "W11", "W13", "W14", "W15", "W17", "W18", "W20", "W23", "W24", "W25", "W26", "W27", "W28", "N01", "N03", "N04", "N05", "N07", "N09", "N11", "N12", "N13", "N14", "N15", "D01", "D02", "D03", "D05", "D06", "D07", "D08", "D09", "S01", "S02", "S03", "S04", "S06", "S07", "S08", "S10", "S12", "S13", "S14", "S15", "S16", "S19", "S20"]


def test_every_line_has_a_case() -> None:
    cases = {name[:3] for table in (FIRST_OCTETS, ACCEPTED_REQUESTS, VIOLATIONS, COMMANDS, DATA_SETS) for name in table} | {"N11"}
    for line, test in ELSEWHERE.items():
        path, name = test.split("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), line
    assert [line for line in LINES if line not in cases | set(ELSEWHERE)] == []
    assert TITLES


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with attacked(tmp_path_factory.mktemp("every")) as target:
        yield target


def all_end(peers: dict[str, socket.socket], kinds: set[int]) -> None:
    """Every connection ends with PDUs of these types only."""
    for name, sock in peers.items():
        assert {kind for kind, _ in pdus(last_words(sock))} <= kinds, name
        sock.close()


def test_first_octets(target: Attacked) -> None:
    with target.attack():
        peers = {name: connect(target.port) for name in FIRST_OCTETS}
        for name, octets in FIRST_OCTETS.items():
            peers[name].sendall(octets)
        all_end(peers, {3, 7})


def test_negotiation(target: Attacked) -> None:
    with target.attack():
        peers = {name: connect(target.port) for name in ACCEPTED_REQUESTS}
        for name, items in ACCEPTED_REQUESTS.items():
            peers[name].sendall(request(items) + RELEASE_RQ)
        all_end(peers, {2, 6})


def test_titles(target: Attacked) -> None:
    with target.attack():
        peers = {title: (connect(target.port), fresh_uid()) for title in TITLES}
        for title, (sock, uid) in peers.items():
            sock.sendall(request(calling=title, called=title) + store_message(uid) + RELEASE_RQ)
        for title, (sock, uid) in peers.items():
            assert [kind for kind, _ in pdus(last_words(sock))] == [2, 4, 6], title
            target.acknowledged[uid] = data_set(uid)
            sock.close()


def test_violations(target: Attacked) -> None:
    with target.attack():
        peers = {name: associated(target.port, ALL_CONTEXTS).sock for name in VIOLATIONS}
        for name, octets in VIOLATIONS.items():
            peers[name].sendall(octets)
        all_end(peers, {6, 7})


def test_commands(target: Attacked) -> None:
    """Whatever the command is: an abort, or an answer after which the association goes on."""
    with target.attack():
        for name, octets in COMMANDS.items():
            uid, never = fresh_uid(), fresh_uid()
            scu = associated(target.port, ALL_CONTEXTS)
            scu.send(octets(never))
            with contextlib.suppress(Aborted, OSError):
                if scu.read_status() == 0 and name != "D05 C-CANCEL":  # the answer is that to the C-ECHO behind it
                    target.acknowledged[never] = data_set(never)
                assert scu.store(1, CT, uid, data_set(uid)) == 0, name
                target.acknowledged[uid] = data_set(uid)
            scu.close()


@pytest.mark.parametrize("line", sorted({name[:3] for name in DATA_SETS}))
def test_data_sets(target: Attacked, line: str) -> None:
    cases = {name: case for name, case in DATA_SETS.items() if name.startswith(line)}
    with target.attack():
        for name, case in cases.items():
            uid = fresh_uid()
            scu = associated(target.port, ALL_CONTEXTS)
            scu.send(store_message(uid, case.octets(uid), context_id=case.context))
            status = scu.read_status()
            if case.stored is not None:
                assert (status == 0) == case.stored, f"{name}: {status:04X}"
            if status == 0:
                target.acknowledged[uid] = None
            uid = fresh_uid()
            assert scu.store(1, CT, uid, data_set(uid)) == 0, name
            target.acknowledged[uid] = data_set(uid)
            scu.release()


def test_instance_uids(tmp_path: Path) -> None:
    """D07: an object is refused, or stored whole under a name that is only a name, and then its hook runs."""
    with attacked(tmp_path) as target:
        neighbour = Neighbour(target.port)
        neighbour.start()
        stored = 0
        for uid in ("../../x", "/etc/cron.d/x", "..\\x", ".", "..", "", "1\0002", "1.2\nE: forged", "1.2;id", "1.2`id`", "$(id)", "1.2|id",
                    "1.2/../../x", "1" * 65, "1." * 127 + "1", ".fastscp", ".fastscp-1-1.tmp", "\xff\xfe", "-rf"):
            scu = associated(target.port, ALL_CONTEXTS)
            scu.send(store_message(uid, data_set(uid, study="1.9.9")))
            stored += scu.read_status() == 0
            scu.release()
        neighbour.leave()
        target.acknowledged |= neighbour.stored
        wait_until(lambda: len(target.ran.read_text().splitlines()) == len(target.acknowledged) + stored, "hooks ran")
        files = list((target.output / "study_1.9.9").glob("*"))
        assert 0 < len(files) <= stored
        for path in files:
            assert re.fullmatch(r"CT\.[\w .:@-]*", path.name, re.ASCII)
            assert b"1.9.9" in path.read_bytes()
        assert set(os.listdir(tmp_path)) == {"home"}
        assert set(os.listdir(target.output)) == {".fastscp", "study_1.2.3.4", "study_1.9.9"}
        shutil.rmtree(target.output / "study_1.9.9")
        target.ran.write_text("\n".join(target.acknowledged) + "\n")


def test_requests_that_differ_from_their_data_sets(target: Attacked) -> None:
    with target.attack():
        other, mine = fresh_uid(), fresh_uid()
        scu = associated(target.port, ALL_CONTEXTS)
        assert scu.store(1, CT, mine, data_set(other)) == 0xA900
        assert scu.store(1, CT, mine, data_set(mine, sop_class="1.2.840.10008.5.1.4.1.1.4")) == 0xA900
        scu.send(p_data(pdv(1, 3, c_store_rq("1.2.840.10008.5.1.4.1.1.4", mine))) + p_data(pdv(1, 2, data_set(mine))))
        assert scu.read_status() != 0
        scu.release()


def test_one_instance_over_many_associations_at_once(target: Attacked) -> None:
    with target.attack():
        uid = fresh_uid()
        scus = [associated(target.port, ALL_CONTEXTS) for _ in range(8)]
        message = store_message(uid)
        half = len(message) // 2
        for scu in scus:
            scu.send(message[:half])
        for scu in scus:
            scu.send(message[half:])
        assert [scu.read_status() for scu in scus] == [0] * 8
        for scu in scus:
            scu.release()
        target.acknowledged[uid] = data_set(uid)


def test_connections_that_come_and_go(target: Attacked) -> None:
    """W02, N15."""
    with target.attack():
        for number in range(300):
            sock = connect(target.port)
            if number % 3 == 1:
                sock.sendall(associate_rq([(1, CT, [EXPLICIT_LE])]))
            if number % 3:
                reset(sock)
            sock.close()


def test_peer_that_leaves_after_any_octet(target: Attacked) -> None:
    with target.attack():
        uid = fresh_uid()
        message = store_message(uid)
        whole = len(message)
        for number, offset in enumerate([*range(0, 200, 3), *range(200, whole, 211), whole - 1, whole, whole, whole]):
            scu = associated(target.port, ALL_CONTEXTS)
            scu.send(message[:offset])
            if number % 3 == 0:
                reset(scu.sock)
            elif number % 3 == 2:
                with contextlib.suppress(OSError):
                    scu.abort()
            scu.close()
        target.possible.add(uid)


def test_peer_that_never_reads(target: Attacked) -> None:
    with target.attack():
        sock = connect(target.port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(associate_rq([(n, uid, syntaxes) for n, uid, syntaxes in ALL_CONTEXTS]))
        sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                sock.sendall(ECHO * 50)
        reset(sock)


def test_session_in_single_octets_and_cut_at_every_header(target: Attacked) -> None:
    with target.attack():
        for cut in (1, 6, 12):
            uid = fresh_uid()
            session = associate_rq([(1, CT, [EXPLICIT_LE])]) + store_message(uid) + RELEASE_RQ
            with connect(target.port) as sock:
                at = 0
                while at < len(session):
                    step = cut if at < 800 else 1000
                    sock.sendall(session[at:at + step])
                    at += step
                assert [kind for kind, _ in pdus(last_words(sock))] == [2, 4, 6]
            target.acknowledged[uid] = data_set(uid)


def test_strange_maximum(target: Attacked) -> None:
    with target.attack():
        peers = {maximum: (associated(target.port, ALL_CONTEXTS, max_pdu=maximum), fresh_uid()) for maximum in (0, 1, 7, 8, 9, 13, 0xFFFFFFFF)}
        for scu, uid in peers.values():
            scu.send(store_message(uid) + RELEASE_RQ)
        for maximum, (scu, uid) in peers.items():
            assert pdus(last_words(scu.sock))[-1][0] == (7 if maximum in {1, 7} else 6)
            if maximum not in {1, 7}:
                target.acknowledged[uid] = data_set(uid)
            scu.close()


def test_associations_held_open(target: Attacked) -> None:
    with target.attack():
        held = [associated(target.port, ALL_CONTEXTS) for _ in range(200)]
        uid = fresh_uid()
        scu = associated(target.port, ALL_CONTEXTS)
        assert scu.store(1, CT, uid, data_set(uid)) == 0
        target.acknowledged[uid] = data_set(uid)
        scu.release()
        for other in held:
            other.close()


def test_clear_requests_and_broken_handshakes_at_a_port_with_tls(tmp_path: Path) -> None:
    """W06."""
    import ssl

    identity = Authority.make(tmp_path).issue("server")
    output = tmp_path / "output"
    output.mkdir()
    options = ["--workers", "1", "-ta", "1", "-ic", "+tls", identity.key_file(), identity.certificate_file(), "-od", output]
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(193)
    with FastscpServer(options) as server:
        worker = server.role("worker")[0]
        peers = [connect(server.port) for _ in range(12)]
        for number, sock in enumerate(peers):
            sock.sendall((request(), hello, hello[:5], hello[:50], b"\x15\x03\x01\x00\x02\x02\x28", b"")[number % 6])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        uid = fresh_uid()
        with connect(server.port) as sock, context.wrap_socket(sock) as tls:
            tls.sendall(associate_rq([(1, CT, [EXPLICIT_LE])]) + store_message(uid) + RELEASE_RQ)
            answer = b""
            while part := tls.recv(65536):
                answer += part
            assert [kind for kind, _ in pdus(answer)] == [2, 4, 6]
        for sock in peers:
            last_words(sock)
            sock.close()
        assert worker.is_running()
        assert os.listdir(output) == [f"CT.{uid}"]


def test_group_lengths_that_lie_are_no_lengths(target: Attacked) -> None:
    """D06: what the group length of a command says is not believed."""
    with target.attack():
        for value in (0, 0xFFFFFFFF, 8):
            uid = fresh_uid()
            command = bytearray(c_store_rq(CT, uid))
            struct.pack_into("<L", command, 8, value)
            scu = associated(target.port, ALL_CONTEXTS)
            scu.send(p_data(pdv(1, 3, bytes(command))) + p_data(pdv(1, 2, data_set(uid))))
            if scu.read_status() == 0:
                target.acknowledged[uid] = data_set(uid)
            scu.close()
