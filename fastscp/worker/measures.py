"""What a worker counts, where there are metrics, and what it reports of its associations.

Strategy: the outcomes of associations and objects are counted where they are found out, in memory that outlives this
process (``fastscp.metrics.board``). Once a second the process writes down which associations it has open.

Invariant: an object is counted once, when its outcome is certain and before it is answered, so that what a peer was told
is never more than what was counted.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from fastscp.dicom.uids import SOP_CLASS_NAMES, TRANSFER_SYNTAXES
from fastscp.errors import ProcessError
from fastscp.log.names import NETWORK
from fastscp.metrics import table
from fastscp.metrics.board import Board, Known, Ledger
from fastscp.study.event_types import Caller
from fastscp.ul.pdu import AcceptedContext

_log = logging.getLogger(NETWORK)

ROLE = "worker"
LOOK_S = 1.0
MOST_ASSOCIATIONS = 100  #: that a report describes; the others are counted
MOST_REFUSALS = 20  #: that are remembered


class Timers(Protocol):
    """What is needed of a loop."""

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> object:
        """Call back once."""


class Who(Protocol):
    """Whose objects are counted."""

    calling_aet: str
    sender: str  #: section of the configuration file


#: describes an association
Facts = Callable[[], dict[str, object]]


@dataclass(slots=True)
class Measures:
    """What one worker process counts. ``titles`` are told apart by it."""

    ledger: Ledger
    titles: int = table.TITLES
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _title: Known = field(init=False)
    _refusals: deque[dict[str, object]] = field(init=False)
    _octets: dict[str, float] = field(default_factory=dict)  #: of each association, at the last look
    _stale: bool = True  #: the last report does not say all

    def __post_init__(self) -> None:
        self._title = Known(self.titles, table.OTHER)
        self._refusals = deque(maxlen=MOST_REFUSALS)

    # -- associations -----------------------------------------------------------------------------

    def opened(self) -> None:
        """Count an association that was accepted."""
        self.ledger.add(table.ASSOCIATIONS_ACCEPTED)
        self.ledger.add(table.ASSOCIATIONS_OPEN)

    def rejected(self, caller: Caller, reason: str) -> None:
        """Count an association that was rejected."""
        self.ledger.add(table.ASSOCIATIONS_REJECTED, reason.rpartition("Reason: ")[2])
        self._refused(caller, "association rejected", reason, "")

    def closed(self, how: str, duration_s: float) -> None:
        """Count an association that ended."""
        self.ledger.add(table.ASSOCIATIONS_OPEN, by=-1)
        self.ledger.add(table.ASSOCIATIONS_ENDED, how)
        self.ledger.observe(table.ASSOCIATION_SECONDS, duration_s)

    # -- objects ----------------------------------------------------------------------------------

    def stored(self, context: AcceptedContext, status: int, octets: int, who: Who, objects: int = 1) -> None:
        """Count objects that have their names."""
        sop_class, syntax = names(context)
        self.ledger.add(table.OBJECTS, sop_class, syntax, f"{status:04X}", who.sender, by=objects)
        self.ledger.add(table.OBJECT_BYTES, sop_class, syntax, who.sender, by=octets)
        self.ledger.add(table.TITLE_OBJECTS, self._title(who.calling_aet), "stored", by=objects)

    def refused(self, context: AcceptedContext, status: int | None, caller: Caller, reason: str) -> None:
        """Count an object that is not stored; without a status it was cut off."""
        sop_class, syntax = names(context)
        code = "" if status is None else f"{status:04X}"
        self.ledger.add(table.OBJECTS, sop_class, syntax, code, caller["sender"])
        self.ledger.add(table.TITLE_OBJECTS, self._title(caller["calling_aet"]), "refused")
        self._refused(caller, f"{sop_class} refused" if code else f"{sop_class} cut off", reason, code)

    def kept(self, context: AcceptedContext, status: int, caller: Caller, reason: str) -> None:
        """Count an object that is kept in the quarantine."""
        self.ledger.add(table.QUARANTINED)
        self.refused(context, status, caller, f"quarantined: {reason}")

    def answered(self, duration_s: float, objects: int = 1) -> None:
        """Count the time from requests to their answers."""
        self.ledger.observe(table.OBJECT_SECONDS, duration_s, times=objects)

    def _refused(self, caller: Caller, what: str, reason: str, status: str) -> None:
        self._stale = True
        self._refusals.append({"time": self.wall(), **caller, "what": what, "reason": reason[:200], "status": status})

    # -- the report -------------------------------------------------------------------------------

    def watch(self, loop: Timers, associations: Callable[[], Collection[Facts]], waiting: Callable[[], int]) -> None:
        """Write down now and once a second what is under way; ``waiting`` is what the coordinator has not acknowledged."""
        self.look(associations(), waiting())
        loop.call_later(LOOK_S, lambda: self.watch(loop, associations, waiting))

    def look(self, associations: Collection[Facts], waiting: int) -> None:
        """Write down what is under way."""
        self.ledger.set(table.REPORTS_WAITING, waiting)
        described = [facts() for facts in itertools.islice(associations, MOST_ASSOCIATIONS)]
        if not (described or self._stale):
            return
        octets = {str(facts["association"]): float(str(facts["octets"])) for facts in described}
        for facts in described:
            name = str(facts["association"])
            facts["octets_per_second"] = (octets[name] - self._octets.get(name, octets[name])) / LOOK_S
        self._octets, self._stale = octets, bool(described)  # once more, when the last of them is gone
        while not self.ledger.report({"associations": described, "open": len(associations), "refusals": list(self._refusals)}):
            described = described[: len(described) // 2]
            for _ in range(len(self._refusals) // 2):
                self._refusals.popleft()


def names(context: AcceptedContext) -> tuple[str, str]:
    """Return SOP class and transfer syntax of a presentation context by the names that labels have."""
    syntax = TRANSFER_SYNTAXES.get(context.transfer_syntax)
    return SOP_CLASS_NAMES.get(context.abstract_syntax, table.OTHER), table.OTHER if syntax is None else syntax.name


def measures_of(board: Board | None, workers: int | None) -> Measures | None:
    """Return what one of so many workers counts with; without room it counts nothing, and serves."""
    if board is None:
        return None
    try:
        ledger = board.claim(ROLE)
    except ProcessError as error:
        _log.error("this worker counts nothing: %s", error)
        return None
    return Measures(ledger, max(8, table.TITLES // (workers or len(os.sched_getaffinity(0)))))
