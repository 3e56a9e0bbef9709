"""The hooks that are configured, parsed once. Pure.

Making ``Commands`` is also the check at start-up: it raises ``UsageError`` for a template that cannot be made safe.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from fastscp.study import templates, variables
from fastscp.study.policy import HookPolicy

#: kinds of hooks
RECEPTION, SERIES, STUDY = "reception", "series", "study"

_PEER_NAME = re.compile(r"#r|\bFASTSCP_PEER\b")


def names_peer(command: str | None) -> bool:
    """Whether a command wants the host name of the peer: by its placeholder, or the variable's name in its text."""
    return command is not None and _PEER_NAME.search(command) is not None


class Commands:
    """Templates by kind of hook."""

    def __init__(self, policy: HookPolicy, *, ignore: bool = False) -> None:
        reception_letters = variables.IGNORED_LETTERS if ignore else variables.RECEPTION_LETTERS
        configured = (
            (RECEPTION, policy.on_reception, reception_letters, "--exec-on-reception"),
            (SERIES, policy.on_end_of_series, variables.STUDY_LETTERS, "--exec-on-eoseries"),
            (STUDY, policy.on_end_of_study, variables.STUDY_LETTERS, "--exec-on-eostudy"),
        )
        self._naming = {kind for kind, command, _, _ in configured if names_peer(command)}
        self._templates = {
            kind: templates.parse(command, letters, argv=policy.argv, option=option)
            for kind, command, letters, option in configured if command is not None
        }

    def of(self, call: variables.Call) -> Commands:  # noqa: ARG002 - where there are several, they differ by call
        """Return the commands that a call is one of."""
        return self

    def has(self, kind: str) -> bool:
        """Whether that hook is configured."""
        return kind in self._templates

    def names_peer(self, kind: str) -> bool:
        """Whether that hook wants the host name of the peer."""
        return kind in self._naming

    def arguments(self, kind: str, values: Mapping[str, str]) -> list[str]:
        """Return the argument vector of one call."""
        return self._templates[kind].arguments(values)


def command_line(arguments: list[str]) -> str:
    """Return an argument vector as one line: what the shell is given, or what one would give to a shell."""
    if tuple(arguments[:2]) == templates.SHELL:
        return arguments[-1]
    return shlex.join(arguments)
