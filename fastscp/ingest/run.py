"""Runs an ingest: this process directs, workers read and publish, the coordinator does what it always does.

The order of a start: what can fail for a reason the operator can mend (state directory, journal, report) comes before
the first fork. Every process but this one leaves the signals to it.

Invariants: when this process ends, however it ends, the workers publish nothing more, and the coordinator keeps the
open studies for a run that goes on.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from fastscp.config import Config
from fastscp.errors import FastscpError, ProcessError, UsageError
from fastscp.ingest.books import Books, reported
from fastscp.ingest.channel import Channel, Closed, channel_pair
from fastscp.ingest.conductor import Conductor
from fastscp.ingest.counting import Counter
from fastscp.ingest.dry import name_of
from fastscp.ingest.express import lane_of
from fastscp.ingest.journal import Journal, Lock
from fastscp.ingest.policy import IngestPolicy, Placement
from fastscp.ingest.preparing import Preparer
from fastscp.ingest.progress import Progress, progress
from fastscp.ingest.publishing import Publisher, PublishingPolicy
from fastscp.ingest.report import Report
from fastscp.ingest.sink import DryDirectory, IngestDirectory
from fastscp.ingest.sources import packed_path
from fastscp.ingest.tally import EXIT_USAGE
from fastscp.ingest.telling import Teller
from fastscp.ingest.walk import Identity, Walk
from fastscp.ingest.worker import IngestWorker
from fastscp.log.names import APPLICATION
from fastscp.net.peer import Peer
from fastscp.process.child import SystemProcesses
from fastscp.process.loop import IN, OUT, Loop
from fastscp.process.renounce import renounce_new_privileges
from fastscp.process.titles import set_title
from fastscp.service.inetd import CoordinatorChild, run_coordinator
from fastscp.service.run import completed, preload
from fastscp.service.tidying import remove_leftovers
from fastscp.store.hidden import state_path
from fastscp.store.policy import Sync
from fastscp.study.policy import Sorting
from fastscp.worker.context import reception_context
from fastscp.worker.outcome import Caller
from fastscp.worker.reporter import Reporter
from fastscp.worker.told import Memory, new_incarnation

_log = logging.getLogger(APPLICATION)

_COMMIT_S = 0.5
_COORDINATOR_START_S = 120.0  #: an earlier one may have hooks that still run


def run(config: Config, policy: IngestPolicy, write: Callable[[int, str], object]) -> int:
    """Ingest; return the exit status of the program. ``write`` writes to a descriptor."""
    try:
        config = completed(replace(config, study=replace(config.study, resumed=True)))
        if config.network.umask is not None:
            os.umask(config.network.umask)
        preload(config)
        if policy.dry_run:
            return dry_run(config, policy, write)
        return ingest(config, policy, write)
    except UsageError as error:
        _log.critical("%s", error)
        return EXIT_USAGE
    except FastscpError as error:
        _log.critical("%s", error)
        return EXIT_USAGE


def ingest(config: Config, policy: IngestPolicy, write: Callable[[int, str], object]) -> int:
    """Store what the paths lead to."""
    directory = state_path(config.study.state_directory, config.store.output_directory)
    lock = Lock(directory)
    remove_leftovers(config.store)
    journal = Journal(directory, config.store.output_directory, resume=policy.resume, incarnation=new_incarnation(time.time()))
    report = open_report(policy.report, journal)
    books = Books(journal, report, policy.placement)
    if journal.resumed:
        books.find_published()
    incarnation = journal.fact("incarnation")
    helper = None
    if config.needs_coordinator:
        helper = CoordinatorChild(lambda control: run_coordinator(control, config), SystemProcesses(), lock)
        helper.wait_ready(_COORDINATOR_START_S)
    association = f"{incarnation}-1"
    caller = Caller(Peer("127.0.0.1", 0, "localhost"), policy.calling_aet, policy.called_aet, introduced=True)
    crew = Crew(policy.workers, lambda channel: be_worker(channel, config, policy, association, caller))
    loop = Loop()
    teller = None
    if helper is not None:
        reporter = Reporter(loop, incarnation, memory=Memory(events=journal.events))
        helper.attach(loop, reporter.attach)
        teller = Teller(reporter, association, caller, durable=config.keeps_studies, hooks_first=config.hooks.synchronous)
        teller.open()
    shown = progress(quiet=policy.quiet, write=lambda text: write(2, text))
    avoided = avoided_directories(config)
    direction = Direction(loop, crew, books, shown, new_counter(policy, shown, avoided))
    walk = new_walk(policy, avoided, books)
    status = direction.run(walk.sources(), teller, places=config.study.sorting is not Sorting.NONE and config.keeps_studies,
                           output_directory=config.store.output_directory, strict=policy.strict)
    shown.end(books.tally)
    if helper is not None and teller is not None:
        if not direction.complete:
            helper.tell({"kind": "suspend"})
        status = max(helper.finish() and 1, status)
    crew.wait()
    lock.close()
    return status


def dry_run(config: Config, policy: IngestPolicy, write: Callable[[int, str], object]) -> int:
    """Say what would become of what the paths lead to; nothing is written but the report."""
    caller = Caller(Peer("127.0.0.1", 0, "localhost"), policy.calling_aet, policy.called_aet, introduced=True)
    books = DryBooks(policy, write)
    crew = Crew(policy.workers, lambda channel: be_worker(channel, config, policy, "dry-run", caller))
    shown = progress(quiet=policy.quiet, write=lambda text: write(2, text))
    avoided = avoided_directories(config)
    direction = Direction(Loop(), crew, books, shown, new_counter(policy, shown, avoided))
    walk = new_walk(policy, avoided, books)
    status = direction.run(walk.sources(), None, places=False, output_directory=config.store.output_directory,
                           strict=policy.strict)
    shown.end(books.tally)
    crew.wait()
    return status


class DryBooks(Books):
    """Says what would become of each source."""

    def __init__(self, policy: IngestPolicy, write: Callable[[int, str], object]) -> None:
        super().__init__(None, None if policy.report is None else Report(policy.report), Placement.COPY)
        self._write = write

    def enter(self, source: Any, facts: dict[str, Any], outcome: dict[str, Any]) -> None:
        """Say it."""
        super().enter(source, facts, outcome)
        if outcome["result"] == "would-store":
            self._write(1, f"would store {source} as {outcome['target']}\n")
        elif outcome["result"] in {"refused", "not-dicom", "skipped"}:
            self._write(1, f"{outcome['result']} {source}: {outcome['reason']}\n")


def open_report(path: str | None, journal: Journal) -> Report | None:
    """Open the report; where a run goes on with another one it begins with what is known of the sources."""
    if path is None:
        return None
    octets = 0
    if journal.resumed and journal.fact("report") == packed_path(os.path.abspath(path)):
        octets = int(journal.fact("report-octets") or 0)
    report = Report(path, octets=octets)
    if journal.resumed and not report.octets:
        for entry in journal.entries():
            if entry.result != "archive":
                report.add(*reported(entry))
        report.flush()
    return report


def new_walk(policy: IngestPolicy, avoided: frozenset[Identity], books: Books) -> Walk:
    """Return what finds the sources."""
    return Walk(policy.paths, follow_links=policy.follow_links, separator=b"\0" if policy.null_separated else b"\n",
                avoided=avoided, known=books.known)


def new_counter(policy: IngestPolicy, shown: Progress, avoided: frozenset[Identity]) -> Counter | None:
    """Return what counts the sources, where somebody looks."""
    if not shown.wants_total:
        return None
    return Counter(policy.paths, SystemProcesses(), follow_links=policy.follow_links, avoided=avoided)


def avoided_directories(config: Config) -> frozenset[Identity]:
    """Return the directories that objects go to: they are no source when they lie beneath one."""
    found = set()
    for path in (config.store.output_directory, config.store.quarantine, config.study.completed_directory,
                 str(state_path(config.study.state_directory, config.store.output_directory))):
        if path is not None and os.path.isdir(path):
            status = os.stat(path)
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def be_worker(channel: Channel, config: Config, policy: IngestPolicy, association: str, caller: Caller) -> int:
    """Be a worker process; return its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the main process says what they mean
        signal.signal(number, signal.SIG_IGN)
    renounce_new_privileges()
    kind = DryDirectory if policy.dry_run else IngestDirectory
    # objects are published one after another: there are no others to be flushed together with
    sync = Sync.NONE if config.store.sync is Sync.NONE else Sync.OBJECT
    directory = kind(config.store.output_directory, sync)
    context = reception_context(config, directory, None)
    moves = policy.placement is Placement.MOVE
    publisher = Publisher(PublishingPolicy(association, config.needs_coordinator, config.keeps_studies, config.tells_events, moves), caller,
                          config.store.output_directory)
    names = None
    if policy.dry_run:
        context = replace(context, quarantine=None)
        names = name_of(config.store, config.study)
    return IngestWorker(channel, Preparer(context, directory, policy.calling_aet, policy.placement), publisher, names=names,
                        lane=lane_of(context, config, policy, association)).run()


