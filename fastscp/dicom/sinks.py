"""Ready sinks beside ``fastscp.dicom.filesink.FileSink``: one in memory, and one that computes a digest on the way to another."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import IO

from fastscp.dicom.engine.sink import Sink

_READ_OCTETS = 1 << 20


class MemorySink:
    """Keep everything in memory; ``octets`` is what there is."""

    def __init__(self) -> None:
        self._octets = bytearray()

    @property
    def octets(self) -> bytes:
        """What was written, as it is now."""
        return bytes(self._octets)

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append; the buffers are consumed before it returns."""
        for buffer in buffers:
            self._octets += buffer

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite octets that were written before."""
        self._octets[offset:offset + len(octets)] = octets

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before."""
        return bytes(memoryview(self._octets)[offset:offset + size])

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``."""
        del self._octets[size:]

    def spool(self) -> IO[bytes]:
        """Return a file in memory."""
        return io.BytesIO()


class HashingSink:
    """Pass everything on to ``sink`` and compute its digest.

    Most data sets are written from their beginning to their end, and digested on the way. Where something was
    corrected afterwards, the digest is computed of what ``sink`` reads back.
    """

    def __init__(self, sink: Sink, algorithm: str = "sha256") -> None:
        self._sink = sink
        self._algorithm = algorithm
        self._digest = hashlib.new(algorithm)
        self._size = 0
        self._corrected = False

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append; the buffers are consumed before it returns."""
        for buffer in buffers:
            self._digest.update(buffer)
            self._size += len(buffer)
        self._sink.write(buffers)

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite octets that were written before."""
        self._corrected = True
        self._sink.patch(offset, octets)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before."""
        return self._sink.read(offset, size)

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``."""
        self._corrected = True
        self._size = min(self._size, size)
        self._sink.truncate(size)

    def spool(self) -> IO[bytes]:
        """Return an unnamed temporary file of the sink behind."""
        return self._sink.spool()

    def hexdigest(self) -> str:
        """Return the digest of what is there now, in hexadecimal."""
        if not self._corrected:
            return self._digest.hexdigest()
        digest = hashlib.new(self._algorithm)
        for offset in range(0, self._size, _READ_OCTETS):
            digest.update(self._sink.read(offset, min(_READ_OCTETS, self._size - offset)))
        return digest.hexdigest()
