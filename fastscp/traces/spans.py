"""Events of the stream become spans: one for each association, with its objects as events.

Strategy: a span begins with ``association.opened``, has an event for each object, and ends with ``association.closed``. A
rejected association is a span without length. Times are those of the events.

Invariants: of a span there are at most ``MOST_EVENTS`` events, the latest, and it says how many are missing; there are at most
``MOST_OPEN`` open spans, and further associations are not traced.
What it does not do: export (``fastscp.traces.exporting``).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

MOST_EVENTS: Final = 500
MOST_OPEN: Final = 4096
_TITLES: Final = {"calling_aet": "dicom.calling_aet", "called_aet": "dicom.called_aet", "peer": "network.peer.address",
                  "peer_host": "client.address", "port": "network.peer.port", "sender": "fastscp.sender", "max_pdu": "dicom.max_pdu"}
_OBJECT: Final = {"sop_class_uid": "dicom.sop_class_uid", "sop_instance_uid": "dicom.sop_instance_uid", "study_uid": "dicom.study_uid",
                  "transfer_syntax_uid": "dicom.transfer_syntax_uid", "status": "dicom.status", "size": "fastscp.octets",
                  "duration_s": "fastscp.duration_s", "reason": "fastscp.reason", "tag": "fastscp.tag"}
_SUMMARY: Final = {"stored": "fastscp.stored", "refused": "fastscp.refused", "octets": "fastscp.octets", "how": "fastscp.how"}
_SUCCESS: Final = 0


class Spans:
    """The associations that are open."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, Span] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Take the next event."""
        kind = event["event"]
        if kind == "association.opened":
            self._begin(event)
        elif kind == "association.closed":
            self._end(event)
        elif kind == "association.rejected":
            self._reject(event)
        elif kind.startswith("object."):
            self._add(event)

    def _begin(self, event: Mapping[str, Any]) -> None:
        """Begin a span, unless it has begun: another coordinator tells of what is open once more."""
        if event["association"] not in self._open and len(self._open) < MOST_OPEN:
            self._open[event["association"]] = self._started(event)

    def _started(self, event: Mapping[str, Any]) -> Span:
        attributes = {"fastscp.association": event["association"]} if "association" in event else {}
        return self._tracer.start_span("association", kind=SpanKind.SERVER, start_time=nanoseconds(event["time"]),
                                       attributes={**attributes, **_named(event, _TITLES)})

    def _end(self, event: Mapping[str, Any]) -> None:
        span = self._open.pop(event["association"], None)
        if span is None:
            return
        span.set_attributes(_named(event, _SUMMARY))
        if event["how"] != "released":
            span.set_status(Status(StatusCode.ERROR, event["how"]))
        span.end(nanoseconds(event["time"]))

    def _reject(self, event: Mapping[str, Any]) -> None:
        span = self._started(event)
        span.set_attributes({"fastscp.how": "rejected", "fastscp.reason": event["reason"]})
        span.set_status(Status(StatusCode.ERROR, event["reason"]))
        span.end(nanoseconds(event["time"]))

    def _add(self, event: Mapping[str, Any]) -> None:
        span = self._open.get(event["association"])
        if span is not None:
            status = {"dicom.status": _SUCCESS} if event["event"] == "object.stored" else {}
            span.add_event(event["event"], {**status, **_named(event, _OBJECT)}, nanoseconds(event["time"]))


def _named(event: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is known, under its names in traces."""
    return {name: event[field] for field, name in names.items() if event.get(field) not in {None, ""}}


def nanoseconds(time: str) -> int:
    """Return the time of an event as nanoseconds of the Unix epoch."""
    moment = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1) * 1000


_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
