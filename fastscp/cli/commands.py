"""The command line of the programs that have a few commands and options (fastscp-studies), or options alone (fastscp-events).

    fastscp-index -od /data/in find 1.2.3

A program has two tables: commands, as (name, its parameters, help), and options, as (short flag, long flag, argument, help).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastscp import __date__, __version__
from fastscp.cli.output import write
from fastscp.errors import FastscpError, UsageError
from fastscp.store.hidden import state_path

Commands = tuple[tuple[str, str, str], ...]
Options = tuple[tuple[str, str, str, str], ...]

#: where the state of a service is
STATE_OPTIONS: Final[Options] = (
    ("-od", "--output-directory", "directory", "output directory of the service (default: the current one)"),
    ("", "--state-dir", "directory", "state directory of the service, where it was started with one"),
)


@dataclass(frozen=True)
class Line:
    """What was given: the command, its parameters, and the options by their long flags."""

    command: str
    parameters: tuple[str, ...]
    settings: dict[str, str]

    @property
    def state(self) -> Path:
        """The state directory of the service."""
        return state_path(self.settings.get("--state-dir"), self.settings.get("--output-directory", "."))


def version_text(program: str) -> str:
    """Return the line that says which program this is."""
    return f"$fastscp: {program} v{__version__} {__date__} $\n"


def warn(program: str, text: str) -> None:
    """Say something on standard error, with the program's name."""
    write(2, f"{program}: {text}\n")


def status_of(program: str, run: Callable[[Sequence[str]], int], arguments: Sequence[str] | None) -> int:
    """Run a program with ``arguments``, None: those of the command line; return its exit status. An interrupt is an end like another."""
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except FastscpError as error:
        warn(program, str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def help_text(program: str, parameters: str, commands: Commands, options: Options) -> str:
    """Return what ``--help`` prints; ``parameters`` are those of any command."""
    lines = [version_text(program), f"usage: {program} [options] command [{parameters}]", "", "commands:"]
    lines += [f"  {f'{command} {parameters}':28} {text}" for command, parameters, text in commands]
    lines += ["", "options:"]
    lines += [f"  {short:5} {f'{long} {argument}':30} {text}" for short, long, argument, text in options]
    return "\n".join(lines) + "\n"


def options_help_text(program: str, options: Options) -> str:
    """Return what ``--help`` prints of a program without commands."""
    lines = [version_text(program), f"usage: {program} [options]", "", "options:"]
    lines += [f"  {short:5} {f'{long} {argument}':30} {text}" for short, long, argument, text in options]
    return "\n".join(lines) + "\n"


def read_options(arguments: Sequence[str], options: Options) -> dict[str, str]:
    """Return the options by their long flags, of a program without commands. Raises UsageError."""
    takes = {long: argument for _, long, argument, _ in options}
    settings: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if word not in takes:
            raise UsageError(f"unknown option {word}" if word.startswith("-") else f"{word} is not expected")
        value = next(rest, None) if takes[word] else ""
        if value is None:
            raise UsageError(f"{word} needs a {takes[word]}")
        settings[word] = value
    return settings


def number_of(settings: Mapping[str, str], option: str, least: int = 0) -> int | None:
    """Return a number that was given, None where none was. Raises UsageError."""
    text = settings.get(option)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < len(str(1 << 63)) and int(text) >= least):
        raise UsageError(f"Invalid value for option {option}: {text}")
    return int(text)


def read(arguments: Sequence[str], commands: Commands, options: Options) -> Line:
    """Return what was given. Raises UsageError for an option or a command that is none."""
    flags = {flag: (long, argument) for short, long, argument, _ in options for flag in (short, long) if flag}
    settings: dict[str, str] = {}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in flags:
            long, argument = flags[word]
            value = next(rest, None) if argument else ""
            if value is None:
                raise UsageError(f"{word} needs a {argument}")
            settings[long] = value
        elif word.startswith(("-", "+")) and len(word) > 1:
            raise UsageError(f"unknown option {word}")
        else:
            words.append(word)
    command, *parameters = words or [""]
    if command not in {name for name, _, _ in commands}:
        raise UsageError(f"no command {command}" if command else "a command is needed")
    return Line(command, tuple(parameters), settings)
