"""The objects of a run: from files, or made up.

A file is mapped, not read: its pages are what is sent. What is no DICOM is left out, and counted; a path that is named itself and
is none is a mistake.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence

from fastscp.blast.synthetic import synthetic
from fastscp.blast.template import Template, lengthened, template
from fastscp.errors import InstanceError, UsageError
from fastscp.ingest.recognise import MEDIA_STORAGE_DIRECTORY, Incomplete, recognise

_HEAD_OCTETS = 1 << 16
_MOST_CONTEXTS = 128  #: presentation contexts of an association (PS3.8 §9.3.2.2: odd numbers up to 255)


def load(paths: Sequence[str], name: str) -> tuple[Template, ...]:
    """Return the objects to send: the files below ``paths``, or the synthetic load ``name``. Raises UsageError."""
    if not paths:
        return (synthetic(name),)
    found = [one for path in paths for one in _below(path)]
    if not found:
        raise UsageError(f"no DICOM file below {' '.join(paths)}")
    if len({(one.sop_class, one.transfer_syntax) for one in found}) > _MOST_CONTEXTS:
        raise UsageError(f"the files need more than {_MOST_CONTEXTS} presentation contexts; send them in several runs")
    return lengthened(found)


def _below(path: str) -> Iterator[Template]:
    if not os.path.isdir(path):
        one = _read(path)
        if one is None:
            raise UsageError(f"{path} is not DICOM")
        yield one
        return
    for directory, directories, files in os.walk(path):
        directories.sort()
        for name in sorted(files):
            one = _read(os.path.join(directory, name))
            if one is not None:
                yield one


def _read(path: str) -> Template | None:
    """Map one file. Raises UsageError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return None
            octets = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    head = octets[:_HEAD_OCTETS]
    try:
        found = recognise(head, complete=len(head) == len(octets))
    except Incomplete:
        found = recognise(octets[:], complete=True)
    if found is None or found.sop_class == MEDIA_STORAGE_DIRECTORY:
        return None
    try:
        return template(path, found.sop_class, found.transfer_syntax, memoryview(octets)[found.offset:])
    except InstanceError as error:
        raise UsageError(f"{path} cannot be sent: {error}") from error
