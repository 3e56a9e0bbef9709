"""The process that makes traces of events and exports them: started by the coordinator, ends with its channel.

    python -m fastscp.traces.program DESCRIPTOR ENDPOINT LEVEL

The descriptor is a stream socket, on which events come as in an event log, a line each. Environment variables of OpenTelemetry
that concern the exporter (``OTEL_EXPORTER_OTLP_HEADERS`` and its like) and the resource (``OTEL_SERVICE_NAME``) count.

Invariant: the channel is read at once, whatever becomes of the spans.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Iterator

import orjson
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from setproctitle import setproctitle

from fastscp import __version__, jsontext
from fastscp.log.names import APPLICATION
from fastscp.traces.exporting import Exporting
from fastscp.traces.policy import END_S
from fastscp.traces.spans import MOST_EVENTS, Spans

_log = logging.getLogger(APPLICATION)

_RECEIVED_OCTETS = 1 << 18
_EXPORT_S = 5  #: for one post, with what the exporter tries again


def main(descriptor: int, endpoint: str, level: int) -> int:
    """Export until the channel ends; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the coordinator
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname).1s: %(message)s")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # of each failure it would say more than one line
    setproctitle("fastscp: traces")
    exporting = Exporting(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_S), endpoint)
    provider = TracerProvider(resource=resource(), span_limits=SpanLimits(max_events=MOST_EVENTS), shutdown_on_exit=False)
    provider.add_span_processor(exporting)
    spans = Spans(provider.get_tracer("fastscp", __version__))
    with socket.socket(fileno=descriptor) as channel:
        for line in lines(channel):
            try:
                spans.take(jsontext.loads(line))
            except (orjson.JSONDecodeError, KeyError, ValueError) as error:
                _log.error("traces: an event is left out: %s", error)
    exporting.finish(END_S)
    return 0


def resource() -> Resource:
    """Return what this is, unless the environment says something else."""
    return Resource({SERVICE_NAME: "fastscp", SERVICE_VERSION: __version__}).merge(OTELResourceDetector().detect())


def lines(channel: socket.socket) -> Iterator[bytes]:
    """Yield the lines that arrive, up to the end; one without end was not told whole."""
    rest = bytearray()
    while octets := channel.recv(_RECEIVED_OCTETS):
        rest += octets
        *whole, rest = rest.split(b"\n")
        for line in whole:
            yield bytes(line)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
