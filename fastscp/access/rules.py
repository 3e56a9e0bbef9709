"""Host access rules: hosts.allow and hosts.deny read, and what they decide for a client.

The first rule that matches decides, rules of the allow table before those of the deny table; without one
access is granted. A daemon pattern matches when it matches any of our daemon names. A client's user name is
always unknown: nobody is asked for it (no ident).

Invariants: a table that exists but cannot be read is an error, never an empty table; a mistake in a rule
that would match denies. Deciding reads no file: ``load_rules`` has read the tables and every ``/file``.

Source: hosts_access(5), hosts_options(5)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fastscp.access.options import Options, parse_options
from fastscp.access.patterns import (
    PARANOID,
    UNKNOWN,
    HostFiles,
    HostInfo,
    NameNeededError,
    comparable_address,
    is_malformed,
    match_host,
    match_text,
)
from fastscp.access.policy import AccessPolicy
from fastscp.errors import UsageError

_BLANKS = " \t\r\n"

#: What an expansion may leave in a shell command; anything else becomes ``_``
_HARMLESS = frozenset("1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True)
class ClientInfo:
    """Who asks. ``host_name`` is None when it has not been looked up, "" when it has no name.

    ``confirmed`` is False for a name that does not lead back to the address: PARANOID.
    """

    address: str
    host_name: str | None = None
    confirmed: bool = True
    port: int = 0

    def as_host(self) -> HostInfo:
        """Return what patterns are matched with."""
        name = self.host_name
        if name is not None:
            name = (name if self.confirmed else PARANOID) if name else UNKNOWN
        return HostInfo(comparable_address(self.address) or UNKNOWN, name)


@dataclass(frozen=True)
class ServerInfo:
    """Where the client came in, for ``daemon@host`` patterns and ``%A``. The name is not looked up."""

    address: str = ""
    port: int = 0
    pid: int = 0

    def as_host(self) -> HostInfo:
        """Return what patterns are matched with."""
        return HostInfo(comparable_address(self.address) or UNKNOWN)


@dataclass(frozen=True)
class Decision:
    """What the rules say.

    With ``needs_host_name`` nothing is decided: look the name up and ask again. ``commands`` are complete
    shell commands to start in the background. ``rule`` is the place of the rule, "" when none matched.
    """

    allowed: bool
    commands: tuple[str, ...] = ()
    needs_host_name: bool = False
    rule: str = ""


@dataclass(frozen=True)
class Rule:
    """One line of a table."""

    place: str  #: file and line
    daemons: tuple[str, ...]
    clients: tuple[str, ...]
    options: Options
    allows: bool  #: unless the options say otherwise


@dataclass(frozen=True)
class Rules:
    """Both tables, ready to decide. ``warnings`` are complaints about rules that concern us."""

    rules: tuple[Rule, ...] = ()
    daemon_names: tuple[str, ...] = ("storescp", "fastscp")
    files: HostFiles = field(default_factory=HostFiles)
    warnings: tuple[str, ...] = ()
    #: path and state of every file that was read, or that was not there
    sources: tuple[tuple[str, tuple[int, int, int] | None], ...] = ()

    def is_current(self) -> bool:
        """Tell whether no file has changed since it was read."""
        return all(_state(path) == state for path, state in self.sources)

    def decide(self, client: ClientInfo, server: ServerInfo | None = None) -> Decision:
        """Decide about one connection."""
        here = server or ServerInfo()
        client_host, server_host = client.as_host(), here.as_host()
        try:
            for rule in self.rules:
                if self._matches(rule, client_host, server_host, here.port):
                    return self._apply(rule, client, here)
        except NameNeededError:
            return Decision(allowed=False, needs_host_name=True)
        return Decision(allowed=True)

    def _matches(self, rule: Rule, client: HostInfo, server: HostInfo, port: int) -> bool:
        return _list_matches(rule.daemons, lambda token: self._is_daemon(token, server, port)) and _list_matches(
            rule.clients, lambda token: self._is_client(token, client))

    def _is_daemon(self, token: str, server: HostInfo, port: int) -> bool:
        """Match ``daemon``, ``daemon@host`` or a port number."""
        daemon, at, host = _split_at_sign(token)
        if not (daemon == str(port) or any(match_text(daemon, name) for name in self.daemon_names)):
            return False
        return not at or match_host(host, server, self.files)

    def _is_client(self, token: str, client: HostInfo) -> bool:
        """Match ``host`` or ``user@host``."""
        user, at, host = _split_at_sign(token)
        if not at:
            return match_host(token, client, self.files)
        return match_host(host, client, self.files) and match_text(user, UNKNOWN)

    def _apply(self, rule: Rule, client: ClientInfo, server: ServerInfo) -> Decision:
        verdict = rule.options.verdict
        if client.host_name is None and any(map(_expands_name, rule.options.commands)):
            raise NameNeededError
        values = self._expansions(client, server)
        commands = tuple(_expand(command, values) for command in rule.options.commands)
        return Decision(rule.allows if verdict is None else verdict, commands, rule=rule.place)

    def _expansions(self, client: ClientInfo, server: ServerInfo) -> dict[str, str]:
        """Return the ``%`` expansions of hosts_access(5)."""
        host = client.as_host()
        name = host.name or UNKNOWN
        shown = name if name not in {UNKNOWN, PARANOID} else host.address
        server_address = server.as_host().address
        daemon = self.daemon_names[0] if self.daemon_names else ""
        return {
            "a": host.address, "A": server_address,
            "c": shown, "d": daemon,
            "h": shown, "H": server_address,
            "n": name, "N": UNKNOWN,
            "p": str(server.pid), "s": daemon if server_address == UNKNOWN else f"{daemon}@{server_address}",
            "r": str(client.port), "R": str(server.port),
            "u": UNKNOWN, "%": "%",
        }


def load_rules(policy: AccessPolicy) -> Rules:
    """Read both tables and the files they refer to.

    Raises UsageError when one is there but cannot be read, and when one that the operator named is not there. The
    system's own tables may be missing: they are empty then.
    """
    sources: dict[str, tuple[int, int, int] | None] = {}
    warnings: list[str] = []
    rules: list[Rule] = []
    for path, named, allows in ((policy.allow_file, policy.allow_named, True),
                                (policy.deny_file, policy.deny_named, False)):
        text = _read(path, sources)
        if text is None and named:
            raise UsageError(f"cannot read access rules: {path}: No such file or directory")
        rules += _read_table(path, text, warnings, allows=allows)
    patterns: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        for token in (*rule.daemons, *rule.clients):
            _read_host_file(_split_at_sign(token)[2] or token, patterns, sources)
    loaded = Rules(tuple(rules), policy.daemon_names, HostFiles(patterns))
    for rule in rules:
        if _may_concern(loaded, rule):
            warnings += [f"{rule.place}: {warning}" for warning in (*rule.options.warnings, *_complaints(rule))]
    return Rules(tuple(rules), policy.daemon_names, HostFiles(patterns), tuple(warnings), tuple(sources.items()))


def _may_concern(rules: Rules, rule: Rule) -> bool:
    """Tell whether the rule is about one of our daemon names at all."""
    everywhere = tuple(_split_at_sign(token)[0] for token in rule.daemons)
    return _list_matches(everywhere, lambda token: any(match_text(token, name) for name in rules.daemon_names))


def _complaints(rule: Rule) -> Iterator[str]:
    for token in rule.clients:
        pattern = _split_at_sign(token)[2] or token
        if pattern.startswith("@"):
            yield f"netgroups are not supported, '{token}' matches nobody"
        elif is_malformed(pattern):
            yield f"malformed pattern '{token}' matches nobody"
        elif "@" in token[1:] and not match_text(_split_at_sign(token)[0], UNKNOWN):
            yield f"user names are never known, '{token}' matches nobody"


def _read_table(path: str, text: str | None, warnings: list[str], *, allows: bool) -> Iterator[Rule]:
    """Yield the rules of one table."""
    for number, line in _logical_lines(text or ""):
        if line.startswith("#") or not line.strip(_BLANKS):
            continue
        place = f"{path}:{number}"
        daemons, separator, rest = _cut(line)
        if not separator:
            warnings.append(f"{place}: rule without ':' is ignored: {line.strip(_BLANKS)}")
            continue
        clients, separator, options = _cut(rest)
        yield Rule(place, _tokens(daemons), _tokens(clients), parse_options(options if separator else None), allows)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line; a backslash at its end joins the next one."""
    first, parts = 0, ""
    for number, line in enumerate(text.split("\n"), start=1):
        first = first or number
        if line.endswith("\\"):
            parts += line[:-1]
            continue
        yield first, parts + line
        first, parts = 0, ""
    if parts:
        yield first, parts


