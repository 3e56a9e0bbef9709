"""Sizes on a command line: a number of octets, or of K, M, G or T of them (powers of 1024); or so many percent."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)", re.ASCII | re.IGNORECASE)
_PERCENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,9})?)%", re.ASCII)
_POWERS = {unit: 1 << 10 * power for power, unit in enumerate(("", "K", "M", "G", "T"))}


def octets(text: str) -> int | None:
    """Return the octets that ``text`` means, None when it is no size."""
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found[1]) * _POWERS[found[2].upper()]


def percent(text: str) -> float | None:
    """Return the percentage, less than 100, that ``text`` means, None when it is none."""
    found = _PERCENT.fullmatch(text)
    return None if found is None else float(found[1])
