"""On which line of a TOML file a key stands: the parser of the standard library does not say.

Strategy: the text has been parsed, so it is well-formed, and what remains is to find the beginnings of statements: a
value ends with its line unless a bracket or a string of several lines is open. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

#: a table, the number of the table among those of the same name, and a key; ("", 0, key) at the top level
Place = tuple[str, int, str]

_QUOTED = r"""\"(?:[^"\\\n]|\\.)*\"|'[^'\n]*'"""
_WORD = re.compile(rf"[ \t]*({_QUOTED}|[A-Za-z0-9_-]+)[ \t]*")
_HEADER = re.compile(r"[ \t]*(\[\[?)")
#: of a value: strings, of several lines or one, comments, brackets, the end of the line; the rest octet by octet
_PIECE = re.compile(rf"""\"{{3}}(?:\\.|[^\\])*?\"{{3,5}}|'{{3}}.*?'{{3,5}}|{_QUOTED}|\#[^\n]*|.""", re.DOTALL)


def key_lines(text: str) -> Mapping[Place, int]:
    """Return the line of each key of a well-formed text; that of a table itself is under the key ""."""
    lines: dict[Place, int] = {}
    tables: dict[str, int] = {}
    table, number = "", 0
    for start, line in _statements(text):
        header = _HEADER.match(text, start)
        word = _WORD.match(text, start if header is None else header.end())
        if word is None:
            continue
        name = _bare(word[1])
        if header is None:
            lines.setdefault((table, number, name), line)
            continue
        if text[word.end()] != ".":  # a table within the table before has no lines of its own
            tables[name] = tables.get(name, -1) + 1
        table, number = name, tables.get(name, 0)
        lines.setdefault((table, number, ""), line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each statement begins, and on which line."""
    depth, line, begins = 0, 1, True
    for piece in _PIECE.finditer(text):
        octets = piece[0]
        if begins and not octets.isspace() and octets[0] != "#":
            yield piece.start(), line
            begins = False
        line += octets.count("\n")
        if octets in {"[", "{"}:
            depth += 1
        elif octets in {"]", "}"}:
            depth -= 1
        elif octets == "\n" and depth == 0:
            begins = True


def _bare(word: str) -> str:
    """Return a key without its quotation marks; escapes in it are not undone, no key of ours needs one."""
    return word[1:-1] if word[0] in "\"'" else word
