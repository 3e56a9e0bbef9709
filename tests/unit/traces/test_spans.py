"""Spans made of events: what they say, how they end, and how many there may be."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from fastscp.study import event_types, events
from fastscp.traces import spans as module
from fastscp.traces.policy import KINDS
from fastscp.traces.spans import MOST_EVENTS, Spans, nanoseconds
from tests.unit.embedding.test_records import CALLER, PACKET

OPENED = {"association": "a-1", "max_pdu": 16384, **CALLER}


class Bench:
    def __init__(self):
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(span_limits=SpanLimits(max_events=MOST_EVENTS), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = Spans(provider.get_tracer("test"))

    def take(self, *told):
        for event in told:
            self.spans.take(event)
        return self._exporter.get_finished_spans()


def closed(how="released", when=20.0, association="a-1"):
    return events.association_closed(when, {"association": association, "how": how, "stored": 1, "refused": 1, "octets": 2500})


def test_an_association_with_its_objects():
    span, = Bench().take(events.association_opened(10.5, OPENED), events.object_stored(11, CALLER, PACKET), events.object_refused(12, PACKET), closed())
    assert (span.name, span.kind, span.start_time, span.end_time) == ("association", SpanKind.SERVER, 10_500_000_000, 20_000_000_000)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "fastscp.association": "a-1", "dicom.calling_aet": "CT1", "dicom.called_aet": "GW", "network.peer.address": "192.0.2.7",
        "client.address": "ct1.example", "network.peer.port": 44870, "fastscp.sender": "ct", "dicom.max_pdu": 16384,
        "fastscp.stored": 1, "fastscp.refused": 1, "fastscp.octets": 2500, "fastscp.how": "released"}
    stored, refused = span.events
    assert (stored.name, stored.timestamp) == ("object.stored", 11_000_000_000)
    assert dict(stored.attributes) == {
        "dicom.sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "dicom.sop_instance_uid": "1.2.3", "dicom.study_uid": "1.2",
        "dicom.transfer_syntax_uid": "1.2.840.10008.1.2.1", "dicom.status": 0, "fastscp.octets": 2500, "fastscp.duration_s": 0.25}
    assert refused.name == "object.refused"
    assert refused.attributes["dicom.status"] == 0xC000
    assert refused.attributes["fastscp.reason"] == "data set ends inside a value"
    assert refused.attributes["fastscp.tag"] == "7FE0,0010"
    assert "fastscp.octets" not in refused.attributes


@pytest.mark.parametrize(("how", "code"), [("released", StatusCode.UNSET), ("aborted", StatusCode.ERROR), ("failed", StatusCode.ERROR)])
def test_how_it_ended_is_its_status(how, code):
    span, = Bench().take(events.association_opened(1, OPENED), closed(how))
    assert span.status.status_code is code
    assert span.attributes["fastscp.how"] == how


def test_one_that_was_lost_with_its_worker_has_no_numbers():
    span, = Bench().take(events.association_opened(1, OPENED), events.association_lost(2, "a-1"))
    assert span.status.status_code is StatusCode.ERROR
    assert "fastscp.stored" not in span.attributes


def test_an_object_that_was_cut_off_has_no_status():
    span, = Bench().take(events.association_opened(1, OPENED), events.object_refused(2, {**PACKET, "status": None, "tag": None}), closed("aborted"))
    assert "dicom.status" not in span.events[0].attributes


def test_a_rejected_association_is_a_span_of_its_own():
    span, = Bench().take(events.association_rejected(3, {**CALLER, "reason": "called title not recognized"}))
    assert (span.start_time, span.end_time, span.status.status_code) == (3_000_000_000, 3_000_000_000, StatusCode.ERROR)
    assert span.attributes["fastscp.reason"] == "called title not recognized"
    assert span.attributes["fastscp.how"] == "rejected"


def test_what_belongs_to_nothing_that_is_open_is_left_out():
    assert Bench().take(events.object_stored(11, CALLER, PACKET), closed(), events.events_dropped(1, 2)) == ()


def test_what_is_told_once_more_begins_nothing_anew():
    span, = Bench().take(events.association_opened(1, OPENED), events.association_opened(5, OPENED), closed())
    assert span.start_time == 1_000_000_000


def test_of_many_events_the_latest_stay_and_the_others_are_counted():
    bench = Bench()
    bench.take(events.association_opened(1, OPENED), *(events.object_stored(2 + number, CALLER, PACKET) for number in range(MOST_EVENTS + 7)))
    span, = bench.take(closed(when=5000))
    assert len(span.events) == MOST_EVENTS
    assert span.dropped_events == 7
    assert span.events[0].timestamp == 9_000_000_000


def test_there_are_no_more_open_spans_than_there_may_be(monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    bench = Bench()
    for number in range(4):
        bench.take(events.association_opened(1, {**OPENED, "association": str(number)}))
    found = bench.take(*(closed(association=str(number)) for number in range(4)))
    assert [span.attributes["fastscp.association"] for span in found] == ["0", "1"]


def test_times_are_exact():
    assert nanoseconds("2026-11-25T17:11:45.860918Z") == 1_795_626_705_860_918_000


def test_the_kinds_are_events_that_there_are():
    assert {get_args(get_type_hints(kind)["event"])[0] for kind in event_types.KINDS} >= KINDS
