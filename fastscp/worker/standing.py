"""What a file that is already there says of its object: as much as hooks and events tell of one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import IO

from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Rewriter
from fastscp.dicom.uids import transfer_syntax
from fastscp.errors import ObjectError, StorageError
from fastscp.store.existing import Existing


def attributes_of(existing: Existing, transfer_syntax_uid: str, options: OutputOptions) -> Mapping[int, bytes]:
    """Return the attributes that are collected (``dicom.rewriter.COLLECTED``), as far as they are in the head of a file.

    There are none under ``+B``, as for what is received, nor of what is deflated.
    """
    uid = existing.transfer_syntax_uid or transfer_syntax_uid
    if options.bit_preserving or transfer_syntax(uid).deflated:
        return {}
    reader = Rewriter(uid, replace(options, transfer_syntax=None), _Nowhere(), 0)
    with contextlib.suppress(ObjectError):  # what was met before it failed counts
        reader.feed([existing.head])
    return reader.attributes


class _Nowhere:
    """A sink for what is read only."""

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Drop them."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Do nothing."""

    def read(self, offset: int, size: int) -> bytes:  # noqa: ARG002 - Sink
        """Have nothing."""
        raise StorageError("nothing was written")

    def truncate(self, size: int) -> None:
        """Do nothing."""

    def spool(self) -> IO[bytes]:
        """Have none."""
        raise StorageError("nothing was written")
