"""A configuration file: TOML whose keys are the long options without their dashes.

A flag is a boolean; an option with one argument has that as its value, one with several an array of them, one that may be
repeated an array of values. ``port`` is the parameter. Tables ``[[commitment-peer]]`` are another way to write that option. Tables ``[[sender]]`` have conditions beside options
(``fastscp.config.senders``), ``[unmatched]`` says what becomes of everybody else.

Nothing here judges values or combinations beyond what a file alone can be wrong in: ``fastscp.cli.check`` does. Every
mistake is told with file, line and key.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastscp.cli.layers import excludes
from fastscp.cli.option import Argument, Kind, Option
from fastscp.cli.options import FASTSCP
from fastscp.cli.options_sections import in_file, in_section
from fastscp.cli.parse import Occurrence, suggestion
from fastscp.cli.toml_lines import Place, key_lines
from fastscp.config.senders import Conditions
from fastscp.errors import UsageError

PORT, SENDER, UNMATCHED, PEER = "port", "sender", "unmatched", "commitment-peer"
_PEER_KEYS = {"aet": str, "host": str, "port": int, "tls": bool}
NAME, ACCEPT, CALLING, CALLED, NETWORK = "name", "accept", "calling-aet", "called-aet", "network"
_LAST_PORT = 65535
_SIZES = frozenset({Kind.SIZE, Kind.SHARE})
_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
#: no blank at an end, nothing that could be taken for more than a name in a log line or a file name
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class Section:
    """A table ``[[sender]]``: what it asks for, and what it says."""

    name: str
    source: str  #: "file:12"
    conditions: Conditions
    accept: bool = True
    occurrences: tuple[Occurrence, ...] = ()
    without: frozenset[str] = frozenset()  #: long flags of options that are not to be in effect


@dataclass(frozen=True)
class File:
    """What a file says."""

    occurrences: tuple[Occurrence, ...] = ()
    port: str | None = None
    sections: tuple[Section, ...] = ()
    accepts_unmatched: bool = True


def read_file(path: str) -> File:
    """Read a configuration file. Raises UsageError."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return read_text(path, file.read().replace("\r\n", "\n"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8") from error


def read_text(path: str, text: str) -> File:
    """Read the text of a file; ``path`` is what it is called in messages. Raises UsageError."""
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only with a file
    else:
        import tomli as tomllib  # noqa: PLC0415 - likewise
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))
        line = text.rstrip("\n").count("\n") + 1 if found is None or found[1] is None else found[1]
        raise UsageError(f"{path}:{line}: {_LINE.sub('', str(error))}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply") from error
    return _Reader(path, key_lines(text)).file(content)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(table, dict) for table in value)


