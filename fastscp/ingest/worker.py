"""A worker process of an ingest: prepares what it is given, and publishes what its turn has come for.

Strategy: chunks are prepared one after another, an object at a time; between two objects the worker looks whether
something is to be published, which comes first. Members of a stream come in parts, of which only a few wait at a time.

Invariants: objects are published only when the main process says so, in the order it says; when the main process is
gone nothing more is published, and temporaries go.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fastscp.errors import StorageError
from fastscp.ingest import archives
from fastscp.ingest.channel import Channel, Closed, Message
from fastscp.ingest.express import FileLane, Laid
from fastscp.ingest.preparing import FAILED, READY, SKIPPED, Prepared, Preparer
from fastscp.ingest.publishing import REFUSED, STORED, WOULD_STORE, Publisher
from fastscp.ingest.sources import Kind, Source, unpacked

PART: Final = 32  #: objects of a stream that are published at once
_WAITING: Final = 2  #: parts of a stream that wait for their turn

Key = tuple[int, int]  #: chunk and part


class IngestWorker:
    """One worker. ``names`` says, in a dry run, what an object would be called; None: objects are stored."""

    def __init__(self, channel: Channel, preparer: Preparer, publisher: Publisher, *,
                 names: Callable[[Prepared], str] | None = None, lane: FileLane | None = None) -> None:
        self._channel = channel
        self._preparer = preparer
        self._publisher = publisher
        self._names = names
        self._lane = lane
        self._work: deque[Iterator[bool]] = deque()
        self._parts: dict[Key, list[Prepared | Laid]] = {}

    def run(self) -> int:
        """Work until the main process closes the channel; return the exit status."""
        paused = True
        try:
            while True:
                for message in self._channel.receive(wait=paused or not self._work):
                    self._follow(message)
                paused = bool(self._work) and not self._step()
        except Closed:
            for prepared in (one for part in self._parts.values() for one in part):
                prepared.discard()
            return 0

    def _step(self) -> bool:
        """Prepare one object; False when something has to be published before the next."""
        goes_on = next(self._work[0], None)
        if goes_on is None:
            self._work.popleft()
        return goes_on is not False

    def _follow(self, message: Message) -> None:
        if message["kind"] == "prepare":
            sources = [unpacked(values) for values in message["sources"]]
            stream = sources[0].kind is Kind.STREAM
            self._work.append(self._stream(message["chunk"], sources[0], message["done"]) if stream
                              else self._chunk(message["chunk"], sources))
        elif message["kind"] == "publish":
            self._publish(message)
        else:
            for prepared in self._parts.pop((message["chunk"], message["part"]), []):
                prepared.discard()

    # -- preparing --------------------------------------------------------------------------------

    def _chunk(self, chunk: int, sources: list[Source]) -> Iterator[bool]:
        part: list[Prepared | Laid] = []
        for source in sources:
            part.append((self._lane and self._lane.prepare(source)) or self._preparer.prepare(source))
            yield True
        self._tell(chunk, 0, part, last=True)

    def _stream(self, chunk: int, archive: Source, done: list[list[int]]) -> Iterator[bool]:
        """Prepare the members of an archive, in parts."""
        parts = 0
        part: list[Prepared | Laid] = []
        for prepared in self._members(archive, done):
            part.append(prepared)
            yield True
            if len(part) == PART:
                self._tell(chunk, parts, part, last=False, stream=True)
                parts, part = parts + 1, []
                while sum(1 for key in self._parts if key[0] == chunk) >= _WAITING:
                    yield False
        self._tell(chunk, parts, part, last=True, stream=True)

    def _members(self, archive: Source, done: list[list[int]]) -> Iterator[Prepared]:
        try:
            status = os.stat(archive.path)
            with archives.streamed(archive.path) as members:
                for number, member, octets in members:
                    if member.isdir() or any(first <= number <= last for first, last in done):
                        continue
                    source = Source(archive.path, Kind.STREAM, number, member.name)
                    if octets is None:
                        yield Prepared(source, SKIPPED, archives.not_a_file(member), status)
                    else:
                        yield self._preparer.member(source, octets, status)
        except OSError as error:
            yield Prepared(Source(archive.path), FAILED, archives.damage(error))
        except archives.ArchiveError as error:
            yield Prepared(Source(archive.path), FAILED, str(error))

    def _tell(self, chunk: int, part: int, objects: Sequence[Prepared | Laid], *, last: bool, stream: bool = False) -> None:
        facts = [prepared.facts() for prepared in objects]
        if stream:  # the sources of others are known
            for fact, prepared in zip(facts, objects, strict=True):
                fact["source"] = prepared.source.packed()
        if self._names is None:
            if objects:
                self._parts[chunk, part] = list(objects)
        else:
            for fact, prepared in zip(facts, objects, strict=True):
                fact["outcome"] = None if isinstance(prepared, Laid) else self._would(prepared, self._names)
                prepared.discard()
        self._channel.send({"kind": "prepared", "chunk": chunk, "part": part, "last": last, "facts": facts})

    @staticmethod
    def _would(prepared: Prepared, name: Callable[[Prepared], str]) -> dict[str, Any] | None:
        """Return what would become of an object; None of what is none."""
        if prepared.reception is None:
            return None
        failure = prepared.reception.failure
        if failure is not None:
            return {"result": REFUSED, "reason": str(failure)}
        return {"result": WOULD_STORE, "target": name(prepared), "size": 0 if prepared.sink is None else prepared.sink.size}

    # -- publishing -------------------------------------------------------------------------------

    def _publish(self, message: Message) -> None:
        key = message["chunk"], message["part"]
        part = self._parts[key]
        outcomes = [self._publish_one(part[item["index"]], item) for item in message["items"]]
        if self._publisher.moves:
            self._make_safe(outcomes)
        if message["items"][-1]["index"] == len(part) - 1:
            del self._parts[key]
        self._channel.send({"kind": "published", "chunk": key[0], "part": key[1], "outcomes": outcomes})

    def _publish_one(self, prepared: Prepared | Laid, item: dict[str, Any]) -> dict[str, Any]:
        if isinstance(prepared, Laid):
            outcome = prepared.publish(item)
            if outcome is not None:
                return outcome
            prepared = self._preparer.prepare(prepared.source)
            if prepared.state != READY:  # it was an object
                return {"result": REFUSED, "reason": prepared.reason or "the file has changed"}
        return self._publisher.publish(prepared, item)

    def _make_safe(self, outcomes: list[dict[str, Any]]) -> None:
        """Wait for the disk; where it fails the sources stay."""
        directories = {outcome["directory"] for outcome in outcomes if outcome["result"] == STORED}
        try:
            self._publisher.sync_directories(directories)
        except StorageError as error:
            for outcome in outcomes:
                if outcome["result"] == STORED:
                    outcome |= {"unsafe": True, "reason": str(error)}


