"""fastscp-index: which objects a service with --storage-commitment has stored, where they are, and whether they are as they were.

usage: fastscp-index [options] command [UID]

It reads the index whether the service runs or not, and changes nothing. Exit status 0, or 1 with a message; ``find`` of an object that
is not there and ``check`` that finds something wrong end with 1, too.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastscp import jsontext
from fastscp.cli.commands import STATE_OPTIONS, Commands, Options, help_text, read, status_of, version_text
from fastscp.cli.output import write
from fastscp.commitment.lookup import Lookup
from fastscp.commitment.verdicts import Entry
from fastscp.errors import UsageError
from fastscp.log.text import printable

#: command, its parameters, help
COMMANDS: Final[Commands] = (
    ("list", "", "list every object: SOP instance, SOP class, size, SHA-256 and path"),
    ("find", "UID", "list the files of the object with that SOP Instance UID"),
    ("check", "", "read every file, and list those that are missing, have another size or other octets"),
)
#: short flag, long flag, argument, help
OPTIONS: Final[Options] = (
    ("-h", "--help", "", "print this help text and exit"),
    ("", "--version", "", "print version information and exit"),
    *STATE_OPTIONS,
    ("", "--json", "", "print one JSON object a line"),
)
_PIECE_OCTETS = 1 << 20


@dataclass(frozen=True)
class _Wanted:
    command: str
    uid: str
    directory: Path
    json: bool


def _help() -> str:
    return help_text("fastscp-index", "UID", COMMANDS, OPTIONS)


def parse(arguments: Sequence[str]) -> _Wanted:
    """Return what is wanted. Raises UsageError."""
    line = read(arguments, COMMANDS, OPTIONS)
    command, parameters = line.command, line.parameters
    if len(parameters) != (command == "find"):
        raise UsageError("find needs one UID" if command == "find" else f"{command} takes no {parameters[0]}")
    return _Wanted(command, "".join(parameters), line.state, "--json" in line.settings)


def problem_of(entry: Entry) -> str:
    """Read a file, and say what is wrong with it; "" when nothing is."""
    digest, size = hashlib.sha256(), 0
    try:
        with open(entry.path, "rb") as file:
            if os.fstat(file.fileno()).st_size != entry.size:
                return "has another size"
            while octets := file.read(_PIECE_OCTETS):
                digest.update(octets)
                size += len(octets)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if entry.sha256 is not None and digest.hexdigest() != entry.sha256:
        return "has other octets"
    return ""


def _line(entry: Entry, problem: str | None, *, json: bool) -> str:
    if json:
        row = {"sop_instance": entry.sop_instance, "sop_class": entry.sop_class, "size": entry.size, "sha256": entry.sha256,
               "path": entry.path} | ({} if problem is None else {"problem": problem})
        return jsontext.dumps(row).decode() + "\n"
    if problem is not None:
        return f"{printable(entry.path)} {problem} ({entry.sop_instance})\n"
    return f"{entry.sop_instance}  {entry.sop_class}  {entry.size}  {entry.sha256 or '-'}  {printable(entry.path)}\n"


def _lines(index: Lookup, wanted: _Wanted) -> Iterator[str]:
    entries = index.find(wanted.uid) if wanted.command == "find" else index.all()
    for entry in entries:
        problem = problem_of(entry) if wanted.command == "check" else None
        if problem != "":
            yield _line(entry, problem, json=wanted.json)


def run(arguments: Sequence[str]) -> int:
    """Do what is asked for; return the exit status. Raises FastscpError."""
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        return write(1, _help())
    if "--version" in arguments:
        return write(1, version_text("fastscp-index"))
    wanted = parse(arguments)
    if not wanted.directory.is_dir():
        raise UsageError(f"{wanted.directory} is no state directory of a service")
    count = 0
    for line in _lines(Lookup(wanted.directory), wanted):
        count += 1
        if write(1, line):
            return 1
    return int(bool(count) if wanted.command == "check" else wanted.command == "find" and not count)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return status_of("fastscp-index", run, arguments)


if __name__ == "__main__":
    sys.exit(main())
