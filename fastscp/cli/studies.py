"""fastscp-studies: what a service keeps of its studies and hooks, and what is to become of hooks that failed.

usage: fastscp-studies [options] command [number ...]

It reads the state whether the service runs or not, and asks the service for what is to be done: it never writes the
state itself. Exit status 0, or 1 with a message.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from fastscp.cli.commands import STATE_OPTIONS, Commands, Options, help_text, read, status_of, version_text
from fastscp.cli.output import write
from fastscp.coordinator import requests
from fastscp.coordinator.inspection import FailedHook, Inspection, OpenStudy
from fastscp.errors import UsageError
from fastscp.log.text import printable

_ALL: Final = "all"
#: command, its parameters, help
COMMANDS: Final[Commands] = (
    ("failed", "", "list the hooks that failed for good: number, hook, study, status, attempts, time, directory and command"),
    ("retry", "number ...", "have hooks executed again that failed for good; all stands for every one"),
    ("forget", "number ...", "drop hooks that failed for good; all stands for every one"),
    ("open", "", "list the studies that are open: UID, number of objects, times of the first and the last, directory"),
)
#: short flag, long flag, argument, help
OPTIONS: Final[Options] = (
    ("-h", "--help", "", "print this help text and exit"),
    ("", "--version", "", "print version information and exit"),
    *STATE_OPTIONS,
    ("", "--json", "", "print one JSON object a line instead of a table"),
)
_WITH_NUMBERS: Final = frozenset({requests.RETRY, requests.FORGET})


@dataclass(frozen=True)
class _Wanted:
    command: str
    numbers: tuple[int, ...] | None  #: None: all
    directory: Path
    json: bool


def _help() -> str:
    return help_text("fastscp-studies", "number ...", COMMANDS, OPTIONS)


def parse(arguments: Sequence[str]) -> _Wanted:
    """Return what is wanted. Raises UsageError."""
    line = read(arguments, COMMANDS, OPTIONS)
    return _Wanted(line.command, _numbers(line.command, line.parameters), line.state, "--json" in line.settings)


def _numbers(command: str, words: Sequence[str]) -> tuple[int, ...] | None:
    if command not in _WITH_NUMBERS:
        if words:
            raise UsageError(f"{command} takes no {words[0]}")
        return ()
    if words == (_ALL,):
        return None
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        raise UsageError(f"{command} needs the numbers of failed hooks, or {_ALL}")
    return tuple(map(int, words))


# -- commands -----------------------------------------------------------------------------------------


def _ask(state: Inspection, wanted: _Wanted) -> str:
    """Ask for a retry, or that hooks be forgotten."""
    there = [hook.number for hook in state.failed()]
    numbers = there if wanted.numbers is None else list(dict.fromkeys(wanted.numbers))
    missing = [str(number) for number in numbers if number not in there]
    if missing:
        raise UsageError(f"no failed hook {', '.join(missing)}")
    if not numbers:
        return "no hook has failed\n"
    state.ask(wanted.command, numbers)
    hooks = "1 hook" if len(numbers) == 1 else f"{len(numbers)} hooks"
    what = "will be executed again" if wanted.command == requests.RETRY else "will be forgotten"
    when = "within seconds" if state.in_use else "at the next start of the service"
    return f"{hooks} {what} {when}\n"


def _failed(hooks: Iterable[FailedHook], *, json: bool) -> str:
    if json:
        return _json_lines({**asdict(hook), "failed": _time(hook.failed)} for hook in hooks)
    return _table(
        ("NUMBER", "HOOK", "STUDY", "STATUS", "ATTEMPTS", "FAILED", "REQUESTED", "DIRECTORY", "COMMAND"),
        ((str(hook.number), hook.hook, hook.study_uid, _status(hook.status), str(hook.attempts), _time(hook.failed),
          hook.requested or "", hook.directory, hook.command) for hook in hooks))


def _open(studies: Iterable[OpenStudy], *, json: bool) -> str:
    if json:
        return _json_lines({**asdict(study), "since": _time(study.since), "last": study.last and _time(study.last)}
                           for study in studies)
    return _table(
        ("STUDY", "OBJECTS", "SINCE", "LAST", "DIRECTORY"),
        ((study.study_uid, str(study.objects), _time(study.since), _time(study.last) if study.last else "",
          study.directory) for study in studies))


def _status(status: int) -> str:
    return f"signal {-status}" if status < 0 else str(status)


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json_lines(rows: Iterable[dict[str, object]]) -> str:
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines in columns; an empty text is a dash, so that every line has as many words as there are heads, or more."""
    lines = [heads, *([printable(text) or "-" for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n"
                   for line in lines)


def run(arguments: Sequence[str]) -> str:
    """Do what is asked for and return what is to be printed. Raises FastscpError."""
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        return _help()
    if "--version" in arguments:
        return version_text("fastscp-studies")
    wanted = parse(arguments)
    if not wanted.directory.parent.is_dir():  # without failed hooks and studies a service makes no state directory
        raise UsageError(f"{wanted.directory.parent} is no directory")
    state = Inspection(wanted.directory)
    if wanted.command in _WITH_NUMBERS:
        return _ask(state, wanted)
    if wanted.command == "failed":
        return _failed(state.failed(), json=wanted.json)
    return _open(state.open_studies(), json=wanted.json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return status_of("fastscp-studies", lambda given: write(1, run(given)), arguments)


if __name__ == "__main__":
    sys.exit(main())
