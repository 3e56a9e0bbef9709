"""SimpleLayout and TTCCLayout, and what every layout is.

A layout turns a record into the text an appender writes, line ends included.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Protocol

from fastscp.log import names

DEFAULT_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


class Layout(Protocol):
    """Formats records."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of ``record``."""


def message(record: logging.LogRecord) -> str:
    """Return the message of ``record`` with the traceback it carries, if any."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        trace = logging.Formatter().formatException(record.exc_info)
        text = f"{text}\n{trace}"
    return text


def timestamp(record: logging.LogRecord, pattern: str, *, utc: bool) -> str:
    """Format the time of ``record`` by a strftime pattern that also knows ``%q`` and ``%Q``.

    ``%q`` is three digits of milliseconds, ``%Q`` the same with a point and three digits of microseconds.
    """
    microseconds = int(record.created % 1 * 1_000_000)
    milliseconds, rest = divmod(microseconds, 1000)
    own = {"q": f"{milliseconds:03}", "Q": f"{milliseconds:03}.{rest:03}", "%": "%%"}
    pieces: list[str] = []
    index = 0
    while index < len(pattern):
        pair = pattern[index : index + 2]
        if len(pair) == 2 and pair[0] == "%":
            pieces.append(own.get(pair[1], pair))
            index += 2
        else:
            pieces.append(pair[0])
            index += 1
    clock = time.gmtime(record.created) if utc else time.localtime(record.created)
    return time.strftime("".join(pieces), clock)


def started(record: logging.LogRecord) -> str:
    """Return the milliseconds between the start of the program and ``record``."""
    return str(int(record.relativeCreated))


class SimpleLayout:
    """``LEVEL - message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line (more when the message has more)."""
        return f"{names.level_name(record.levelno)} - {message(record)}\n"


class TTCCLayout:
    """``time [thread] LEVEL logger <> - message``; the time is milliseconds since start by default."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._pattern = properties.get("DateFormat", "")
        self._utc = properties.get("Use_gmtime", "").lower() in ("true", "1")

    def format(self, record: logging.LogRecord) -> str:
        """Return one line (more when the message has more)."""
        moment = timestamp(record, self._pattern, utc=self._utc) if self._pattern else started(record)
        level = names.level_name(record.levelno)
        return f"{moment} [{record.thread}] {level} {record.name} <> - {message(record)}\n"
