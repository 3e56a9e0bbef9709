"""The exception tree. Each type carries the answer its cause gets, so no caller inspects types to find one.

This module imports nothing from the package.
"""

from __future__ import annotations

from typing import Any


class FastscpError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(FastscpError):
    """The command line or a configuration file is wrong; the process ends with ``exit_status``."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class PeerError(FastscpError):
    """The peer broke PS3.8 or PS3.7; the association is aborted.

    ``source`` and ``reason`` are the A-ABORT fields (PS3.8 Table 9-26); ``offset`` counts octets from the
    start of the PDU or command that was being decoded, or is None. ``events`` and ``items`` hold what the
    same read brought before the violation: events of an ``Association``, items of a ``Provider``.
    """

    def __init__(self, message: str, *, source: int = 2, reason: int = 0, offset: int | None = None) -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason
        self.offset = offset
        self.events: list[Any] = []
        self.items: list[Any] = []


class InstanceError(FastscpError):
    """One object cannot be accepted; the association goes on.

    ``status`` is the C-STORE-RSP status (0xA9xx or 0xCxxx, PS3.4 Table B.2-1); ``tag`` (group << 16 |
    element) and ``offset`` (octets from the start of the data set as received) say where, when known.
    """

    def __init__(self, message: str, *, status: int = 0xC000, tag: int | None = None,
                 offset: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.tag = tag
        self.offset = offset

    def __str__(self) -> str:
        text = super().__str__()
        if self.tag is not None:
            text += f" at ({self.tag >> 16:04x},{self.tag & 0xFFFF:04x})"
        if self.offset is not None:
            text += f", offset {self.offset}"
        return text


class StorageError(FastscpError):
    """The file system refused; the answer is 0xA7xx (out of resources)."""

    def __init__(self, message: str, *, status: int = 0xA700, errno: int | None = None,
                 path: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.errno = errno
        self.path = path


class ProcessError(FastscpError):
    """Processes, descriptors or channels of the service itself failed."""
