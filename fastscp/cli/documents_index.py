"""What is written from the tables of ``fastscp-index``: manual page and completion."""

from __future__ import annotations

from fastscp.cli.documents import beginning, entry, lists, roff, see_also
from fastscp.cli.index import COMMANDS, OPTIONS

_WRITTEN = "# Written by scripts/generate-docs from the program's tables; do not edit."
_DESCRIPTION = (
    ("fastscp-index shows which objects a fastscp with --storage-commitment has stored: SOP instance, SOP class, size, SHA-256 "
     "and the file they are in now, also after renames and moves. It checks whether the files are as they were stored."),
    ("It reads the index without disturbing the service, whether that runs or not, and changes nothing."),
)
_EXIT_STATUS = (
    ("0", "The list was printed; every file was found in order."),
    ("1", "The command line was refused, the index could not be read, find found nothing, or check found something wrong."),
)


def index_manual_page() -> str:
    """Return the manual page fastscp-index(1) in the man macros of roff."""
    return "\n".join([
        *beginning("fastscp-index", "list, find and check the objects that fastscp has stored",
                   "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIUID\\fR]", "the program's tables"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _DESCRIPTION),
        ".SH COMMANDS",
        *(line for command, parameters, text in COMMANDS for line in entry((command,), "B", parameters, text)),
        ".SH OPTIONS",
        *(line for short, long, argument, text in OPTIONS for line in entry((short, long), "B", argument, text)),
        *lists((("EXIT STATUS", _EXIT_STATUS),)),
        *see_also("fastscp (1)", "fastscp-studies (1)"),
    ]) + "\n"


def index_bash_completion() -> str:
    """Return the completion script for bash."""
    flags = [flag for short, long, _, _ in OPTIONS for flag in (short, long) if flag]
    directories = "|".join(flag for short, long, argument, _ in OPTIONS if argument for flag in (short, long) if flag)
    return "\n".join([
        _WRITTEN,
        "_fastscp_index() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
        "    COMPREPLY=()",
        '    case "$previous" in',
        f'        {directories}) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;',
        "    esac",
        '    case "$word" in',
        f"        -*) mapfile -t COMPREPLY < <(compgen -W '{' '.join(flags)}' -- \"$word\") ;;",
        f"        *) mapfile -t COMPREPLY < <(compgen -W '{' '.join(command for command, _, _ in COMMANDS)}' -- \"$word\") ;;",
        "    esac",
        "}",
        "complete -F _fastscp_index fastscp-index",
        "",
    ])


def index_zsh_completion() -> str:
    """Return the completion script for zsh."""
    return "\n".join([
        "#compdef fastscp-index",
        _WRITTEN,
        "_arguments \\",
        *(f"    '{flag}[{text}]{f':{argument}:_files -/' if argument else ''}' \\"
          for short, long, argument, text in OPTIONS for flag in (short, long) if flag),
        f"    '1:command:({' '.join(command for command, _, _ in COMMANDS)})' \\",
        "    '2:UID:'",
        "",
    ])
