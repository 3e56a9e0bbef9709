"""A sink in memory, and the engine run over a whole data set in chosen pieces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Rewriter
from fastscp.errors import InstanceError

BASE = 1000  #: where the data set begins in the imagined file


class MemorySink:
    """Keep what the engine writes. The first ``BASE`` octets stand for the file meta information."""

    def __init__(self, base: int = BASE) -> None:
        self.content = bytearray(base)
        self.base = base

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        for buffer in buffers:
            self.content += buffer

    def patch(self, offset: int, octets: bytes) -> None:
        assert self.base <= offset <= len(self.content) - len(octets)
        self.content[offset:offset + len(octets)] = octets

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.content[offset:offset + size])

    def truncate(self, size: int) -> None:
        del self.content[size:]

    def spool(self) -> IO[bytes]:
        return tempfile.TemporaryFile()

    @property
    def dataset(self) -> bytes:
        return bytes(self.content[self.base:])


def pieces(octets: bytes, size: int) -> list[memoryview]:
    """Cut octets into views of ``size``."""
    view = memoryview(octets)
    return [view[start:start + size] for start in range(0, len(view), size)]


def rewritten(dataset: bytes, transfer_syntax: str, options: OutputOptions | None = None,
              views: Iterable[bytes | memoryview] | None = None, base: int = BASE) -> bytes:
    """Return what the engine writes; raises InstanceError."""
    sink = MemorySink(base)
    rewriter = Rewriter(transfer_syntax, options or OutputOptions(), sink, base)
    for view in [dataset] if views is None else views:
        rewriter.feed([view])
    rewriter.finish()
    return sink.dataset


def outcome(dataset: bytes, transfer_syntax: str, options: OutputOptions | None = None,
            size: int | None = None) -> bytes | int:
    """Return the stored data set, or the status of the refusal."""
    try:
        return rewritten(dataset, transfer_syntax, options, None if size is None else pieces(dataset, size))
    except InstanceError as error:
        return error.status


def rewritten_in_turns(dataset: bytes, transfer_syntax: str, options: OutputOptions, size: int,
                       enough: Callable[[], bool]) -> bytes:
    """Return what the engine writes when it is stopped wherever ``enough`` says so; raises InstanceError.

    What is fed does not outlive the call: neither the pieces of ``size`` octets nor what was left of them.
    """
    sink = MemorySink(BASE)
    rewriter = Rewriter(transfer_syntax, options, sink, BASE)
    for piece in pieces(dataset, size):
        rest: Sequence[bytes | memoryview] = [piece]
        while rest:
            buffers = [bytearray(view) for view in rest]
            kept = rewriter.feed([memoryview(buffer) for buffer in buffers], enough)
            rest = [bytes(view) for view in kept]
            for buffer in buffers:
                buffer[:] = b"\xAA" * len(buffer)
    for _ in rewriter.finishing():
        pass
    return sink.dataset
