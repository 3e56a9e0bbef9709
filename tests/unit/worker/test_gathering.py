"""A message that comes in pieces waits until it is whole, and whoever stops in the middle of one is served as ever."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp import core
from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.dicom.options import OutputOptions
from fastscp.process.loop import IN
from fastscp.store.policy import StorePolicy
from fastscp.ul.encode import encode_data
from fastscp.worker.express import depot_of
from fastscp.worker.gathering import Gathering
from fastscp.worker.intake import Intake
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.fake_worker import FD, Bench, data_set
from tests.support.fakes import FakeLoop

compiled = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")
PIXELS = 50_000
FRAGMENT = 8000


def image(instance: str, octets: int = PIXELS) -> bytes:
    return data_set(instance) + ds.implicit(0x00204000, b"x" * 300) + ds.implicit(0x7FE00010, bytes(octets))


def message(instance: str, data: bytes | None = None) -> bytes:
    data = image(instance) if data is None else data
    cuts = range(0, len(data), FRAGMENT)
    return encode_data(3, 3, wire.store_command(instance=instance)) + b"".join(
        encode_data(3, 2 if at == cuts[-1] else 0, data[at : at + FRAGMENT]) for at in cuts)


@pytest.fixture(params=["rewritten", "preserved"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    config = Config(network=NetworkPolicy(dimse_timeout_s=10), store=StorePolicy(str(tmp_path)),
                    output=OutputOptions(bit_preserving=request.param == "preserved"))
    made = Bench(config)
    made.context = replace(made.context, depot=depot_of(made.context.service))
    made = made.reconnected()
    made.arrive(message("1.2.1"))
    assert made.statuses() == [0]
    return made


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@compiled
@pytest.mark.parametrize("pieces", [2, 3, 17])
def test_what_comes_in_pieces_is_stored_by_the_lane(bench: Bench, tmp_path: Path, pieces: int) -> None:
    octets = message("1.2.2")
    at = [len(octets) * number // pieces for number in range(pieces + 1)]
    for begin, end in itertools.pairwise(at):
        assert bench.statuses() == []
        bench.arrive(octets[begin:end])
        assert not bench.connection.storage.busy, "the usual way did not begin"
    assert bench.statuses() == [0]
    assert names(tmp_path) == ["CT.1.2.1", "CT.1.2.2"]
    assert (tmp_path / "CT.1.2.1").read_bytes().replace(b"1.2.1\0", b"1.2.2\0") == (tmp_path / "CT.1.2.2").read_bytes()
    assert not bench.connection.flow.inside


@compiled
def test_messages_behind_it_follow(bench: Bench, tmp_path: Path) -> None:
    octets = message("1.2.2") + message("1.2.3")[:20000]
    bench.arrive(octets[:30000], octets[30000:])
    assert bench.statuses() == [0]
    bench.arrive(message("1.2.3")[20000:])
    assert bench.statuses() == [0]
    assert names(tmp_path) == ["CT.1.2.1", "CT.1.2.2", "CT.1.2.3"]


@compiled
def test_object_that_is_shorter_than_those_before_it_is_answered_at_its_end(bench: Bench, tmp_path: Path) -> None:
    short = message("1.2.2", image("1.2.2")[:30000])
    bench.arrive(short[:10000])
    assert bench.connection.flow.inside
    bench.arrive(short[10000:])
    status, = bench.statuses()
    assert names(tmp_path) == (["CT.1.2.1"] if status else ["CT.1.2.1", "CT.1.2.2"])
    assert not bench.connection.flow.inside


@compiled
def test_socket_is_asked_to_report_all_at_once_but_not_for_long(bench: Bench) -> None:
    expected = bench.transport.expected
    bench.arrive(message("1.2.2")[:10000])
    assert expected
    before = list(expected)
    bench.loop.advance(0.05)
    assert expected == [*before, 1], "what is missing may never come"
    bench.arrive(message("1.2.2")[10000:])
    assert expected[-1] == 1
    assert bench.statuses() == [0]


@compiled
def test_peer_that_stops_in_the_middle_is_timed_out_and_its_object_is_told_of(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.arrive(message("1.2.2")[:20000])
    bench.loop.advance(10.1)
    assert bench.transport.sent[:1] == b"\7"
    assert "SOP instance 1.2.2" in caplog.text


@compiled
def test_peer_that_leaves_in_the_middle_is_told_of(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.arrive(message("1.2.2")[:20000])
    bench.hang_up()
    assert "SOP instance 1.2.2" in caplog.text
    assert bench.finished


@compiled
def test_violation_in_the_middle_aborts(bench: Bench) -> None:
    bench.arrive(message("1.2.2")[: 20000], b"\xff" * 40000)
    assert bench.transport.sent[:1] == b"\7"


@compiled
def test_few_connections_gather_and_the_others_are_served_the_usual_way(bench: Bench) -> None:
    intake = bench.context.service.intake
    lent = []
    while (buffer := intake.lend()) is not None:
        lent.append(buffer)
    octets = message("1.2.2")
    bench.arrive(octets[:20000])
    assert bench.connection.storage.busy
    bench.arrive(octets[20000:])
    assert bench.statuses() == [0]
    intake.take_back(lent.pop())
    bench.arrive(octets[:20000])
    assert not bench.connection.storage.busy
    assert bench.watched & IN
    bench.hang_up()
    assert intake.lend() is not None, "the buffer came back"
    assert FD not in bench.loop


def test_what_is_gathered_stays_where_it_is_or_comes_to_the_front() -> None:
    intake = Intake(FakeLoop(), 100)  # type: ignore[arg-type]
    intake.buffer[:60] = bytes(range(60))
    gathering = Gathering(intake)
    assert gathering.hold(intake.buffer[20:60], 20, 30)
    assert gathering.octets == bytes(range(20, 60))
    assert len(gathering.room) == 40, "it has room where it is"
    gathering.end()
    intake.buffer[:60] = bytes(range(60))
    assert gathering.hold(intake.buffer[20:60], 20, 50)
    assert gathering.octets == bytes(range(20, 60))
    assert len(gathering.room) == 60
    gathering.end()
    assert gathering.hold(memoryview(b"abc"), -1, 1), "octets that were kept elsewhere"
    gathering.room[:1] = b"d"
    assert gathering.add(1) == b"abcd"
    assert not Gathering(intake).hold(memoryview(bytes(60)), -1, 41), "longer than the buffer"
