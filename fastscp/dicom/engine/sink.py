"""Where the engine's octets go: the protocol between the engine and a file, or whatever stands for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Protocol


class Sink(Protocol):
    """A file that is written from its beginning to its end, and corrected in places.

    Offsets are those of the file; what the engine appends follows what is there, the file meta information. Most
    data sets need ``write`` and ``patch`` alone: ``read``, ``truncate`` and ``spool`` are for those that have to be
    sorted, and for deflated output. Errors of a sink (StorageError) pass through the engine.
    """

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append; the buffers are consumed before it returns."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite octets that were written before."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before."""

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``."""

    def spool(self) -> IO[bytes]:
        """Return an unnamed temporary file, closed and removed with the sink."""
