"""Exports spans, and loses those that nobody takes.

Strategy: spans that have ended wait in a queue; a thread takes them, some at a time, and posts them. What cannot be posted is
dropped and counted, not kept; the log says so when it begins and when it is over.

Invariants: at most ``MOST_SPANS`` spans and ``MOST_EVENTS`` events of them wait; whoever ends a span never waits; nobody is told of each
failure.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

from fastscp.log.names import APPLICATION

_log = logging.getLogger(APPLICATION)

MOST_SPANS: Final = 1024
MOST_EVENTS: Final = 20_000
_AT_ONCE: Final = 64


class Exporter(Protocol):
    """What posts spans (``OTLPSpanExporter``)."""

    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult:
        """Post them, within a time limit of its own."""


class Exporting(SpanProcessor):
    """The queue before an exporter; ``endpoint`` is what the log calls it."""

    def __init__(self, exporter: Exporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._waiting: deque[ReadableSpan] = deque()
        self._events = 0  #: of those that wait
        self._changed = threading.Condition()
        self._busy = False  #: something is being posted
        self._ended = False
        self._away = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="fastscp-traces", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is done at the start of a span."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        with self._changed:
            if len(self._waiting) >= MOST_SPANS or self._events >= MOST_EVENTS:
                self._drop(1)
                return
            self._waiting.append(span)
            self._events += len(span.events)
            self._changed.notify_all()

    def finish(self, limit_s: float) -> None:
        """Post what waits, within some seconds, and count what is left as dropped."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._waiting or self._busy), limit_s)
            self.dropped += len(self._waiting)
            self._waiting.clear()
            if self.dropped:
                _log.warning("traces: %d spans were dropped in all", self.dropped)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                spans = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
                self._events -= sum(len(span.events) for span in spans)
                self._busy = True
            posted = self._post(spans)
            with self._changed:
                if posted:
                    self._is_back()
                else:
                    self._drop(len(spans))

    def _post(self, spans: Sequence[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever an exporter raises, others may be taken
            _log.debug("traces: the exporter failed", exc_info=True)
            return False

    def _drop(self, count: int) -> None:
        self.dropped += count
        if not self._away:
            self._away = True
            _log.warning("traces: %s takes no spans, dropping them", self._endpoint)

    def _is_back(self) -> None:
        if self._away:
            self._away = False
            _log.warning("traces: %s takes spans again, %d were dropped", self._endpoint, self.dropped)
