"""Completion for bash and zsh of ``fastscp-studies``, written from its tables."""

from __future__ import annotations

from fastscp.cli.studies import COMMANDS, OPTIONS


def studies_bash_completion() -> str:
    """Return the completion script for bash."""
    flags = [flag for short, long, _, _ in OPTIONS for flag in (short, long) if flag]
    directories = "|".join(flag for short, long, argument, _ in OPTIONS if argument for flag in (short, long) if flag)
    commands = " ".join(command for command, _, _ in COMMANDS)
    return "\n".join([
        "# Written by scripts/generate-docs from the program's tables; do not edit.",
        "_fastscp_studies() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
        "    COMPREPLY=()",
        '    case "$previous" in',
        f'        {directories}) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;',
        '        retry|forget) mapfile -t COMPREPLY < <(compgen -W all -- "$word"); return ;;',
        "    esac",
        '    case "$word" in',
        f"        -*) mapfile -t COMPREPLY < <(compgen -W '{' '.join(flags)}' -- \"$word\") ;;",
        f"        *) mapfile -t COMPREPLY < <(compgen -W '{commands}' -- \"$word\") ;;",
        "    esac",
        "}",
        "complete -F _fastscp_studies fastscp-studies",
        "",
    ])


def studies_zsh_completion() -> str:
    """Return the completion script for zsh."""
    commands = " ".join(command for command, _, _ in COMMANDS)
    return "\n".join([
        "#compdef fastscp-studies",
        "# Written by scripts/generate-docs from the program's tables; do not edit.",
        "_arguments \\",
        *(f"    '{flag}[{text}]{f':{argument}:_files -/' if argument else ''}' \\"
          for short, long, argument, text in OPTIONS for flag in (short, long) if flag),
        f"    '1:command:({commands})' \\",
        "    '*:number:(all)'",
        "",
    ])
