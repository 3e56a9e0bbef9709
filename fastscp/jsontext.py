"""JSON that holds any path: also one that is not UTF-8.

Python holds an octet that is not part of UTF-8 as U+DC80 to U+DCFF in a path (PEP 383), and JSON has no place for
that. Here and in what is kept or told it is U+10DC80 to U+10DCFF, which nothing else uses::

    path.translate({0x100000 + code: code for code in range(0xDC80, 0xDD00)})    # what os.fsencode takes

Costs nothing where all paths are UTF-8.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson

_OCTETS = range(0xDC80, 0xDD00)
_SHIFT = 0x100000
_SAFE = {code: code + _SHIFT for code in _OCTETS}
_MEANT = {code + _SHIFT: code for code in _OCTETS}
_MARK = b"\xf4\x8d"  #: how the shifted ones begin in UTF-8


def dumps(value: Any, option: int = 0) -> bytes:
    """Return ``value`` as JSON. Raises ``TypeError`` for what cannot be."""
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        return orjson.dumps(_mapped(value, _SAFE), option=option)


def loads(octets: bytes | bytearray | memoryview) -> Any:
    """Return what ``dumps`` was given. Raises ``orjson.JSONDecodeError``."""
    value = orjson.loads(octets)
    return _mapped(value, _MEANT) if _MARK in bytes(octets) else value


def safe(text: str) -> str:
    """Return a text that can be encoded in UTF-8; ``meant`` undoes it."""
    return text if text.isascii() else text.translate(_SAFE)


def meant(text: str) -> str:
    """Return the text that ``safe`` was given."""
    return text if text.isascii() else text.translate(_MEANT)


def _mapped(value: Any, table: dict[int, int]) -> Any:
    if isinstance(value, str):
        return value.translate(table)
    if isinstance(value, dict):
        return {_mapped(key, table): _mapped(entry, table) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(entry, table) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _mapped(dataclasses.asdict(value), table)
    return value
