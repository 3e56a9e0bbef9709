"""Filters of appenders: the first one of a chain that decides, decides; if none does the record is written."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from fastscp.log import names


class Verdict(enum.Enum):
    """What a filter says of a record."""

    ACCEPT = "accept"
    DENY = "deny"
    NEUTRAL = "neutral"


class Filter(Protocol):
    """One link of a chain."""

    def decide(self, record: logging.LogRecord) -> Verdict:
        """Judge ``record``."""


class LevelMatchFilter:
    """Accepts (``AcceptOnMatch``) or denies records of exactly ``LogLevelToMatch``."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._on_match = _on_match(properties)
        self._level = names.parse_level(properties.get("LogLevelToMatch", ""))

    def decide(self, record: logging.LogRecord) -> Verdict:
        """Judge ``record``."""
        return self._on_match if record.levelno == self._level else Verdict.NEUTRAL


class LevelRangeFilter:
    """Denies records outside ``LogLevelMin`` to ``LogLevelMax``; accepts those inside with ``AcceptOnMatch``."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._accept = _on_match(properties) is Verdict.ACCEPT
        self._minimum = names.parse_level(properties.get("LogLevelMin", ""))
        self._maximum = names.parse_level(properties.get("LogLevelMax", ""))

    def decide(self, record: logging.LogRecord) -> Verdict:
        """Judge ``record``."""
        if self._minimum is not None and record.levelno < self._minimum:
            return Verdict.DENY
        if self._maximum is not None and record.levelno > self._maximum:
            return Verdict.DENY
        return Verdict.ACCEPT if self._accept else Verdict.NEUTRAL


class StringMatchFilter:
    """Accepts (``AcceptOnMatch``) or denies records whose message contains ``StringToMatch``."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._on_match = _on_match(properties)
        self._text = properties.get("StringToMatch", "")

    def decide(self, record: logging.LogRecord) -> Verdict:
        """Judge ``record``."""
        return self._on_match if self._text and self._text in record.getMessage() else Verdict.NEUTRAL


class DenyAllFilter:
    """Denies whatever reaches it."""

    def __init__(self, _properties: Mapping[str, str]) -> None:
        pass

    def decide(self, _record: logging.LogRecord) -> Verdict:
        """Deny."""
        return Verdict.DENY


def _on_match(properties: Mapping[str, str]) -> Verdict:
    accept = properties.get("AcceptOnMatch", "false").lower() in ("true", "1")
    return Verdict.ACCEPT if accept else Verdict.DENY


#: Constructor by the name a configuration file uses.
FILTERS: Mapping[str, Callable[[Mapping[str, str]], Filter]] = {
    "log4cplus::spi::LogLevelMatchFilter": LevelMatchFilter,
    "log4cplus::spi::LogLevelRangeFilter": LevelRangeFilter,
    "log4cplus::spi::StringMatchFilter": StringMatchFilter,
    "log4cplus::spi::DenyAllFilter": DenyAllFilter,
}


def passes(chain: list[Filter], record: logging.LogRecord) -> bool:
    """Tell whether ``chain`` lets ``record`` through."""
    for link in chain:
        verdict = link.decide(record)
        if verdict is not Verdict.NEUTRAL:
            return verdict is Verdict.ACCEPT
    return True
