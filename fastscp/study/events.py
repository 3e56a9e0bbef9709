"""The event stream: what each line says. Pure; ``fastscp.coordinator.event_log`` writes the lines.

Each event is one JSON object with ``schema`` (an integer that grows when a field changes its meaning or goes;
new fields may come without), ``event`` (its kind) and ``time`` (UTC, RFC 3339, microseconds). Strings of peers
are Latin-1 decoded octets. docs/events.md describes every field.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

SCHEMA_VERSION = 1
Event = dict[str, Any]


class EventSink(Protocol):
    """Where events go. It never blocks and never fails."""

    def put(self, event: Event) -> None:
        """Take one event."""


def _event(kind: str, when: float, **fields: Any) -> Event:
    time = datetime.datetime.fromtimestamp(when, datetime.timezone.utc).isoformat(timespec="microseconds")
    return {"schema": SCHEMA_VERSION, "event": kind, "time": time.replace("+00:00", "Z"), **fields}


def association_opened(when: float, opened: Mapping[str, Any]) -> Event:
    """An association was established."""
    return _event("association.opened", when, association=opened["association"], **caller(opened),
                  max_pdu=opened["max_pdu"])


def association_closed(when: float, association: str, how: str) -> Event:
    """An association ended: ``released``, ``aborted`` or ``failed``."""
    return _event("association.closed", when, association=association, how=how)


def object_stored(when: float, opened: Mapping[str, Any], stored: Mapping[str, Any]) -> Event:
    """An object was published."""
    return _event(
        "object.stored", when, association=stored["association"], **caller(opened),
        directory=stored["directory"], file=stored["file"], study_uid=stored["study"],
        series_uid=stored["series"], modality=stored["modality"], **instance(stored), size=stored["size"],
        duration_s=stored["duration_s"], replaced=stored["replaced"], sha256=stored["sha256"])


def object_quarantined(when: float, quarantined: Mapping[str, Any]) -> Event:
    """An object that could not be stored was kept in the quarantine."""
    return _event(
        "object.quarantined", when, association=quarantined["association"], **caller(quarantined),
        directory=quarantined["directory"], file=quarantined["file"], study_uid=quarantined["study"],
        series_uid=quarantined["series"], modality=quarantined["modality"], **instance(quarantined),
        size=quarantined["size"], duration_s=quarantined["duration_s"], status=quarantined["status"],
        tag=quarantined["tag"], offset=quarantined["offset"], reason=quarantined["reason"])


def study_opened(when: float, uid: str, directory: str) -> Event:
    """The first object of a study is on its way."""
    return _event("study.opened", when, study_uid=uid, directory=directory)


def study_completed(when: float, uid: str, directory: str, reason: str, objects: Iterable[Event]) -> Event:
    """A study ended and its files have their final names. ``reason``: see ``docs/events.md``."""
    listed = list(objects)
    return _event("study.completed", when, study_uid=uid, directory=directory, reason=reason, count=len(listed),
                  objects=listed)


def series_completed(when: float, study_uid: str, series_uid: str, directory: str) -> Event:
    """A series ended."""
    return _event("series.completed", when, study_uid=study_uid, series_uid=series_uid, directory=directory)


def hook_started(when: float, hook: str, number: int, arguments: list[str]) -> Event:
    """A hook was started."""
    return _event("hook.started", when, hook=hook, number=number, arguments=arguments)


def hook_ended(when: float, hook: str, number: int, status: int, duration_s: float) -> Event:
    """A hook ended: exit status, or the negative number of the signal that ended it."""
    return _event("hook.ended", when, hook=hook, number=number, status=status, duration_s=round(duration_s, 6))


def events_dropped(when: float, count: int) -> Event:
    """So many events were lost here because nobody read them."""
    return _event("events.dropped", when, count=count)


def caller(opened: Mapping[str, Any]) -> Event:
    """Return who is at the other end of an association."""
    return {"calling_aet": opened["calling_aet"], "called_aet": opened["called_aet"], "peer": opened["peer"],
            "peer_host": opened["peer_host"], "port": opened["port"]}


def instance(stored: Mapping[str, Any]) -> Event:
    """Return which instance was stored, in which encoding."""
    return {"sop_class_uid": stored["sop_class"], "sop_instance_uid": stored["sop_instance"],
            "transfer_syntax_uid": stored["transfer_syntax"]}
