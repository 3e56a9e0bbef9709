"""Storage commitment on an association in a worker: requests are kept and answered, results told between two messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastscp.commitment import requests
from fastscp.commitment.messages import Reference, Result, encode_result
from fastscp.commitment.policy import SOP_CLASS, SOP_INSTANCE, CommitmentPolicy
from fastscp.config import Config
from fastscp.dimse import provider
from fastscp.dimse.command import decode_command
from fastscp.store.policy import StorePolicy
from fastscp.ul.encode import encode_data
from fastscp.ul.policy import AbstractSyntaxRule
from tests.corpus import wire
from tests.support import fake_worker
from tests.support.fake_worker import Bench, data_set
from tests.support.rawscu import associate_rq, command_set

ONE = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.1")
INFORMATION = encode_result(Result("1.9", (ONE,)), explicit=False)  #: Action Information looks the same


def number(value: int) -> bytes:
    return value.to_bytes(2, "little")


def action(data: bytes = INFORMATION, *, sop_class: str = SOP_CLASS, instance: str = SOP_INSTANCE, kind: int = 1, context: int = 5) -> bytes:
    """An N-ACTION-RQ."""
    def uid(text: str) -> bytes:
        return text.encode() + b"\0" * (len(text) & 1)

    command = command_set([(3, uid(sop_class)), (0x0100, number(0x0130)), (0x0110, number(7)),
                           (0x0800, number(1 if data else 0x0101)), (0x1001, uid(instance)), (0x1008, number(kind))])
    return encode_data(context, 3, command) + (encode_data(context, 2, data) if data else b"")


def answer(message_id: int = 1, status: int = 0) -> bytes:
    """An N-EVENT-REPORT-RSP."""
    return encode_data(5, 3, command_set([(0x0100, number(0x8100)), (0x0120, number(message_id)), (0x0800, number(0x0101)),
                                          (0x0900, number(status))]))


class Site(Bench):
    """An association with contexts for Verification, CT and commitment."""

    def __init__(self, directory: Path, commitment: CommitmentPolicy | None) -> None:
        super().__init__(Config(store=StorePolicy(str(directory)), commitment=commitment))
        self.requests = directory / ".fastscp" / "commitments"
        self.start()
        self.arrive(associate_rq([(1, wire.VERIFICATION, [wire.IMPLICIT]), (3, wire.CT, [wire.IMPLICIT]), (5, SOP_CLASS, [wire.IMPLICIT])]))
        assert self.transport.sent[:1] == b"\x02"
        self.transport.sent.clear()

    def kept(self) -> list[requests.Pending | None]:
        return [requests.read(path) for path in requests.waiting(self.requests)]

    def with_result(self) -> str:
        """Keep a request whose result is there; return the name of its file."""
        self.arrive(action())
        assert self.statuses() == [0]
        (pending,) = self.kept()
        assert pending is not None
        return requests.put(self.requests, replace(pending, result=Result("1.9", (ONE,)))).name

    def report(self, name: str) -> None:
        assert self.connection.commitment is not None
        self.connection.commitment.report(name)

    def notes(self) -> list[Any]:
        return [(note["kind"], note.get("status")) for note in self.reporter.notes]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    rules = {**fake_worker.RULES, SOP_CLASS: AbstractSyntaxRule((wire.IMPLICIT,))}
    monkeypatch.setattr(fake_worker, "NEGOTIATION", replace(fake_worker.NEGOTIATION, rules=rules))
    return Site(tmp_path, CommitmentPolicy())


def test_request_is_kept_before_it_is_answered_and_told_of(site: Site) -> None:
    site.arrive(action())
    (pending,) = site.kept()
    assert pending is not None
    assert (pending.action.references, pending.action.transaction_uid) == ((ONE,), "1.9")
    assert (pending.calling_aet, pending.called_aet, pending.association) == ("RAWSCU", "ANY-SCP", site.connection.name)
    assert site.statuses() == [0]
    assert site.notes() == [("commitment_asked", None)]


@pytest.mark.parametrize(("octets", "status"), [
    (action(sop_class="1.2.3"), 0x0118), (action(instance="1.2.3"), 0x0112), (action(kind=2), 0x0123), (action(b""), 0x0115),
    (action(b"\x08\x00\x95\x11\xff\xff\xff\xff"), 0x0110), (action(encode_result(Result("1.9"), explicit=False)), 0x0115)])
def test_what_is_no_request_is_refused_and_nothing_kept(site: Site, octets: bytes, status: int) -> None:
    site.arrive(octets)
    assert site.statuses() == [status]
    assert site.kept() == []
    assert site.notes() == []


def test_request_that_cannot_be_kept_is_refused(site: Site) -> None:
    site.requests.parent.mkdir()
    site.requests.write_text("in the way")
    site.arrive(action())
    assert site.statuses() == [0x0213]


def test_more_requests_than_may_wait_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for a day, and each is up to 4 MiB."""
    monkeypatch.setattr(requests, "MOST_OF_TITLE", 1)
    site.arrive(action())
    site.arrive(action())  # the same once more
    site.arrive(action(INFORMATION.replace(b"1.9", b"1.8")))
    assert site.statuses() == [0, 0, 0x0213]
    assert len(site.kept()) == 1


