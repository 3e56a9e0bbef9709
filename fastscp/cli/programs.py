"""Whether the programs of hooks are there: what can be known of a command before it runs.

Strategy: without a shell the first word is the program, unless a placeholder is in it. With a shell only the first
command of the text is looked at, and only when its name is literal text: the shell itself (``command -v``) says
whether it knows it, so built-ins, reserved words and the like are right in every shell. What cannot be known
(expansions, functions, assignments to PATH, redirections in front, later commands) is left alone: it shows when
the hook runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from fastscp.study.policy import HookPolicy
from fastscp.study.templates import parse

_SHELL = "/bin/sh"
_PLACEHOLDERS = "pfacr"
#: one word of literal text, and what may stand behind it; ``=`` is in it because ``a=b`` is an assignment
_PIECE = r"""(?:[A-Za-z0-9_./,:@%+=^-]|\\[^\n]|'[^'\n]*'|"[^"$`\\\n]*")"""
_WORD = re.compile(rf"\s*({_PIECE}+)(?=[\s;&|<>]|$)")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_QUOTING = re.compile(r"""\\(.)|'([^']*)'|"([^"]*)\"""")


def missing_program(hooks: HookPolicy) -> str:
    """Return which hook's program is not there, "" when none is known to be missing."""
    for option, command in (("--exec-on-reception", hooks.on_reception), ("--exec-on-eoseries", hooks.on_end_of_series),
                            ("--exec-on-eostudy", hooks.on_end_of_study)):
        if command is None:
            continue
        program = _argument(command, option) if hooks.argv else first_word(command)
        if program and not (_runs(program) if hooks.argv else _shell_runs(program)):
            return f"{option}: no such program: {program}"
    return ""


def _argument(command: str, option: str) -> str:
    """Return the program of a command that runs without a shell; "" when it is known only later."""
    first = parse(command, _PLACEHOLDERS, argv=True, option=option).words[0]
    return "".join(part for part in first if isinstance(part, str)) if all(isinstance(part, str) for part in first) else ""


def first_word(command: str) -> str:
    """Return the name of the first command of a shell's text; "" when it takes a shell to know it."""
    position = 0
    while (found := _WORD.match(command, position)) is not None:
        word, position = found[1], found.end()
        assigned = _ASSIGNMENT.match(word)
        if assigned is None:
            is_redirection = word.isdigit() and command[position : position + 1] in {"<", ">"}
            return "" if is_redirection or _holds_placeholder(word) else _unquoted(word)
        if assigned[1] == "PATH":
            return ""
    return ""


def _unquoted(word: str) -> str:
    return _QUOTING.sub(lambda quoted: "".join(filter(None, quoted.groups())), word)


def _holds_placeholder(word: str) -> bool:
    """Tell whether a value will stand in ``word``; only in quotation marks ``#`` is part of a word here."""
    return any(f"#{letter}" in word for letter in _PLACEHOLDERS)


def _runs(program: str) -> bool:
    """Tell whether ``program`` can be executed, as execvp(3) looks for it."""
    return shutil.which(program) is not None


def _shell_runs(name: str) -> bool:
    """Ask the shell whether it knows a command of that name."""
    if "/" in name:
        return _runs(name)
    asked = subprocess.run([_SHELL, "-c", 'command -v -- "$1"', _SHELL, name], stdin=subprocess.DEVNULL,  # noqa: S603 - the operator's own command, as an argument
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=os.environ)
    return asked.returncode == 0
