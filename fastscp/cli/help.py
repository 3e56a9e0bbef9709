"""``--help`` and ``--version``, laid out as storescp lays out its own."""

from __future__ import annotations

from fastscp import __date__, __version__
from fastscp.cli.option import Option
from fastscp.cli.options import OPTIONS, headings

IDENTIFICATION = f"$fastscp: fastscp v{__version__} {__date__} $"
TITLE = "fastscp: DICOM storage (C-STORE) SCP"
_PARAMETER_COLUMN = 33


def header() -> str:
    """Return what precedes help, version and error messages."""
    return f"{IDENTIFICATION}\n\n{TITLE}\n"


def usage() -> str:
    """Return the text of ``--help``."""
    text = laid_out(header(), "fastscp [options] [port]", (("port", "tcp/ip port number to listen on"),), OPTIONS)
    return text.replace(f"{TITLE}\n\nusage", f"{TITLE}\nusage")


def laid_out(first: str, synopsis: str, parameters: tuple[tuple[str, str], ...], table: tuple[Option, ...]) -> str:
    """Return a text of ``--help`` that begins with ``first``."""
    lines = [first, f"usage: {synopsis}\n", "parameters:"]
    for name, meaning in parameters:
        lines.append(f"  {name}".ljust(_PARAMETER_COLUMN) + meaning.replace("\n", "\n" + " " * _PARAMETER_COLUMN))
    lines[-1] += "\n"
    group = ""
    for heading, subheading, options in headings(table):
        if heading != group:
            lines.append(f"{heading}:")
            group = heading
        if subheading:
            lines.append(f"  {subheading}:")
        indent = "    " if subheading else "  "
        lines += _table(options, indent)
    return "\n".join(lines) + "\n\n"


def _table(options: tuple[Option, ...], indent: str) -> list[str]:
    """Lay out the options under one heading; columns are as wide as storescp's or as the widest flag."""
    short_width = max(6 if len(indent) == 2 else 4, *(len(option.short) for option in options), 0)
    long_width = max(21, *(len(option.long) for option in options))
    lines: list[str] = []
    for option in options:
        left = f"{indent}{option.short:<{short_width}}  {option.long:<{long_width}}  "
        text = "\n".join(filter(None, (option.label, option.help))).split("\n")
        lines.append(left + text[0])
        lines += (" " * len(left) + line for line in text[1:])
    return lines


def version() -> str:
    """Return the text of ``--version``; programs in the field read its first line."""
    from fastscp.cli.libraries import libraries  # noqa: PLC0415 - slow to import, not needed for --help

    return f"{header()}\n{libraries()}"
