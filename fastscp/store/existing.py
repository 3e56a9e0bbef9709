"""A file that is already there: whose it is, and what is in it.

No link is followed, and nothing that happens to have the name keeps anybody waiting.

Source: PS3.10 §7.1 (preamble of 128 octets, ``DICM``, group 0002 in explicit VR little endian)
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from fastscp.dicom.headers import read_explicit
from fastscp.dicom.tags import MEDIA_STORAGE_SOP_INSTANCE_UID, TRANSFER_SYNTAX_UID
from fastscp.store.directory import storage_error

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_HEAD_OCTETS = 65536


@dataclass(frozen=True)
class Existing:
    """A file as it was when somebody looked."""

    regular: bool = False  #: it is a file, and no directory, link, FIFO ...
    size: int = 0  #: octets
    sop_instance_uid: str = ""  #: of its file meta information, as all below
    transfer_syntax_uid: str = ""
    head: bytes = b""  #: the first octets of its data set


def look_at(name: str, dir_fd: int | None = None) -> Existing | None:
    """Return what the file ``name`` is; None when there is none. Raises StorageError when it cannot be read."""
    try:
        fd = os.open(name, _FLAGS, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            return Existing()
        raise storage_error("read", name, error) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return Existing()
        return _read(os.pread(fd, _HEAD_OCTETS, 0), status.st_size)
    except OSError as error:
        raise storage_error("read", name, error) from error
    finally:
        os.close(fd)


def media_storage_instance_uid(name: str, dir_fd: int | None = None) -> str | None:
    """Return (0002,0003) of the file ``name``; "" when it has none, None when there is no such file.

    Raises StorageError when the file cannot be read.
    """
    existing = look_at(name, dir_fd)
    return None if existing is None else existing.sop_instance_uid


def _read(head: bytes, size: int) -> Existing:
    if head[128:132] != b"DICM":
        return Existing(regular=True, size=size, head=head)
    meta: dict[int, str] = {}
    offset = 132
    while offset + 12 <= len(head):
        tag, _, length, octets = read_explicit(head, offset)
        if tag >> 16 != 0x0002:
            break
        start = offset + octets
        offset = start + length
        meta[tag] = head[start:offset].decode("latin-1").rstrip("\0 ")
    return Existing(True, size, meta.get(MEDIA_STORAGE_SOP_INSTANCE_UID, ""), meta.get(TRANSFER_SYNTAX_UID, ""),
                    head[offset:])
