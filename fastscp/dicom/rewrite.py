"""The rewrite engine: from the data set as it arrives to the data set as storescp would store it.

Strategy: one scanner, one output. Deflated input is inflated in front of the scanner in bounded steps;
deflated output goes to a spool first, because lengths are patched, and is deflated at the end. Bit
preserving mode forwards everything and looks at nothing.
"""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Sequence
from typing import IO, Final

from fastscp.dicom import dictionary as dictionaries
from fastscp.dicom import uids
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.order import Sorter
from fastscp.dicom.output import Output, Sink
from fastscp.dicom.scan import Scanner
from fastscp.dicom.shapes import Shapes
from fastscp.dicom.uids import TransferSyntax
from fastscp.errors import InstanceError, StorageError

__all__ = ["COLLECTED", "Rewriter", "Sink", "output_transfer_syntax", "shared_dictionary"]

_INFLATED_OCTETS: Final = 262144
_IN_MEMORY_OCTETS: Final = 1 << 20  #: a larger spool is a file

#: Top-level attributes whose raw values are kept (padding included).
COLLECTED: Final = frozenset({
    0x00080005,  # Specific Character Set
    0x00080016,  # SOP Class UID
    0x00080018,  # SOP Instance UID
    0x00080060,  # Modality
    0x00100010,  # Patient's Name
    0x00100020,  # Patient ID
    0x0020000D,  # Study Instance UID
    0x0020000E,  # Series Instance UID
})


@functools.cache
def shared_dictionary(paths: tuple[str, ...] = ()) -> Dictionary:
    """Return pydicom's dictionary with additional files; built once per process and combination."""
    return dictionaries.load(paths)


def _spool_error(error: OSError) -> StorageError:
    return StorageError(f"cannot use a spool: {error.strerror}", errno=error.errno)


class _Deflation:
    """The sink in front of deflated output: a spool that can be patched, deflated when it is complete."""

    def __init__(self, sink: Sink, base: int, level: int) -> None:
        self._sink = sink
        self._base = base
        self._level = level
        self._spool: IO[bytes] = io.BytesIO()
        self._in_memory = True

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append to the spool."""
        try:
            self._spool.writelines(buffers)
            if self._in_memory and self._spool.tell() > _IN_MEMORY_OCTETS:
                self._move_to_file()
        except OSError as error:
            raise _spool_error(error) from error

    def _move_to_file(self) -> None:
        spool = self._sink.spool()
        self._spool.seek(0)
        spool.write(self._spool.read())
        self._spool = spool
        self._in_memory = False

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite in the spool; offsets count as if the spool began at ``base``."""
        try:
            self._spool.seek(offset - self._base)
            self._spool.write(octets)
            self._spool.seek(0, io.SEEK_END)
        except OSError as error:
            raise _spool_error(error) from error

    def read(self, offset: int, size: int) -> bytes:
        """Read back from the spool."""
        try:
            self._spool.seek(offset - self._base)
            octets = self._spool.read(size)
            self._spool.seek(0, io.SEEK_END)
        except OSError as error:
            raise _spool_error(error) from error
        return octets

    def truncate(self, size: int) -> None:
        """Shorten the spool."""
        try:
            self._spool.seek(size - self._base)
            self._spool.truncate()
        except OSError as error:
            raise _spool_error(error) from error

    def spool(self) -> IO[bytes]:
        """Return another spool of the sink."""
        return self._sink.spool()

    def finish(self) -> None:
        """Deflate the spool into the sink (PS3.5 A.5)."""
        deflater = zlib.compressobj(self._level, zlib.DEFLATED, -15)
        size = at = 0
        if isinstance(self._spool, io.BytesIO):
            # reading it piece by piece costs more than deflating it (perf/rewrite.py, +td)
            content = self._spool.getbuffer()
            size = self._emit(deflater.compress(content))
            at = len(content)
        while piece := self.read(self._base + at, _INFLATED_OCTETS):
            at += len(piece)
            size += self._emit(deflater.compress(piece))
        size += self._emit(deflater.flush())
        if size & 1:
            self._sink.write([b"\0"])

    def _emit(self, octets: bytes) -> int:
        if octets:
            self._sink.write([octets])
        return len(octets)


def output_transfer_syntax(received: str, options: OutputOptions) -> str:
    """Return the UID of the transfer syntax an object is written with (``+t=``, ``+te`` and their like)."""
    if options.bit_preserving or options.transfer_syntax is None:
        return received
    return options.transfer_syntax


