"""What the coordinator is told of an ingest: one association, from the beginning of the run to its end.

A run that goes on with an earlier one is the same association, and its events go on where that one's ended: what the
coordinator has heard already it knows by the number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastscp.ingest.tally import Tally
from fastscp.process import notes, packets
from fastscp.worker.outcome import Caller
from fastscp.worker.reporter import Reporter

Step = Callable[[], None]


class Teller:
    """Tells the coordinator. ``durable``: an object is settled when it is in the coordinator's state."""

    def __init__(self, reporter: Reporter, association: str, caller: Caller, *, durable: bool, hooks_first: bool) -> None:
        self._reporter = reporter
        self._association = association
        self._caller = caller
        self._durable = durable
        self.hooks_first = hooks_first

    def open(self) -> None:
        """Tell that the run begins."""
        self._reporter.opened({"kind": "opened", "association": self._association, **self._caller.fields(), "max_pdu": 0})

    def close(self, tally: Tally, *, interrupted: bool) -> None:
        """Tell that it ends."""
        self._reporter.closed(self._association, "aborted" if interrupted else "released", stored=tally.stored,
                              refused=tally.refused + tally.quarantined, octets=tally.octets)

    def place(self, study: str, patient: str, charset: str, answer: Callable[[packets.Placed], None]) -> int:
        """Ask where an object goes; return the number of the request."""
        return self._reporter.place(self._association, study, patient, charset, answer)

    def abandoned(self, request: int) -> None:
        """Tell that the object of a request is not stored."""
        self._reporter.abandoned(request)

    def next_event(self) -> int:
        """Return the number of the next event."""
        return self._reporter.next_event()

    def stored(self, packet: packets.Stored, *, settled: Step, ran: Step) -> None:
        """Tell of an object; ``settled`` is called when nobody has to be told again, ``ran`` after its hooks."""
        self._reporter.stored(packet, on_sent=None if self._durable else settled,
                              on_acknowledged=settled if self._durable else None, on_ran=ran if self.hooks_first else None)

    def note(self, packet: object) -> None:
        """Tell something to the event stream."""
        self._reporter.note(cast("notes.Note", packet))
