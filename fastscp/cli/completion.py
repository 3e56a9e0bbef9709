"""Completion for bash and zsh, written from the option table."""

from __future__ import annotations

from fastscp.cli.option import Argument, Kind, Option
from fastscp.cli.options import OPTIONS

_BASH_ACTIONS = {
    Kind.FILE: "compgen -f",
    Kind.DIRECTORY: "compgen -d",
    Kind.COMMAND: "compgen -c",
}
_ZSH_ACTIONS = {
    Kind.FILE: "_files",
    Kind.DIRECTORY: "_files -/",
    Kind.COMMAND: "_cmdstring",
    Kind.INTEGER: " ",
    Kind.SIZE: " ",
    Kind.SHARE: " ",
    Kind.STRING: " ",
}


def bash_completion() -> str:
    """Return the completion script for bash."""
    return "\n".join([
        "# Written by scripts/generate-docs from the option table; do not edit.",
        "_fastscp() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local before=""',
        "    (( COMP_CWORD > 1 )) && before=${COMP_WORDS[COMP_CWORD-2]}",
        "    COMPREPLY=()",
        '    case "$before" in',
        *_bash_cases(1),
        "    esac",
        '    case "$previous" in',
        *_bash_cases(0),
        "    esac",
        '    case "$word" in',
        '        @*) mapfile -t COMPREPLY < <(compgen -P @ -f -- "${word#@}") ;;',
        '        [-+]*) mapfile -t COMPREPLY < <(compgen -W "$_fastscp_flags" -- "$word") ;;',
        "    esac",
        "}",
        f"_fastscp_flags='{' '.join(flag for option in OPTIONS for flag in option.flags)}'",
        "complete -F _fastscp fastscp",
        "",
    ])


def _bash_cases(index: int) -> list[str]:
    """Return the cases for options whose argument number ``index`` is to be completed."""
    cases = []
    for option in OPTIONS:
        if index < len(option.arguments):
            argument = option.arguments[index]
            cases.append(f"        {'|'.join(option.flags)}) {_bash_action(argument)}return ;;")
    return cases


def _bash_action(argument: Argument) -> str:
    if argument.choices:
        action = f"compgen -W '{' '.join(argument.choices)}'"
    elif argument.kind in _BASH_ACTIONS:
        action = _BASH_ACTIONS[argument.kind]
    else:
        return ""
    return f'mapfile -t COMPREPLY < <({action} -- "$word"); '


def zsh_completion() -> str:
    """Return the completion script for zsh."""
    return "\n".join([
        "#compdef fastscp",
        "# Written by scripts/generate-docs from the option table; do not edit.",
        "_arguments \\",
        *(f"    {_zsh_option(option, flag)} \\" for option in OPTIONS for flag in option.flags),
        "    '1:port: '",
        "",
    ])


def _zsh_option(option: Option, flag: str) -> str:
    excluded = "*" if option.repeatable else f"({' '.join(_alternatives(option))})"
    description = " ".join(option.help.split()).replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    arguments = "".join(f":{argument.name}:{_zsh_action(argument)}" for argument in option.arguments)
    quoted = f"{flag}[{description}]{arguments}".replace("'", "'\\''")
    return f"'{excluded}{quoted}'"


def _alternatives(option: Option) -> list[str]:
    """Return every flag that makes no sense any more once ``option`` was given."""
    same = (
        other for other in OPTIONS
        if other is option or (option.exclusive and other.exclusive == option.exclusive)
    )
    return [flag for other in same for flag in other.flags]


def _zsh_action(argument: Argument) -> str:
    return f"({' '.join(argument.choices)})" if argument.choices else _ZSH_ACTIONS[argument.kind]
