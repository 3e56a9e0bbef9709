"""The queue before an exporter: nobody waits, what is not taken is dropped, counted and told once."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from fastscp.traces import exporting as module
from fastscp.traces.exporting import Exporting
from tests.support.servers import wait_until


class FakeExporter:
    """Takes spans as ``result`` says, one batch for each ``let``; without a gate at once."""

    def __init__(self, result=SpanExportResult.SUCCESS, *, gated=False):
        self.result = result
        self.names = []
        self.batches = 0
        self.entered = threading.Event()
        self._gate = threading.Semaphore(0) if gated else None

    def export(self, spans):
        self.entered.set()
        if self._gate is not None:
            assert self._gate.acquire(timeout=60)
        self.batches += 1
        if isinstance(self.result, Exception):
            raise self.result
        if self.result is SpanExportResult.SUCCESS:
            self.names += [span.name for span in spans]
        return self.result

    def let(self, batches=1):
        self._gate.release(batches)


def tracer_to(exporting):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(exporting)
    return provider.get_tracer("test")


def end_spans(tracer, *names, events=0):
    for name in names:
        span = tracer.start_span(str(name))
        for _ in range(events):
            span.add_event("object.stored")
        span.end()


def test_spans_are_exported_in_their_order_to_the_last():
    exporter = FakeExporter()
    exporting = Exporting(exporter, "http://there")
    end_spans(tracer_to(exporting), *range(300))
    exporting.finish(60)
    assert exporter.names == [str(number) for number in range(300)]
    assert exporting.dropped == 0


@pytest.mark.parametrize("failure", [SpanExportResult.FAILURE, RuntimeError("of the exporter")])
def test_what_is_not_taken_is_dropped_and_told_at_the_change(caplog, failure):
    exporter = FakeExporter(failure)
    exporting = Exporting(exporter, "http://there")
    tracer = tracer_to(exporting)
    for number in range(3):
        end_spans(tracer, number)
        wait_until(lambda number=number: exporting.dropped == number + 1, "dropped")
    assert caplog.messages == ["traces: http://there takes no spans, dropping them"]
    exporter.result = SpanExportResult.SUCCESS
    end_spans(tracer, "a", "b")
    exporting.finish(60)
    assert exporter.names == ["a", "b"]
    assert caplog.messages[1:] == ["traces: http://there takes spans again, 3 were dropped", "traces: 3 spans were dropped in all"]


def test_whoever_ends_a_span_never_waits(monkeypatch, caplog):
    monkeypatch.setattr(module, "MOST_SPANS", 5)
    exporter = FakeExporter(gated=True)
    exporting = Exporting(exporter, "http://there")
    tracer = tracer_to(exporting)
    end_spans(tracer, "first")
    assert exporter.entered.wait(60)  # it is being posted
    end_spans(tracer, *range(8))
    assert exporting.dropped == 3
    exporter.let(10)
    exporting.finish(60)
    assert exporter.names == ["first", "0", "1", "2", "3", "4"]
    assert caplog.messages[0] == "traces: http://there takes no spans, dropping them"


def test_events_count_as_well(monkeypatch):
    monkeypatch.setattr(module, "MOST_EVENTS", 10)
    exporter = FakeExporter(gated=True)
    exporting = Exporting(exporter, "http://there")
    tracer = tracer_to(exporting)
    end_spans(tracer, "first")
    assert exporter.entered.wait(60)
    end_spans(tracer, *range(4), events=6)
    assert exporting.dropped == 2  # the second one came when there was room
    exporter.let(10)
    wait_until(lambda: exporter.names == ["first", "0", "1"], "posted")
    end_spans(tracer, "later", events=6)
    exporting.finish(60)
    assert exporter.names[-1] == "later"


def test_the_end_waits_no_longer_than_it_may(caplog):
    exporter = FakeExporter(gated=True)
    exporting = Exporting(exporter, "http://there")
    tracer = tracer_to(exporting)
    end_spans(tracer, "first")
    assert exporter.entered.wait(60)
    end_spans(tracer, "second")
    exporting.finish(0.01)
    assert exporting.dropped == 1
    assert caplog.messages == ["traces: 1 spans were dropped in all"]
    exporter.let(10)
