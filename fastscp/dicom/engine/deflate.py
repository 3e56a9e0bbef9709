"""Deflated data sets: the sink in front of deflated output, and inflaters (PS3.5 A.5, RFC 1951).

Strategy: lengths are patched when they are known, and what is deflated cannot be patched. So output goes to a
spool first; as soon as the engine says that nothing so far will change (it is in the middle of
Pixel Data, say), the spool is deflated (``settling``) and the rest is deflated as it comes. Where a patch comes after
all, or the data set has to be sorted, what was deflated is inflated into a spool again (``reverting``). Both are
iterators of steps, a millisecond or a few each, that the caller goes through before it writes, patches or reads.

The octets are those of zlib-ng where it is installed, several times faster than zlib at the same level; they
inflate to the same. perf/rewrite.py (``+td``) measures it.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Final, Protocol, cast

from fastscp.dicom.engine.sink import Sink
from fastscp.errors import InstanceError, StorageError

try:
    from zlib_ng import zlib_ng as _codec
except ImportError:  # there are machines without a build of it
    import zlib as _codec  # type: ignore[no-redef]

_RAW: Final = -15  #: window bits of a stream without header and checksum
_STEP_OCTETS: Final = 262144
_DEFLATED_AT_ONCE: Final = 65536  #: a millisecond or a few, by level and data
_IN_MEMORY_OCTETS: Final = 1 << 20  #: a larger spool is a file


class Inflater(Protocol):
    """What inflates one stream, see ``zlib.decompressobj``."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was met."""

    @property
    def unconsumed_tail(self) -> bytes:
        """Input that was left because the output was long enough."""

    def decompress(self, data: bytes | memoryview, /, max_length: int = 0) -> bytes:
        """Return the next octets, at most ``max_length``."""


def new_inflater() -> Inflater:
    """Return an inflater for one raw deflate stream."""
    inflater: Inflater = _codec.decompressobj(_RAW)
    return inflater


#: What an inflater raises for a stream that is broken.
INFLATE_ERRORS: Final = (zlib.error, cast("type[Exception]", _codec.error))


