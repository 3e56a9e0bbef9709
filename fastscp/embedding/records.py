"""What callbacks are told: the events of the stream that concern them, as frozen objects with types.

Everything in them is a fact of one moment: a file may have been moved or removed since. Texts of peers are Latin-1 decoded octets.
docs/events.md says more of each field.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object has its final name, and is answered with success: what ``on_object`` is told.

    Where studies are renamed (``rename_on_eostudy``) or moved (``completed_directory``) at their end, ``CompletedStudy`` has
    the names from then on.
    """

    time: datetime.datetime  #: when it was stored, in UTC
    path: Path  #: of its file
    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str  #: "" where nobody looked at the data set (``bit_preserving``)
    series_uid: str
    modality: str
    transfer_syntax_uid: str  #: of the file
    size: int  #: octets of the file
    duration_s: float  #: from the request to the file
    replaced: bool  #: a file of that name was there, and is gone
    duplicate: str | None  #: what ``on_duplicate`` did because the name was taken; None: it was not
    sha256: str | None  #: of the file, with ``event_digest``
    association: str  #: unique in the service
    calling_aet: str
    called_aet: str
    peer: str  #: address
    peer_host: str  #: host name, where it is known; else the address
    port: int  #: of the peer
    sender: str  #: section of the configuration file, "" for none

    @property
    def status(self) -> int:
        """What the sender is answered with: success."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFile:
    """One object of a study that ended, under its final name."""

    path: Path
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedStudy:
    """A study ended, and its files have their final names and place: what ``on_study`` is told."""

    time: datetime.datetime  #: when it ended, in UTC
    study_uid: str
    directory: Path
    reason: Literal["other-study", "timeout", "maximum-age", "shutdown"]  #: why it ended
    revision: int  #: 1 at its first end, one more each time it ends again with something new
    objects: tuple[StudyFile, ...]  #: in order of arrival
    calling_aet: str  #: this and what follows: of the association of its last object
    called_aet: str
    peer: str
    peer_host: str
    port: int
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something was not taken: what ``on_refused`` is told.

    ``kind`` says what: an ``object`` (answered with a failure, or cut off: ``status`` is None then), an object that went into
    the ``quarantine`` and was answered with a warning (``status`` is what it would have been refused with, ``path`` where it
    is), an ``association`` that was rejected, or a ``connection`` that was closed before anything was read from it.
    """

    time: datetime.datetime  #: in UTC
    kind: Literal["object", "quarantine", "association", "connection"]
    reason: str  #: in words
    status: int | None = None  #: of an object
    path: Path | None = None  #: of an object in the quarantine
    tag: str | None = None  #: the element to blame, ``GGGG,EEEE``
    offset: int | None = None  #: of that element in the data set as it was received
    sop_class_uid: str = ""  #: this and what follows: as far as it is known
    sop_instance_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    transfer_syntax_uid: str = ""  #: as received
    association: str = ""
    calling_aet: str = ""
    called_aet: str = ""
    peer: str
    peer_host: str
    port: int
    sender: str = ""


Record = StoredObject | CompletedStudy | Refusal

OBJECTS = frozenset({"object.stored"})
STUDIES = frozenset({"study.completed"})
#: event -> what a refusal is of
REFUSALS: Mapping[str, Literal["object", "quarantine", "association", "connection"]] = {
    "object.refused": "object", "object.quarantined": "quarantine", "association.rejected": "association",
    "connection.refused": "connection",
}
_CALLER = ("calling_aet", "called_aet", "peer", "peer_host", "port", "sender")
_OBJECT = ("sop_class_uid", "sop_instance_uid", "study_uid", "series_uid", "modality", "transfer_syntax_uid", "size", "duration_s",
           "replaced", "duplicate", "sha256", "association")
_FILE = ("series_uid", "sop_class_uid", "sop_instance_uid", "transfer_syntax_uid")
_REFUSED = ("reason", "status", "tag", "offset", "sop_class_uid", "sop_instance_uid", "study_uid", "series_uid",
            "transfer_syntax_uid", "association")


def stored_object(event: Mapping[str, Any]) -> StoredObject:
    """Return what an ``object.stored`` says."""
    return StoredObject(time=_time(event), path=Path(event["directory"], event["file"]), **_fields(event, (*_OBJECT, *_CALLER)))


def completed_study(event: Mapping[str, Any]) -> CompletedStudy:
    """Return what a ``study.completed`` says."""
    directory = Path(event["directory"])
    files = tuple(StudyFile(path=directory / one["file"], **_fields(one, _FILE)) for one in event["objects"])
    return CompletedStudy(time=_time(event), directory=directory, objects=files,
                          **_fields(event, ("study_uid", "reason", "revision", *_CALLER)))


def refusal(event: Mapping[str, Any]) -> Refusal:
    """Return what an event of ``REFUSALS`` says."""
    kind = REFUSALS[event["event"]]
    path = Path(event["directory"], event["file"]) if kind == "quarantine" else None
    present = [name for name in (*_REFUSED, *_CALLER) if name in event]
    return Refusal(time=_time(event), kind=kind, path=path, **_fields(event, present))


def _fields(event: Mapping[str, Any], names: tuple[str, ...] | list[str]) -> dict[str, Any]:
    return {name: event[name] for name in names}


def _time(event: Mapping[str, Any]) -> datetime.datetime:
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
