"""Hands sources to the workers, in chunks: which is next, and whose.

Strategy: a worker has two chunks, one that it prepares and one that waits for its turn; the next chunk goes to the one
with the fewest. A stream is a chunk of its own. Where sources come from is asked for as much as is wanted and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fastscp.ingest.books import Books
from fastscp.ingest.sources import Kind, Source, unpacked

CHUNK: Final = 64
_OUTSTANDING: Final = 2  #: chunks of a worker
_AT_ONCE: Final = 500  #: sources that an earlier run has done, passed over between two looks at everything else

_READ: Final = Kind.ZIPPED  #: the last of the kinds that are read by themselves


@dataclass
class Part:
    """Objects of a chunk that are prepared."""

    number: int
    facts: list[dict[str, Any]]
    last: bool
    sources: Sequence[Source]
    next: int = 0  #: the first that is not published


@dataclass
class Chunk:
    """Sources that one worker prepares."""

    number: int
    worker: int
    sources: Sequence[Source]
    parts: list[Part] = field(default_factory=list)

    def add(self, message: dict[str, Any]) -> None:
        """Add a part that is prepared; what members of a stream there are is known only then."""
        facts = message["facts"]
        sources = [unpacked(one["source"]) for one in facts] if self.sources[0].kind is Kind.STREAM else self.sources
        self.parts.append(Part(message["part"], facts, message["last"], sources))


class Sender(Protocol):
    """Who takes messages to the workers."""

    def send(self, worker: int, message: dict[str, Any]) -> None:
        """Send a message to a worker."""


class Feeder:
    """Forms chunks of what ``sources`` yields."""

    def __init__(self, sources: Iterator[Source | None], workers: int, books: Books, sender: Sender) -> None:
        self._sources = sources
        self._outstanding = [0] * workers
        self._books = books
        self._sender = sender
        self._number = 0
        self._kept: Source | None = None  #: taken from the sources, and not given out
        self.exhausted = False
        self.idle = False  #: there was nothing to be had, though more may come

    def feed(self) -> Chunk | None:
        """Give one chunk to a worker and return it; None when no worker wants one, or there is nothing (yet)."""
        worker = min(range(len(self._outstanding)), key=self._outstanding.__getitem__)
        self.idle = False
        if self.exhausted or self._outstanding[worker] >= _OUTSTANDING:
            return None
        sources = self._batch()
        if not sources:
            return None
        self._number += 1
        self._outstanding[worker] += 1
        done = self._books.members_done(sources[0].path) if sources[0].kind is Kind.STREAM else []
        self._sender.send(worker, {"kind": "prepare", "chunk": self._number, "done": done,
                                   "sources": [source.packed() for source in sources]})
        return Chunk(self._number, worker, sources)

    def finished(self, chunk: Chunk) -> None:
        """Take note that a chunk is published."""
        self._outstanding[chunk.worker] -= 1

    def _batch(self) -> Sequence[Source]:
        batch: list[Source] = []
        passed = 0
        while len(batch) < CHUNK:
            source = self._kept or next(self._sources, _END)
            self._kept = None
            if source is _END:
                self.exhausted = True
                break
            if source is None:
                self.idle = True
                break
            if source.kind <= _READ and self._books.known(source.path, source.number):
                passed += 1
                if passed >= _AT_ONCE:
                    self.idle = True
                    break
                continue
            if source.kind is Kind.STREAM:
                if batch:
                    self._kept = source
                    break
                return [source]
            batch.append(source)
        return batch


_END: Final = Source("", Kind.PROBLEM, note="the end")
