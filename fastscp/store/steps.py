"""Work in steps, gone through at once by whoever has nothing else to do."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")


def result(steps: Generator[None, None, _T]) -> _T:
    """Take all steps; return what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: _T = end.value
            return value
