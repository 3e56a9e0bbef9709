"""Which section an association belongs to, and that everything of it goes by that section's rules."""

from __future__ import annotations

import ipaddress
import logging
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.config.senders import Conditions, Sender, Senders
from fastscp.process.slots import Slots
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy
from fastscp.worker import express
from fastscp.worker.context import Shared, worker_context
from fastscp.worker.limits import Places
from tests.corpus import wire
from tests.support.fake_worker import Bench, store

CALLING = b"MODALITY".ljust(16)


def section(name: str, *, calling: tuple[str, ...] | None = None, network: str | None = None, accept: bool = True,
            limit: int | None = None) -> Sender:
    networks = None if network is None else (ipaddress.ip_network(network),)
    return Sender(name, Conditions(calling, None, networks), accept, limit)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A service with the sections ct, for CT*, and far, for FAR in a network; each has its directory."""
    for name in ("in", "ct", "far"):
        (tmp_path / name).mkdir()
    own = {name: Config(store=StorePolicy(str(tmp_path / name)), hooks=HookPolicy(event_log="-")) for name in ("in", "ct", "far")}
    own["ct"] = replace(own["ct"], network=NetworkPolicy(association_timeout_s=20, object_timeout_s=7))
    senders = Senders((section("ct", calling=("CT*",), limit=1), section("far", calling=("FAR",), network="192.0.2.0/24")), False)
    return replace(own.pop("in"), senders=senders, by_sender=own, network=NetworkPolicy(association_timeout_s=100))


def request(calling: bytes) -> bytes:
    return wire.RQ.replace(CALLING, calling.ljust(16))


def bench(config: Config, places: Places | None = None) -> Bench:
    made = Bench(config)
    sections = made.context.sections
    assert sections is not None
    negotiation = made.context.answers
    contexts = {name: replace(own, answers=negotiation, clock=lambda: 0.0) for name, own in sections.contexts.items()}
    fresh = replace(made.context, sections=replace(sections, contexts=contexts), places=Places(sections=Slots(10)) if places is None else places)
    return Rebuilt(made, fresh)


class Rebuilt(Bench):
    """A bench whose connection has another context."""

    def __init__(self, made: Bench, context) -> None:
        from fastscp.net.peer import Peer
        from fastscp.worker.connection import Connection

        self.loop, self.reporter, self.transport, self.context = made.loop, made.reporter, made.transport, context
        self.finished = []
        self.connection = Connection(context, 7, self.transport, Peer("10.0.0.9", 4711), self.finished.append)


def test_object_goes_where_its_section_says(config: Config, tmp_path: Path) -> None:
    served = bench(config).start()
    served.arrive(request(b"CT1"), store())
    assert served.transport.sent[:1] == b"\x02"
    assert [path.name for path in (tmp_path / "ct").iterdir()] == [f"CT.{wire.INSTANCE}"]
    assert list((tmp_path / "in").iterdir()) == []
    told = {kind: packet for kind, packet in served.reporter.told if isinstance(packet, dict)}
    assert told["opened"]["sender"] == "ct"


@pytest.mark.parametrize(("calling", "answer"), [(b"NOBODY", "03 00 00000004 00 01 01 03"), (b"FAR", "")])
def test_who_is_refused_is_told_so_or_nothing(config: Config, calling: bytes, answer: str, caplog: pytest.LogCaptureFixture) -> None:
    served = bench(config).start()
    with caplog.at_level(logging.INFO):
        served.arrive(request(calling))
    assert bytes(served.transport.sent) == bytes.fromhex(answer)
    assert served.finished == ([] if answer else [served.connection]), "access control closes at once"
    if not answer:
        assert caplog.messages == ["10.0.0.9 (FAR -> STORESCP): access denied by the sections of the configuration file"]
    assert [packet["reason"] for packet in served.reporter.notes] == (
        ["Rejected Permanent, Source: Service User, Reason: Calling AE Title Not Recognized"] if answer
        else ["access denied by the sections of the configuration file"])


def test_place_of_a_section_is_taken_once_and_given_back(config: Config) -> None:
    served = bench(config).start()
    served.arrive(request(b"CT1"))
    assert served.transport.sent[:1] == b"\x02"
    other = bench(config, served.context.places).start()
    other.arrive(request(b"CT2"))
    assert bytes(other.transport.sent) == bytes.fromhex("03 00 00000004 00 02 03 02")
    served.connection.close("gone")
    third = bench(config, served.context.places).start()
    third.arrive(request(b"CT2"))
    assert third.transport.sent[:1] == b"\x02"


def test_limits_of_a_section_count_from_the_begin_of_the_connection(config: Config) -> None:
    served = bench(config).start()
    served.loop.advance(15)
    served.arrive(request(b"CT1"))
    served.loop.advance(4)
    assert served.transport.sent[:1] == b"\x02"
    served.loop.advance(2)
    assert bytes(served.transport.sent)[-10:] == bytes.fromhex("07 00 00000004 0000 02 00")


def test_request_that_is_cut_short_is_no_matter_of_sections(config: Config) -> None:
    served = bench(config).start()
    served.arrive(b"\x01\x00" + struct.pack(">L", 10) + bytes(10))
    assert bytes(served.transport.sent[:1]) in {b"\x03", b"\x07"}


def test_each_section_has_an_express_lane_of_its_own(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(express, "depot_of", lambda service: service.reception.store.output_directory)
    made = express.with_lanes(Bench(config).context)
    assert made.sections is not None
    depots = {made.depot, *(own.depot for own in made.sections.contexts.values())}
    assert depots == {own.store.output_directory for own in config.every}


def test_without_sections_nothing_of_them_is_there(tmp_path: Path) -> None:
    made = Bench(Config(store=StorePolicy(str(tmp_path))))
    assert made.context.sections is None
    assert made.connection._admittance is None


def test_sections_share_what_belongs_to_the_process(config: Config) -> None:
    made = worker_context(config, Bench(config).loop, Bench(config).reporter, "w", Shared())  # type: ignore[arg-type]
    assert made.sections is not None
    contexts = [made, *made.sections.contexts.values()]
    assert len({id(own.service.intake) for own in contexts}) == len({id(own.said) for own in contexts}) == 1
    assert [own.sender for own in contexts] == ["", "ct", "far"]
