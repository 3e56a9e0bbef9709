"""Those that read the event stream from outside: the event log, the process of traces, the program that embeds the service.

Each has a buffer of its own (``fastscp.coordinator.event_log``), so that none of them waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastscp.config import Config
from fastscp.coordinator.destination import InheritedDestination, PathDestination
from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.tracing import TracesDestination
from fastscp.process.loop import Loop
from fastscp.study.event_types import Event
from fastscp.traces.policy import KINDS


class Reader(Protocol):
    """One of them, or all."""

    @property
    def waiting_octets(self) -> int:
        """Octets that were not taken."""

    @property
    def dropped_ever(self) -> int:
        """Events that were dropped since this process began."""

    def put(self, event: Event) -> None:
        """Take one event."""

    def flush(self) -> None:
        """Write what is taken."""

    def reopen(self) -> None:
        """Open what can be opened anew."""

    def close(self) -> None:
        """Write what is taken, and close."""


class EventReaders:
    """Several readers as one."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers

    @property
    def waiting_octets(self) -> int:
        """Octets that were not taken."""
        return sum(reader.waiting_octets for reader in self._readers)

    @property
    def dropped_ever(self) -> int:
        """Events that were dropped since this process began."""
        return sum(reader.dropped_ever for reader in self._readers)

    def put(self, event: Event) -> None:
        """Take one event."""
        for reader in self._readers:
            reader.put(event)

    def flush(self) -> None:
        """Write what is taken."""
        for reader in self._readers:
            reader.flush()

    def reopen(self) -> None:
        """Open what can be opened anew."""
        for reader in self._readers:
            reader.reopen()

    def close(self) -> None:
        """Write what is taken, and close."""
        for reader in self._readers:
            reader.close()


def open_readers(config: Config, loop: Loop) -> Reader | None:
    """Return whoever reads the event stream; None: nobody. Raises ProcessError where one cannot be opened."""
    readers: list[Reader] = []
    if config.hooks.event_log is not None:
        readers.append(EventLog(PathDestination(config.hooks.event_log), loop))
    if config.reader is not None:
        destination = InheritedDestination(config.reader.descriptor, "events for the program that embeds the service")
        readers.append(EventLog(destination, loop, kinds=config.reader.kinds))
    if config.traces is not None:
        readers.append(EventLog(TracesDestination(config.traces), loop, kinds=KINDS))
    if not readers:
        return None
    return readers[0] if len(readers) == 1 else EventReaders(readers)
