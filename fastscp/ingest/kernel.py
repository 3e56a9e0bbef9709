"""Copying between files in the kernel.

Strategy: copy_file_range(2), which shares the blocks where the file system can (reflink: XFS, btrfs, bcachefs, NFS 4.2)
and never brings an octet into this process; sendfile(2) where it is not possible, which is between some file systems.
Blocks can be shared only when they begin at the same place of a block in both files, so where source and target have
the same distance to one, what is in front of the first whole block is copied by itself.
"""

from __future__ import annotations

import errno
import os
from typing import Final

_BLOCK_OCTETS: Final = 4096
_AT_ONCE: Final = 1 << 30
#: copy_file_range(2) cannot, between these files
_NO_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY)


def copy(source: int, offset: int, target: int, at: int, octets: int) -> None:
    """Copy octets between two descriptors. OSError passes through; EIO says that the source ended."""
    before = -offset % _BLOCK_OCTETS
    if before and (offset - at) % _BLOCK_OCTETS == 0 and before < octets:
        _copy(source, offset, target, at, before)
        offset, at, octets = offset + before, at + before, octets - before
    _copy(source, offset, target, at, octets)


def _copy(source: int, offset: int, target: int, at: int, octets: int) -> None:
    while octets:
        try:
            copied = os.copy_file_range(source, target, min(octets, _AT_ONCE), offset, at)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
            _send(source, offset, target, at, octets)
            return
        if not copied:
            raise OSError(errno.EIO, "the file is shorter than it was")
        offset, at, octets = offset + copied, at + copied, octets - copied


def _send(source: int, offset: int, target: int, at: int, octets: int) -> None:
    """Copy with sendfile(2), which writes where the target stands; it is left where it stood."""
    before = os.lseek(target, 0, os.SEEK_CUR)
    os.lseek(target, at, os.SEEK_SET)
    while octets:
        sent = os.sendfile(target, source, offset, min(octets, _AT_ONCE))
        if not sent:
            raise OSError(errno.EIO, "the file is shorter than it was")
        offset, octets = offset + sent, octets - sent
    os.lseek(target, before, os.SEEK_SET)
