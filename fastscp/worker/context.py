"""What the associations of one worker process have in common, each layer with what it uses and no more.

``Connection`` gets a ``ConnectionContext``, its ``StorageService`` the ``ServiceContext`` in it, a ``Reception``
the ``ReceptionContext`` in that. ``worker_context`` makes all three once per process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastscp.commitment.requests import DIRECTORY
from fastscp.config.network import FaultPolicy, NetworkPolicy
from fastscp.config.senders import Senders
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Shapes
from fastscp.log import setup as log
from fastscp.log.limit import PeerLimit
from fastscp.metrics.board import Board
from fastscp.process import notes, packets
from fastscp.process.flag import Flag
from fastscp.process.loop import Loop
from fastscp.store.hidden import state_path
from fastscp.store.own_paths import OwnPaths
from fastscp.store.policy import StorePolicy, Sync
from fastscp.store.quarantine import Quarantine
from fastscp.store.sink import OutputDirectory
from fastscp.study.policy import Sorting
from fastscp.ul.answers import Answers
from fastscp.worker.flushing import Group
from fastscp.worker.intake import Intake
from fastscp.worker.limits import Places
from fastscp.worker.measures import Measures, measures_of
from fastscp.worker.room import Room

if TYPE_CHECKING:
    from fastscp.config import Config
    from fastscp.core import Depot

_BUFFER_OCTETS = 1 << 20  #: a CT image in one or two reads: each costs as much as a few elements (perf/bench.py)


class Reporter(Protocol):
    """What associations tell the coordinator, and ask of it (``fastscp.worker.reporter`` is the real one)."""

    trouble: str  #: why nothing can be kept in the durable state now, "" while it can

    def opened(self, packet: packets.Opened) -> None:
        """Tell that an association is established."""

    def closed(self, name: str, how: str, *, stored: int, refused: int, octets: int) -> None:
        """Tell that an association ended, with the objects and the octets of files that came of it."""

    def place(self, name: str, study: str, patient: str, charset: str,
              answer: Callable[[packets.Placed], None]) -> int:
        """Ask where an object goes; return the number of the request."""

    def begin_again(self, request: int) -> bool:
        """Begin another object under a transfer that was kept; False where it was given back meanwhile."""

    def is_kept(self, request: int) -> bool:
        """Tell whether a transfer is kept: another object may begin under it."""

    def may_keep(self, request: int) -> bool:
        """Tell whether a transfer may go on after its object."""

    def abandoned(self, request: int) -> None:
        """Tell that the transfer of a ``place`` request failed, or that it is not kept any longer."""

    def next_event(self) -> int:
        """Return the number of the next event."""

    def stored(self, packet: packets.Stored, *, on_sent: Callable[[], None] | None = None,
               on_acknowledged: Callable[[], None] | None = None, on_ran: Callable[[], None] | None = None,
               on_failed: Callable[[], None] | None = None) -> None:
        """Tell that an object is published."""

    def note(self, packet: notes.Note) -> None:
        """Tell something to the event stream that nothing follows from."""


@dataclass(frozen=True)
class ReceptionContext:
    """What an object is received with."""

    output: OutputOptions
    store: StorePolicy
    directory: OutputDirectory
    shapes: Shapes
    sorted: bool = False  #: an object without Study Instance UID has no place
    digest: bool = False  #: sha256 of each file, for its event
    quarantine: Quarantine | None = None  #: where objects are kept that cannot be stored
    own: OwnPaths = field(default_factory=OwnPaths)  #: names that no object gets
    room: Room | None = None  #: None: nobody asks for room


@dataclass(frozen=True)
class CommitmentContext:
    """What storage commitment uses."""

    directory: Path  #: of requests
    note: Callable[[notes.Note], None]  #: tells the coordinator
    durable: bool = False
    wall: Callable[[], float] = time.time


@dataclass(frozen=True)
class ServiceContext:
    """What the Verification and Storage services of every association use."""

    loop: Loop
    reception: ReceptionContext
    reporter: Reporter | None  #: None: nobody wants to know of objects
    durable: bool  #: an answer waits until the coordinator has the object in its state
    places: bool  #: the coordinator decides directories
    hooks_first: bool  #: nothing further is served until the hooks of an object have ended
    faults: FaultPolicy
    intake: Intake
    listener: Reporter | None = None  #: None: nobody reads events
    group: Group | None = None  #: None: objects are not flushed together
    measures: Measures | None = None  #: None: nothing is counted
    commitment: CommitmentContext | None = None  #: None: objects are not committed


@dataclass(frozen=True)
class ConnectionContext:
    """What every connection uses."""

    loop: Loop
    answers: Answers
    network: NetworkPolicy
    incarnation: str  #: names this worker process for life
    log_contexts: bool  #: presentation contexts are logged with the association (``--verbose-pc``)
    service: ServiceContext
    said: PeerLimit  #: counts what is logged for each peer
    places: Places = field(default_factory=Places)  #: of hosts and titles
    depot: Depot | None = None  #: where the express lanes put objects; None: there are none
    sender: str = ""  #: the section of the configuration file that this is for
    sections: Sections | None = None  #: which context an association gets, where that is not always this one
    clock: Callable[[], float] = time.monotonic  #: what turns are measured with, seconds


@dataclass(frozen=True)
class Sections:
    """The sections of the configuration file, and what the connections of each use."""

    senders: Senders
    contexts: Mapping[str, ConnectionContext]


@dataclass(frozen=True)
class Shared:
    """What all workers share, made before the first is forked."""

    places: Places = field(default_factory=Places)  #: of hosts and titles
    short_of_room: Mapping[str, Flag] = field(default_factory=dict)  #: by section; "" is the service
    board: Board | None = None  #: what they count in; None: nothing is counted


def _quarantine(config: Config) -> Quarantine | None:
    """Return where objects are kept that cannot be stored; nothing is found out about what is not read."""
    if config.store.quarantine is None or config.output.bit_preserving or config.store.ignore:
        return None
    return Quarantine(config.store.quarantine, durable=config.store.sync is not Sync.NONE)


def _group(store: StorePolicy, loop: Loop) -> Group | None:
    return Group(loop, store.output_directory) if store.sync is Sync.GROUP and not store.ignore else None


def _commitment(config: Config, reporter: Reporter) -> CommitmentContext | None:
    if config.commitment is None:
        return None
    directory = state_path(config.study.state_directory, config.store.output_directory) / DIRECTORY
    return CommitmentContext(directory, reporter.note, durable=config.study.durable)


def _room(store: StorePolicy, short: Flag | None) -> Room | None:
    if store.min_free is None or store.ignore:
        return None
    return Room(store.output_directory or "/", store.min_free, short)


def reception_context(config: Config, directory: OutputDirectory, short: Flag | None) -> ReceptionContext:
    """Compose what objects are received with; their temporaries are made in ``directory``."""
    return ReceptionContext(
        output=config.output, store=config.store, directory=directory, shapes=Shapes(),
        sorted=config.study.sorting is not Sorting.NONE, digest=config.wants_digests,
        quarantine=_quarantine(config),
        own=OwnPaths(files=(*config.own_files, *log.files())), room=_room(config.store, short))


def worker_context(config: Config, loop: Loop, reporter: Reporter, incarnation: str,
                   shared: Shared | None = None) -> ConnectionContext:
    """Compose what a worker's connections use, those of each section what is for it."""
    shared = shared or Shared()
    common = Common(loop, reporter, incarnation, Intake(loop, _BUFFER_OCTETS), PeerLimit(time.monotonic, loop.call_later),
                    shared, measures_of(shared.board, config.network.workers), _commitment(config, reporter))
    context = _context_of(config, common, "")
    if not config.senders:
        return context
    contexts = {name: _context_of(own, common, name) for name, own in config.by_sender.items()}
    return replace(context, sections=Sections(config.senders, contexts))


@dataclass(frozen=True)
class Common:
    """What the contexts of all sections of a worker share."""

    loop: Loop
    reporter: Reporter
    incarnation: str
    intake: Intake
    said: PeerLimit
    shared: Shared
    measures: Measures | None
    commitment: CommitmentContext | None  #: of the service: its directory is one for all


def _context_of(config: Config, common: Common, sender: str) -> ConnectionContext:
    loop, reporter = common.loop, common.reporter
    reception = reception_context(config, OutputDirectory(config.store.output_directory or "/", config.store.sync),
                                  common.shared.short_of_room.get(sender))
    service = ServiceContext(
        loop=loop, reception=reception, reporter=reporter if config.needs_coordinator else None,
        durable=config.keeps_studies or config.commitment is not None, places=reception.sorted and config.keeps_studies,
        hooks_first=config.hooks.synchronous, faults=config.faults, intake=common.intake,
        listener=reporter if config.tells_events else None, group=_group(config.store, loop), commitment=common.commitment,
        measures=common.measures)
    return ConnectionContext(
        loop=loop, answers=Answers(config.negotiation),
        network=config.network, incarnation=common.incarnation, log_contexts=config.log.presentation_contexts,
        service=service, said=common.said, places=common.shared.places, sender=sender)
