"""What is written from the table of ``fastscp-events``: manual page and completion; and how that is made of any table of options."""

from __future__ import annotations

from fastscp.cli.commands import Options
from fastscp.cli.documents import beginning, entry, lists, roff, see_also
from fastscp.cli.events import OPTIONS

_WRITTEN = "# Written by scripts/generate-docs from the program's tables; do not edit."
_DESCRIPTION = (
    ("fastscp-events prints the events of a fleet of fastscp: studies that were opened or have ended, the latter with all their "
     "objects and where these are. Each has a position; positions are in the order in which the events became true."),
    ("With --consumer what was printed is confirmed in the database, and the next start goes on behind it: every event is printed "
     "at least once. It needs fastscp[fleet]."),
)
_ENVIRONMENT = (("FASTSCP_STATE", "The database, where --state is not given. PGPASSFILE and the like are those of PostgreSQL."),)
_EXIT_STATUS = (("0", "Everything was printed, or it was interrupted."), ("1", "The command line was refused, or the database is away."))


def events_manual_page() -> str:
    """Return the manual page fastscp-events(1) in the man macros of roff."""
    return "\n".join([
        *beginning("fastscp-events", "print the events of a fleet of fastscp", "[\\fIoptions\\fR]", "the program's tables"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _DESCRIPTION),
        ".SH OPTIONS",
        *(line for short, long, argument, text in OPTIONS for line in entry((short, long), "B", argument, text)),
        *lists((("ENVIRONMENT", _ENVIRONMENT), ("EXIT STATUS", _EXIT_STATUS))),
        *see_also("fastscp (1)", "fastscp-relay (1)", "fastscp-studies (1)"),
    ]) + "\n"


def events_bash_completion() -> str:
    """Return the completion script for bash."""
    return flags_bash_completion("fastscp-events", OPTIONS)


def events_zsh_completion() -> str:
    """Return the completion script for zsh."""
    return flags_zsh_completion("fastscp-events", OPTIONS)


def flags_bash_completion(program: str, options: Options) -> str:
    """Return the completion script for bash of a program that has options alone."""
    flags = " ".join(flag for short, long, _, _ in options for flag in (short, long) if flag)
    function = f"_{program.replace('-', '_')}"
    return "\n".join([
        _WRITTEN,
        f"{function}() {{",
        f"    mapfile -t COMPREPLY < <(compgen -W '{flags}' -- \"${{COMP_WORDS[COMP_CWORD]}}\")",
        "}",
        f"complete -F {function} {program}",
        "",
    ])


def flags_zsh_completion(program: str, options: Options) -> str:
    """Return the completion script for zsh of a program that has options alone."""
    lines = [f"    '{flag}[{text}]{f':{argument}:' if argument else ''}'"
             for short, long, argument, text in options for flag in (short, long) if flag]
    return "\n".join([f"#compdef {program}", _WRITTEN, "_arguments \\", " \\\n".join(lines), ""])
