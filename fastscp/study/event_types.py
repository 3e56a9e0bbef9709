"""What each event of the stream says, as types. docs/events.md describes every field; a test holds it against these."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, get_args

SCHEMA_VERSION = 1


class Occurrence(TypedDict):
    """What every event has."""

    schema: int
    time: str


class Caller(TypedDict):
    """Who is at the other end of an association."""

    calling_aet: str
    called_aet: str
    peer: str
    peer_host: str
    port: int
    sender: str  #: section of the configuration file, "" for none


class Instance(TypedDict):
    """Which instance, in which encoding."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class StudyObject(Instance):
    """One object of a study that ended."""

    file: str
    series_uid: str


class AssociationOpened(Occurrence, Caller):
    """An association was established."""

    event: Literal["association.opened"]
    association: str
    max_pdu: int


class AssociationClosed(Occurrence):
    """An association ended. The numbers are None when the worker died with it."""

    event: Literal["association.closed"]
    association: str
    how: str
    stored: int | None
    refused: int | None
    octets: int | None


class AssociationRejected(Occurrence, Caller):
    """An association was rejected."""

    event: Literal["association.rejected"]
    reason: str


class ConnectionRefused(Occurrence):
    """A connection was closed before anything was read from it."""

    event: Literal["connection.refused"]
    peer: str
    peer_host: str
    port: int
    reason: str


class ObjectStored(Occurrence, Caller, Instance):
    """An object was published."""

    event: Literal["object.stored"]
    association: str
    directory: str
    file: str
    study_uid: str
    series_uid: str
    modality: str
    size: int
    duration_s: float
    replaced: bool
    duplicate: str | None
    sha256: str | None


class ObjectRefused(Occurrence, Caller, Instance):
    """An object was answered with a failure, or cut off: ``status`` is None then."""

    event: Literal["object.refused"]
    association: str
    directory: str | None
    file: str | None
    study_uid: str
    series_uid: str
    modality: str
    duration_s: float
    status: int | None
    tag: str | None
    offset: int | None
    reason: str
    duplicate: str | None


class ObjectQuarantined(Occurrence, Caller, Instance):
    """An object that could not be stored is kept as ``directory/file``; ``status`` is what it would have been refused with."""

    event: Literal["object.quarantined"]
    association: str
    directory: str
    file: str
    study_uid: str
    series_uid: str
    modality: str
    size: int
    duration_s: float
    status: int
    tag: str | None
    offset: int | None
    reason: str


class ObjectRepeated(Occurrence):
    """The second file of an object was removed: its study has it already, with the same octets."""

    event: Literal["object.repeated"]
    study_uid: str
    sop_instance_uid: str
    directory: str
    file: str
    removed: str
    sender: str


class StudyOpened(Occurrence):
    """The first object of a study is on its way."""

    event: Literal["study.opened"]
    study_uid: str
    directory: str
    sender: str


class StudyEnd(TypedDict):
    """Which study ended, and why."""

    study_uid: str
    directory: str
    reason: str
    revision: int  #: 1 at the first end of a study, one more with each later one


class StudyCompleted(Occurrence, StudyEnd, Caller):
    """A study ended and its files have their final names. The caller is the one of its last object."""

    event: Literal["study.completed"]
    count: int
    objects: list[StudyObject]


class StudyReleased(Occurrence):
    """With a fleet: this gateway's part of a study is finished; the fleet decides when the study has ended."""

    event: Literal["study.released"]
    study_uid: str
    directory: str
    reason: str
    count: int
    sender: str


class SeriesCompleted(Occurrence):
    """A series ended."""

    event: Literal["series.completed"]
    study_uid: str
    series_uid: str
    directory: str
    sender: str


class Hook(TypedDict):
    """Which hook, and for what."""

    hook: str
    number: int
    study_uid: str
    directory: str
    command: str
    sender: str


class HookStarted(Occurrence, Hook):
    """A hook was started."""

    event: Literal["hook.started"]
    arguments: list[str]


class HookEnded(Occurrence, Hook):
    """A hook ended: exit status, or the negative number of the signal that ended it."""

    event: Literal["hook.ended"]
    status: int
    duration_s: float


class EventsDropped(Occurrence):
    """So many events are missing here."""

    event: Literal["events.dropped"]
    count: int


Event = (AssociationOpened | AssociationClosed | AssociationRejected | ConnectionRefused | ObjectStored | ObjectRefused
         | ObjectQuarantined | ObjectRepeated | StudyOpened | StudyCompleted | StudyReleased | SeriesCompleted | HookStarted
         | HookEnded | EventsDropped)
#: every type of event
KINDS: tuple[type[Any], ...] = get_args(Event)