class Rewriter:
    """Take one data set in pieces and write it to a sink.

    ``base`` is the file offset of the data set's first octet. ``feed`` and ``finish`` raise InstanceError
    for a data set that cannot be stored; errors of the sink pass through. ``shapes`` carries what is known of
    headers from one object to the next; it belongs to one process and one set of options.
    """

    def __init__(self, transfer_syntax_uid: str, options: OutputOptions, sink: Sink, base: int, *,
                 dictionary: Dictionary | None = None, shapes: Shapes | None = None) -> None:
        self.transfer_syntax_out: str = transfer_syntax_uid
        self.attributes: dict[int, bytes] = {}
        self._sink = sink
        self._base = base
        self._options = options
        self._preserve = options.bit_preserving
        if self._preserve:
            return
        syntax_in = uids.transfer_syntax(transfer_syntax_uid)
        self.transfer_syntax_out = output_transfer_syntax(transfer_syntax_uid, options)
        self._syntax = uids.transfer_syntax(self.transfer_syntax_out)
        self._dictionary = dictionary or shared_dictionary(options.dictionary_paths)
        self._empty = True
        self._inflater = zlib.decompressobj(-15) if syntax_in.deflated else None
        self._deflation = _Deflation(sink, base, options.compression_level) if self._syntax.deflated else None
        self._output, self._scanner = self._new_scanner(syntax_in, shapes)
        self.attributes = self._scanner.attributes

    def _new_scanner(self, syntax_in: TransferSyntax, shapes: Shapes | None = None) -> tuple[Output, Scanner]:
        output = Output(self._deflation or self._sink, self._base, self._syntax)
        return output, Scanner((syntax_in, self._syntax), self._options, self._dictionary, output,
                               COLLECTED, shapes)

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets; the views may be reused when it returns."""
        if self._preserve:
            self._sink.write(views)
            return
        if self._scanner.verbatim_left and self._inflater is None:
            size = sum(map(len, views))
            if size < self._scanner.verbatim_left:
                # most of an image: forwarded without a look
                (self._deflation or self._sink).write(views)
                self._scanner.passed(size)
                return
        if self._empty:
            self._empty = not any(map(len, views))
        if self._inflater is None:
            self._scanner.feed(views)
        else:
            self._inflate(self._inflater, views)
        self._output.write()

    def _inflate(self, inflater: zlib._Decompress, views: Sequence[bytes | memoryview]) -> None:
        """Inflate in bounded steps; what follows the end of the stream is padding (PS3.5 A.5)."""
        try:
            for view in views:
                data: bytes | memoryview = view
                full = True
                # output may be left inside the inflater when all of the input is consumed
                while (data or full) and not inflater.eof:
                    piece = inflater.decompress(data, _INFLATED_OCTETS)
                    full = len(piece) == _INFLATED_OCTETS
                    self._scanner.feed([piece])
                    self._output.write()
                    data = inflater.unconsumed_tail
        except zlib.error as error:
            raise InstanceError(f"deflated data set: {error}", status=0xC000) from error

    def finish(self) -> None:
        """End the data set."""
        if self._preserve:
            return
        if self._empty:
            # the same statuses as storescp's
            raise InstanceError("empty data set",
                                status=0xA700 if self._options.transfer_syntax is None else 0xC000)
        self._scanner.finish()
        self._output.write()
        if self._scanner.disordered:
            self._sort()
        if self._deflation is not None:
            self._deflation.finish()

    def _sort(self) -> None:
        """Put the elements in order; padding is counted again, because equal tags are dropped."""
        sink = self._deflation or self._sink
        sorter = Sorter(sink, self._base, self._syntax, self._dictionary)
        pieces = sorter.run(self._output.size)
        if not self._options.file_padding and not self._options.item_padding:
            for piece in pieces:
                sink.write([piece])
            return
        output, scanner = self._new_scanner(self._syntax._replace(deflated=False))
        for piece in pieces:
            scanner.feed([piece])
            output.write()
        scanner.finish()
        output.write()
        if scanner.disordered:  # elements that sort behind the padding
            for piece in sorter.run(output.size):
                sink.write([piece])


def rewrite(source: IO[bytes], sink: Sink, options: OutputOptions, *, transfer_syntax_uid: str,
            base: int = 0) -> Rewriter:
    """Rewrite a whole data set from a file object that stands at its first octet.

    Returns the rewriter for its ``attributes`` and ``transfer_syntax_out``. Raises InstanceError for a data
    set that cannot be rewritten; errors of source and sink pass through.
    """
    rewriter = Rewriter(transfer_syntax_uid, options, sink, base)
    while octets := source.read(_INFLATED_OCTETS):
        rewriter.feed([octets])
    rewriter.finish()
    return rewriter
