"""What is served at which path. Everything is read-only, and made for the one who asks."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import orjson

from fastscp.metrics import table
from fastscp.monitor import health, status
from fastscp.monitor.exposition import exposition
from fastscp.monitor.history import History
from fastscp.monitor.http import Request, Response
from fastscp.monitor.machine import Machine
from fastscp.monitor.totals import Process, Reader, Totals

#: no other page may read, embed or be misled by what is served here
PROTECTED = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", ("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
                                 "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")),
)
_JSON = "application/json"


@dataclass(frozen=True)
class Facts:
    """What does not change while the service runs."""

    version: str
    build: tuple[str, str, str]  #: version, Python, core: values of the labels of the build
    local: bool  #: only this machine is listened to
    page: bytes = b""


class Routes:
    """Answers requests."""

    def __init__(self, reader: Reader, machine: Machine, history: History, facts: Facts,
                 wall: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._machine = machine
        self._history = history
        self._facts = facts
        self._wall = wall
        self._served: dict[str, Callable[[Request], Response]] = {
            "/": self._page, "/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz,
            "/status": self._status, "/events": self._events}

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if self._facts.local and not names_this_machine(request.host):
            return Response(421, "text/plain; charset=utf-8", b"this is not the host that was asked for\n", PROTECTED)
        serve = self._served.get(request.path)
        if serve is None:
            return Response(404, "text/plain; charset=utf-8", b"not found\n", PROTECTED)
        return serve(request)

    # -- pages ------------------------------------------------------------------------------------

    def _page(self, _request: Request) -> Response:
        return Response(200, "text/html; charset=utf-8", self._facts.page, PROTECTED)

    def _metrics(self, request: Request) -> Response:
        content_type, text = exposition(self.totals(), request.accept)
        return Response(200, content_type, text, PROTECTED)

    def _healthz(self, _request: Request) -> Response:
        processes, totals = self._reader.processes(), self.totals()
        return _verdict(health.healthy(processes, totals))

    def _readyz(self, _request: Request) -> Response:
        return _verdict(self._readiness(self._reader.processes(), self.totals()))

    def _status(self, _request: Request) -> Response:
        return Response(200, _JSON, _json(self.status()), PROTECTED)

    def _events(self, _request: Request) -> Response:
        return Response(200, "text/event-stream", self.event(), PROTECTED, stream=True)

    # -- what they say ----------------------------------------------------------------------------

    def event(self) -> bytes:
        """Return what is sent to those who watch."""
        totals = self.totals()
        glance = status.glance(totals, self._history, self.status(totals))
        return b"data: " + orjson.dumps(glance) + b"\n\n"

    def totals(self) -> Totals:
        """Return everything that is counted, and found out."""
        totals = self._reader.totals()
        self._machine.tell(totals)
        totals.set(table.BUILD, 1, *self._facts.build)
        return totals

    def status(self, totals: Totals | None = None) -> dict[str, Any]:
        """Return the status of the service."""
        processes = self._reader.processes(reports=True)
        totals = totals or self.totals()
        return status.status(totals, processes, self._readiness(processes, totals), now=self._wall(), version=self._facts.version)

    def _readiness(self, processes: Collection[Process], totals: Totals) -> list[health.Check]:
        return health.ready(processes, totals, self._machine.free, self._machine.disks.mark)


def names_this_machine(host: str) -> bool:
    """Whether a Host header is an address or a name of this machine.

    A page of another site can have its name lead to the loopback address; the browser would let it read what is served there.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in {"", "localhost", socket.gethostname().lower()} or name.endswith(".localhost")
    return True


def _verdict(checks: Collection[health.Check]) -> Response:
    verdict = health.verdict(checks)
    return Response(200 if verdict["ok"] else 503, _JSON, _json(verdict), PROTECTED)


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
