"""Text of peers in log lines."""

from __future__ import annotations

from collections.abc import Iterable

#: C0 and C1 control characters, DEL, and the separators that some viewers take for line ends
_HARMFUL = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HARMFUL} | {
    ord("\t"): "\\t",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
}


def printable(text: str, limit: int = 1024) -> str:
    """Return ``text`` with control characters escaped, so that it cannot forge lines or steer a terminal.

    Texts longer than ``limit`` characters are cut and marked with "...".
    """
    if len(text) > limit:
        text = text[:limit] + "..."
    return text if text.isprintable() else text.translate(_ESCAPES)


def printable_lines(lines: Iterable[str]) -> str:
    """Return one message of several lines, each of them printable: only we begin a new one."""
    return "\n".join(map(printable, lines))
