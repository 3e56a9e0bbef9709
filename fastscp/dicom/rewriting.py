"""``fastscp.dicom.rewrite``: a whole DICOM file or data set, from wherever it is to a sink, as storescp would store it.

Strategy: whatever the source is, it is read as a stream of pieces: file meta information first, where there is any, then the
data set, piece by piece through the engine (``fastscp.dicom.rewriter``). Nothing but the piece at hand is in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Final, TypeAlias

from fastscp.dicom import filemeta, uids
from fastscp.dicom.engine.sink import Sink
from fastscp.dicom.filemeta import FileMeta
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import output_transfer_syntax, rewrite_data_set
from fastscp.errors import UsageError

Octets: TypeAlias = bytes | bytearray | memoryview
#: octets, an open file, the path of one, or pieces, each of which may be reused when the next one is asked for
Source: TypeAlias = Octets | IO[bytes] | str | PurePath | Iterable[Octets]

_PIECE_OCTETS: Final = 262144


@dataclass(frozen=True)
class Rewritten:
    """What was written."""

    transfer_syntax_uid: str  #: of the output
    sop_class_uid: str
    sop_instance_uid: str
    #: raw values, padding included, of some attributes by their tags: names, UIDs, modality, character set
    attributes: Mapping[int, bytes]


def rewrite(source: Source, sink: Sink, options: OutputOptions | None = None, *, transfer_syntax_uid: str | None = None,
            sop_class_uid: str = "", sop_instance_uid: str = "", source_ae_title: str = "") -> Rewritten:
    """Write a DICOM file as storescp would store it with the output options ``options``.

    ``source`` is a DICOM file (PS3.10), or, with ``transfer_syntax_uid``, a data set alone; with the file meta information
    that is wanted for its output (``options.file_format``) come the UIDs of its class and instance then, and the title of
    the sender, if there is one. ``sink`` is empty.

    Raises InstanceError for what is no DICOM file, or no data set that can be written; UsageError for UIDs that are
    missing; errors of source and sink pass through.
    """
    options = options or OutputOptions()
    if isinstance(source, str | PurePath):
        with open(source, "rb") as file:
            return rewrite(file, sink, options, transfer_syntax_uid=transfer_syntax_uid, sop_class_uid=sop_class_uid,
                           sop_instance_uid=sop_instance_uid, source_ae_title=source_ae_title)
    stream = _Stream(_pieces(source))
    if transfer_syntax_uid is None:
        meta = filemeta.read(stream)
    else:
        if options.file_format and not (sop_class_uid and sop_instance_uid):
            raise UsageError("a data set alone becomes a file only with sop_class_uid and sop_instance_uid")
        meta = FileMeta(sop_class_uid.encode("ascii"), sop_instance_uid.encode("ascii"), transfer_syntax_uid, source_ae_title.encode("latin-1"))
    syntax = meta.transfer_syntax_uid or uids.IMPLICIT_VR_LITTLE_ENDIAN
    head = b""
    if options.file_format:
        head = filemeta.encode(meta.sop_class_uid, meta.sop_instance_uid, output_transfer_syntax(syntax, options), meta.source_ae_title)
        sink.write([head])
    done = rewrite_data_set(stream.rest(), sink, options, transfer_syntax_uid=syntax, base=len(head))
    return Rewritten(done.transfer_syntax_out, meta.sop_class_uid.decode("latin-1"), meta.sop_instance_uid.decode("latin-1"), done.attributes)


def _pieces(source: Octets | IO[bytes] | Iterable[Octets]) -> Iterator[Octets]:
    if isinstance(source, bytes | bytearray | memoryview):
        return iter((source,))
    read = getattr(source, "read", None)
    return iter(source) if read is None else iter(lambda: read(_PIECE_OCTETS), b"")


class _Stream:
    """The pieces as a file that can be read, and put back by what was read last: all that file meta information needs."""

    def __init__(self, pieces: Iterator[Octets]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")
        self._at = 0  #: octets that were read
        self._last = b""

    def read(self, size: int, /) -> bytes:
        """Return ``size`` octets, less at the end."""
        taken = bytearray()
        while len(taken) < size and (self._piece or self._next()):
            wanted = size - len(taken)
            taken += self._piece[:wanted]
            self._piece = self._piece[wanted:]
        self._last = bytes(taken)
        self._at += len(taken)
        return self._last

    def _next(self) -> bool:
        """Have the next piece that is not empty; False at the end."""
        for piece in self._pieces:
            self._piece = memoryview(piece).cast("B")
            if self._piece:
                return True
        return False

    def tell(self) -> int:
        """Return how many octets were read."""
        return self._at

    def seek(self, offset: int, /) -> None:
        """Put back what was read last. Raises UnsupportedOperation for any other place."""
        back = self._at - offset
        if not 0 <= back <= len(self._last):
            raise io.UnsupportedOperation("only what was read last can be read again")
        if back:
            self._pieces = _chained(self._last[-back:], self._piece, self._pieces)
            self._piece = memoryview(b"")
        self._at, self._last = offset, b""

    def rest(self) -> Iterator[Octets]:
        """Yield what was not read, as it comes."""
        if self._piece:
            yield self._piece
        yield from self._pieces


def _chained(first: bytes, second: memoryview, others: Iterator[Octets]) -> Iterator[Octets]:
    yield first
    yield second
    yield from others
