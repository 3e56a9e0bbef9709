"""The engine's sink over any seekable binary file, for library use and ``fastscp-conv``."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from typing import IO


class FileSink:
    """Write to a file object opened for reading and writing. OSError passes through.

    Offsets are those of the file object. The caller owns and closes it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append; the buffers are consumed before it returns."""
        self._file.writelines(buffers)

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite at an offset of the file."""
        self._file.seek(offset)
        self._file.write(octets)
        self._file.seek(0, io.SEEK_END)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` octets that were written before."""
        self._file.seek(offset)
        octets = self._file.read(size)
        self._file.seek(0, io.SEEK_END)
        return octets

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``."""
        self._file.seek(size)
        self._file.truncate()

    def spool(self) -> IO[bytes]:
        """Return an unnamed temporary file."""
        return tempfile.TemporaryFile()
