"""Takes over what workers had answered and could not tell any more: their journals (``fastscp.process.journal``).

Strategy: at the start every journal is read, for nobody knows whose writers are alive; a living one tells all of it again,
and it counts once. Later the journal of a worker is read when its channel has ended. What was read is removed when it is
durable, unless its writer is alive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from fastscp.log.names import APPLICATION
from fastscp.process.journal import Journals

_log = logging.getLogger(APPLICATION)


class Inheriting:
    """The journals of a state directory."""

    def __init__(self, journals: Journals) -> None:
        self._journals = journals
        self._read: list[str] = []
        try:
            journals.make()
        except OSError as error:
            _log.warning("no journals can be kept, every answer waits for the state: %s", error)

    def all(self, take: Callable[[str, Iterable[bytes]], list[str]]) -> list[str]:
        """Have every journal taken over, and return what ``take`` returns for them."""
        found: list[str] = []
        for incarnation in self._journals.incarnations():
            found += take(incarnation, self.of(incarnation))
        return found

    def of(self, incarnation: str) -> list[bytes]:
        """Return what is in the journal of a worker, for the last time."""
        try:
            packets = list(self._journals.read(incarnation))
        except OSError as error:
            _log.error("journal of worker %s cannot be read, and stays: %s", incarnation, error.strerror)
            return []
        self._read.append(incarnation)
        return packets

    def durable(self) -> None:
        """Remove what was read: the state has it."""
        read, self._read = self._read, []
        for incarnation in read:
            try:
                self._journals.remove(incarnation)
            except OSError as error:
                _log.warning("journal of worker %s stays: %s", incarnation, error.strerror)