class Crew:
    """The worker processes, and the main process's ends of the channels to them."""

    def __init__(self, workers: int, work: Callable[[Channel], int]) -> None:
        self._processes = SystemProcesses()
        self.channels: list[Channel] = []
        self._pids: list[int] = []
        for index in range(workers):
            ours, theirs = channel_pair()
            self.channels.append(ours)
            self._pids.append(self._processes.start(partial(work, theirs), title=f"ingest worker {index + 1}",
                                                    close=list(self.channels), name="worker"))
            theirs.close()

    def close(self) -> None:
        """Let the workers end."""
        for channel in self.channels:
            channel.close()

    def wait(self) -> None:
        """Wait until they have ended."""
        for pid in self._pids:
            self._processes.wait(pid)


class Direction:
    """The loop of the main process: channels, signals, and what is shown."""

    def __init__(self, loop: Loop, crew: Crew, books: Books, shown: Progress, counter: Counter | None) -> None:
        self._loop = loop
        self._crew = crew
        self._books = books
        self._shown = shown
        self._counter = counter
        self._conductor: Conductor | None = None
        self._failure: ProcessError | None = None
        self.complete = False
        self._interrupts = 0

    def run(self, sources: Iterator[Any], teller: Teller | None, *, places: bool, output_directory: str, strict: bool) -> int:
        """Work until everything is done, or it is told to stop; return the exit status."""
        loop, books = self._loop, self._books
        conductor = self._conductor = Conductor(
            loop, sources, len(self._crew.channels), self, books, teller=teller, places=places,
            output_directory=output_directory, finished=loop.stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.on_signal(number, self._interrupted)
        for index, channel in enumerate(self._crew.channels):
            loop.register(channel.fileno(), IN, partial(self._ready, index))
        if self._counter is not None:
            self._counter.watch(loop)
        set_title("ingest")
        loop.call_later(_COMMIT_S, self._commit)
        loop.call_later(self._shown.every_s, self._show)
        loop.soon(conductor.start)
        try:
            loop.run()
            books.commit()
        except ProcessError as error:  # the report or the journal cannot be written
            self._fail(error)
        self.complete = conductor.complete and self._failure is None
        if teller is not None:
            teller.close(books.tally, interrupted=not self.complete)
        self._crew.close()
        if self._counter is not None:
            self._counter.close()
        loop.close()
        books.close()
        return books.tally.exit_status(strict=strict, interrupted=not self.complete)

    def send(self, worker: int, message: dict[str, Any]) -> None:
        """Send a message to a worker."""
        channel = self._crew.channels[worker]
        try:
            if channel.put(message):
                self._loop.modify(channel.fileno(), IN | OUT)
        except Closed:
            self._lost(worker)

    def _ready(self, worker: int, mask: int) -> None:
        channel = self._crew.channels[worker]
        try:
            if mask & OUT and not channel.flush():
                self._loop.modify(channel.fileno(), IN)
            if mask & ~OUT:
                for message in channel.receive(wait=False):
                    if self._conductor is not None:
                        self._conductor.take(message)
        except Closed:
            self._lost(worker)

    def _lost(self, worker: int) -> None:
        """Give up: what that worker had begun is found out by the run that goes on."""
        self._fail(ProcessError(f"worker {worker + 1} ended"))
        self._loop.stop()

    def _fail(self, error: ProcessError) -> None:
        if self._failure is None:
            self._failure = error
            _log.critical("%s, giving up; --resume goes on", error)

    def _interrupted(self) -> None:
        """Finish what is being published; at the second signal not even that."""
        self._interrupts += 1
        if self._interrupts > 1 or self._conductor is None:
            self._loop.stop()
            return
        _log.warning("interrupted, finishing what is under way; --resume goes on")
        self._conductor.stop()

    def _commit(self) -> None:
        self._books.commit()
        self._loop.call_later(_COMMIT_S, self._commit)

    def _show(self) -> None:
        self._shown.show(self._books.tally, None if self._counter is None else self._counter.total)
        self._loop.call_later(self._shown.every_s, self._show)


