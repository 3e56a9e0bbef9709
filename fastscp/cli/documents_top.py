"""What is written from the tables of ``fastscp-top``: manual page and completion."""

from __future__ import annotations

from fastscp.cli.documents import beginning, entry, lists, roff, see_also
from fastscp.cli.top import DEFAULT_URL, OPTIONS

_PROGRAM = "fastscp-top"
_DESCRIPTION = (
    ("fastscp-top shows in the terminal what a running fastscp does, and goes on showing it: throughput and failures, associations "
     "with their peers, studies, hooks, refusals and room on disks. The service has to be started with --metrics."),
)
_URL = f"Where the service serves its metrics: an address of the web, [address:]port, or {DEFAULT_URL} where none is given."
_EXIT_STATUS = (("0", "It was interrupted, or had printed what it was asked to print."), ("1", "There is no such service, or the command line was refused."))


def top_manual_page() -> str:
    """Return the manual page fastscp-top(1) in the man macros of roff."""
    return "\n".join([
        *beginning(_PROGRAM, "show what a running fastscp does", "[\\fIoptions\\fR] [\\fIURL\\fR]", "the program's tables"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _DESCRIPTION),
        ".SH PARAMETERS",
        *entry(("URL",), "I", "", _URL),
        ".SH OPTIONS",
        *(line for short, long, argument, text in OPTIONS for line in entry((short, long), "B", argument, text)),
        *lists((("EXIT STATUS", _EXIT_STATUS),)),
        *see_also("fastscp (1)"),
    ]) + "\n"


def top_bash_completion() -> str:
    """Return the completion script for bash."""
    flags = " ".join(flag for short, long, _, _ in OPTIONS for flag in (short, long) if flag)
    return "\n".join([
        "# Written by scripts/generate-docs from the program's tables; do not edit.",
        "_fastscp_top() {",
        f"    mapfile -t COMPREPLY < <(compgen -W '{flags}' -- \"${{COMP_WORDS[COMP_CWORD]}}\")",
        "}",
        "complete -F _fastscp_top fastscp-top",
        "",
    ])


def top_zsh_completion() -> str:
    """Return the completion script for zsh."""
    return "\n".join([
        "#compdef fastscp-top",
        "# Written by scripts/generate-docs from the program's tables; do not edit.",
        "_arguments \\",
        *(f"    '{flag}[{text}]{f':{argument}:' if argument else ''}' \\"
          for short, long, argument, text in OPTIONS for flag in (short, long) if flag),
        "    '1:URL:_urls'",
        "",
    ])