class Inflation:
    """The inflater of a data set as it arrives. Raises InstanceError for a broken stream.

    ``most_octets`` limits what the data set is inflated to, 0 does not: StorageError.
    """

    def __init__(self, most_octets: int) -> None:
        self._inflater = new_inflater()
        self._most_octets = most_octets
        self._octets = 0

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was met; what follows is padding (PS3.5 A.5)."""
        return self._inflater.eof

    @property
    def unconsumed_tail(self) -> bytes:
        """Input that was left because the output was long enough."""
        return self._inflater.unconsumed_tail

    def decompress(self, data: bytes | memoryview, /, max_length: int = 0) -> bytes:
        """Return the next octets, at most ``max_length``; more may be inside although all of ``data`` was taken."""
        try:
            octets = self._inflater.decompress(data, max_length)
        except INFLATE_ERRORS as error:
            raise InstanceError(f"deflated data set: {error}", status=0xC000) from error
        self._octets += len(octets)
        if self._octets > self._most_octets > 0:
            raise StorageError(f"data set is inflated to more than {self._most_octets} octets")
        return octets


def _spool_error(error: OSError) -> StorageError:
    return StorageError(f"cannot use a spool: {error.strerror}", errno=error.errno)


class Deflation:
    """The sink in front of deflated output. Offsets count as if the output were not deflated.

    ``base`` is the file offset of the data set's first octet.
    """

    def __init__(self, sink: Sink, base: int, level: int) -> None:
        self._sink = sink
        self._base = base
        self._level = level
        self._spool: IO[bytes] = io.BytesIO()
        self._in_memory = True
        self._deflater = _codec.compressobj(level, zlib.DEFLATED, _RAW)
        self._direct = False  #: deflated as it comes
        self._reverted = False
        self._deflated_octets = 0  #: in the sink

    # -- as a sink --------------------------------------------------------------------------------

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append."""
        if self._direct:
            for buffer in buffers:
                self._emit(self._deflater.compress(buffer))
            return
        try:
            self._spool.writelines(buffers)
            if self._in_memory and self._spool.tell() > _IN_MEMORY_OCTETS:
                self._move_to_file()
        except OSError as error:
            raise _spool_error(error) from error

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite what was written before."""
        try:
            self._spool.seek(offset - self._base)
            self._spool.write(octets)
            self._spool.seek(0, io.SEEK_END)
        except OSError as error:
            raise _spool_error(error) from error

    def read(self, offset: int, size: int) -> bytes:
        """Read back what was written before."""
        return self._read_spool(offset - self._base, size)

    def truncate(self, size: int) -> None:
        """Forget what was written behind ``size``."""
        try:
            self._spool.seek(size - self._base)
            self._spool.truncate()
        except OSError as error:
            raise _spool_error(error) from error

    def spool(self) -> IO[bytes]:
        """Return another spool of the sink."""
        return self._sink.spool()

    # -- deflating --------------------------------------------------------------------------------

    @property
    def direct(self) -> bool:
        """Whether what is written is deflated as it comes; until ``reverting`` is done it cannot be patched or read."""
        return self._direct

    @property
    def may_settle(self) -> bool:
        """Whether there is a spool that was never needed for a second time."""
        return not self._direct and not self._reverted

    def settling(self) -> Iterator[None]:
        """Take note that nothing written so far is going to change, as far as can be foreseen."""
        yield from self._deflate_spool()
        self._direct = True

    def finishing(self) -> Iterator[None]:
        """Deflate what is left, and end the stream with an even number of octets."""
        if not self._direct:
            yield from self._deflate_spool()
        self._emit(self._deflater.flush())
        if self._deflated_octets & 1:
            self._sink.write([b"\0"])

    def _deflate_spool(self) -> Iterator[None]:
        if isinstance(self._spool, io.BytesIO):
            # reading it piece by piece costs more than deflating it (perf/rewrite.py, +td)
            with self._spool.getbuffer() as octets:
                for at in range(0, len(octets), _DEFLATED_AT_ONCE):
                    self._emit(self._deflater.compress(octets[at:at + _DEFLATED_AT_ONCE]))
                    yield
        else:
            at = 0
            while piece := self._read_spool(at, _DEFLATED_AT_ONCE):
                at += len(piece)
                self._emit(self._deflater.compress(piece))
                yield
        self._spool.close()
        self._spool = io.BytesIO()
        self._in_memory = True

    def _emit(self, octets: bytes) -> None:
        if octets:
            self._deflated_octets += len(octets)
            self._sink.write([octets])

    def reverting(self) -> Iterator[None]:
        """Go back to the spool, with all that has been deflated so far, so that it can be patched and read."""
        if not self._direct:
            return
        self._emit(self._deflater.flush())
        self._direct, self._reverted = False, True
        inflater = new_inflater()
        try:
            at = 0
            while at < self._deflated_octets:
                piece = self._sink.read(self._base + at, _STEP_OCTETS)
                if not piece:
                    raise StorageError("what was deflated cannot be read back")
                at += len(piece)
                while inflated := inflater.decompress(piece, _STEP_OCTETS):
                    self.write([inflated])
                    piece = inflater.unconsumed_tail
                    yield
        except INFLATE_ERRORS as error:
            raise InstanceError(f"what was deflated cannot be inflated: {error}") from error
        self._sink.truncate(self._base)
        self._deflated_octets = 0
        self._deflater = _codec.compressobj(self._level, zlib.DEFLATED, _RAW)

    # -- the spool --------------------------------------------------------------------------------

    def _move_to_file(self) -> None:
        spool = self._sink.spool()
        self._spool.seek(0)
        spool.write(self._spool.read())
        self._spool = spool
        self._in_memory = False

    def _read_spool(self, at: int, size: int) -> bytes:
        try:
            self._spool.seek(at)
            octets = self._spool.read(size)
            self._spool.seek(0, io.SEEK_END)
        except OSError as error:
            raise _spool_error(error) from error
        return octets
