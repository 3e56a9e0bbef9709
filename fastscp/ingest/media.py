"""The files that a DICOMDIR names, in the order of its records.

Source: PS3.3 Annex F, PS3.10 §8.6; a DICOMDIR is in explicit VR little endian. Sequences and items are entered, all
other values passed over, so nothing of the tree of records has to be understood.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import Final

from fastscp.dicom.headers import UNDEFINED, read_explicit
from fastscp.errors import InstanceError
from fastscp.ingest.recognise import Incomplete, recognise

_REFERENCED_FILE_ID: Final = 0x00041500
_HEAD_OCTETS: Final = 65536


def referenced_files(path: str) -> Iterator[tuple[str, ...]]:
    """Yield the components of each Referenced File ID. Raises InstanceError where it is damaged; OSError passes through."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        try:
            found = recognise(octets[:_HEAD_OCTETS], complete=len(octets) <= _HEAD_OCTETS)
        except Incomplete:
            found = None
        if found is None:
            raise InstanceError("no DICOMDIR")
        at, end = found.offset, len(octets)
        while at + 8 <= end:
            if octets[at:at + 2] == b"\xfe\xff":  # an item or a delimiter
                at += 8
                continue
            if at + 12 > end:
                header = read_explicit(octets[at:at + 8] + bytes(4))
            else:
                header = read_explicit(octets[at:at + 12])
            at += header.octets
            if header.vr == b"SQ":
                continue
            if header.length == UNDEFINED or at + header.length > end:
                raise InstanceError("DICOMDIR ends inside a value", tag=header.tag)
            if header.tag == _REFERENCED_FILE_ID:
                yield _components(octets[at:at + header.length])
            at += header.length


def _components(value: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(part.strip(b" \0")) for part in value.split(b"\\"))


def locate(directory: str, components: tuple[str, ...]) -> str | None:
    """Return the path of a referenced file; None when it is not there or would lead elsewhere.

    Media are often mounted with names in small letters, or with a version (``;1``) behind them.
    """
    if not components or any(part in {"", ".", ".."} or "/" in part for part in components):
        return None
    path = directory
    for part in components:
        found = next((name for name in (part, part.lower()) if os.path.lexists(os.path.join(path, name))), None)
        path = os.path.join(path, found or _alike(path, part) or "")
        if path.endswith("/"):
            return None
    return path


def _alike(directory: str, name: str) -> str | None:
    wanted = name.lower()
    try:
        return next((other for other in sorted(os.listdir(directory)) if other.lower().partition(";")[0].rstrip(".") == wanted), None)
    except OSError:
        return None
