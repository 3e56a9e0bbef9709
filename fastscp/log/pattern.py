"""PatternLayout: a line described by conversion characters.

``%[-][min][.max]c`` where ``c`` is one of: ``b`` base name of the source file, ``c{n}`` logger name or its last n
parts, ``d{f}``/``D{f}`` UTC/local time by strftime, ``F`` source file, ``h``/``H`` host name short/long, ``i`` process
id, ``l`` file and line, ``L`` line, ``m`` message, ``M`` function, ``n`` line end, ``p`` level, ``P`` its first letter,
``r`` milliseconds since start, ``t`` thread, ``T`` its kernel id, ``x`` and ``X{k}`` diagnostic contexts (empty), ``%``.
Texts shorter than ``min`` are padded on the left (on the right with ``-``); of texts longer than ``max`` the end is
kept. A message of several lines is laid out line by line, as DCMTK does.
"""

from __future__ import annotations

import functools
import logging
import re
import socket
from collections.abc import Callable

from fastscp.log import names
from fastscp.log.layouts import DEFAULT_DATE_FORMAT, message, started, timestamp

Converter = Callable[[logging.LogRecord, str], str]

_CONVERSION = re.compile(r"%(?:%|(-?)([0-9]*)(?:\.([0-9]+))?([bcdDFhHilLmMnpPrtTxX])(?:(?<=[cdDX])\{([^}]*)\})?)")


class PatternLayout:
    """A compiled conversion pattern; ``problems`` says what in it was not understood and is kept as text."""

    def __init__(self, pattern: str) -> None:
        self.problems: list[str] = []
        self._converters: list[Converter] = []
        end = 0
        for match in _CONVERSION.finditer(pattern):
            self._literal(pattern[end : match.start()], end)
            self._converters.append(_converter(match))
            end = match.end()
        self._literal(pattern[end:], end)

    def _literal(self, text: str, position: int) -> None:
        if not text:
            return
        at = text.find("%")
        if at >= 0:
            self.problems.append(f"unexpected conversion {text[at : at + 2]!r} at position {position + at + 1}")
        self._converters.append(lambda _record, _line: text)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of every line of the message."""
        return "".join(
            convert(record, line) for line in message(record).split("\n") for convert in self._converters
        )


def _converter(match: re.Match[str]) -> Converter:
    """Return the converter for one conversion, with its padding and cutting."""
    left, minimum, maximum, character, argument = match.groups()
    if character is None:
        return lambda _record, _line: "%"
    convert = _prepared(character, argument) or _PLAIN[character]
    if not minimum and not maximum:
        return convert
    width, limit = int(minimum or 0), int(maximum) if maximum else None

    def fitted(record: logging.LogRecord, line: str) -> str:
        text = convert(record, line)
        if limit is not None and len(text) > limit:
            return text[len(text) - limit :]
        return text.ljust(width) if left else text.rjust(width)

    return fitted


def _prepared(character: str, argument: str | None) -> Converter | None:
    """Return the converter of a character that is worked out beforehand, None for others."""
    if character in "dD":
        return functools.partial(_time, pattern=argument or DEFAULT_DATE_FORMAT, utc=character == "d")
    if character == "H":
        host = _canonical_host()  # asks the resolver, so only once
        return lambda _record, _line: host
    if character == "c":
        return functools.partial(_logger, parts=int(argument) if argument and argument.isdigit() else 0)
    return None


def _time(record: logging.LogRecord, _line: str, *, pattern: str, utc: bool) -> str:
    return timestamp(record, pattern, utc=utc)


def _logger(record: logging.LogRecord, _line: str, *, parts: int) -> str:
    return ".".join(record.name.split(".")[-parts:])


def _host(_record: logging.LogRecord, _line: str) -> str:
    return socket.gethostname()


def _canonical_host() -> str:
    name = socket.gethostname()
    try:
        return socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3] or name
    except OSError:
        return name


def _empty(_record: logging.LogRecord, _line: str) -> str:
    return ""


_PLAIN: dict[str, Converter] = {
    "b": lambda record, _line: record.filename,
    "F": lambda record, _line: record.pathname,
    "h": _host,
    "i": lambda record, _line: str(record.process),
    "l": lambda record, _line: f"{record.pathname}:{record.lineno}",
    "L": lambda record, _line: str(record.lineno),
    "m": lambda _record, line: line,
    "M": lambda record, _line: record.funcName or "",
    "n": lambda _record, _line: "\n",
    "p": lambda record, _line: names.level_name(record.levelno),
    "P": lambda record, _line: names.level_name(record.levelno)[0],
    "r": lambda record, _line: started(record),
    "t": lambda record, _line: str(record.thread),
    "T": lambda record, _line: str(record.process),
    "x": _empty,
    "X": _empty,
}
