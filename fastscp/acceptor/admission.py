"""Admits accepted connections: host names and access rules, before any worker sees the socket.

Strategy: the access rules decide at once where they can. A connection waits here for its host name, without blocking
anybody, only when a rule that is asked needs it; the resolver answers or gives up. Where others want names (hooks, the
event log, log lines) the look-up begins here too, and the name follows the connection.

Invariants: a connection that came in is submitted once, or closed; whoever is refused by a rule is logged and
told of (``on_refused``), as is who still waits when the service stops. The answer to a look-up whose connection was
let in before is told once (``on_name``).
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from fastscp.acceptor.pool import AcceptedConnection
from fastscp.acceptor.resolver import HostName, Resolver
from fastscp.access.policy import AccessPolicy
from fastscp.errors import FastscpError
from fastscp.log.limit import PeerLimit
from fastscp.log.names import NETWORK
from fastscp.net.peer import Peer
from fastscp.process.loop import IN, Loop

if TYPE_CHECKING:
    from fastscp.access.rules import Decision, Rules

_log = logging.getLogger(NETWORK)


class Command(Protocol):
    """A command of a rule that was started."""

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""


def start_command(command: str) -> Command:
    """Start a command of a rule (hosts_access(5), shell commands). Raises OSError."""
    return subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)


def read_rules(access: AccessPolicy) -> Rules:
    """Read the access rules, and log what is odd in them. Raises UsageError for bad ones."""
    from fastscp.access.rules import load_rules  # noqa: PLC0415 - most set-ups have no rules

    rules = load_rules(access)
    for warning in rules.warnings:
        _log.warning("%s", warning)
    return rules


class Admission:
    """Stands between accept(2) and whoever serves.

    ``submit`` takes a connection that is let in; ``on_refused`` is told whose was closed, and why, ``on_name`` of an
    address and its name. Without a ``resolver`` nobody has a host name; with ``names_wanted`` every name is looked up.
    ``said`` counts what is logged of each peer.
    """

    def __init__(self, access: AccessPolicy, loop: Loop, submit: Callable[[AcceptedConnection], None],
                 on_refused: Callable[[Peer, str], None], *,
                 on_name: Callable[[str, str], None] = lambda _address, _name: None,
                 resolver: Resolver | None = None, names_wanted: bool = False,
                 start_command: Callable[[str], Command] = start_command, said: PeerLimit | None = None) -> None:
        self._access = access
        self._loop = loop
        self._submit = submit
        self._on_refused = on_refused
        self._on_name = on_name
        self._resolver = resolver
        self._names_wanted = names_wanted
        self._start_command = start_command
        self._said = said or PeerLimit(time.monotonic, loop.call_later)
        self._waiting: dict[str, list[AcceptedConnection]] = {}
        self._followed: set[str] = set()  #: addresses whose name is told as soon as it is known
        self._rules: Rules | None = None
        self._commands: list[Command] = []

    def start(self) -> None:
        """Read the rules and listen to the resolver, where they are wanted. Raises UsageError for bad rules."""
        if self._access.enabled:
            self._load_rules()
        if self._resolver is not None:
            self._loop.register(self._resolver.fileno(), IN, lambda _mask: self.answers())

    def _load_rules(self) -> None:
        self._rules = read_rules(self._access)

    @property
    def pending_count(self) -> int:
        """Connections that wait for a host name."""
        return sum(map(len, self._waiting.values()))

    def inherited_sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        if self._resolver is not None:
            yield from self._resolver.sockets()
        for connections in self._waiting.values():
            for connection in connections:
                yield connection.sock

    @property
    def names_to_come(self) -> bool:
        """Whether somebody was let in whose name is still being looked up."""
        return bool(self._followed)

    def admit(self, connection: AcceptedConnection) -> None:
        """Let a connection in, refuse it, or keep it until its host name is known."""
        resolver, address = self._resolver, connection.peer.address
        if resolver is None:
            self._decide(connection, HostName())
            return
        name = resolver.request(address) if self._names_wanted else None
        if self._decide(connection, name):
            return
        if not self._names_wanted:
            name = resolver.request(address)
        if name is None:
            self._waiting.setdefault(address, []).append(connection)
        else:
            self._decide(connection, name)

    def answers(self) -> None:
        """Take what the resolver has found."""
        if self._resolver is not None:
            self._take(self._resolver.on_readable())

    def look(self) -> None:
        """Go on without the names that a resolver that hangs does not find; call it now and then."""
        if self._resolver is not None:
            self._take(self._resolver.give_up())

    def _take(self, answers: Iterable[tuple[str, HostName]]) -> None:
        for address, name in answers:
            if address in self._followed:
                self._followed.discard(address)
                self._on_name(address, name)
            for connection in self._waiting.pop(address, []):
                self._decide(connection, name)

    def _decide(self, connection: AcceptedConnection, name: HostName | None) -> bool:
        """Let the access rules decide; without rules everybody is let in. False when they have to have the name."""
        if self._rules is not None:
            decision = self._judge(connection, name)
            if decision.needs_host_name:
                return False
            for command in decision.commands:
                self._spawn(command)
            if not decision.allowed:
                peer = replace(connection.peer, host=name or "")
                rule = decision.rule or "the access rules"
                with self._said.about(peer.address):
                    _log.warning("access denied to %s by %s", peer.name, rule)
                connection.sock.close()
                self._on_refused(peer, f"access denied by {rule}")
                return True
        if name:
            connection.peer = replace(connection.peer, host=name)
        elif name is None and self._names_wanted:
            self._followed.add(connection.peer.address)
            connection.peer = replace(connection.peer, host_follows=True)
        self._submit(connection)
        return True

    def _judge(self, connection: AcceptedConnection, name: HostName | None) -> Decision:
        from fastscp.access.rules import ClientInfo, Decision, ServerInfo  # noqa: PLC0415 - as the rules

        if self._rules is not None and not self._rules.is_current():
            self.reload()  # as tcp wrappers do: the tables are in force as soon as they are written
        if self._rules is None:
            return Decision(allowed=True)
        peer = connection.peer
        client = ClientInfo(peer.address, name, confirmed=name is None or name.confirmed, port=peer.port)
        address, port = connection.sock.getsockname()[:2]
        return self._rules.decide(client, ServerInfo(str(address), int(port), os.getpid()))

    def _spawn(self, command: str) -> None:
        """Start a command of a rule and leave it alone."""
        try:
            self._commands.append(self._start_command(command))
        except OSError as error:
            _log.error("cannot start the command of an access rule: %s", error)

    def reap(self) -> None:
        """Collect commands of rules that have ended."""
        self._commands = [command for command in self._commands if command.poll() is None]

    def reload(self) -> None:
        """Read the access rules again; what was good stays in force when the new ones are not."""
        if self._rules is None:
            return
        try:
            self._load_rules()
        except (FastscpError, OSError) as error:
            _log.error("access rules not reloaded: %s", error)

    def stop(self) -> None:
        """Refuse what still waits."""
        waiting, self._waiting = self._waiting, {}
        for connections in waiting.values():
            for connection in connections:
                connection.sock.close()
                self._on_refused(connection.peer, "the service stops")

    def close(self) -> None:
        """End the resolver."""
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None
