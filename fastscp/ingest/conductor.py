"""The order of an ingest: whatever the workers prepare at once is published as if it had come one after another.

Strategy: chunks are published in the order in which they were formed, one *group* of objects at a time: all of a part,
or, where the coordinator chooses directories, as many objects in a row as belong to one study, or, with ``--exec-sync``,
one. A group gets its places, is written down as intended, published by its worker, and told of; then comes the next. So
the coordinator hears of objects, and files of one name replace each other, as on one association.

Invariants: nothing is published that was not intended in the journal. What was published is told of, also while the
run is being stopped.

What it does not do: read sources, know processes (``fastscp.ingest.run``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from fastscp.ingest.books import Books
from fastscp.ingest.feeding import Chunk, Feeder, Part, Sender
from fastscp.ingest.journal import Intent
from fastscp.ingest.preparing import READY
from fastscp.ingest.publishing import STORED
from fastscp.ingest.sources import Source, packed_path
from fastscp.ingest.telling import Teller
from fastscp.process import packets
from fastscp.process.loop import Loop

_UNSETTLED: Final = 2000  #: objects that were told of and are not settled; beyond them nothing is published
_AGAIN_S: Final = 0.02  #: between two looks for sources that are still to come


@dataclass
class Record:
    """The outcome of one source on its way into the books."""

    source: Source
    facts: dict[str, Any]
    outcome: dict[str, Any]
    settled: bool = False
    group: Group | None = None


@dataclass
class Group:
    """Objects that are published at once: ``begin`` to ``end`` of a part."""

    chunk: Chunk
    part: Part
    begin: int
    end: int
    intents: int = 0  #: the number under which the journal has them
    unsettled: int = 0
    placing: int = 0  #: places that are waited for
    requests: dict[int, int] = field(default_factory=dict)
    places: dict[int, packets.Placed] = field(default_factory=dict)
    events: dict[int, int] = field(default_factory=dict)


class Conductor:
    """Directs the workers. ``finished`` is called once, when everything is settled, or, after ``stop``, what was begun."""

    def __init__(self, loop: Loop, sources: Iterator[Source | None], workers: int, sender: Sender, books: Books, *,
                 teller: Teller | None, places: bool, output_directory: str, finished: Callable[[], None]) -> None:
        self._loop = loop
        self._sender = sender
        self._books = books
        self._teller = teller
        self._places = places
        self._output_directory = output_directory
        self._finished = finished
        self._feeder = Feeder(sources, workers, books, sender)
        self._chunks: deque[Chunk] = deque()
        self._group: Group | None = None
        self._running = 0  #: objects whose hooks are waited for
        self._records: deque[Record] = deque()
        self._stopping = False
        self._over = False
        self._looking = False  #: a look for sources is due

    def start(self) -> None:
        """Begin."""
        self._feed()

    def stop(self) -> None:
        """Finish what is being published, and nothing more."""
        self._stopping = True
        self._advance()

    @property
    def complete(self) -> bool:
        """Whether there was nothing left to do."""
        return self._over and not self._stopping

    # -- sources ----------------------------------------------------------------------------------

    def _feed(self) -> None:
        self._looking = False
        while not self._stopping:
            chunk = self._feeder.feed()
            if chunk is None:
                break
            self._chunks.append(chunk)
        if self._feeder.idle and not self._looking:
            self._looking = True
            self._loop.call_later(_AGAIN_S if not self._chunks else _AGAIN_S / 4, self._feed)
        self._advance()

    # -- what workers say -------------------------------------------------------------------------

    def take(self, message: dict[str, Any]) -> None:
        """Take a message of a worker."""
        if message["kind"] == "prepared":
            chunk = next(one for one in self._chunks if one.number == message["chunk"])
            chunk.add(message)
            self._advance()
        else:
            self._published(message["outcomes"])

    # -- turns ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Begin the next group, if there is one and nothing is in its way."""
        while self._group is None and not self._running and not self._stopping and len(self._records) < _UNSETTLED:
            part = self._next_part()
            if part is None:
                break
            self._begin(self._chunks[0], part)
        if not self._looking and not self._stopping and not self._feeder.exhausted and len(self._chunks) == 0:
            self._looking = True
            self._loop.soon(self._feed)
        self._end_if_done()

    def _next_part(self) -> Part | None:
        """Return the part whose turn it is; None when it is not prepared."""
        while self._chunks:
            chunk = self._chunks[0]
            if not chunk.parts:
                return None
            part = chunk.parts[0]
            if part.next < len(part.facts):
                return part
            chunk.parts.pop(0)
            if part.last:
                self._chunks.popleft()
                self._feeder.finished(chunk)
                if not self._looking:
                    self._looking = True
                    self._loop.soon(self._feed)
        return None

    def _end_if_done(self) -> None:
        done = self._stopping or (self._feeder.exhausted and not self._chunks)
        if done and self._group is None and not self._records and not self._over:
            self._over = True
            self._finished()

    def _begin(self, chunk: Chunk, part: Part) -> None:
        if any("outcome" in facts for facts in part.facts):  # nothing is published in a dry run
            for index, facts in enumerate(part.facts):
                self._record(part.sources[index], facts, facts.get("outcome") or _unpublished(facts))
            part.next = len(part.facts)
            self._enter_settled()
            return
        begin = part.next
        group = self._group = Group(chunk, part, begin, self._end_of_group(part, begin))
        if self._places:
            self._ask_for_places(group)
        else:
            self._publish(group)

    def _end_of_group(self, part: Part, begin: int) -> int:
        """Return the index behind the objects that may be published at once."""
        if self._teller is None or not (self._places or self._teller.hooks_first):
            return len(part.facts)
        first = None
        for index in range(begin, len(part.facts)):
            facts = part.facts[index]
            if not _publishable(facts):
                continue
            # the coordinator has to hear of what an earlier run placed before it is asked for another place of that study
            alike = facts["study"], self._adopted(part, index) is None
            if first is not None and (self._teller.hooks_first or alike != first):
                return index
            first = alike
        return len(part.facts)

    def _ask_for_places(self, group: Group) -> None:
        if self._teller is None:
            return
        asking = [index for index in range(group.begin, group.end) if _publishable(group.part.facts[index])
                  and group.part.facts[index]["study"] and self._adopted(group.part, index) is None]
        group.placing = len(asking) + 1
        for index in asking:
            facts = group.part.facts[index]
            group.requests[index] = self._teller.place(facts["study"], facts["patient"], facts["charset"],
                                                       partial(self._placed, group, index))
        self._one_placed(group)

    def _placed(self, group: Group, index: int, packet: packets.Placed) -> None:
        group.places[index] = packet
        self._one_placed(group)

    def _one_placed(self, group: Group) -> None:
        group.placing -= 1
        if not group.placing:
            self._publish(group)

    def _adopted(self, part: Part, index: int) -> tuple[Intent, str | None] | None:
        """Return what an earlier run meant for the object, and the file it is in; None as file: it has to be published there."""
        if not self._books.adopted:
            return None
        source, facts = part.sources[index], part.facts[index]
        found = self._books.adopted.get((packed_path(source.path), source.number))
        return found if found is not None and found[0].instance == facts["instance"] else None

    def _publish(self, group: Group) -> None:
        """Write down what is intended, and have it done."""
        items: list[dict[str, Any]] = []
        intents: list[Intent] = []
        for index in range(group.begin, group.end):
            item: dict[str, Any] = {"index": index}
            items.append(item)
            facts = group.part.facts[index]
            if not _publishable(facts):
                continue
            placed, adopted = group.places.get(index), self._adopted(group.part, index)
            if placed is not None:
                item |= {"directory": placed["directory"], "late": placed["late"], "status": placed["status"],
                         "message": placed["message"]}
            inode = facts["inode"]
            if adopted is not None:
                intent, file = adopted
                if self._places or file is not None:
                    item["directory"] = intent.directory
                if file is not None:
                    inode = intent.inode
                    item |= {"file": file, "inode": inode}
            if self._teller is not None:
                group.events[index] = self._teller.next_event() if adopted is None else adopted[0].event
            source = group.part.sources[index]
            intents.append(Intent(packed_path(source.path), source.number, item.get("directory") or self._output_directory,
                                  inode, group.events.get(index, 0), facts["instance"]))
        group.intents = self._books.intend(intents)
        self._sender.send(group.chunk.worker, {"kind": "publish", "chunk": group.chunk.number, "part": group.part.number,
                                               "items": items})

    def _published(self, outcomes: list[dict[str, Any]]) -> None:
        group = self._group  # it stays that of this turn until all of it is told: what is told may be settled at once
        if group is None:
            return
        group.unsettled = len(outcomes)
        for index, outcome in zip(range(group.begin, group.end), outcomes, strict=True):
            self._tell(group, index, outcome)
        group.part.next = group.end
        self._group = None
        self._enter_settled()
        self._advance()

    def _tell(self, group: Group, index: int, outcome: dict[str, Any]) -> None:
        """Tell the coordinator what became of an object; whatever it need not hear of is settled."""
        facts = group.part.facts[index]
        packet: packets.Stored | None = outcome.pop("packet", None)
        if facts["state"] != READY:
            outcome = _unpublished(facts)
        elif outcome["result"] == STORED:
            outcome["target"] = f"{outcome['directory']}/{outcome['file']}" if outcome["file"] else ""
        record = self._record(group.part.sources[index], facts, outcome, settled=self._teller is None or packet is None, group=group)
        if self._teller is None:
            return
        for note in outcome.get("notes", ()):
            self._teller.note(note)
        request = group.requests.get(index)
        if packet is None:
            if request is not None:
                self._teller.abandoned(request)
            return
        if self._teller.hooks_first:
            self._running += 1
        packet["event"], packet["request"] = group.events[index], request
        self._teller.stored(packet,
                            settled=partial(self._settle, record), ran=self._ran)

    def _ran(self) -> None:
        self._running -= 1
        self._advance()

    # -- settling ---------------------------------------------------------------------------------

    def _record(self, source: Source, facts: dict[str, Any], outcome: dict[str, Any], *, settled: bool = True,
                group: Group | None = None) -> Record:
        record = Record(source, facts, outcome, settled, group)
        self._records.append(record)
        return record

    def _settle(self, record: Record) -> None:
        record.settled = True
        if self._records and self._records[0] is record:
            self._enter_settled()
            self._advance()

    def _enter_settled(self) -> None:
        """Enter outcomes into the books, in order, as far as they are settled."""
        records = self._records
        while records and records[0].settled:
            record = records.popleft()
            self._books.enter(record.source, record.facts, record.outcome)
            if record.group is not None:
                record.group.unsettled -= 1
                if not record.group.unsettled:
                    self._books.over(record.group.intents)


def _publishable(facts: dict[str, Any]) -> bool:
    return facts["state"] == READY and not facts["failed"]


def _unpublished(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the outcome of what is no object, or none that can be stored."""
    result = {"foreign": "not-dicom", "failed": "refused"}.get(facts["state"], facts["state"])
    return {"result": result, "reason": facts["reason"]}
