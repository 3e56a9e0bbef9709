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


def bash_completion(program: str = "fastscp", options: tuple[Option, ...] = OPTIONS, *, paths: bool = False) -> str:
    """Return the completion script for bash; parameters are ``paths`` or nothing that can be completed."""
    name = f"_{program.replace('-', '_')}"
    return "\n".join([
        "# Written by scripts/generate-docs from the option table; do not edit.",
        f"{name}() {{",
        '    local word="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local before=""',
        "    (( COMP_CWORD > 1 )) && before=${COMP_WORDS[COMP_CWORD-2]}",
        "    COMPREPLY=()",
        '    case "$before" in',
        *_bash_cases(options, 1),
        "    esac",
        '    case "$previous" in',
        *_bash_cases(options, 0),
        "    esac",
        '    case "$word" in',
        '        @*) mapfile -t COMPREPLY < <(compgen -P @ -f -- "${word#@}") ;;',
        f'        [-+]*) mapfile -t COMPREPLY < <(compgen -W "${name}_flags" -- "$word") ;;',
        *(['        *) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;'] if paths else []),
        "    esac",
        "}",
        f"{name}_flags='{' '.join(flag for option in options for flag in option.flags)}'",
        f"complete -F {name} {program}",
        "",
    ])


def _bash_cases(options: tuple[Option, ...], index: int) -> list[str]:
    """Return the cases for options whose argument number ``index`` is to be completed."""
    cases = []
    for option in options:
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


def zsh_completion(program: str = "fastscp", options: tuple[Option, ...] = OPTIONS, parameter: str = "1:port: ") -> str:
    """Return the completion script for zsh."""
    return "\n".join([
        f"#compdef {program}",
        "# Written by scripts/generate-docs from the option table; do not edit.",
        "_arguments \\",
        *(f"    {_zsh_option(options, option, flag)} \\" for option in options for flag in option.flags),
        f"    '{parameter}'",
        "",
    ])


def _zsh_option(options: tuple[Option, ...], option: Option, flag: str) -> str:
    excluded = "*" if option.repeatable else f"({' '.join(_alternatives(options, option))})"
    description = " ".join(option.help.split()).replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    arguments = "".join(f":{argument.name}:{_zsh_action(argument)}" for argument in option.arguments)
    quoted = f"{flag}[{description}]{arguments}".replace("'", "'\\''")
    return f"'{excluded}{quoted}'"


def _alternatives(options: tuple[Option, ...], option: Option) -> list[str]:
    """Return every flag that makes no sense any more once ``option`` was given."""
    same = (
        other for other in options
        if other is option or (option.exclusive and other.exclusive == option.exclusive)
    )
    return [flag for other in same for flag in other.flags]


def _zsh_action(argument: Argument) -> str:
    return f"({' '.join(argument.choices)})" if argument.choices else _ZSH_ACTIONS[argument.kind]
