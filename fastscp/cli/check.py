"""Judges a parsed command line: the port, values, and which options go together.

Conflicts and requirements are judged on what is in effect after "the rightmost counts".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from fastscp.cli.option import Argument, Kind, Option
from fastscp.cli.options import FASTSCP
from fastscp.cli.parse import CommandLine, Occurrence, wanted
from fastscp.cli.sizes import octets, percent
from fastscp.errors import UsageError

_NO_TITLE = re.compile(r"[^ -\[\]-~]")  #: what PS3.5 §6.2 keeps out of an AE
_INTEGER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+", re.ASCII)
_SIZES = frozenset({Kind.SIZE, Kind.SHARE})
_LOGGING = ("--log-level", "--log-config")


def check(line: CommandLine, *, verbose: bool) -> None:
    """Raise :class:`UsageError` for the first thing storescp would refuse once its log is set up.

    ``verbose`` tells whether the log shows what happens per association.
    """
    if line.has("--verbose-pc") and not verbose:
        raise UsageError("--verbose-pc only allowed with verbose mode")
    # storescp comes to the TLS options last
    for option in sorted(line.table.options, key=lambda option: option.tls):
        for occurrence in _counting(line, option):
            _check_one(line, occurrence)


def check_logging(line: CommandLine) -> None:
    """Check the options that the log is set up by."""
    for long in _LOGGING:
        occurrence = line.given(long)
        if occurrence is not None:
            _check_one(line, occurrence)


def _check_one(line: CommandLine, occurrence: Occurrence) -> None:
    try:
        check_together(line, occurrence.option)
        check_values(occurrence)
    except UsageError as error:
        raise located(error, occurrence) from None


def located(error: UsageError, occurrence: Occurrence | None) -> UsageError:
    """Return an error that begins with where the option to blame stands, if that is a file."""
    if occurrence is None or not occurrence.source:
        return error
    return UsageError(f"{occurrence.source}: {occurrence.option.name}: {error}", error.exit_status)


def _counting(line: CommandLine, option: Option) -> Iterator[Occurrence]:
    """Yield the occurrences of ``option`` that count: all when repeatable, else the one in effect."""
    if option.repeatable:
        yield from (occurrence for occurrence in line.occurrences if occurrence.option is option)
    else:
        occurrence = line.given(option.long)
        if occurrence is not None:
            yield occurrence


def check_parameters(line: CommandLine) -> None:
    """Check that there is one parameter, the port; with ``--inetd`` or sockets of systemd there may be none."""
    if len(line.parameters) > 1:
        raise UsageError("Too many parameters" + _swallowed(line))
    if not line.parameters and not line.has("--inetd") and "LISTEN_FDS" not in os.environ:
        raise UsageError("Missing parameter port" + _swallowed(line))
    for port in () if line.has("--inetd") else line.parameters:
        if not _INTEGER.fullmatch(port):
            raise UsageError(f"Invalid parameter value {port}")
        if not 1 <= int(port) <= 65535:
            raise UsageError(f"Invalid parameter value {port} ({'underflow' if int(port) < 1 else 'overflow'})")


def _swallowed(line: CommandLine) -> str:
    """Return a hint when an option probably took for its value what was meant to be an option or the port."""
    hints = (hint for occurrence in line.occurrences for hint in _took_an_option(occurrence))
    return next(hints, "") or _took_the_port(line)


def _took_an_option(occurrence: Occurrence) -> Iterator[str]:
    """Yield a hint for each value that is spelt like an option and names no file."""
    for argument, value in zip(occurrence.option.arguments, occurrence.values, strict=True):
        if argument.kind in {Kind.FILE, Kind.DIRECTORY} and value in FASTSCP.by_flag and not os.path.lexists(value):
            yield _taken(occurrence, argument, value)


def _took_the_port(line: CommandLine) -> str:
    """Return a hint when there is no port because the last option has it."""
    if line.parameters or not line.occurrences:
        return ""
    last = line.occurrences[-1]
    for argument, value in list(zip(last.option.arguments, last.values, strict=True))[-1:]:
        if _INTEGER.fullmatch(value):
            return _taken(last, argument, value)
    return ""


def _taken(occurrence: Occurrence, argument: Argument, value: str) -> str:
    hint = wanted(occurrence.option)
    return f"{hint + ';' if hint else chr(10) + 'hint:'} '{value}' was taken for the {argument.name} of {occurrence.option.long}"


def check_together(line: CommandLine, option: Option) -> None:
    """Check the conflicts and requirements of ``option``, which is in effect."""
    for other in option.conflicts:
        if line.has(other):
            raise UsageError(f"{option.long} not allowed with {_spoken(option, other)}")
    if option.tls and not line.has("--enable-tls"):
        raise UsageError(f"{option.long} only allowed with --enable-tls")
    if option.requires and not any(line.holds(other) for other in option.requires):
        raise UsageError(f"{option.long} only allowed with {_alternatives(option.requires)}")


def _spoken(option: Option, other: str) -> str:
    """Name the verbosity options together, as storescp does."""
    exclusive = FASTSCP.by_flag[other].exclusive
    if exclusive == "verbosity":
        return _alternatives(tuple(name for name in option.conflicts if FASTSCP.by_flag[name].exclusive == exclusive))
    return other


def _alternatives(names: tuple[str, ...]) -> str:
    """Join ``names`` as a sentence does: "a, b or c"."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def check_values(occurrence: Occurrence) -> None:
    """Check every value of ``occurrence`` against its argument's kind and range."""
    for argument, value in zip(occurrence.option.arguments, occurrence.values, strict=True):
        if argument.kind is Kind.INTEGER:
            _check_integer(occurrence.option, argument, value)
        elif argument.kind in _SIZES:
            if octets(value) is None and (argument.kind is Kind.SIZE or percent(value) is None):
                raise UsageError(f"Invalid value for option {occurrence.option.long} ({value})")
        elif argument.kind is Kind.CHOICE and value.lower() not in argument.choices:
            if occurrence.option.long == "--log-level":
                raise UsageError("Invalid log level for --log-level option")
            raise UsageError(f"Invalid value for option {occurrence.option.long} ({value})")
        elif argument.longest is not None:
            _check_title(occurrence.option, value, argument.longest)
        elif next(_took_an_option(occurrence), ""):
            raise UsageError(f"Missing value for option {occurrence.option.long}" + next(_took_an_option(occurrence)))


def _check_title(option: Option, value: str, longest: int) -> None:
    """Check an AE title. storescp takes any text, and nobody could call it by that."""
    if len(value.strip(" ")) > longest:
        raise UsageError(f"Invalid value for option {option.long} ({value}): more than {longest} characters")
    if _NO_TITLE.search(value):
        raise UsageError(f"Invalid value for option {option.long} ({value}): not the characters of an AE title")


def _check_integer(option: Option, argument: Argument, value: str) -> None:
    """Check a number. Unlike storescp, which reads ``3x`` as 3, this refuses text after the digits."""
    if not _INTEGER.fullmatch(value):
        raise UsageError(f"Invalid value for option {option.long} ({value})")
    number = int(value)
    if argument.minimum is not None and number < argument.minimum:
        raise UsageError(f"Invalid value for option {option.long} (underflow: {value})")
    if argument.maximum is not None and number > argument.maximum:
        raise UsageError(f"Invalid value for option {option.long} (overflow: {value})")
