"""The rewrite engine: from the data set as it arrives to the data set as storescp would store it.

Strategy: one scanner, one output. Deflated input is inflated in front of the scanner in bounded steps;
deflated output has a sink of its own in front of the file (``fastscp.dicom.engine.deflate``). Bit preserving mode
forwards everything and looks at nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import IO, Final

from fastscp.dicom import dictionary as dictionaries
from fastscp.dicom import uids
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.deflate import INFLATE_ERRORS, Deflation, Inflater, new_inflater
from fastscp.dicom.engine.order import Sorter
from fastscp.dicom.engine.output import Output, Sink
from fastscp.dicom.engine.recognise.shapes import Shapes
from fastscp.dicom.engine.scan import Scanner
from fastscp.dicom.options import OutputOptions
from fastscp.errors import InstanceError

__all__ = ["COLLECTED", "Rewriter", "Shapes", "Sink", "output_transfer_syntax", "shared_dictionary"]

_INFLATED_OCTETS: Final = 262144

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
        self._inflater = new_inflater() if syntax_in.deflated else None
        self._deflation = Deflation(sink, base, options.compression_level) if self._syntax.deflated else None
        self._output = Output(self._deflation or sink, base, self._syntax)
        self._scanner = Scanner((syntax_in, self._syntax), options, self._dictionary, self._output, COLLECTED, shapes)
        self.attributes = self._scanner.attributes

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
        if self._deflation is not None and self._scanner.settled:
            self._deflation.settle()

    def _inflate(self, inflater: Inflater, views: Sequence[bytes | memoryview]) -> None:
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
        except INFLATE_ERRORS as error:
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
        """Put the elements in order."""
        sink = self._deflation or self._sink
        sorter = Sorter(sink, self._base, self._syntax, self._dictionary, self._options)
        for piece in sorter.run(self._output.size):
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
