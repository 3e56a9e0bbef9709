"""File names of stored instances, as storescp makes them.

``INSTANCE_UID``  ``<prefix>.<SOP Instance UID><extension>``
``UNIQUE``        ``<prefix>.X.<fresh UID><extension>``
``TIME``          ``YYYYMMDDHHMMSSmmm[_NNNN].<prefix><extension>``

A name that is taken becomes ``<prefix>.<SOP Instance UID>_<n><extension>`` where that is wanted.

The prefix is the code of the SOP class (``CT``, ``MR``, ``UNKNOWN`` ...). Octets of the peer that are not
letters, digits, blank or one of ``- . : @ _`` become ``_``, so a name never leaves its directory.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator

from fastscp.errors import InstanceError

_UNSAFE = re.compile(r"[^A-Za-z0-9 \-.:@_]")
_CAPTURED_UID_OCTETS = 200  #: what a name can hold beside prefix, extension and suffix (NAME_MAX is 255)
_SERIAL_NUMBERS = 10_000


def clean_file_name(text: str) -> str:
    """Replace every character that has no place in a file name by ``_``."""
    return _UNSAFE.sub("_", text)


def instance_file_name(prefix: str, sop_instance_uid: str, extension: str) -> str:
    """Name an instance by its UID.

    Raises InstanceError (0117H, invalid object instance, PS3.7 Annex C.5.10) for a UID that is empty or
    too long to be part of a file name.
    """
    if not sop_instance_uid or len(sop_instance_uid) > _CAPTURED_UID_OCTETS:
        raise InstanceError(f"SOP Instance UID of {len(sop_instance_uid)} characters", status=0x0117)
    return f"{prefix}.{clean_file_name(sop_instance_uid)}{extension}"


def unique_file_name(prefix: str, extension: str) -> str:
    """Name an instance by a fresh UID (PS3.5 Annex B.2)."""
    return f"{prefix}.X.2.25.{uuid.uuid4().int}{extension}"


def time_file_names(prefix: str, extension: str, now: datetime.datetime) -> Iterator[str]:
    """Candidates for a time name, in order: without a serial number, then _0000 to _9999."""
    stamp = f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03d}"
    yield f"{stamp}.{prefix}{extension}"
    for serial_number in range(_SERIAL_NUMBERS):
        yield f"{stamp}_{serial_number:04d}.{prefix}{extension}"


def may_collide(file_name: str) -> bool:
    """Tell whether another UID could have been cleaned to the same name."""
    return "_" in file_name


def distinct_file_name(file_name: str, sop_instance_uid: str, extension: str = "") -> str:
    """Return a second name for a UID whose first name belongs to another; the same one every time."""
    digest = hashlib.sha256(sop_instance_uid.encode("latin-1", "replace")).hexdigest()
    return f"{file_name.removesuffix(extension)}_{digest[:12]}{extension}"


def numbered_file_name(file_name: str, extension: str, number: int) -> str:
    """Return the name of the next instance of a UID: the number comes before the extension, which ends every name."""
    return f"{file_name.removesuffix(extension)}_{number}{extension}"


def free_number(is_taken: Callable[[int], bool]) -> int:
    """Return a number from 1 on that is not taken, after one that is, in a number of looks that grows with its digits."""
    free = 1
    while is_taken(free):
        free *= 2
    taken = free // 2
    while free - taken > 1:
        middle = (free + taken) // 2
        if is_taken(middle):
            taken = middle
        else:
            free = middle
    return free
