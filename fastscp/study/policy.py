"""What the coordinator does with studies and hooks."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Sorting(enum.Enum):
    """``-ss``, ``-su`` and ``-sp``."""

    NONE = "none"
    CONCURRENT_STUDIES = "conc-studies"
    STUDY_UID = "study-uid"
    PATIENT_NAME = "patient-name"


class LateObjects(enum.Enum):
    """``--on-late``: an object of a study that has ended."""

    NEW_STUDY = "new-study"
    APPEND = "append"


@dataclass(frozen=True)
class StudyPolicy:
    """Sorting, end of study and renaming."""

    sorting: Sorting = Sorting.NONE
    prefix: str = ""  #: argument of ``-ss`` or ``-su``
    rename: bool = False  #: ``-rns``
    timeout_s: float | None = None  #: ``-tos``
    max_age_s: float | None = None  #: ``--study-max-age``
    on_late: LateObjects = LateObjects.NEW_STUDY
    literal_rule: bool = False  #: ``--single-process``: any object of another study ends the open one
    manifest: bool = False  #: ``--study-manifest``
    completed_directory: str | None = None  #: ``--completed-directory``: where the directory of an ended study goes
    durable: bool = False  #: names and state are on the disk before anybody is told of them (``--sync``)
    state_directory: str | None = None  #: ``--state-dir``; None: hidden inside the output directory
    resumed: bool = False  #: whoever is killed goes on with the studies that are open then (fastscp-ingest)
    names_by_character_set: bool = False  #: ``--transliterate-names``


@dataclass(frozen=True)
class FleetPolicy:
    """Several gateways that share a database, which decides when studies end."""

    url: str  #: ``--state``
    limit_s: float = 60.0  #: ``--gateway-timeout``: whoever gave no sign of life for so long holds nothing any more


@dataclass(frozen=True)
class ObjectStorePolicy:
    """Objects go to an object store, too, and may then go here."""

    bucket: str  #: of ``--object-store s3://bucket/prefix``
    prefix: str = ""
    endpoint: str | None = None  #: ``--object-store-endpoint``
    keep_local_s: float | None = None  #: ``--keep-local``: files go so long after everything is in the store; None: never


@dataclass(frozen=True)
class HookPolicy:
    """Commands run on events."""

    on_reception: str | None = None  #: ``-xcr``
    on_end_of_study: str | None = None  #: ``-xcs``
    on_end_of_series: str | None = None  #: ``--exec-on-eoseries``
    argv: bool = False  #: ``--exec-argv``: split once like a shell, run without one
    synchronous: bool = False  #: ``-xs``
    jobs: int = 8  #: ``--hook-jobs``: hooks running at once
    timeout_s: float | None = None  #: ``--hook-timeout``
    retries: int = 0  #: ``--hook-retries``: of a hook that failed
    most_waiting: int = 100_000  #: ``--max-waiting-hooks``: tasks that wait before objects are held back
    event_log: str | None = None  #: ``--event-log``
    event_digest: bool = False  #: ``--event-digest``: sha256 of each stored file in its event

    @property
    def configured(self) -> bool:
        """Whether there is any command at all."""
        return any(command is not None for command in (self.on_reception, self.on_end_of_study, self.on_end_of_series))


@dataclass(frozen=True)
class ReaderPolicy:
    """A program that embeds the service and reads some of its events."""

    descriptor: int  #: of a stream socket; every process of the service inherits it
    kinds: frozenset[str]  #: the events that it wants
