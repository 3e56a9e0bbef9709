"""How often one peer can have the same thing said: what it does again and again is counted.

Strategy: warnings and errors that are logged while something is done for a peer count by its address and their text
before values are put in. Of each there are ``MOST`` in ``PERIOD_S`` seconds, of those that tell of an object (they
have ``fields``) ``MOST_OBJECTS``; what comes beyond is left out, and told in one line when the period is over: the last
of them, "(repeated 1234 times)". Lines below a warning are there because the operator asked for every one.

Invariant: memory is bounded by ``_MOST_TEXTS``; nothing is left out untold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastscp.log import names

MOST: Final = 100
MOST_OBJECTS: Final = 1000
PERIOD_S: Final = 10.0
_MOST_TEXTS: Final = 1024
_LOGGERS: Final = (names.APPLICATION, names.NETWORK, names.DATA, names.TLS)


@dataclass(slots=True)
class _Text:
    """One text of one peer."""

    since: float
    count: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None  #: of those that were left out


class PeerLimit:
    """A filter of loggers, for one process. ``peer`` is whom something is done for, "" for nobody in particular."""

    def __init__(self, clock: Callable[[], float], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self.peer = ""
        self._clock = clock
        self._call_later = call_later
        self._texts: dict[tuple[str, str, object], _Text] = {}
        self._waiting = False  #: for the end of a period

    def attach(self) -> None:
        """Begin to filter."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def detach(self) -> None:
        """Tell what was left out, and filter no more."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
        for text in self._texts.values():
            _tell(text)
        self._texts.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written."""
        if not self.peer or record.levelno < names.WARN:
            return True
        key = self.peer, record.name, record.msg
        now = self._clock()
        text = self._texts.get(key)
        if text is None or now - text.since >= PERIOD_S:
            if text is not None:
                _tell(text)
                del self._texts[key]
            elif len(self._texts) >= _MOST_TEXTS:
                _tell(self._texts.pop(next(iter(self._texts))))
            self._texts[key] = text = _Text(now)
        text.count += 1
        if text.count <= (MOST_OBJECTS if hasattr(record, "fields") else MOST):
            return True
        text.left_out += 1
        text.last = record
        if not self._waiting:
            self._waiting = True
            self._call_later(PERIOD_S, self._period_over)
        return False

    def _period_over(self) -> None:
        """Tell what was left out of periods that are over."""
        now = self._clock()
        over = [key for key, text in self._texts.items() if now - text.since >= PERIOD_S]
        for key in over:
            _tell(self._texts.pop(key))
        self._waiting = any(text.left_out for text in self._texts.values())
        if self._waiting:
            self._call_later(PERIOD_S, self._period_over)


def _tell(text: _Text) -> None:
    """Log what was left out of a text, past the filters."""
    last = text.last
    if last is None:
        return
    times = "once more" if text.left_out == 1 else f"{text.left_out} times"
    summary = logging.makeLogRecord({"name": last.name, "levelno": last.levelno, "levelname": last.levelname,
                                     "msg": f"{last.getMessage()} (repeated {times})"})
    logging.getLogger(last.name).callHandlers(summary)
