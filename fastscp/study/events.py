"""The event stream: one stream of typed events, and many readers. Pure.

Each event is one JSON object with ``schema`` (an integer that grows when a field changes its meaning or goes;
new fields may come without), ``event`` (its kind) and ``time`` (UTC, RFC 3339, microseconds). Strings of peers
are Latin-1 decoded octets. docs/events.md describes every field; ``fastscp.study.event_types`` has the types.

Whoever tells of something has an ``EventSink``. In the coordinator it is an ``EventStream``, which gives every event to
each reader in turn; ``fastscp.coordinator.event_log`` is one. Readers share the event and must not change it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fastscp.study.event_types import (
    SCHEMA_VERSION,
    AssociationClosed,
    AssociationOpened,
    AssociationRejected,
    Caller,
    ConnectionRefused,
    Event,
    EventsDropped,
    Hook,
    HookEnded,
    HookStarted,
    Instance,
    ObjectQuarantined,
    ObjectRefused,
    ObjectRepeated,
    ObjectStored,
    SeriesCompleted,
    StudyCompleted,
    StudyEnd,
    StudyObject,
    StudyOpened,
    StudyReleased,
)

_DUPLICATE_SOP_INSTANCE = 0x0111  #: status; PS3.7 Annex C


class EventSink(Protocol):
    """Where events go. It never blocks and never fails."""

    def put(self, event: Event) -> None:
        """Take one event."""


class EventStream:
    """Gives each event to every reader, in the order in which they are told."""

    def __init__(self, readers: Iterable[EventSink]) -> None:
        self._readers = tuple(readers)

    def put(self, event: Event) -> None:
        """Take one event."""
        for reader in self._readers:
            reader.put(event)


def stream_to(*readers: EventSink | None) -> EventStream | None:
    """Return the stream to those readers that are there, None without any: then nothing needs to be told."""
    present = [reader for reader in readers if reader is not None]
    return EventStream(present) if present else None


def association_opened(when: float, opened: Mapping[str, Any]) -> AssociationOpened:
    """An association was established."""
    return {"schema": SCHEMA_VERSION, "event": "association.opened", "time": _time(when),
            "association": opened["association"], **caller(opened), "max_pdu": opened["max_pdu"]}


def association_closed(when: float, closed: Mapping[str, Any]) -> AssociationClosed:
    """An association ended: ``released``, ``aborted`` or ``failed``."""
    return {"schema": SCHEMA_VERSION, "event": "association.closed", "time": _time(when),
            "association": closed["association"], "how": closed["how"], "stored": closed["stored"],
            "refused": closed["refused"], "octets": closed["octets"]}


def association_lost(when: float, association: str) -> AssociationClosed:
    """An association ended with its worker, and what the worker knew of it is lost."""
    return {"schema": SCHEMA_VERSION, "event": "association.closed", "time": _time(when), "association": association,
            "how": "failed", "stored": None, "refused": None, "octets": None}


def association_rejected(when: float, rejected: Mapping[str, Any]) -> AssociationRejected:
    """An association was rejected."""
    return {"schema": SCHEMA_VERSION, "event": "association.rejected", "time": _time(when), **caller(rejected),
            "reason": rejected["reason"]}


def connection_refused(when: float, turned_away: Mapping[str, Any]) -> ConnectionRefused:
    """A connection was closed before anything was read from it."""
    return {"schema": SCHEMA_VERSION, "event": "connection.refused", "time": _time(when), "peer": turned_away["peer"],
            "peer_host": turned_away["peer_host"], "port": turned_away["port"], "reason": turned_away["reason"]}


def object_stored(when: float, opened: Mapping[str, Any], stored: Mapping[str, Any]) -> ObjectStored:
    """An object was published."""
    return {"schema": SCHEMA_VERSION, "event": "object.stored", "time": _time(when),
            "association": stored["association"], **caller(opened),
            "directory": stored["directory"], "file": stored["file"], "study_uid": stored["study"],
            "series_uid": stored["series"], "modality": stored["modality"], **instance(stored), "size": stored["size"],
            "duration_s": stored["duration_s"], "replaced": stored["replaced"],
            "duplicate": stored.get("duplicate"), "sha256": stored["sha256"]}


def object_refused(when: float, refused: Mapping[str, Any]) -> ObjectRefused:
    """An object was answered with a failure, or cut off."""
    return {"schema": SCHEMA_VERSION, "event": "object.refused", "time": _time(when),
            "association": refused["association"], **caller(refused),
            "directory": refused["directory"], "file": refused["file"], "study_uid": refused["study"],
            "series_uid": refused["series"], "modality": refused["modality"], **instance(refused),
            "duration_s": refused["duration_s"], "status": refused["status"], "tag": refused["tag"],
            "offset": refused["offset"], "reason": refused["reason"],
            "duplicate": "refuse" if refused["status"] == _DUPLICATE_SOP_INSTANCE else None}


def object_quarantined(when: float, kept: Mapping[str, Any]) -> ObjectQuarantined:
    """An object that could not be stored was kept in the quarantine, and answered with a warning."""
    return {"schema": SCHEMA_VERSION, "event": "object.quarantined", "time": _time(when),
            "association": kept["association"], **caller(kept),
            "directory": kept["directory"], "file": kept["file"], "study_uid": kept["study"],
            "series_uid": kept["series"], "modality": kept["modality"], **instance(kept), "size": kept["size"],
            "duration_s": kept["duration_s"], "status": kept["status"], "tag": kept["tag"],
            "offset": kept["offset"], "reason": kept["reason"]}


def object_repeated(when: float, study_uid: str, instance_uid: str, *, kept: tuple[str, str],
                    removed: str, sender: str = "") -> ObjectRepeated:
    """The file of an object was removed, because the study has it with the same octets in (directory, file)."""
    directory, file = kept
    return {"schema": SCHEMA_VERSION, "event": "object.repeated", "time": _time(when), "study_uid": study_uid,
            "sop_instance_uid": instance_uid, "directory": directory, "file": file, "removed": removed,
            "sender": sender}


def study_opened(when: float, uid: str, directory: str, sender: str = "") -> StudyOpened:
    """The first object of a study is on its way."""
    return {"schema": SCHEMA_VERSION, "event": "study.opened", "time": _time(when), "study_uid": uid,
            "directory": directory, "sender": sender}


def study_completed(when: float, end: StudyEnd, opened: Mapping[str, Any],
                    objects: list[StudyObject]) -> StudyCompleted:
    """A study ended and its files have their final names; ``opened`` is the association of its last object."""
    return {"schema": SCHEMA_VERSION, "event": "study.completed", "time": _time(when), **end, **caller(opened),
            "count": len(objects), "objects": objects}


def study_object(file: str, stored: Mapping[str, Any]) -> StudyObject:
    """Return one object of a study under its final name."""
    return {"file": file, "series_uid": stored["series"], **instance(stored)}


def study_released(when: float, uid: str, directory: str, reason: str, count: int, *, sender: str = "") -> StudyReleased:
    """What a gateway has of a study is finished."""
    return {"schema": SCHEMA_VERSION, "event": "study.released", "time": _time(when), "study_uid": uid, "directory": directory,
            "reason": reason, "count": count, "sender": sender}


def series_completed(when: float, study_uid: str, series_uid: str, directory: str, sender: str = "") -> SeriesCompleted:
    """A series ended."""
    return {"schema": SCHEMA_VERSION, "event": "series.completed", "time": _time(when), "study_uid": study_uid,
            "series_uid": series_uid, "directory": directory, "sender": sender}


def hook_started(when: float, hook: Hook, arguments: list[str]) -> HookStarted:
    """A hook was started."""
    return {"schema": SCHEMA_VERSION, "event": "hook.started", "time": _time(when), **hook, "arguments": arguments}


def hook_ended(when: float, hook: Hook, status: int, duration_s: float) -> HookEnded:
    """A hook ended: exit status, or the negative number of the signal that ended it."""
    return {"schema": SCHEMA_VERSION, "event": "hook.ended", "time": _time(when), **hook, "status": status,
            "duration_s": round(duration_s, 6)}


def events_dropped(when: float, count: int) -> EventsDropped:
    """So many events were lost here because nobody read them."""
    return {"schema": SCHEMA_VERSION, "event": "events.dropped", "time": _time(when), "count": count}


def caller(opened: Mapping[str, Any]) -> Caller:
    """Return who is at the other end of an association."""
    return {"calling_aet": opened["calling_aet"], "called_aet": opened["called_aet"], "peer": opened["peer"],
            "peer_host": opened["peer_host"] or opened["peer"], "port": opened["port"], "sender": opened.get("sender", "")}


def instance(stored: Mapping[str, Any]) -> Instance:
    """Return which instance was stored, in which encoding."""
    return {"sop_class_uid": stored["sop_class"], "sop_instance_uid": stored["sop_instance"],
            "transfer_syntax_uid": stored["transfer_syntax"]}


def _time(when: float) -> str:
    time = datetime.datetime.fromtimestamp(when, datetime.timezone.utc).isoformat(timespec="microseconds")
    return time.replace("+00:00", "Z")
