"""The engine as other packages see it: a data set goes in as it arrives, and into a sink as storescp would store it.

Strategy: one reader, one output. Deflated input is inflated in front of the reader in bounded steps;
deflated output has a sink of its own in front of the file (``fastscp.dicom.engine.deflate``). Bit preserving mode
forwards everything and looks at nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import IO, Final

from fastscp.dicom import dictionary as dictionaries
from fastscp.dicom import tags, uids
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.deflate import INFLATE_ERRORS, Deflation, Inflater, new_inflater
from fastscp.dicom.engine.order import Sorter
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.engine.recognise.shapes import Shapes
from fastscp.dicom.engine.scan import new_reader
from fastscp.dicom.engine.sink import Sink
from fastscp.dicom.engine.trace import Trace
from fastscp.dicom.options import OutputOptions, PrivateDictionary
from fastscp.errors import InstanceError

__all__ = ["COLLECTED", "Rewriter", "Shapes", "Sink", "Trace", "output_transfer_syntax", "rewrite", "shared_dictionary"]

_INFLATED_OCTETS: Final = 262144
_PLANS: Final = 64  #: those in use at a time are few: one for each transfer syntax that arrives

#: Top-level attributes whose raw values are kept (padding included).
COLLECTED: Final = frozenset({
    tags.SPECIFIC_CHARACTER_SET, tags.SOP_CLASS_UID, tags.SOP_INSTANCE_UID, tags.MODALITY,
    tags.PATIENT_NAME, tags.PATIENT_ID, tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID,
})


@functools.cache
def shared_dictionary(paths: tuple[str, ...] = (),
                      private: PrivateDictionary = PrivateDictionary.AUTOMATIC) -> Dictionary:
    """Return pydicom's dictionary with additional files; built once per process and combination."""
    return dictionaries.load(paths, private)


def output_transfer_syntax(received: str, options: OutputOptions) -> str:
    """Return the UID of the transfer syntax an object is written with (``+t=``, ``+te`` and their like)."""
    if options.bit_preserving or options.transfer_syntax is None:
        return received
    return options.transfer_syntax


@functools.lru_cache(maxsize=_PLANS)
def _plan(transfer_syntax_uid: str, options: OutputOptions, dictionary: Dictionary | None) -> Plan:
    """Return what all data sets of a transfer syntax have in common."""
    return Plan(uids.transfer_syntax(transfer_syntax_uid),
                uids.transfer_syntax(output_transfer_syntax(transfer_syntax_uid, options)),
                options, dictionary or shared_dictionary(options.dictionary_paths, options.private_dictionary), COLLECTED)


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
        self.before_sorting: Callable[[], None] | None = None  #: what was written is about to change places
        self._sink = sink
        self._base = base
        self._options = options
        self._preserve = options.bit_preserving
        if self._preserve:
            return
        self._plan = plan = _plan(transfer_syntax_uid, options, dictionary)
        self.transfer_syntax_out = plan.syntax_out.uid
        self._empty = True
        self._inflater = new_inflater() if plan.syntax_in.deflated else None
        self._deflation = Deflation(sink, base, options.compression_level) if plan.syntax_out.deflated else None
        self._target: Sink = self._deflation or sink
        self._output = Output(base, plan.syntax_out, new_vrs=plan.new_vrs)
        self._reader = new_reader(plan, self._output, shapes if plan.recognises else None)
        self._value = self._reader.value
        self.attributes = self._reader.cursor.attributes

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets; the views may be reused when it returns."""
        if self._preserve:
            self._sink.write(views)
            return
        value = self._value
        if value.verbatim_left and self._inflater is None:
            size = sum(map(len, views))
            if size < value.verbatim_left:
                # most of an image: forwarded without a look
                self._target.write(views)
                value.passed(size)
                return
        if self._empty:
            self._empty = not any(map(len, views))
        if self._inflater is None:
            self._reader.feed(views)
        else:
            self._inflate(self._inflater, views)
        self._output.write(self._target)
        if self._deflation is not None and self._reader.settled:
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
                    self._reader.feed([piece])
                    self._output.write(self._target)
                    data = inflater.unconsumed_tail
        except INFLATE_ERRORS as error:
            raise InstanceError(f"deflated data set: {error}", status=0xC000) from error

    def trace(self) -> Trace | None:
        """Return what tells, from the beginning on, which stretches are written as they come; None: none will be."""
        if self._preserve or self._inflater is not None or self._deflation is not None:
            return None
        return Trace(self._reader.cursor, self._output, self._value)

    def finish(self) -> None:
        """End the data set."""
        if self._preserve:
            return
        if self._empty:
            # the same statuses as storescp's
            raise InstanceError("empty data set",
                                status=0xA700 if self._options.transfer_syntax is None else 0xC000)
        self._reader.finish()
        self._output.write(self._target)
        if self._reader.cursor.disordered:
            self._sort()
        if self._deflation is not None:
            self._deflation.finish()

    def _sort(self) -> None:
        """Put the elements in order."""
        if self.before_sorting is not None:
            self.before_sorting()
        plan = self._plan
        sorter = Sorter(self._target, self._base, plan.syntax_out, plan.dictionary, plan.options)
        for piece in sorter.run(self._output.size):
            self._target.write([piece])


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
