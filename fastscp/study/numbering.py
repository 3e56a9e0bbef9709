"""The numbers of ``--rename-on-eostudy``: which file of a study gets which name. Pure.

storescp's pattern is two letters and six digits from 000001. Its two faults are mended: numbers have no gaps
when an object was sent twice, and late objects are numbered after the highest number that is there, so that
nothing is ever overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_RENAMED = re.compile(r"[A-Za-z]{2}([0-9]{6,})\Z")


def highest_number(names: Iterable[str]) -> int:
    """Return the highest number among renamed files in a directory listing, 0 when there is none."""
    return max((int(match[1]) for name in names if (match := _RENAMED.match(name))), default=0)


def plan(files: Iterable[tuple[str, str]], after: int) -> list[tuple[str, str]]:
    """Return (old name, new name) for each (name, prefix), numbered from ``after`` + 1 in the order given."""
    return [(name, f"{prefix[:2]}{number:06d}") for number, (name, prefix) in enumerate(files, after + 1)]
