"""Counts what the express lane stores, where there are metrics."""

from __future__ import annotations

from collections.abc import Mapping

from fastscp.dicom.uids import VERIFICATION
from fastscp.ul.events import Established
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.flow import Lane
from fastscp.worker.measures import Measures, Who
from fastscp.worker.reporting import LaneAround, Speaker

_CONTEXT_AT = 10  #: of the first PDV of a P-DATA-TF: its presentation context (PS3.8 §9.3.5)


def measured(lane: Lane, event: Established, measures: Measures | None, connection: Speaker) -> Lane:
    """Have the objects of a lane counted, where anything is."""
    if measures is None:
        return lane
    return CountedLane(lane, event.contexts, measures, connection.storage.caller)


class CountedLane(LaneAround):
    """An express lane whose objects are counted, each under its own presentation context.

    Where several contexts may be used the lane is given one message at a time: which context it is for stands at its
    begin, and nowhere in what the lane tells.
    """

    def __init__(self, lane: Lane, contexts: Mapping[int, AcceptedContext], measures: Measures, who: Who) -> None:
        super().__init__(lane)
        self._contexts = {number: context for number, context in contexts.items() if context.abstract_syntax != VERIFICATION}
        self._measures = measures
        self._who = who

    def take(self, octets: memoryview, answers: bytearray, most: int) -> int:
        """Store what can be stored of what was read, and count it; return how many octets that took."""
        if len(octets) <= _CONTEXT_AT:
            return 0
        measures, lane = self._measures, self._lane
        began = measures.clock()
        taken = lane.take(octets, answers, 1 if len(self._contexts) > 1 else most)
        if taken:
            self.directory = lane.directory
            duration_s = (measures.clock() - began) / max(1, lane.stored)
            measures.stored(self._contexts[octets[_CONTEXT_AT]], 0, lane.written, self._who, lane.stored)
            measures.answered(duration_s, lane.stored)
        return taken
