"""The engine as other packages see it: a data set goes in as it arrives, and into a sink as storescp would store it.

Strategy: one reader, one output. Deflated input is inflated in front of the reader in bounded steps;
deflated output has a sink of its own in front of the file (``fastscp.dicom.engine.deflate``). Bit preserving mode
forwards everything and looks at nothing.

Invariants: whoever has to share the processor can stop after every step of a few milliseconds (``enough``,
``finishing``) and go on later; where is of no consequence for the result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from fastscp.dicom import dictionary as dictionaries
from fastscp.dicom import tags, uids
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.deflate import Deflation, Inflation
from fastscp.dicom.engine.order import Sorter
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.engine.recognise.shapes import Shapes
from fastscp.dicom.engine.scan import new_reader
from fastscp.dicom.engine.sink import Sink
from fastscp.dicom.engine.trace import Trace
from fastscp.dicom.engine.values import NO_LIMIT
from fastscp.dicom.options import OutputOptions, PrivateDictionary
from fastscp.errors import InstanceError

__all__ = ["COLLECTED", "Rewriter", "Shapes", "Sink", "Trace", "output_transfer_syntax", "rewrite_data_set", "shared_dictionary"]

_STEP_OCTETS: Final = 262144
_CODED_OCTETS: Final = 16384  #: of the input of a codec: what an inflater does not use at once is copied
_DEFLATED_OCTETS: Final = 65536  #: what is deflated at once
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
        #: steps to be taken before what was written changes places
        self.before_sorting: Callable[[], Iterator[None]] | None = None
        self._sink = sink
        self._base = base
        self._options = options
        self._preserve = options.bit_preserving
        if self._preserve:
            return
        self._plan = plan = _plan(transfer_syntax_uid, options, dictionary)
        self.transfer_syntax_out = plan.syntax_out.uid
        self._empty = True
        self._deflation = Deflation(sink, base, options.compression_level) if plan.syntax_out.deflated else None
        self._inflater = Inflation(options.max_inflated_octets) if plan.syntax_in.deflated else None
        self._at_once = NO_LIMIT if self._deflation is None else _DEFLATED_OCTETS
        self._unread: list[bytes | memoryview] = []  #: octets from the inflater
        self._work: Iterator[None] | None = None  #: of the deflater, to be done before anything is written
        self._target: Sink = self._deflation or sink
        self._output = Output(base, plan.syntax_out, new_vrs=plan.new_vrs)
        self._reader = new_reader(plan, self._output, shapes if plan.recognises else None)
        self._value = self._reader.value
        self.attributes = self._reader.cursor.attributes

    def feed(self, views: Sequence[bytes | memoryview],
             enough: Callable[[], bool] | None = None) -> list[bytes | memoryview]:
        """Take the next octets; the views may be reused when it returns.

        ``enough`` is asked after every step; once it says so, the views that are left are returned, to be fed again
        before anything else. An empty view among them means that there is more to do, although all was taken.
        """
        if self._preserve:
            self._sink.write(views)
            return []
        value = self._value
        if value.verbatim_left and self._inflater is None:
            size = sum(map(len, views))
            if size < value.verbatim_left and size <= self._at_once and self._work is None:
                # most of an image: forwarded without a look
                self._target.write(views)
                value.passed(size)
                return []
        if self._empty:
            self._empty = not any(map(len, views))
        if self._inflater is not None:
            return self._inflate(self._inflater, views, enough or _never)
        if self._deflation is not None:
            return self._feed_deflater(views, enough or _never)
        rest = self._reader.feed(views, enough)
        self._output.write(self._target)
        return rest

    @property
    def verbatim(self) -> int:
        """Octets to come that go to the sink as they are; who puts them there himself says so (``passed``)."""
        if self._preserve:
            return NO_LIMIT
        if self._inflater is not None or self._deflation is not None:
            return 0
        return max(self._value.verbatim_left - 1, 0)

    def passed(self, octets: int) -> None:
        """Account for input, no more than ``verbatim``, that the sink got in another way."""
        if not self._preserve:
            self._value.passed(octets)

    def _feed_deflater(self, views: Sequence[bytes | memoryview],
                       enough: Callable[[], bool]) -> list[bytes | memoryview]:
        """Read no more at once than may be deflated at once."""
        rest = list(views)
        value = self._value
        while self._catch_up(enough):
            if not rest:
                return []
            size = taken = 0
            while taken < len(rest) and size + len(rest[taken]) <= _DEFLATED_OCTETS:
                size += len(rest[taken])
                taken += 1
            if not taken:  # a long one
                size, taken = _DEFLATED_OCTETS, 1
                rest[:1] = [rest[0][:size], rest[0][size:]]
            step, rest = rest[:taken], rest[taken:]
            if size < value.verbatim_left:
                self._target.write(step)
                value.passed(size)
            else:
                rest[:0] = self._reader.feed(step, enough)
                self._write()
            if rest and enough():
                break
        return rest or [b""]

    def _inflate(self, inflater: Inflation, views: Sequence[bytes | memoryview],
                 enough: Callable[[], bool]) -> list[bytes | memoryview]:
        """Inflate and read in bounded steps; what follows the end of the stream is padding (PS3.5 A.5)."""
        if not self._catch_up(enough):
            return list(views) or [b""]
        at_once = min(_STEP_OCTETS, self._at_once)
        for index, view in enumerate(views):
            for at in range(0, len(view) or 1, _CODED_OCTETS):
                data: bytes | memoryview = view[at:at + _CODED_OCTETS]
                more = True  # octets may be left inside the inflater when all of the input was taken
                while (data or more) and not inflater.eof:
                    piece = inflater.decompress(data, at_once)
                    more = len(piece) == at_once
                    data = inflater.unconsumed_tail
                    self._unread.append(piece)
                    if not self._catch_up(enough) or enough():
                        rest = [left for left in (data, view[at + _CODED_OCTETS:], *views[index + 1:]) if left]
                        return rest or ([b""] if more or self._behind else [])
        return []

    @property
    def _behind(self) -> bool:
        """Whether something that was inflated is not read, or something that was read not written."""
        return bool(self._unread) or self._work is not None

    def _catch_up(self, enough: Callable[[], bool]) -> bool:
        """Read what was inflated, and do what the deflater needs in between; tell whether all of it is done."""
        while True:
            if self._work is not None:
                for _ in self._work:
                    if enough():
                        return False
                self._work = None
                self._output.write(self._target)
            if not self._unread:
                return True
            self._unread = self._reader.feed(self._unread, enough)
            self._write()
            if self._unread and enough():
                return False

    def _write(self) -> None:
        """Write what was read, at once or as soon as the deflater is ready for it."""
        deflation = self._deflation
        if deflation is not None and self._output.corrects:
            self._work = deflation.reverting()
            return
        self._output.write(self._target)
        if deflation is not None and deflation.may_settle and self._reader.settled:
            self._work = deflation.settling()

    def trace(self) -> Trace | None:
        """Return what tells, from the beginning on, which stretches are written as they come; None: none will be."""
        if self._preserve or self._inflater is not None or self._deflation is not None:
            return None
        return Trace(self._reader.cursor, self._output, self._value)

    def finish(self) -> None:
        """End the data set."""
        for _ in self.finishing():
            pass

    def finishing(self) -> Iterator[None]:
        """End the data set in steps of a few milliseconds at most."""
        if self._preserve:
            return
        if self._empty:
            # the same statuses as storescp's
            raise InstanceError("empty data set",
                                status=0xA700 if self._options.transfer_syntax is None else 0xC000)
        self._reader.finish()
        disordered = self._reader.cursor.disordered
        if self._deflation is not None and (disordered or self._output.corrects):
            yield from self._deflation.reverting()
        self._output.write(self._target)
        if disordered:
            yield from self._sorting()
        if self._deflation is not None:
            yield from self._deflation.finishing()

    def _sorting(self) -> Iterator[None]:
        """Put the elements in order."""
        if self.before_sorting is not None:
            yield from self.before_sorting()
        plan = self._plan
        sorter = Sorter(self._target, self._base, plan.syntax_out, plan.dictionary, plan.options)
        yield from sorter.run(self._output.size)


def _never() -> bool:
    return False


def rewrite_data_set(pieces: Iterable[bytes | bytearray | memoryview], sink: Sink, options: OutputOptions, *,
                     transfer_syntax_uid: str, base: int = 0) -> Rewriter:
    """Rewrite a whole data set that comes in pieces, each of which may be reused when the next one is asked for.

    Returns the rewriter for its ``attributes`` and ``transfer_syntax_out``. Raises InstanceError for a data
    set that cannot be rewritten; errors of source and sink pass through.
    """
    rewriter = Rewriter(transfer_syntax_uid, options, sink, base)
    for piece in pieces:
        rewriter.feed([memoryview(piece)])
    rewriter.finish()
    return rewriter
