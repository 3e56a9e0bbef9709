"""docs/configuration-keys.md, written from the option table: the keys of configuration files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastscp.cli.documents import default
from fastscp.cli.option import Argument, Kind, Option
from fastscp.cli.options import OPTIONS, headings
from fastscp.cli.options_sections import in_file, in_section

_TYPES = {Kind.INTEGER: "integer", Kind.SIZE: 'integer, or string such as `"4G"`',
          Kind.SHARE: 'integer, or string such as `"4G"` or `"5%"`'}
_BEGINNING = """# Keys of the configuration file

<!-- Written by scripts/generate-docs from the option table; do not edit. -->

[configuration.md](configuration.md) says how a file is read. Each key is a long option without its dashes, and means what that
means in [options.md](options.md). "Section" says whether a `[[sender]]` may have it. Beside these there is `port` (integer).
Options that print something and end, `config`, `check-config` and `print-config` are for the command line alone.
"""


def configuration_keys_markdown() -> str:
    """Return the page."""
    return option_page(_BEGINNING, in_file, ("Key", "Type", "Default", "Section"), _row)


def option_page(beginning: str, has: Callable[[Option], bool], columns: Sequence[str], row: Callable[[Option], str]) -> str:
    """Return a page with a table of the options that it ``has`` under each heading of the help."""
    lines = [beginning]
    for group, subgroup, options in headings(tuple(option for option in OPTIONS if has(option))):
        title = ": ".join(filter(None, (group, subgroup)))
        lines += [f"## {title[0].upper()}{title[1:]}", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
        lines += (row(option) for option in options)
        lines.append("")
    return "\n".join(lines)


def _row(option: Option) -> str:
    return f"| `{option.name}` | {value_type(option)} | {default(option)} | {'yes' if in_section(option) else ''} |"


def value_type(option: Option) -> str:
    """Return what the value of a key is, in words."""
    arguments = option.arguments
    if not arguments:
        return "boolean"
    if option.repeatable:
        return f"array of {_of(arguments[0])}s"
    if len(arguments) > 1:
        return f"array of {len(arguments)}: {', '.join(f'*{argument.name}* ({_of(argument)})' for argument in arguments)}"
    return _of(arguments[0]) + (f" ({', '.join(arguments[0].choices)})" if arguments[0].choices else "")


def _of(argument: Argument) -> str:
    return _TYPES.get(argument.kind, "string")