def test_request_of_too_many_objects_is_refused_while_it_comes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "MAX_ACTION_OCTETS", len(INFORMATION) - 1)
    site.arrive(action())
    assert site.statuses() == [0x0213]
    monkeypatch.setattr(provider, "MAX_ACTION_OCTETS", len(INFORMATION))
    site.arrive(action())
    assert site.statuses() == [0]


def test_information_in_pieces(site: Site) -> None:
    whole = action(b"")
    command = whole.replace(number(0x0101), number(1))
    site.arrive(command, encode_data(5, 0, INFORMATION[:10]), encode_data(5, 0, INFORMATION[10:11]), encode_data(5, 2, INFORMATION[11:]))
    assert site.statuses() == [0]


def test_result_is_told_and_its_answer_handed_on(site: Site) -> None:
    site.report(site.with_result())
    sent = bytes(site.transport.sent)
    at = sent.index(b"\x00\x00\x00\x00\x04\x00\x00\x00")
    command = decode_command(sent[at:at + 12 + int.from_bytes(sent[at + 8:at + 12], "little")])
    assert (command.field, command.affected_sop_class_uid, command.affected_sop_instance_uid, command.message_id) == (
        0x0100, SOP_CLASS, SOP_INSTANCE, 1)
    assert sent.endswith(encode_result(Result("1.9", (ONE,)), explicit=False))
    assert site.notes()[-1] == ("commitment_asked", None)
    site.arrive(answer(1, 0))
    assert site.notes()[-1] == ("commitment_reported", 0)


def test_result_waits_for_the_end_of_a_message(site: Site) -> None:
    name = site.with_result()
    site.arrive(encode_data(3, 3, wire.store_command(1)), encode_data(3, 0, data_set(wire.INSTANCE)[:20]))
    site.report(name)
    assert not site.transport.sent
    site.loop.advance(1)
    assert not site.transport.sent
    site.arrive(encode_data(3, 2, data_set(wire.INSTANCE)[20:]))
    site.transport.sent.clear()
    site.reporter.notify("on_acknowledged")
    site.transport.sent.clear()
    site.loop.advance(1)
    assert b"1.9" in site.transport.sent


def test_results_are_told_one_after_the_other(site: Site) -> None:
    name = site.with_result()
    site.report(name)
    site.transport.sent.clear()
    site.report(name)
    assert not site.transport.sent
    site.arrive(answer(1))
    assert b"1.9" in site.transport.sent
    site.arrive(answer(2, 0x0110))
    assert site.notes()[-2:] == [("commitment_reported", 0), ("commitment_reported", 0x0110)]


def test_answer_to_something_else_is_passed_over(site: Site) -> None:
    site.report(site.with_result())
    site.arrive(answer(99))
    assert site.notes()[-1] == ("commitment_asked", None)


def test_association_that_ends_leaves_the_result_to_another(site: Site) -> None:
    name = site.with_result()
    site.report(name)
    site.report(name)
    site.hang_up()
    assert site.notes()[1:] == [("commitment_reported", None)] * 2
    site.report(name)
    assert site.notes()[-1] == ("commitment_reported", None)
    assert len(site.notes()) == 4


def test_result_that_is_gone_is_not_told(site: Site) -> None:
    site.with_result()
    site.report("none.json")
    assert site.notes()[-1] == ("commitment_reported", None)


def test_objects_are_not_stored_on_the_context_of_commitment(site: Site) -> None:
    site.arrive(encode_data(5, 3, wire.store_command(1)) + encode_data(5, 2, data_set(wire.INSTANCE)))
    assert site.statuses() == [0x0122]


def test_action_on_another_context_is_not_recognized(site: Site) -> None:
    site.arrive(action(context=3))
    assert site.statuses() == [0x0211]


def test_without_the_option_a_profile_may_accept_the_class_and_actions_are_not_recognized(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path, None)
    other.arrive(action())
    assert other.statuses() == [0x0211]
    assert other.connection.commitment is None
