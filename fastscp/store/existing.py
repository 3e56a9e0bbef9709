"""Who owns a file that is already there: the SOP instance its file meta information names.

Source: PS3.10 §7.1 (preamble of 128 octets, ``DICM``, group 0002 in explicit VR little endian)
"""

from __future__ import annotations

import os
import stat

from fastscp.dicom.headers import read_explicit
from fastscp.dicom.tags import MEDIA_STORAGE_SOP_INSTANCE_UID
from fastscp.store.directory import storage_error

_HEAD_OCTETS = 4096


def media_storage_instance_uid(path: str) -> str | None:
    """Return (0002,0003) of the file at ``path``; "" when it has none, None when there is no such file.

    Raises StorageError when the file cannot be read.
    """
    try:
        # a FIFO that happens to have the name must not keep the worker waiting
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            head = os.pread(fd, _HEAD_OCTETS, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error("read", path, error) from error
    if head[128:132] != b"DICM":
        return ""
    offset = 132
    while offset + 12 <= len(head):
        tag, _, length, octets = read_explicit(head, offset)
        start = offset + octets
        if tag >> 16 != 0x0002:
            break
        if tag == MEDIA_STORAGE_SOP_INSTANCE_UID:
            return head[start : start + length].decode("latin-1").rstrip("\0 ")
        offset = start + length
    return ""
