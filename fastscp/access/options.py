r"""The third field of a rule: options of hosts_options(5).

``allow`` and ``deny`` (last in the rule) decide; ``spawn`` runs a command beside. Options that change the
serving process (``user``, ``nice`` ...) mean nothing for one that serves many peers: they are read and have
no effect. What cannot be done (``twist``, ``aclexec``) or understood denies, as tcp_wrappers does: "it seems
better to play safe". Options are separated by ``:``, which is written ``\:`` inside of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEPARATOR = re.compile(r"(?<!\\):")
_BLANKS = " \t\r\n"
_DENY = False

_FACILITIES = frozenset((
    "kern", "user", "mail", "daemon", "auth", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    *(f"local{number}" for number in range(8)),
))
_LEVELS = frozenset(("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"))

#: Options of no consequence here, and the form of their value ("" is none). Connections are kept alive anyway.
_HARMLESS = {
    "keepalive": "",
    "linger": r"\d+",
    "rfc931": r"\d*",
}
#: Options whose absence an operator may notice
_WITHOUT_EFFECT = {
    "user": r"\S+",
    "group": r"\S+",
    "nice": r"(-?\d+)?",
    "umask": r"[0-7]+",
    "setenv": r"\S.*",
    "banners": r"\S.*",
}
_IMPOSSIBLE = ("twist", "aclexec")


@dataclass(frozen=True)
class Options:
    """What the options of one rule ask for.

    ``verdict``: None leaves it to the table the rule is in. ``commands`` are still to be expanded.
    ``warnings`` are complaints without the place where the rule stands.
    """

    verdict: bool | None = None
    commands: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_options(text: str | None) -> Options:
    """Read the third field; None when the rule has none."""
    if text is None:
        return Options()
    verdict: bool | None = None
    commands: list[str] = []
    warnings: list[str] = []
    options = [option.replace("\\:", ":").strip(_BLANKS) for option in _SEPARATOR.split(text)]
    for position, option in enumerate(options):
        keyword, value = _split(option)
        last = position == len(options) - 1
        complaint = ""
        if keyword in {"allow", "deny"}:
            complaint = _complaint(keyword, value, form="") or ("" if last else f"option '{keyword}' must be the last one")
            verdict = keyword == "allow"
        elif keyword == "spawn":
            complaint = "" if value else "option 'spawn' without a command"
            commands.append(value)
        elif keyword in _IMPOSSIBLE:
            complaint = f"option '{keyword}' is not possible in a process that serves many peers"
        elif keyword == "severity":
            complaint = "" if _is_severity(value) else f"bad severity: {value or '(none)'}"
        elif keyword in _HARMLESS:
            complaint = _complaint(keyword, value, _HARMLESS[keyword])
        elif keyword in _WITHOUT_EFFECT:
            complaint = _complaint(keyword, value, _WITHOUT_EFFECT[keyword])
            warnings.append(f"option '{keyword}' has no effect")
        else:
            complaint = f"unknown option: {option or '(empty)'}"
        if complaint:
            # commands before the mistake have run by then in tcp_wrappers, too
            ran = commands[:-1] if keyword == "spawn" else commands
            return Options(_DENY, tuple(ran), (*warnings, f"{complaint}; access will be denied"))
    return Options(verdict, tuple(commands), tuple(warnings))


def _split(option: str) -> tuple[str, str]:
    """Split ``keyword value`` or ``keyword = value``."""
    keyword, value = re.match(r"([^\s=]*)\s*=?\s*(.*)", option, re.DOTALL).groups()  # type: ignore[union-attr]
    return keyword.lower(), value


def _complaint(keyword: str, value: str, form: str) -> str:
    if re.fullmatch(form, value, re.DOTALL):
        return ""
    return f"option '{keyword}' takes no value" if not form else f"bad value of option '{keyword}': {value or '(none)'}"


def _is_severity(value: str) -> bool:
    facility, dot, level = value.lower().rpartition(".")
    return level in _LEVELS and (not dot or facility in _FACILITIES)
