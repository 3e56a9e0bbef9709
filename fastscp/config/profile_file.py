"""The line rules of association configuration files: what is a heading, an entry, a comment, a continuation.

    [[Supersection]]
    [Section]
    Key = value

``#`` in the first column begins a comment. Case and blanks do not count in headings and keys; other
characters than letters, digits, ``-`` and ``_`` are dropped from them. A line that begins with a blank
continues the value above it, empty lines and comments in between notwithstanding.

What it does not do: meaning; that is in ``fastscp.config.profiles``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fastscp.errors import UsageError

_DROPPED = re.compile(r"[^A-Z0-9_-]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANKS = " \t"


@dataclass
class Entry:
    """``key = value``. The key is in capital letters; the value keeps case and inner blanks."""

    line: int
    key: str
    value: str


@dataclass
class Section:
    """``[name]`` and its entries; the name is in capital letters."""

    line: int
    name: str
    entries: list[Entry] = field(default_factory=list)

    def find(self, key: str) -> Entry | None:
        """Return the first entry of that key: later ones do not count."""
        return next((entry for entry in self.entries if entry.key == key), None)


@dataclass
class Supersection:
    """``[[name]]`` and its sections, in the order of the file."""

    line: int
    name: str
    sections: list[Section] = field(default_factory=list)


@dataclass
class ConfigurationFile:
    """Everything that was read, and what was found but belongs nowhere."""

    path: str
    supersections: list[Supersection] = field(default_factory=list)
    #: (line, what it is) of sections and entries before the first heading they could belong to
    homeless: list[tuple[int, str]] = field(default_factory=list)

    def find(self, name: str) -> Supersection | None:
        """Return the first supersection of that name: later ones do not count."""
        return next((found for found in self.supersections if found.name == name), None)

    def error(self, line: int, message: str) -> UsageError:
        """Return the error of one line."""
        return UsageError(f"{self.path}:{line}: {message}")


def mangle(name: str) -> str:
    """Return the form in which headings and keys are compared."""
    return _DROPPED.sub("", name.upper())


def parse(path: str, text: str) -> ConfigurationFile:
    """Read the text of an association configuration file. Raises UsageError with file and line."""
    file = ConfigurationFile(path)
    entry: Entry | None = None  # the one a continuation line belongs to
    for number, line in enumerate(_LINE_END.split(text.replace("\0", " ")), start=1):
        content = line.strip(_BLANKS)
        # An indented comment is no comment to storescp but part of the value above, which it then refuses.
        if not content or content.startswith("#"):
            continue
        if entry is not None and line[0] in _BLANKS:
            entry.value = f"{entry.value}\n{content}" if entry.value else content
            continue
        entry = None
        if content.startswith("["):
            content = _read_heading(file, number, content)
        if content and not content.startswith("#"):
            entry = _read_entry(file, number, content)
    return file


def _read_heading(file: ConfigurationFile, number: int, content: str) -> str:
    """Open a section or supersection; return what follows the heading in its line."""
    opening = re.match(r"(?:\[[ \t]*)+", content)
    level = 0 if opening is None else opening.group().count("[")
    name, *closing = content[0 if opening is None else opening.end() :].split("]", level)
    if len(closing) < level:
        raise file.error(number, f"heading without {']' * level}: {content}")
    if not mangle(name):
        raise file.error(number, f"heading without a name: {content}")
    if level > 1:
        file.supersections.append(Supersection(number, mangle(name)))
    elif file.supersections:
        file.supersections[-1].sections.append(Section(number, mangle(name)))
    else:
        file.homeless.append((number, f"section [{name.strip()}]"))
    return closing[-1].strip(_BLANKS)


def _read_entry(file: ConfigurationFile, number: int, content: str) -> Entry:
    key, separator, value = content.partition("=")
    if not separator:
        raise file.error(number, f"neither a [heading] nor key = value: {content}")
    if not mangle(key):
        raise file.error(number, f"no key before '=': {content}")
    entry = Entry(number, mangle(key), value.strip(_BLANKS))
    if file.supersections and file.supersections[-1].sections:
        file.supersections[-1].sections[-1].entries.append(entry)
    else:
        file.homeless.append((number, f"entry {key.strip()}"))
    return entry
