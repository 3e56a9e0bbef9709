"""The transfers of a worker: objects that the coordinator has a place for, each with its question and its answer.

A transfer may be kept after its object: the association's next object of the study comes under it without a question,
until the coordinator recalls it, another study comes, or the association or the coordinator ends.

Invariant: the coordinator knows of every object under way, by a transfer that it has not been given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from fastscp.process import packets
from fastscp.worker.told import Answer, Notice, ToldPlace


class Transfers:
    """The transfers under way, and those that are kept. ``tell`` sends a packet to the coordinator."""

    def __init__(self, tell: Callable[[packets.WorkerPacket], None]) -> None:
        self._tell = tell
        self._last = 0
        self._places: dict[int, ToldPlace] = {}  #: by number of the request
        self._kept: dict[str, int] = {}  #: request of the transfer that an association keeps

    def begin(self, name: str, study: str, patient: str, charset: str, answer: Answer) -> int:
        """Ask where an object of ``study`` goes; ``answer`` is called with the reply. Returns the request."""
        self._last += 1
        packet: packets.Place = {
            "kind": "place", "request": self._last, "association": name,
            "study": packets.bounded(study), "patient": packets.bounded(patient),
            "charset": packets.bounded(charset),
        }
        self._places[self._last] = ToldPlace(packet, answer)
        self._tell(packet)
        return self._last

    def answered(self, packet: packets.Placed) -> Notice:
        """Return what hands the reply over; it does nothing where the transfer was abandoned meanwhile."""
        return partial(self._answer, packet["request"], packet)

    def _answer(self, request: int, packet: packets.Placed) -> None:
        place = self._places.get(request)
        if place is not None and place.answer is not None:
            answer, place.answer = place.answer, None
            answer(packet)

    def is_kept(self, request: int) -> bool:
        """Tell whether a transfer is kept: another object may begin under it."""
        place = self._places.get(request)
        return place is not None and place.idle

    def begin_again(self, request: int) -> bool:
        """Begin another object under a transfer that was kept; False where it was given back meanwhile."""
        if not self.is_kept(request):
            return False
        self._places[request].idle = False
        return True

    def may_keep(self, request: int) -> bool:
        """Tell whether a transfer may go on after its object."""
        return not self._places[request].recalled

    def stored(self, packet: packets.Stored) -> None:
        """Take note of an object's end: its transfer ends, or is kept."""
        request = packet["request"]
        if request is None:
            return
        if packet["keeps"]:
            self._places[request].idle = True
            self._kept[packet["association"]] = request
        else:
            self._places.pop(request, None)
            self._kept.pop(packet["association"], None)

    def recall(self, request: int) -> None:
        """Give back a transfer, at once or with the object under way."""
        place = self._places.get(request)
        if place is None:
            return
        if place.idle:
            self.abandon(request)
        else:
            place.recalled = True

    def abandon(self, request: int) -> None:
        """Tell that a transfer failed, or that it is not kept any longer."""
        place = self._places.pop(request, None)
        if place is not None:
            self._kept.pop(place.packet["association"], None)
        self._tell({"kind": "abandoned", "request": request})

    def left(self, name: str) -> None:
        """Take note of an association's end; the coordinator knows that what it keeps ends with it."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            del self._places[kept]

    def told_again(self) -> Iterator[packets.Place]:
        """Return what another coordinator has to know; what is only kept is given up."""
        for request, place in list(self._places.items()):
            if place.idle:
                del self._places[request]
                del self._kept[place.packet["association"]]
            else:
                yield place.packet
