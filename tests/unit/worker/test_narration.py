"""What the log says of associations that come to nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy
from fastscp.store.policy import StorePolicy
from fastscp.ul.encode import encode_associate_rq, encode_data
from fastscp.ul.pdu import ProposedContext
from tests.corpus import wire
from tests.support.fake_worker import Bench, echo

JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    network = NetworkPolicy(acse_timeout_s=30, dimse_timeout_s=20, socket_timeout_s=60)
    return Bench(Config(network=network, store=StorePolicy(str(tmp_path)))).start()


def request(*contexts: ProposedContext) -> bytes:
    return encode_associate_rq(wire.associate_request(contexts))


def test_contexts_that_were_all_refused_are_listed_in_one_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.arrive(request(ProposedContext(1, wire.CT, (JPEG, JPEG_LS)), ProposedContext(3, "1.2.3\n", (wire.IMPLICIT,))))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "no presentation context of 10.0.0.9 (MODALITY -> STORESCP) is acceptable: "
        "CTImageStorage (JPEGBaseline, JPEGLSLossless), 1.2.3\\n (LittleEndianImplicit)")


@pytest.mark.parametrize("contexts", [(), (ProposedContext(1, wire.CT, ()),)])
def test_nothing_that_was_proposed_is_a_warning_too(bench: Bench, caplog: pytest.LogCaptureFixture,
                                                    contexts: tuple[ProposedContext, ...]) -> None:
    bench.arrive(request(*contexts))
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_contexts_of_which_one_was_accepted_are_nothing_to_warn_of(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.arrive(wire.RQ)
    assert caplog.records == []


def test_list_of_contexts_is_bounded(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    long = "1." + "2" * 100
    bench.arrive(request(*(ProposedContext(number, long, (long,) * 6) for number in range(1, 256, 2))))
    (message,) = caplog.messages
    assert len(message) < 3500
    assert message.count("(") == 9, "the titles, and eight contexts"
    assert message.endswith("), ...")


@pytest.mark.parametrize(("octets", "words"), [
    (b"", "no association request from 10.0.0.9 in time"),
    (wire.RQ[:40], "association request of 10.0.0.9 not complete in time")])
def test_silent_before_its_request(bench: Bench, caplog: pytest.LogCaptureFixture, octets: bytes, words: str) -> None:
    bench.arrive(octets) if octets else None
    bench.loop.advance(31)
    (record,) = caplog.records
    assert words in record.getMessage()
    assert bench.finished == [bench.connection]


@pytest.mark.parametrize(("octets", "words"), [
    (b"", "asks for nothing"), (echo()[:8], "does not go on with its message"),
    (encode_data(3, 1, wire.store_command()[:40]), "does not go on with its message"),
    (encode_data(3, 3, wire.store_command()), "does not go on with its object")])
def test_silent_in_its_association(bench: Bench, caplog: pytest.LogCaptureFixture, octets: bytes, words: str) -> None:
    bench.arrive(wire.RQ + octets)
    bench.loop.advance(61)
    assert f"timed out: 10.0.0.9 (MODALITY -> STORESCP) {words}, aborting association" in caplog.messages


def test_deaf_to_its_answers(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.arrive(wire.RQ)
    bench.transport.room = 0
    bench.arrive(echo())
    bench.loop.advance(20.1)
    assert "does not take its answers" in caplog.text


def test_slow_to_close_behind_its_end(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.arrive(wire.RQ + wire.RELEASE_RQ)
    bench.loop.advance(31)
    assert "10.0.0.9 (MODALITY -> STORESCP) does not close the connection of its former association" in caplog.text
    assert bench.finished == [bench.connection]
