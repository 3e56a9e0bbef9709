"""What is in effect, as a configuration file: read again it gives the same configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from fastscp.cli.file import ACCEPT, CALLED, CALLING, NAME, NETWORK, PORT, SENDER, UNMATCHED, File, Section
from fastscp.cli.option import Argument, Kind, Option
from fastscp.cli.options_sections import in_file
from fastscp.cli.parse import CommandLine, Occurrence
from fastscp.errors import UsageError


def printed(line: CommandLine, file: File) -> str:
    """Return the text: of the options in effect, and of the sections of the file.

    Raises UsageError for a value that TOML has no words for.
    """
    return "\n".join([*_lines(line, file), ""])


def _lines(line: CommandLine, file: File) -> Iterator[str]:
    if line.parameters:
        yield f"{PORT} = {int(line.parameters[0])}"
    yield from _options([one for one in _counting(line) if in_file(one.option)])
    for section in file.sections:
        yield from _section(section)
    if not file.accepts_unmatched:
        yield from ("", f"[{UNMATCHED}]", f"{ACCEPT} = false")


def _counting(line: CommandLine) -> Iterator[Occurrence]:
    """Yield the occurrences that count, in the order of the option table."""
    for option in line.table.options:
        if option.repeatable:
            yield from (one for one in line.occurrences if one.option is option)
        else:
            given = line.given(option.long)
            if given is not None:
                yield given


def _section(section: Section) -> Iterator[str]:
    conditions = section.conditions
    yield from ("", f"[[{SENDER}]]", f"{NAME} = {_text(section.name)}")
    networks = None if conditions.networks is None else tuple(map(str, conditions.networks))
    for key, values in ((CALLING, conditions.calling), (CALLED, conditions.called), (NETWORK, networks)):
        if values is not None:
            yield f"{key} = [{', '.join(map(_text, values))}]"
    if not section.accept:
        yield f"{ACCEPT} = false"
    yield from (f"{long[2:]} = false" for long in sorted(section.without))
    yield from _options(section.occurrences)


def _options(occurrences: Sequence[Occurrence]) -> Iterator[str]:
    done: set[str] = set()
    for one in occurrences:
        option = one.option
        if option.long not in done:
            done.add(option.long)
            yield f"{option.name} = {_value(option, [other.values for other in occurrences if other.option is option])}"


def _value(option: Option, every: Sequence[tuple[str, ...]]) -> str:
    arguments = option.arguments
    if not arguments:
        return "true"
    if option.repeatable:
        return f"[{', '.join(_scalar(option, arguments[0], values[0]) for values in every)}]"
    texts = [_scalar(option, argument, value) for argument, value in zip(arguments, every[-1], strict=True)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _scalar(option: Option, argument: Argument, value: str) -> str:
    if argument.kind is Kind.INTEGER:
        return str(int(value))
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{option.long}: a file of UTF-8 cannot have the value {value!r}") from error
    return _text(value)


def _text(value: str) -> str:
    """Return a basic string of TOML; JSON's are such strings, but for one control character that has to be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
