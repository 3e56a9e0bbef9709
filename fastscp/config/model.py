"""The one object every process is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fastscp.access.policy import AccessPolicy
from fastscp.commitment.policy import CommitmentPolicy
from fastscp.config.network import FaultPolicy, NetworkPolicy, TLSPolicy
from fastscp.config.senders import Senders
from fastscp.dicom.options import OutputOptions
from fastscp.log.policy import LogPolicy
from fastscp.metrics.policy import MetricsPolicy
from fastscp.store.policy import StorePolicy
from fastscp.study.commands import names_peer
from fastscp.study.policy import (
    FleetPolicy,
    HookPolicy,
    ObjectStorePolicy,
    ReaderPolicy,
    Sorting,
    StudyPolicy,
)
from fastscp.traces.policy import TracesPolicy
from fastscp.ul.policy import NegotiationPolicy


@dataclass(frozen=True)
class Config:
    """Every policy. Nothing in it changes after start; a reload builds a new one."""

    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    negotiation: NegotiationPolicy = field(default_factory=NegotiationPolicy)
    output: OutputOptions = field(default_factory=OutputOptions)
    store: StorePolicy = field(default_factory=StorePolicy)
    study: StudyPolicy = field(default_factory=StudyPolicy)
    hooks: HookPolicy = field(default_factory=HookPolicy)
    access: AccessPolicy = field(default_factory=AccessPolicy)
    log: LogPolicy = field(default_factory=LogPolicy)
    faults: FaultPolicy = field(default_factory=FaultPolicy)
    metrics: MetricsPolicy | None = None
    commitment: CommitmentPolicy | None = None  #: ``--storage-commitment``
    traces: TracesPolicy | None = None  #: ``--otlp``
    reader: ReaderPolicy | None = None  #: a program that embeds the service
    fleet: FleetPolicy | None = None  #: ``--state``
    object_store: ObjectStorePolicy | None = None  #: ``--object-store``
    senders: Senders = field(default_factory=Senders)  #: the sections of a configuration file
    by_sender: Mapping[str, Config] = field(default_factory=dict)  #: what each section is served by, by its name

    @property
    def every(self) -> tuple[Config, ...]:
        """The configuration of the service and that of each section: what a process does for all of them is asked of all."""
        return (self, *self.by_sender.values())

    @property
    def stores(self) -> Mapping[str, StorePolicy]:
        """Where objects go, by section; "" is the service."""
        return {"": self.store, **{name: own.store for name, own in self.by_sender.items()}}

    def settled(self, dictionary_paths: tuple[str, ...], tls: TLSPolicy | None) -> Config:
        """Return this with what only the start can find out: usable dictionaries, and keys that can be read."""
        return replace(self, output=replace(self.output, dictionary_paths=dictionary_paths), network=replace(self.network, tls=tls),
                       by_sender={name: own.settled(dictionary_paths, tls) for name, own in self.by_sender.items()})

    @property
    def keeps_studies(self) -> bool:
        """Whether the coordinator tracks studies (and keeps durable state for them)."""
        study, hooks = self.study, self.hooks
        return not self.store.ignore and (
            study.sorting is not Sorting.NONE
            or study.rename
            or study.manifest
            or study.timeout_s is not None
            or hooks.on_end_of_study is not None
            or hooks.on_end_of_series is not None
            or self.object_store is not None
        )

    @property
    def needs_coordinator(self) -> bool:
        """Whether workers report objects to the coordinator at all."""
        return self.keeps_studies or self.hooks.on_reception is not None or self.tells_events or self.commitment is not None

    @property
    def wants_digests(self) -> bool:
        """Whether somebody wants the SHA-256 of each file."""
        return self.hooks.event_digest or not (self.commitment is None and self.fleet is None and self.object_store is None)

    @property
    def tells_events(self) -> bool:
        """Whether anybody reads the event stream: what concerns nobody else is told only then."""
        return not (self.hooks.event_log is None and self.traces is None and self.reader is None)

    @property
    def names_wanted(self) -> bool:
        """Whether the host names of all peers are wanted: by a hook, a reader of events or the lines of associations.

        Here a section counts, too: a name is looked up before it is known whose association it is.
        """
        if any(own.names_wanted for own in self.by_sender.values()):
            return True
        hooks = self.hooks
        named = any(map(names_peer, (hooks.on_reception, hooks.on_end_of_series, hooks.on_end_of_study)))
        return named or self.tells_events or self.log.names_peers

    @property
    def looks_up_hosts(self) -> bool:
        """Whether a resolver is needed; access rules ask it for the peers that they cannot decide about without."""
        return self.network.lookup_hosts and (self.access.enabled or self.names_wanted)

    @property
    def own_directories(self) -> tuple[str, ...]:
        """Directories of the service itself, for all sections; the durable state has a hidden one where it is given none.

        An output directory may lie where another section makes directories of studies.
        """
        study = self.study
        outputs = [own.store.output_directory for own in self.every] if self.by_sender else []
        return (*filter(None, (study.state_directory, study.completed_directory, self.store.quarantine)),
                *(path for own in self.by_sender.values() for path in own.own_directories), *dict.fromkeys(outputs))

    @property
    def own_files(self) -> tuple[str, ...]:
        """Files of the service itself, but for those of the log."""
        return tuple(filter(None, (self.hooks.event_log,)))
