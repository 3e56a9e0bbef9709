"""The rewrite engine: from the data set as it arrives to the data set as it is stored."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import IO, Protocol

from fastscp.dicom import uids
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.vr import LONG, LONG_TEXT, SEQUENCE, kind_table
from fastscp.errors import InstanceError

#: Top-level attributes whose raw values are kept (padding included).
COLLECTED = frozenset({
    0x00080005,  # Specific Character Set
    0x00080016,  # SOP Class UID
    0x00080018,  # SOP Instance UID
    0x00080060,  # Modality
    0x00100010,  # Patient's Name
    0x00100020,  # Patient ID
    0x0020000D,  # Study Instance UID
    0x0020000E,  # Series Instance UID
})


class Sink(Protocol):
    """Where the octets go. Errors of the sink (StorageError) pass through the engine."""

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Append; the buffers are consumed before it returns."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Overwrite at an offset of the file."""

    def spool(self) -> IO[bytes]:
        """Return an unnamed temporary file, closed and removed with the sink."""


class Rewriter:
    """Take one data set in pieces and write it to a sink."""

    def __init__(self, transfer_syntax_uid: str, options: OutputOptions, sink: Sink, base: int) -> None:
        self._syntax = uids.transfer_syntax(transfer_syntax_uid)
        self.transfer_syntax_out = transfer_syntax_uid
        self.attributes: dict[int, bytes] = {}
        self._sink = sink
        self._pending = b""
        self._skip = 0
        self._scanning = not options.bit_preserving and not self._syntax.deflated
        self._empty = not options.bit_preserving

    def feed(self, views: Sequence[bytes | memoryview]) -> None:
        """Take the next octets; the views may be reused when it returns."""
        self._sink.write(views)
        self._empty = False
        if self._scanning:
            self._pending += b"".join(views)
            self._scan()

    def finish(self) -> None:
        """End the data set. Raises InstanceError when it cannot be stored."""
        if self._empty:
            raise InstanceError("empty data set", status=0xA700)

    def _scan(self) -> None:
        buf, pos = self._pending, 0
        order = "<" if self._syntax.little_endian else ">"
        kinds = kind_table(little_endian=self._syntax.little_endian)
        while pos + 12 <= len(buf):
            group, element, vr, length = struct.unpack_from(order + "HHHH", buf, pos)
            start = pos + 8
            if not self._syntax.explicit_vr:
                length = struct.unpack_from("<L", buf, pos + 4)[0]
            elif kinds[vr] in {LONG, LONG_TEXT, SEQUENCE, 0}:
                length = struct.unpack_from(order + "L", buf, start)[0]
                start += 4
            if group > 0x20 or length == 0xFFFFFFFF and group == 0x20:
                self._scanning, self._pending = False, b""
                return
            if length == 0xFFFFFFFF:
                end = buf.find(b"\xfe\xff\xdd\xe0\0\0\0\0", start)
                if end < 0:
                    break
                pos = end + 8
                continue
            if start + length > len(buf):
                break
            if group << 16 | element in COLLECTED:
                self.attributes[group << 16 | element] = buf[start:start + length]
            pos = start + length
        self._pending = buf[pos:]
