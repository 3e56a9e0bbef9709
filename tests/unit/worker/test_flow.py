"""A connection in its turns: as much as there is time for, in order, and nobody else's time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.dicom.rewriter import Rewriter
from fastscp.net.peer import Peer
from fastscp.process.loop import IN
from fastscp.store import sink as sink_module
from fastscp.store.leftovers import tidy
from fastscp.store.policy import StorePolicy
from fastscp.store.sink import InstanceSink
from fastscp.study.policy import HookPolicy
from fastscp.ul.encode import encode_data
from fastscp.worker.connection import Connection
from fastscp.worker.outcome import Outcomes
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.fake_worker import FD, Bench, FakeTransport, data_set, echo, store
from tests.support.fakes import TickingClock

NETWORK = NetworkPolicy(acse_timeout_s=30, socket_timeout_s=60, dimse_timeout_s=5)
FILE = "CT.1.2.3.4.5"
#: out of order in many items: many small steps to read, to sort and to copy
DISORDERED = data_set() + ds.implicit_sequence(0x00400275, ds.item(
    ds.implicit(0x00080102, b"ab") + ds.implicit(0x00080100, b"cd")) * 2000)
SORTED = data_set() + ds.implicit_sequence(0x00400275, ds.item(
    ds.implicit(0x00080100, b"cd") + ds.implicit(0x00080102, b"ab")) * 2000)


def hasty(directory: Path, *, clock: Callable[[], float] | None = None, store_options: dict[str, Any] | None = None,
          **policies: Any) -> Bench:
    """Return a bench whose turns are over whenever somebody asks."""
    config = Config(network=NETWORK, store=StorePolicy(str(directory), **store_options or {}), **policies)
    return Bench(config, clock=clock or TickingClock()).established()


def long_store(data: bytes = DISORDERED) -> bytes:
    """A C-STORE-RQ whose data set takes many PDUs."""
    cuts = range(0, len(data), 16000)
    return encode_data(3, 3, wire.store_command()) + b"".join(
        encode_data(3, 2 if at == cuts[-1] else 0, data[at:at + 16000]) for at in cuts)


def content(path: Path) -> bytes:
    """Return the data set of a file."""
    octets = path.read_bytes()
    return octets[octets.index(ds.implicit(0x00080016, ds.uid(wire.CT))):]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# -- items -----------------------------------------------------------------------------------------


def test_pipelined_requests_are_served_one_in_a_turn_that_is_over_at_once(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    bench.arrive(b"".join(echo(number) for number in range(1, 6)))
    for _ in range(4):
        assert bench.statuses() == [0]
        assert not bench.watched & IN, "nothing is read meanwhile"
        assert bench.loop.next_round() == 1
    assert bench.statuses() == [0]
    assert bench.watched & IN
    assert bench.loop.next_round() == 0


def test_several_are_served_while_there_is_time(tmp_path: Path) -> None:
    bench = hasty(tmp_path, clock=TickingClock(0.0011))
    bench.arrive(b"".join(echo(number) for number in range(1, 11)))
    answers = [len(bench.statuses())]
    while bench.loop.next_round():
        answers.append(len(bench.statuses()))
    assert sum(answers) == 10
    assert max(answers) > 1
    assert len(answers) > 2


def test_a_great_many_pdus_are_not_decoded_at_once(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    data = data_set()
    octets = (encode_data(3, 3, wire.store_command()) + b"".join(encode_data(3, 0, data[at:at + 1]) for at in range(len(data)))
              + encode_data(3, 0, b"") * 2000 + encode_data(3, 2, b"") + echo(2))
    bench.arrive(octets)
    assert bench.statuses() == []
    assert bench.rounds() > 2000 // 256
    assert bench.statuses() == [0, 0]
    assert content(tmp_path / FILE) == data


def test_what_waits_for_its_turn_is_not_in_the_receive_buffer(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    bench.arrive(store(1, "1.2.1") + store(2, "1.2.2") + encode_data(3, 3, wire.store_command(3, instance="1.2.3"))
                 + encode_data(3, 0, b"") * 300 + encode_data(3, 2, data_set("1.2.3")))
    bench.context.service.intake.buffer[:] = b"\xAA" * len(bench.context.service.intake.buffer)
    bench.rounds()
    assert bench.statuses() == [0, 0, 0]
    for number in (1, 2, 3):
        assert content(tmp_path / f"CT.1.2.{number}") == data_set(f"1.2.{number}")


def test_decrypted_octets_wait_while_items_of_the_same_buffer_are_handled(tmp_path: Path) -> None:
    """An answer that can be given at once goes on with what waits, but reads nothing into the buffer under it."""
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)))).established()
    second = data_set("1.2.2")
    bench.transport.inside = 1
    first_read = store(1, "1.2.1") + encode_data(3, 3, wire.store_command(2, instance="1.2.2")) + encode_data(3, 0, second[:60])
    bench.arrive(first_read, encode_data(3, 2, second[60:]))
    assert bench.statuses() == [0, 0]
    assert content(tmp_path / "CT.1.2.2") == second


def test_transport_that_always_has_more_leaves_others_their_turn(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    bench.transport.inside = 1
    bench.transport.arriving += [echo(number) for number in range(1, 4)]
    bench.loop.fire(FD, IN)
    assert bench.statuses() == [0]
    bench.rounds()
    assert bench.statuses() == [0, 0]


def test_another_connection_is_served_between_the_turns(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    other = FakeTransport(FD + 1)
    connection = Connection(bench.context, 8, other, Peer("10.0.0.10", 4712), bench.finished.append)
    connection.start()
    other.arriving.append(wire.RQ)
    bench.loop.fire(FD + 1, IN)
    bench.arrive(long_store())
    served = 0
    while bench.loop.next_round():
        assert bench.statuses() in ([], [0])
        other.sent.clear()
        other.arriving.append(echo())
        bench.loop.fire(FD + 1, IN)
        bench.loop.next_round()
        served += bool(other.sent)
    assert served > 50
    assert content(tmp_path / FILE) == SORTED


# -- an object -------------------------------------------------------------------------------------


def test_long_object_takes_many_turns_and_is_stored_as_in_one(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    bench.arrive(long_store())
    assert bench.statuses() == []
    assert bench.connection.blocked
    assert bench.connection.storage.busy
    assert bench.rounds() > 100
    assert bench.statuses() == [0]
    assert bench.watched & IN
    assert content(tmp_path / FILE) == SORTED


def test_peer_that_waits_for_our_work_is_not_late(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    bench.arrive(long_store()[:40_000])
    assert bench.connection.blocked
    bench.loop.advance(1000)
    assert not bench.finished
    bench.rounds()
    assert bench.watched & IN
    bench.loop.advance(4.9)
    assert bench.transport.sent == b""
    bench.loop.advance(0.2)
    assert bench.statuses() == [-7], "now the peer is late"


@pytest.mark.parametrize("rounds", [0, 1, 5, 150, 230])
@pytest.mark.parametrize("how", ["abort", "close"])
def test_object_that_is_dropped_between_two_turns_leaves_nothing(tmp_path: Path, rounds: int, how: str) -> None:
    bench = hasty(tmp_path)
    before = descriptors()
    bench.arrive(long_store())
    for _ in range(rounds):
        bench.loop.next_round()
    assert bench.statuses() == []
    if how == "abort":
        bench.connection.abort("no reason", source=2, reason=0)
    else:
        bench.connection.close("no reason")
    assert descriptors() <= before + 1, "the output directory stays open"
    bench.rounds()
    assert bench.statuses() == ([-7] if how == "abort" else [])
    assert list(tmp_path.iterdir()) == []


def test_peer_that_leaves_while_we_work_gets_its_object_stored(tmp_path: Path) -> None:
    bench = hasty(tmp_path)
    bench.arrive(long_store())
    bench.transport.arriving.append(b"")
    assert bench.watched == 0, "nobody looks for the end of the connection now"
    bench.rounds()
    assert content(tmp_path / FILE) == SORTED
    bench.arrive()
    assert bench.finished


def test_digest_is_made_in_turns(tmp_path: Path) -> None:
    bench = hasty(tmp_path, hooks=HookPolicy(event_log="log", event_digest=True))
    data = data_set() + ds.implicit(0x7FE00010, bytes(4 << 20))
    octets = long_store(data)
    for at in range(0, len(octets), 1 << 20):
        bench.arrive(octets[at:at + (1 << 20)])
        while bench.connection.blocked and "stored" not in bench.reporter.kinds:
            rounds = bench.rounds()
    assert rounds >= 4
    assert bench.reporter.packets[1]["sha256"]


@pytest.mark.parametrize("dropped", [False, True])
def test_copy_to_another_file_system_is_made_in_turns(tmp_path: Path, dropped: bool,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_arguments: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(InstanceSink, "_give_name", elsewhere)
    monkeypatch.setattr(sink_module, "_COPY_OCTETS", 64)
    bench = hasty(tmp_path)
    bench.arrive(store())
    while not list(tmp_path.iterdir()):
        assert bench.loop.next_round()
    assert sorted(path.suffix for path in tmp_path.glob(".fastscp-*")) == [".copy", ".tmp"]
    assert tidy(str(tmp_path)) == [], "its owner lives"
    if dropped:
        bench.connection.abort("no reason", source=2, reason=0)
    else:
        assert bench.rounds() > 3
    bench.rounds()
    assert [path.name for path in tmp_path.iterdir()] == ([] if dropped else [FILE])
    assert bench.statuses() == ([-7] if dropped else [0])


def test_name_that_is_taken_while_it_is_copied_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_arguments: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(sink_module, "_COPY_OCTETS", 64)
    directory = sink_module.OutputDirectory(str(tmp_path))
    sink = directory.create(bytes(1000))
    monkeypatch.setattr(InstanceSink, "_give_name", elsewhere)
    steps = sink.publishing("name", replace=False)
    next(steps)
    (tmp_path / "name").write_text("another's")
    with pytest.raises(FileExistsError):
        list(steps)
    assert (tmp_path / "name").read_text() == "another's"
    assert [path.name for path in tmp_path.iterdir()] == ["name"]
    sink.discard()
    directory.close()


# -- errors ----------------------------------------------------------------------------------------


def broken(*_arguments: Any, **_names: Any) -> Any:
    raise RecursionError("nobody expected this")


def broken_steps(*_arguments: Any, **_names: Any) -> Iterator[None]:
    yield
    raise RecursionError("nobody expected this")


@pytest.mark.parametrize("place", [
    (Rewriter, "__init__", broken), (Rewriter, "feed", broken), (Rewriter, "finishing", broken_steps),
    (InstanceSink, "publishing", broken_steps),
])
def test_error_that_nobody_expected_fails_the_object_and_not_its_neighbours(
        tmp_path: Path, place: tuple[type, str, Callable[..., Any]], monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture) -> None:
    bench = hasty(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(*place)
        bench.arrive(store(1, "1.2.1"))
        bench.rounds()
    assert bench.statuses() == [0x0110]
    assert list(tmp_path.iterdir()) == []
    traces = [record for record in caplog.records if record.exc_info]
    assert len(traces) == 1, "told once"
    bench.arrive(store(2, "1.2.2"))
    bench.rounds()
    assert bench.statuses() == [0]


def test_error_that_nobody_expected_ends_its_connection_and_no_other(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    bench = hasty(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Outcomes, "stored", broken)  # behind the publication: no failure can be answered any more
        bench.arrive(store())
        bench.rounds()
    assert bench.finished == [bench.connection]
    assert bench.statuses() == [-7]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert sum(record.exc_info is not None for record in caplog.records) == 1


def test_error_in_a_callback_of_the_coordinator_ends_the_connection(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(Config(network=NETWORK, store=StorePolicy(str(tmp_path)), hooks=HookPolicy(on_reception="true")))
    bench.established()
    bench.arrive(store())
    monkeypatch.setattr(Connection, "respond", broken)
    bench.reporter.notify("on_sent")
    assert bench.finished == [bench.connection]


# -- limits ----------------------------------------------------------------------------------------


def test_object_beyond_the_limit_is_refused_while_it_arrives(tmp_path: Path) -> None:
    bench = hasty(tmp_path, store_options={"max_object_octets": 1000})
    data = data_set()
    just = data + ds.implicit(0x7FE00010, bytes(1000 - len(data) - 8))
    assert len(just) == 1000
    bench.arrive(store(1, data=just))
    bench.rounds()
    assert bench.statuses() == [0]
    (tmp_path / FILE).unlink()
    long = data + ds.implicit(0x7FE00010, bytes(1_000_000))
    bench.arrive(encode_data(3, 3, wire.store_command(2)), *(encode_data(3, 0, long[at:at + 800]) for at in (0, 800)))
    bench.rounds()
    assert bench.connection.storage.busy
    before = descriptors()
    bench.arrive(encode_data(3, 0, long[1600:10_000]))
    bench.rounds()
    assert descriptors() == before, "nothing of it is kept any more"
    bench.arrive(encode_data(3, 2, b""))
    bench.rounds()
    assert bench.statuses() == [0xA700]
    assert list(tmp_path.iterdir()) == []
