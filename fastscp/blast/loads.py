"""The objects of a run: from files, or made up.

A file is mapped, not read: its pages are what is sent. What cannot be sent, because it is no DICOM or has no SOP Instance UID that
could be replaced, is left out where it was met in a directory; a path that is named itself and cannot be sent is a mistake.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastscp.blast.synthetic import synthetic
from fastscp.blast.template import Template, lengthened, template
from fastscp.errors import InstanceError, UsageError
from fastscp.ingest.recognise import MEDIA_STORAGE_DIRECTORY, Incomplete, recognise

_HEAD_OCTETS = 1 << 16
_MOST_CONTEXTS = 128  #: presentation contexts of an association (PS3.8 §9.3.2.2: odd numbers up to 255)


class Loaded(NamedTuple):
    """What there is to send, and what there is beside."""

    templates: tuple[Template, ...]
    left_out: tuple[str, ...] = ()  #: what cannot be sent, and why


def load(paths: Sequence[str], name: str) -> Loaded:
    """Return the objects to send: the files below ``paths``, or the synthetic load ``name``. Raises UsageError."""
    if not paths:
        return Loaded((synthetic(name),))
    left_out: list[str] = []
    found = [one for path in paths for one in _below(path, left_out)]
    if not found:
        raise UsageError(f"no DICOM file below {' '.join(paths)}")
    if len({(one.sop_class, one.transfer_syntax) for one in found}) > _MOST_CONTEXTS:
        raise UsageError(f"the files need more than {_MOST_CONTEXTS} presentation contexts; send them in several runs")
    return Loaded(lengthened(found), tuple(left_out))


def _below(path: str, left_out: list[str]) -> Iterator[Template]:
    if not os.path.isdir(path):
        try:
            yield _read(path)
        except InstanceError as error:
            raise UsageError(f"{path} cannot be sent: {error}") from error
        return
    for directory, directories, files in os.walk(path):
        directories.sort()
        for name in sorted(files):
            try:
                yield _read(os.path.join(directory, name))
            except InstanceError as error:
                left_out.append(f"{os.path.join(directory, name)}: {error}")


def _read(path: str) -> Template:
    """Map one file. Raises UsageError when it cannot be read, InstanceError when it cannot be sent."""
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise InstanceError("not DICOM")
            octets = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    head = octets[:_HEAD_OCTETS]
    try:
        found = recognise(head, complete=len(head) == len(octets))
    except Incomplete:
        found = recognise(octets[:], complete=True)
    if found is None:
        raise InstanceError("not DICOM")
    if found.sop_class == MEDIA_STORAGE_DIRECTORY:
        raise InstanceError("a DICOMDIR")
    return template(found.sop_class, found.transfer_syntax, memoryview(octets)[found.offset:])
