"""A collector for tests: takes OTLP over HTTP, decodes it, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def plain(value: AnyValue) -> Any:
    """Return a value as Python has it."""
    return getattr(value, value.WhichOneof("value"))


def attributes(pairs: list[KeyValue]) -> dict[str, Any]:
    """Return attributes as a dictionary."""
    return {pair.key: plain(pair.value) for pair in pairs}


class Collector:
    """Listens on ``port`` (0: any) while the block runs. ``silent`` has it take connections and never answer."""

    def __init__(self, port: int = 0, *, silent: bool = False) -> None:
        self.spans: list[Span] = []
        self.resources: list[Mapping[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.go_on = threading.Event()
        if not silent:
            self.go_on.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.go_on.wait(60)
                collector.take(self.path, dict(self.headers), body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Decode one request."""
        request = ExportTraceServiceRequest.FromString(body)
        self.paths.append(path)
        self.headers.append(headers)
        for group in request.resource_spans:
            self.resources.append(attributes(group.resource.attributes))
            for scope in group.scope_spans:
                self.spans.extend(scope.spans)

    def __enter__(self) -> Collector:  # noqa: PYI034 - Self is newer than Python 3.10
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