class _Reader:
    """Makes options of tables."""

    def __init__(self, path: str, lines: Mapping[Place, int]) -> None:
        self._path = path
        self._lines = lines

    def file(self, content: Mapping[str, Any]) -> File:
        tables = {SENDER, UNMATCHED}
        port = self._port(content[PORT]) if PORT in content else None
        options = {key: value for key, value in content.items() if key not in {*tables, PORT}}
        peers = self._peers(options.pop(PEER)) if _are_tables(options.get(PEER)) else ()
        occurrences, _ = self._options(("", 0), options, in_file, frozenset({*tables, PORT}))
        return File((*occurrences, *peers), port, self._sections(content.get(SENDER, [])), self._unmatched(content.get(UNMATCHED, {})))

    def _port(self, value: Any) -> str:
        if type(value) is not int:
            raise self._mistake(("", 0, PORT), "an integer is wanted")
        if not 1 <= value <= _LAST_PORT:
            raise self._mistake(("", 0, PORT), f"a number from 1 to {_LAST_PORT} is wanted")
        return str(value)

    # -- options ----------------------------------------------------------------------------------

    def _options(self, table: tuple[str, int], content: Mapping[str, Any], allowed: Callable[[Option], bool],
                 others: frozenset[str]) -> tuple[tuple[Occurrence, ...], frozenset[str]]:
        """Return the options that a table gives, and those that it takes away."""
        occurrences: list[Occurrence] = []
        without = set()
        for key, value in content.items():
            place = (*table, key)
            option = FASTSCP.by_flag.get(f"--{key}")
            if option is None or not allowed(option):
                raise self._mistake(place, self._why_unknown(table[0], key, option, allowed, others))
            if value is False:
                without.add(option.long)
                continue
            self._check_beside(place, option, occurrences)
            occurrences += [Occurrence(option, values, self._where(place)) for values in self._values(place, option, value)]
        return tuple(occurrences), frozenset(without)

    def _why_unknown(self, table: str, key: str, option: Option | None, allowed: Callable[[Option], bool],
                     others: frozenset[str]) -> str:
        if option is not None:
            return "not allowed in a section" if table and in_file(option) else "only on the command line"
        known = {f"--{other}" for other in others} | {one.long for one in FASTSCP.options if allowed(one)}
        return "unknown key" + suggestion(f"--{key}", known).replace("--", "")

    def _check_beside(self, place: Place, option: Option, before: list[Occurrence]) -> None:
        """Refuse two keys of one table that exclude one another: no one of them is further to the right."""
        for other in before:
            if excludes(option, other.option):
                line = other.source.rpartition(":")[2]
                raise self._mistake(place, f"not allowed with {other.option.name} (line {line})")

    def _values(self, place: Place, option: Option, value: Any) -> list[tuple[str, ...]]:
        """Return the values of each occurrence."""
        arguments = option.arguments
        if not arguments:
            if value is not True:
                raise self._mistake(place, "true or false is wanted")
            return [()]
        if option.repeatable or len(arguments) > 1:
            if not isinstance(value, list):
                raise self._mistake(place, "an array is wanted")
            if option.repeatable:
                return [(self._scalar(place, arguments[0], one),) for one in value]
            if len(value) != len(arguments):
                raise self._mistake(place, f"an array of {len(arguments)} values is wanted")
            return [tuple(self._scalar(place, argument, one) for argument, one in zip(arguments, value, strict=True))]
        return [(self._scalar(place, arguments[0], value),)]

    def _scalar(self, place: Place, argument: Argument, value: Any) -> str:
        is_number = type(value) is int
        if argument.kind is Kind.INTEGER:
            if not is_number:
                raise self._mistake(place, "an integer is wanted")
        elif argument.kind in _SIZES:
            if not is_number and not isinstance(value, str):
                raise self._mistake(place, "an integer or a string is wanted")
        elif not isinstance(value, str):
            raise self._mistake(place, "a string is wanted")
        if isinstance(value, str) and "\0" in value:
            raise self._mistake(place, "a NUL is in it")
        return str(value)

    def _peers(self, tables: Iterable[Mapping[str, Any]]) -> Iterator[Occurrence]:
        """Yield an option for each table about a peer; its value is judged like one of the command line."""
        for number, table in enumerate(tables):
            for key, value in table.items():
                if key not in _PEER_KEYS:
                    raise self._mistake((PEER, number, key), "unknown key")
                if type(value) is not _PEER_KEYS[key]:
                    wanted = {str: "a string", int: "an integer", bool: "true or false"}[_PEER_KEYS[key]]
                    raise self._mistake((PEER, number, key), f"{wanted} is wanted")
            missing = [key for key in ("aet", "host", "port") if key not in table]
            if missing:
                raise self._mistake((PEER, number, ""), f"a peer without {missing[0]}")
            host = f"[{table['host']}]" if ":" in table["host"] else table["host"]
            value = f"{table['aet']}={host}:{table['port']}{',tls' if table.get('tls') else ''}"
            yield Occurrence(FASTSCP.by_flag[f"--{PEER}"], (value,), self._where((PEER, number, "")))

    # -- sections ---------------------------------------------------------------------------------

    def _sections(self, tables: Any) -> tuple[Section, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._mistake((SENDER, 0, ""), "an array of tables is wanted: [[sender]]")
        sections: list[Section] = []
        for number, table in enumerate(tables):
            section = self._section(number, table)
            if section.name in {other.name for other in sections}:
                raise self._mistake((SENDER, number, NAME), f"there is a section {section.name} before")
            sections.append(section)
        return tuple(sections)

    def _section(self, number: int, table: Mapping[str, Any]) -> Section:
        own = frozenset({NAME, ACCEPT, CALLING, CALLED, NETWORK})
        name = table.get(NAME)
        if name is None:
            raise self._mistake((SENDER, number, ""), "a section without name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self._mistake((SENDER, number, NAME), "a string of up to 64 letters, digits, '_', '-' and '.' is wanted")
        conditions = Conditions(calling=self._titles((SENDER, number, CALLING), table.get(CALLING)),
                                called=self._titles((SENDER, number, CALLED), table.get(CALLED)),
                                networks=self._networks((SENDER, number, NETWORK), table.get(NETWORK)))
        options = {key: value for key, value in table.items() if key not in own}
        occurrences, without = self._options((SENDER, number), options, in_section, own)
        return Section(name, self._where((SENDER, number, "")), conditions,
                       self._boolean((SENDER, number, ACCEPT), table.get(ACCEPT, True)), occurrences, without)

    def _unmatched(self, table: Any) -> bool:
        if not isinstance(table, dict):
            raise self._mistake((UNMATCHED, 0, ""), "a table is wanted: [unmatched]")
        for key in table:
            if key != ACCEPT:
                raise self._mistake((UNMATCHED, 0, key), "unknown key")
        return self._boolean((UNMATCHED, 0, ACCEPT), table.get(ACCEPT, True))

    def _boolean(self, place: Place, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._mistake(place, "true or false is wanted")
        return value

    def _texts(self, place: Place, value: Any) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self._mistake(place, "an array of strings is wanted")
        return tuple(value)

    def _titles(self, place: Place, value: Any) -> tuple[str, ...] | None:
        patterns = self._texts(place, value)
        return None if patterns is None else tuple(pattern.strip(" ") for pattern in patterns)

    def _networks(self, place: Place, value: Any) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] | None:
        networks = self._texts(place, value)
        try:
            return None if networks is None else tuple(map(ipaddress.ip_network, networks))
        except ValueError as error:
            raise self._mistake(place, str(error)) from None

    # -- places -----------------------------------------------------------------------------------

    def _where(self, place: Place) -> str:
        """Return file and line of a key; of the table around it where the key has none of its own (inline tables)."""
        table, number, _ = place
        line = self._lines.get(place) or self._lines.get((table, number, "")) or self._lines.get(("", 0, table))
        return self._path if line is None else f"{self._path}:{line}"

    def _mistake(self, place: Place, message: str) -> UsageError:
        table, _, key = place
        return UsageError(f"{self._where(place)}: {key or table}: {message}")