def _cut(text: str) -> tuple[str, str, str]:
    """Cut at the first ``:`` that is not inside of ``[...]``."""
    depth = 0
    for position, letter in enumerate(text):
        if letter == "[":
            depth += 1
        elif letter == "]":
            depth = max(0, depth - 1)
        elif letter == ":" and not depth:
            return text[:position], ":", text[position + 1 :]
    return text, "", ""


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _split_at_sign(token: str) -> tuple[str, str, str]:
    """Split ``left@host``; an ``@`` in front is not a separator."""
    left, at, host = token[1:].partition("@")
    return token[:1] + left, at, host


def _list_matches(tokens: tuple[str, ...], matches: Callable[[str], bool]) -> bool:
    """Match a list: any token before EXCEPT, unless the list behind EXCEPT matches."""
    for position, token in enumerate(tokens):
        if token.upper() == "EXCEPT":
            return False
        if matches(token):
            for later in range(position + 1, len(tokens)):
                if tokens[later].upper() == "EXCEPT":
                    return not _list_matches(tokens[later + 1 :], matches)
            return True
    return False


def _expand(command: str, values: dict[str, str]) -> str:
    """Replace ``%x``; what could mean something to the shell becomes ``_``. Unknown letters vanish."""
    parts = command.split("%")
    result = [parts[0]]
    position = 1
    while position < len(parts):
        part = parts[position]
        if not part and position + 1 < len(parts):  # "%%"
            result.append("%" + parts[position + 1])
            position += 2
            continue
        value = values.get(part[:1], "")
        result.append("".join(letter if letter in _HARMLESS else "_" for letter in value) + part[1:])
        position += 1
    return "".join(result)


def _expands_name(command: str) -> bool:
    """Tell whether a command has an expansion that is, or may be, the client's host name."""
    return any(f"%{letter}" in command for letter in "chn")


def _read_host_file(pattern: str, patterns: dict[str, tuple[str, ...]],
                    sources: dict[str, tuple[int, int, int] | None]) -> None:
    """Read what a ``/file`` pattern names, and what is named in there."""
    if not pattern.startswith("/") or pattern in patterns:
        return
    text = _read(pattern, sources)
    patterns[pattern] = tuple((text or "").split())
    for token in patterns[pattern]:
        _read_host_file(token, patterns, sources)


def _read(path: str, sources: dict[str, tuple[int, int, int] | None]) -> str | None:
    """Return the text of a file, None when it is not there. Raises UsageError."""
    sources[path] = _state(path)
    try:
        return Path(path).read_text(encoding="latin-1").replace("\0", " ")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot read access rules: {path}: {error.strerror}") from error


def _state(path: str) -> tuple[int, int, int] | None:
    """Return what changes when a file does; None for one that cannot be seen."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
