"""What a hostile peer may put on the wire: PDUs, PDVs, negotiation, commands (end to end).

Every case ends in A-ABORT, A-ASSOCIATE-RJ, a failure status or a close; afterwards the same processes live,
nothing has leaked and a good association succeeds. Cases that end by a timeout are sent side by side.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.harm import ACCEPTED_REQUESTS, FIRST_OCTETS, REFUSED, TITLES, VIOLATIONS
from tests.support.hostile import (
    ECHO,
    RELEASE_RQ,
    Baseline,
    associated,
    connect,
    last_words,
    pdus,
    request,
    reset,
    store_message,
    store_one,
)
from tests.support.objects import CT, EXPLICIT_LE, data_set, fresh_uid
from tests.support.rawscu import associate_rq, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baseline]:
    directory = tmp_path_factory.mktemp("hostile") / "output"
    directory.mkdir()
    with FastscpServer(["--workers", "1", "-d", "-dhl", "-ta", "1", "-ts", "1", "-od", directory]) as server:
        baseline = Baseline(server, directory)
        yield baseline
        baseline.check()


def test_first_octets_end_in_a_close(target: Baseline) -> None:
    peers = {name: connect(target.server.port) for name in FIRST_OCTETS}
    for name, octets in FIRST_OCTETS.items():
        peers[name].sendall(octets)
    for name, sock in peers.items():
        assert {kind for kind, _ in pdus(last_words(sock))} <= {3, 7}, name
        sock.close()
    target.check()


def test_first_octets_then_fin_or_reset(target: Baseline) -> None:
    for octets in FIRST_OCTETS.values():
        sock = connect(target.server.port)
        sock.sendall(octets)
        reset(sock)
        with connect(target.server.port) as sock:
            sock.sendall(octets)
            with contextlib.suppress(OSError):  # the server was quicker
                sock.shutdown(socket.SHUT_WR)
            last_words(sock)
    target.check()


def test_strange_negotiation_is_answered(target: Baseline) -> None:
    peers = {name: connect(target.server.port) for name in ACCEPTED_REQUESTS}
    for name, items in ACCEPTED_REQUESTS.items():
        peers[name].sendall(request(items) + RELEASE_RQ)
    for name, sock in peers.items():
        assert [kind for kind, _ in pdus(last_words(sock))] == [2, 6], name
        sock.close()
    target.check(memory_growth=16 << 20)


def test_hostile_titles_store_an_object_and_reach_no_log_unescaped(target: Baseline) -> None:
    peers = {title: connect(target.server.port) for title in TITLES}
    for title, sock in peers.items():
        uid = fresh_uid()
        sock.sendall(request(calling=title, called=title) + store_message(uid) + RELEASE_RQ)
        target.acknowledged.add(f"CT.{uid}")
    for title, sock in peers.items():
        assert [kind for kind, _ in pdus(last_words(sock))] == [2, 4, 6], title
        sock.close()
    target.check()


def test_violation_in_an_association_ends_it(target: Baseline) -> None:
    peers = {name: associated(target.server.port) for name in VIOLATIONS}
    for name, octets in VIOLATIONS.items():
        peers[name].send(octets)
    for name, scu in peers.items():
        assert {kind for kind, _ in pdus(last_words(scu.sock))} <= {6, 7}, name
        scu.close()
    target.check()


def test_violation_pipelined_behind_good_requests(target: Baseline) -> None:
    """What was complete before the violation is answered, or not if its turn was over; it is whole or not there.

    Nothing behind the violation exists.
    """
    peers = {name: (associated(target.server.port), fresh_uid()) for name in VIOLATIONS}
    for name, octets in VIOLATIONS.items():
        scu, uid = peers[name]
        scu.send(ECHO + store_message(uid) + octets + store_message(fresh_uid()))
    for name, (scu, uid) in peers.items():
        kinds = [kind for kind, _ in pdus(last_words(scu.sock))]
        scu.close()
        file = target.directory / f"CT.{uid}"
        assert set(kinds) <= {4, 6, 7}, name
        if kinds.count(4) == 2:
            assert file.exists(), name
        if file.exists():
            assert file.read_bytes().endswith(data_set(uid)), name
            target.acknowledged.add(file.name)
    target.check()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_request_leaves_the_association_alive(target: Baseline, name: str) -> None:
    uid = fresh_uid()
    scu = associated(target.server.port)
    scu.send(p_data(pdv(1, 3, REFUSED[name])) + p_data(pdv(1, 2, data_set("1.2.3"))))
    assert scu.read_status() != 0
    assert scu.store(1, CT, uid, data_set(uid)) == 0
    scu.release()
    target.acknowledged.add(f"CT.{uid}")
    target.check()


@pytest.mark.parametrize("uid", ["../../x", "/etc/cron.d/x", "..\\x", ".", "..", "1\0002", "1.2\nE: forged", "1.2;id", "1.2`id`",
                                 "$(id)", "\x1b[2J1", "\xe9\xff", "CON", "1.2 3", "~root", "-rf", "%s%n"])
def test_hostile_instance_uid_stays_in_its_directory(target: Baseline, uid: str) -> None:
    """D07: the object is refused, or stored whole under a name that is only a name."""
    scu = associated(target.server.port)
    scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 2, data_set(uid.encode("latin-1").decode("latin-1")))))
    status = scu.read_status()
    scu.release()
    entries = {entry.name for entry in target.directory.iterdir()}
    assert all(entry.is_file() for entry in target.directory.iterdir())
    new = entries - target.acknowledged
    assert len(new) == (0 if status else 1)
    assert all(name.startswith("CT.") and name.isascii() and name.isprintable() for name in new)
    target.acknowledged |= new
    target.check()
    assert list(target.directory.parent.iterdir()) == [target.directory]


def test_peer_with_a_strange_maximum_gets_its_answers_or_an_abort(target: Baseline) -> None:
    """N12: responses go out in as many P-DATA-TF as it takes, or the association is aborted."""
    peers = {maximum: associated(target.server.port, max_pdu=maximum) for maximum in (0, 1, 7, 8, 9, 13, 14, 0xFFFFFFFF)}
    for maximum, scu in peers.items():
        uid = fresh_uid()
        scu.send(store_message(uid) + RELEASE_RQ)
        if maximum not in range(1, 8):  # no answer fits: aborted before anything is stored
            target.acknowledged.add(f"CT.{uid}")
    for maximum, scu in peers.items():
        answers = pdus(last_words(scu.sock))
        scu.close()
        assert answers[-1][0] == (7 if maximum in range(1, 8) else 6), maximum
        assert all(not maximum or len(body) <= maximum for kind, body in answers if kind == 4)
    target.check()


def test_session_cut_at_every_offset_leaves_no_file(target: Baseline) -> None:
    """W24: FIN, RST or A-ABORT after so many octets."""
    uid = fresh_uid()
    message = store_message(uid)
    whole = len(message)
    offsets = [*range(30), *range(30, whole - 20, 97), *range(whole - 20, whole)]
    for number, offset in enumerate(offsets):
        scu = associated(target.server.port)
        scu.send(message[:offset])
        if number % 3 == 0:
            reset(scu.sock)
        elif number % 3 == 1:
            scu.close()
        else:
            scu.sock.shutdown(1)
            last_words(scu.sock)
            scu.close()
    target.check()


def test_connection_checks_of_load_balancers_cost_nothing(target: Baseline) -> None:
    """W02, N15: connect and FIN, connect and RST, request and RST."""
    for number in range(600):
        sock = connect(target.server.port)
        if number % 3 == 0:
            sock.close()
            continue
        if number % 3 == 1:
            sock.sendall(associate_rq([(1, CT, [EXPLICIT_LE])]))
        reset(sock)
    target.check()


def test_associations_opened_and_held_keep_nobody_waiting(target: Baseline) -> None:
    """N14."""
    held = [associated(target.server.port) for _ in range(200)]
    target.acknowledged.add(f"CT.{store_one(target.server.port)}")
    for scu in held:
        scu.close()
    target.check()
