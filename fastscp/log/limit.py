"""How often one peer can have the same thing said: what it does again and again is counted.

Strategy: warnings and errors that are logged while something is done for a peer count by its address and their text
before values are put in. Of each there are ``MOST`` in ``PERIOD_S`` seconds, of those that tell of an object (they
have ``fields``) ``MOST_OBJECTS``; what comes beyond is left out, and told in one line when the period is over: the last
of them, "(repeated 1234 times)". Lines below a warning, of whatever text, count by address alone: ``MOST_LINES``, and
``LINES_PER_OBJECT`` more for each object that is stored (ADR 15). So they are all there for whoever brings objects, and
requests that bring nothing do not fill a disk.

Invariant: memory is bounded by ``_MOST_TEXTS``; nothing is left out untold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from fastscp.log import names

MOST: Final = 100
MOST_OBJECTS: Final = 1000
MOST_LINES: Final = 5000
LINES_PER_OBJECT: Final = 100
PERIOD_S: Final = 10.0
_MOST_TEXTS: Final = 1024
#: ``extra`` of the line that tells of a stored object
STORED: Final = {"stored": True}
_LOGGERS: Final = (names.APPLICATION, names.NETWORK, names.DATA, names.TLS)


@dataclass(slots=True)
class _Text:
    """One text of one peer."""

    since: float
    count: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None  #: of those that were left out


@dataclass(slots=True)
class _Share:
    """The lines of one peer below a warning."""

    since: float
    left: int = MOST_LINES
    left_out: int = 0
    peer: str = ""
    logger: str = ""


class PeerLimit:
    """A filter of loggers, for one process. ``peer`` is whom something is done for, "" for nobody in particular."""

    def __init__(self, clock: Callable[[], float], call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self.peer = ""
        self._clock = clock
        self._call_later = call_later
        self._texts: dict[tuple[str, str, object], _Text] = {}
        self._shares: dict[str, _Share] = {}
        self._waiting = False  #: for the end of a period

    def attach(self) -> None:
        """Begin to filter, in the place of whoever did so before a fork."""
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.filters[:] = [other for other in logger.filters if not isinstance(other, PeerLimit)]
            logger.addFilter(self)

    def detach(self) -> None:
        """Tell what was left out, and filter no more."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
        for text in self._texts.values():
            _tell(text)
        self._texts.clear()
        for share in self._shares.values():
            _tell_share(share)
        self._shares.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written."""
        if not self.peer:
            return True
        if record.levelno < names.WARN:
            return self._has_share(record)
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
        self._wait()
        return False

    @contextmanager
    def about(self, peer: str) -> Iterator[None]:
        """Count what is logged meanwhile for ``peer``."""
        before, self.peer = self.peer, peer
        try:
            yield
        finally:
            self.peer = before

    def credit(self) -> None:
        """Take note that the peer has brought an object."""
        share = self._shares.get(self.peer)
        if share is not None:
            share.left += LINES_PER_OBJECT

    def _has_share(self, record: logging.LogRecord) -> bool:
        """Tell whether a line below a warning is written."""
        now = self._clock()
        share = self._shares.get(self.peer)
        if share is None or now - share.since >= PERIOD_S:
            if share is not None:
                _tell_share(share)
                del self._shares[self.peer]
            elif len(self._shares) >= _MOST_TEXTS:
                _tell_share(self._shares.pop(next(iter(self._shares))))
            self._shares[self.peer] = share = _Share(now, peer=self.peer, logger=record.name)
        if hasattr(record, "stored"):
            share.left += LINES_PER_OBJECT
        lines = 1
        if record.msg == "%s" and record.args:  # of several lines, maybe
            lines += str(record.args[0]).count("\n")  # type: ignore[index]
        if share.left >= lines:
            share.left -= lines
            return True
        share.left_out += lines
        self._wait()
        return False

    def _wait(self) -> None:
        """Look again when the period is over."""
        if not self._waiting:
            self._waiting = True
            self._call_later(PERIOD_S, self._period_over)

    def _period_over(self) -> None:
        """Tell what was left out of periods that are over."""
        now = self._clock()
        over = [key for key, text in self._texts.items() if now - text.since >= PERIOD_S]
        for key in over:
            _tell(self._texts.pop(key))
        for peer in [peer for peer, share in self._shares.items() if now - share.since >= PERIOD_S]:
            _tell_share(self._shares.pop(peer))
        self._waiting = False
        if any(text.left_out for text in self._texts.values()) or any(share.left_out for share in self._shares.values()):
            self._wait()


def _tell(text: _Text) -> None:
    """Log what was left out of a text, past the filters."""
    last = text.last
    if last is None:
        return
    times = "once more" if text.left_out == 1 else f"{text.left_out} times"
    _write(last.name, last.levelno, f"{last.getMessage()} (repeated {times})")


def _tell_share(share: _Share) -> None:
    """Log how much of what one peer caused was left out."""
    if share.left_out:
        _write(share.logger, names.WARN, f"{share.left_out} further lines about {share.peer} are left out")


def _write(logger: str, level: int, message: str) -> None:
    record = logging.makeLogRecord({"name": logger, "levelno": level, "levelname": logging.getLevelName(level), "msg": message})
    logging.getLogger(logger).callHandlers(record)
