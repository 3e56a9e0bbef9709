"""The exception tree. Each type carries the answer its cause gets, so no caller inspects types to find one.

This module imports nothing from the package.
"""

from __future__ import annotations

from typing import Any


class FastscpError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(FastscpError):
    """The command line or a configuration file is wrong; the process ends with ``exit_status``.

    ``option`` is the long flag of the option to blame, where that is not known from whom it was raised by; ``value`` says
    which of several is meant.
    """

    def __init__(self, message: str, exit_status: int = 1, *, option: str = "", value: str = "") -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.option = option
        self.value = value


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


class ObjectError(FastscpError):
    """One object is refused; the association goes on.

    ``status`` is the C-STORE-RSP status (PS3.4 Table B.2-1); ``tag`` (group << 16 | element) says which element is
    to blame. ``offset`` counts octets from the first octet of the data set as it was received, inflated where it is
    deflated, to the header of that element, or to where the data set ended; None where nobody knows.
    """

    def __init__(self, message: str, *, status: int, tag: int | None = None, offset: int | None = None) -> None:
        super().__init__(message)
        self.reason = message
        self.status = status
        self.tag = tag
        self.offset = offset

    @property
    def comment(self) -> str:
        """The Error Comment: what has no room is cut off behind (PS3.7 Annex C), so the tag comes first."""
        return self.reason if self.tag is None else f"({tag_text(self.tag)}) {self.reason}"

    def __str__(self) -> str:
        return self.comment if self.offset is None else f"{self.comment}, offset {self.offset}"


class InstanceError(ObjectError):
    """The object cannot be accepted (0xA9xx or 0xCxxx)."""

    def __init__(self, message: str, *, status: int = 0xC000, tag: int | None = None,
                 offset: int | None = None) -> None:
        super().__init__(message, status=status, tag=tag, offset=offset)


class DuplicateError(ObjectError):
    """The object is there already, and is not wanted again (0111H, PS3.7 Annex C)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=0x0111)


class StorageError(ObjectError):
    """The file system refused; the answer is 0xA7xx (out of resources)."""

    def __init__(self, message: str, *, status: int = 0xA700, errno: int | None = None,
                 path: str | None = None) -> None:
        super().__init__(message, status=status)
        self.errno = errno
        self.path = path


def tag_text(tag: int) -> str:
    """Return a tag as the standard writes it, without parentheses: ``7FE0,0010``."""
    return f"{tag >> 16:04X},{tag & 0xFFFF:04X}"


class ProcessError(FastscpError):
    """Processes, descriptors or channels of the service itself failed."""


class PacketError(ProcessError):
    """One packet between processes of the service cannot be encoded or understood; it is left out."""
