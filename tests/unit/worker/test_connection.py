"""One connection against a fake loop, transport and reporter: order, blocking, limits, endings."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fastscp.config import Config
from fastscp.config.network import FaultPolicy, NetworkPolicy
from fastscp.errors import ProcessError
from fastscp.net.peer import Peer
from fastscp.net.transport import HandshakeState, TransportError
from fastscp.process.loop import IN, OUT
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.ul.encode import encode_associate_rq, encode_data
from fastscp.ul.pdu import UserInformation
from tests.corpus import wire
from tests.support.fake_worker import FD, Bench, data_set, echo, store

NETWORK = NetworkPolicy(acse_timeout_s=30, dimse_timeout_s=20, socket_timeout_s=60)
ABORT_BY_US = bytes.fromhex("07 00 00000004 0000 02 00")


@pytest.fixture
def plain(tmp_path: Path) -> Bench:
    """Nobody wants to know of objects."""
    return Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path))))


@pytest.fixture
def durable(tmp_path: Path) -> Bench:
    """Answers wait until the coordinator has the object."""
    return Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)), study=StudyPolicy(timeout_s=5)))


@pytest.fixture
def sorting(tmp_path: Path) -> Bench:
    """The coordinator decides directories."""
    return Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)),
                        study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S")))


def stored_names(bench: Bench) -> list[str]:
    return sorted(path.name for path in Path(bench.context.service.reception.store.output_directory).iterdir())


# -- association ------------------------------------------------------------------------------------


def test_association_is_answered_told_and_released(durable: Bench) -> None:
    durable.established()
    assert durable.reporter.told[0][1] == {
        "kind": "opened", "association": "worker-1-7", "calling_aet": "MODALITY", "called_aet": "STORESCP",
        "peer": "10.0.0.9", "peer_host": "10.0.0.9", "port": 4711, "sender": "", "max_pdu": 16384}
    durable.arrive(wire.RELEASE_RQ)
    assert bytes(durable.transport.sent) == bytes.fromhex("06 00 00000004 00000000")
    assert durable.reporter.told[-1] == ("closed", "released")
    assert durable.finished == [], "the peer closes first"
    durable.hang_up()
    assert durable.finished == [durable.connection]
    assert durable.transport.closes == 1
    assert durable.loop.timers == 0
    assert FD not in durable.loop
    assert durable.reporter.kinds.count("closed") == 1


def test_host_name_that_follows_is_told_as_not_known_yet(durable: Bench) -> None:
    durable.connection.storage.caller.peer = Peer("10.0.0.9", 4711, host_follows=True)
    durable.established()
    assert durable.reporter.told[0][1]["peer_host"] == ""


def test_everything_in_one_read_is_handled_in_order(plain: Bench) -> None:
    plain.start()
    plain.arrive(wire.RQ + echo(1) + store(2) + wire.RELEASE_RQ)
    assert plain.statuses() == [-2, 0, 0, -6]
    assert stored_names(plain) == ["CT.1.2.3.4.5"]


def test_one_octet_at_a_time(plain: Bench) -> None:
    plain.start()
    plain.arrive(*(bytes((octet,)) for octet in wire.RQ + store(2) + echo(3) + wire.RELEASE_RQ))
    assert plain.statuses() == [-2, 0, 0, -6]
    assert stored_names(plain) == ["CT.1.2.3.4.5"]


def test_rejected_peer_gets_its_answer_and_is_told_to_nobody(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)), study=StudyPolicy(timeout_s=5))).start()
    bench.arrive(b"\1\0" + wire.RQ[2:6] + b"\0\0" + wire.RQ[8:])  # protocol version 0
    assert bench.transport.sent[:1] == b"\x03"
    assert bench.reporter.told == []
    bench.loop.advance(29)
    assert bench.finished == []
    bench.loop.advance(2)
    assert bench.finished == [bench.connection]
    assert bench.reporter.told == []


def test_a_peer_that_can_take_no_answer_is_aborted_at_once(durable: Bench) -> None:
    durable.start()
    durable.arrive(encode_associate_rq(wire.associate_request(user_information=UserInformation(7, "1.2.3.4", "T"))))
    assert bytes(durable.transport.sent[-10:]) == bytes.fromhex("07 00 00000004 0000 00 00")
    assert durable.reporter.kinds == ["opened", "closed"]


# -- violations and aborts --------------------------------------------------------------------------


def test_what_came_before_a_violation_counts_and_what_came_behind_does_not(durable: Bench) -> None:
    durable.established()
    durable.arrive(echo(1) + bytes.fromhex("08 00 00000000") + echo(2))
    assert durable.statuses() == [0, -7]
    assert durable.reporter.told[-1] == ("closed", "aborted")
    durable.arrive(echo(3))
    assert durable.transport.sent == b""
    durable.hang_up()
    assert durable.finished == [durable.connection]


def test_violation_behind_an_object_that_waits_ends_it_without_an_answer(durable: Bench) -> None:
    durable.established()
    durable.arrive(store() + bytes.fromhex("08 00 00000000"))
    assert durable.statuses() == [-7]
    durable.reporter.notify("on_acknowledged")  # late: nobody is told anything any more
    assert durable.transport.sent == b""
    assert durable.watched == IN


def test_broken_message_aborts_in_its_place(plain: Bench) -> None:
    plain.established()
    plain.arrive(echo(1) + encode_data(9, 3, wire.echo_command()))  # a context that was never accepted
    assert plain.statuses() == [0, -7]


def test_abort_of_the_peer_drops_the_object_under_way(sorting: Bench) -> None:
    sorting.established()
    sorting.arrive(encode_data(3, 3, wire.store_command()) + encode_data(3, 0, data_set()) + wire.ABORT)
    assert sorting.reporter.kinds == ["opened", "place", "abandoned", "closed"]
    assert sorting.reporter.told[-1] == ("closed", "aborted")
    assert sorting.finished == [sorting.connection]
    assert stored_names(sorting) == []


def test_abort_behind_a_whole_object_does_not_take_it_back(plain: Bench) -> None:
    plain.established()
    plain.arrive(store() + wire.ABORT)
    assert stored_names(plain) == ["CT.1.2.3.4.5"]
    assert plain.finished == [plain.connection]


def test_abort_of_ours_is_sent_once_and_waits_for_the_peer(durable: Bench) -> None:
    durable.established()
    durable.connection.abort("no reason", source=2, reason=0)
    assert bytes(durable.transport.sent) == ABORT_BY_US
    assert durable.reporter.told[-1] == ("closed", "aborted")
    durable.loop.advance(4.9)
    assert durable.finished == []
    durable.loop.advance(0.2)  # five seconds are enough for somebody who is not wanted
    assert durable.finished == [durable.connection]


def test_abort_without_an_association_closes(plain: Bench) -> None:
    plain.start()
    plain.connection.abort("no reason", source=2, reason=0)
    assert plain.transport.sent == b""
    assert plain.finished == [plain.connection]


def test_second_abort_closes(durable: Bench) -> None:
    durable.established()
    durable.connection.abort("no reason", source=2, reason=0)
    durable.connection.abort("no reason", source=2, reason=0)
    assert bytes(durable.transport.sent) == ABORT_BY_US
    assert durable.finished == [durable.connection]


@pytest.mark.parametrize("before", [b"", wire.RQ, wire.RQ + wire.RELEASE_RQ])
def test_closing_twice_gives_everything_back_once(durable: Bench, before: bytes) -> None:
    durable.start()
    durable.arrive(before) if before else None
    durable.connection.close("no reason")
    durable.connection.close("no reason")
    assert durable.finished == [durable.connection]
    assert durable.transport.closes == 1
    assert durable.reporter.kinds.count("closed") == (1 if before else 0)


def test_delay_that_ends_after_an_abort_wakes_nothing_up(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)),
                         faults=FaultPolicy(sleep_after_s=3))).established()
    bench.arrive(store(1) + echo(2))
    assert bench.statuses() == [0]
    bench.connection.abort("no reason", source=2, reason=0)
    bench.loop.advance(4)
    assert bytes(bench.transport.sent) == ABORT_BY_US


def test_callback_from_within_the_end_finds_a_closed_connection(sorting: Bench) -> None:
    sorting.established()
    sorting.arrive(encode_data(3, 3, wire.store_command()) + encode_data(3, 0, data_set()))
    sorting.transport.inside = 1
    sorting.transport.arriving.append(echo(2))
    sorting.reporter.abandoned = lambda _request: sorting.connection.resume()  # type: ignore[method-assign]
    sorting.connection.close("no reason")
    assert sorting.transport.arriving == [echo(2)], "nothing is read any more"
    assert sorting.finished == [sorting.connection]


# -- lost connections -------------------------------------------------------------------------------


def test_hanging_up_in_an_object_leaves_nothing(durable: Bench) -> None:
    durable.established()
    durable.arrive(store()[:-3])
    durable.hang_up()
    assert durable.reporter.told[-1] == ("closed", "failed")
    assert stored_names(durable) == []


def test_connection_that_breaks_while_sending_is_closed(durable: Bench, caplog: pytest.LogCaptureFixture) -> None:
    durable.established()
    durable.transport.broken = True
    durable.arrive(echo())
    assert durable.finished == [durable.connection]
    assert durable.reporter.told[-1] == ("closed", "failed")
    assert "lost: Broken pipe" in caplog.text


def test_connection_that_breaks_while_an_abort_is_sent_is_closed(durable: Bench) -> None:
    durable.established()
    durable.transport.broken = True
    durable.connection.abort("no reason", source=2, reason=0)
    assert durable.finished == [durable.connection]


def test_reset_after_the_end_of_an_association_is_not_worth_a_word(plain: Bench, caplog: pytest.LogCaptureFixture) -> None:
    plain.established()
    plain.arrive(wire.RELEASE_RQ)
    plain.transport.arriving.append(TransportError("Connection reset by peer"))
    plain.loop.fire(FD, IN)
    assert plain.finished == [plain.connection]
    assert "lost" not in caplog.text


# -- blocking and resuming --------------------------------------------------------------------------


def test_while_an_answer_waits_nothing_is_read_and_nothing_is_handled(durable: Bench) -> None:
    durable.established()
    durable.arrive(store(1) + echo(2), echo(3))
    assert durable.connection.blocked
    assert durable.watched == 0
    assert durable.statuses() == []
    durable.reporter.notify("on_acknowledged")
    assert durable.statuses() == [0, 0], "what came in the same read follows, in order"
    assert durable.watched == IN
    durable.arrive()
    assert durable.statuses() == [0]


def test_data_behind_a_waiting_object_survives_the_next_read_of_others(durable: Bench) -> None:
    """The receive buffer is shared: what is kept is copied."""
    durable.established()
    durable.arrive(store(1, "1.2.3") + store(2, "1.2.4"))
    durable.context.service.intake.buffer[:] = bytes(len(durable.context.service.intake.buffer))
    durable.reporter.notify("on_acknowledged", 1)
    durable.reporter.notify("on_acknowledged", 2)
    assert durable.statuses() == [0, 0]
    assert stored_names(durable) == ["CT.1.2.3", "CT.1.2.4"]


def test_answers_that_come_at_once_do_not_recurse(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)),
                         hooks=HookPolicy(on_reception="true")))
    real = bench.reporter.stored

    def stored_and_sent(packet: object, **notices: object) -> None:
        real(packet, **notices)  # type: ignore[arg-type]
        notices["on_sent"]()  # type: ignore[operator]

    bench.reporter.stored = stored_and_sent  # type: ignore[method-assign]
    bench.established()
    bench.arrive(b"".join(store(number, f"1.2.{number}") for number in range(1, 2001)))
    assert bench.statuses() == [0] * 2000


def test_resume_after_the_end_does_nothing(durable: Bench) -> None:
    durable.established()
    durable.arrive(store())
    durable.connection.close("no reason")
    durable.connection.resume()
    durable.reporter.notify("on_acknowledged")
    assert durable.transport.sent == b""
    assert FD not in durable.loop


def test_decrypted_octets_are_read_on_without_the_socket(durable: Bench) -> None:
    durable.established()
    durable.arrive(store(1))
    durable.transport.arriving.append(echo(2))
    durable.transport.inside = 1
    durable.reporter.notify("on_acknowledged")
    assert durable.statuses() == [0, 0]


def test_peer_that_takes_no_answers_is_read_again_once_it_does(plain: Bench) -> None:
    plain.established()
    plain.transport.room = 0
    plain.arrive(*[echo(1) * 100] * 10)
    assert plain.watched == OUT
    assert plain.transport.arriving
    plain.make_room(1 << 30)
    plain.arrive()
    assert plain.statuses() == [0] * 1000


def test_response_without_an_association_is_a_bug(plain: Bench) -> None:
    plain.start()
    with pytest.raises(ProcessError):
        plain.connection.respond(1, None, 0)  # type: ignore[arg-type]


# -- time limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("connected", "words"), [
    (True, "no association request from 10.0.0.9 in time"), (False, "TLS handshake with 10.0.0.9 not complete in time")])
def test_silent_peer_is_logged_as_what_it_was(plain: Bench, caplog: pytest.LogCaptureFixture, connected: bool,
                                              words: str) -> None:
    plain.transport.connected = connected
    plain.start()
    plain.loop.advance(29.9)
    assert plain.finished == []
    plain.loop.advance(0.2)
    assert plain.finished == [plain.connection]
    assert words in caplog.text
    assert len(caplog.records) == 1


def test_handshake_counts_to_the_acse_timeout_and_what_comes_with_its_last_octets_is_read(plain: Bench) -> None:
    plain.transport.connected = False
    plain.transport.handshake_states = [HandshakeState.WANTS_READ, HandshakeState.DONE]
    plain.start()
    plain.loop.advance(20)
    plain.loop.fire(FD, IN)
    plain.transport.arriving.append(wire.RQ)
    plain.loop.fire(FD, IN)
    assert plain.transport.sent[:1] == b"\x02"


def test_trickled_request_does_not_put_the_limit_off(plain: Bench) -> None:
    plain.start()
    for octet in wire.RQ[:40]:
        plain.arrive(bytes((octet,)))
        plain.loop.advance(1)
        if plain.finished:
            break
    assert plain.finished == [plain.connection]
    assert plain.loop.now <= 1031


@pytest.mark.parametrize(("octets", "limit"), [(b"", 60), (echo()[:8], 20), (store()[:-3], 20), (b"\x04", 20)],
                         ids=["idle", "inside a PDU", "inside a data set", "inside a header"])
def test_limit_depends_on_what_the_peer_owes(plain: Bench, octets: bytes, limit: int) -> None:
    plain.established()
    if octets:
        plain.arrive(octets)
    plain.loop.advance(limit - 0.1)
    assert plain.transport.sent == b""
    plain.loop.advance(0.2)
    assert bytes(plain.transport.sent) == ABORT_BY_US


def test_every_read_puts_the_limit_off(plain: Bench) -> None:
    plain.established()
    for part in (store()[:100], store()[100:150], store()[150:]):
        plain.loop.advance(15)
        plain.arrive(part)
    assert plain.statuses() == [0]


def test_unread_answers_have_a_limit(plain: Bench) -> None:
    plain.established()
    plain.transport.room = 0
    plain.arrive(echo())
    plain.loop.advance(20.1)
    assert plain.finished == []
    plain.loop.advance(5.1)  # the A-ABORT does not leave either
    assert plain.finished == [plain.connection]


def test_without_limits_an_association_may_be_silent_for_ever(tmp_path: Path) -> None:
    bench = Bench(Config(network=NetworkPolicy(socket_timeout_s=None, dimse_timeout_s=None),
                         store=StorePolicy(str(tmp_path)))).established()
    bench.arrive(store()[:-3])
    bench.loop.advance(1e6)
    assert bench.finished == []
    assert bench.transport.sent == b""


def test_peer_is_not_blamed_while_it_waits_for_a_hook(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)),
                         hooks=HookPolicy(on_reception="true", synchronous=True))).established()
    bench.arrive(store(1) + echo(2))
    bench.reporter.notify("on_sent")
    assert bench.statuses() == [0]
    bench.loop.advance(10000)
    assert bench.statuses() == []
    bench.reporter.notify("on_ran")
    assert bench.statuses() == [0]
    bench.loop.advance(59)
    assert bench.transport.sent == b""
    bench.loop.advance(2)
    assert bytes(bench.transport.sent) == ABORT_BY_US


def test_coordinator_that_stays_silent_is_given_up(durable: Bench) -> None:
    durable.established()
    durable.arrive(store())
    durable.loop.advance(29.9)
    assert durable.statuses() == []
    durable.loop.advance(0.2)
    assert durable.statuses() == [-7]
    durable.reporter.notify("on_acknowledged")
    assert durable.statuses() == []


def test_peer_of_a_rejected_or_released_association_that_stays_is_closed_by_artim(plain: Bench) -> None:
    plain.established()
    plain.arrive(wire.RELEASE_RQ)
    plain.loop.advance(29.9)
    assert plain.finished == []
    plain.loop.advance(0.2)
    assert plain.finished == [plain.connection]
    assert plain.loop.timers == 0


def test_delay_of_an_answer_is_not_the_peers(tmp_path: Path) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)),
                         faults=FaultPolicy(sleep_after_s=100))).established()
    bench.arrive(store(1) + echo(2))
    assert bench.statuses() == [0]
    bench.loop.advance(99.9)
    assert bench.statuses() == []
    bench.loop.advance(0.2)
    assert bench.statuses() == [0]


# -- logging ----------------------------------------------------------------------------------------


def test_presentation_contexts_are_logged_at_info_level_where_asked_for(plain: Bench, tmp_path: Path,
                                                                        caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    plain.established()
    assert "Association Received 10.0.0.9: MODALITY -> STORESCP" in caplog.text
    assert "Presentation Context" not in caplog.text
    Bench(Config(store=StorePolicy(str(tmp_path))), log_contexts=True).established()
    assert "Presentation Context" in caplog.text
