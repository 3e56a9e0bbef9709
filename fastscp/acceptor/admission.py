"""Admits accepted connections: host names and access rules, before any worker sees the socket.

Of a connection that a balancer passes on a worker has to read whose it is: it comes back as a ``Claim``, for which the same
holds.

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
from dataclasses import dataclass, replace
from functools import partial
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


class Applicant(Protocol):
    """Who wants to be let in: an accepted connection, or a claim."""

    peer: Peer

    def arrived_at(self) -> tuple[str, int]:
        """Return the address and port of ours that he came to."""

    def sockets(self) -> tuple[socket.socket, ...]:
        """Return what a newly forked process must close."""

    def turn_away(self) -> None:
        """Let him go."""


@dataclass
class Claim:
    """A peer whose connection a worker has. ``answer`` is told once whether he is let in."""

    peer: Peer
    server: tuple[str, int]
    answer: Callable[[Peer, bool], None]

    def arrived_at(self) -> tuple[str, int]:
        """Return the address and port of ours that he came to."""
        return self.server

    @staticmethod
    def sockets() -> tuple[socket.socket, ...]:
        """Have none."""
        return ()

    def turn_away(self) -> None:
        """Have his connection closed."""
        self.answer(self.peer, False)

    def let_in(self) -> None:
        """Have him served."""
        self.answer(self.peer, True)


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
        self._waiting: dict[str, list[tuple[Applicant, Callable[[], None]]]] = {}
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
        """Connections that wait for a host name, and that no worker has."""
        return sum(1 for _ in self._sockets())

    def inherited_sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        if self._resolver is not None:
            yield from self._resolver.sockets()
        yield from self._sockets()

    def _sockets(self) -> Iterable[socket.socket]:
        for waiting in self._waiting.values():
            for applicant, _let_in in waiting:
                yield from applicant.sockets()

    @property
    def names_to_come(self) -> bool:
        """Whether somebody was let in whose name is still being looked up."""
        return bool(self._followed)

    def admit(self, connection: AcceptedConnection) -> None:
        """Let a connection in, refuse it, or keep it until its host name is known."""
        self._apply(connection, partial(self._submit, connection))

    def judge(self, claim: Claim) -> None:
        """Answer a claim, now or when the host name is known."""
        self._apply(claim, claim.let_in)

    def _apply(self, applicant: Applicant, let_in: Callable[[], None]) -> None:
        resolver, address = self._resolver, applicant.peer.address
        if resolver is None:
            self._decide(applicant, HostName(), let_in)
            return
        name = resolver.request(address) if self._names_wanted else None
        if self._decide(applicant, name, let_in):
            return
        if not self._names_wanted:
            name = resolver.request(address)
        if name is None:
            self._waiting.setdefault(address, []).append((applicant, let_in))
        else:
            self._decide(applicant, name, let_in)

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
            for applicant, let_in in self._waiting.pop(address, []):
                self._decide(applicant, name, let_in)

    def _decide(self, applicant: Applicant, name: HostName | None, let_in: Callable[[], None]) -> bool:
        """Let the access rules decide; without rules everybody is let in. False when they have to have the name."""
        if self._rules is not None:
            decision = self._judge(applicant, name)
            if decision.needs_host_name:
                return False
            for command in decision.commands:
                self._spawn(command)
            if not decision.allowed:
                peer = replace(applicant.peer, host=name or "")
                rule = decision.rule or "the access rules"
                with self._said.about(peer.address):
                    _log.warning("access denied to %s by %s", peer.name, rule)
                applicant.turn_away()
                self._on_refused(peer, f"access denied by {rule}")
                return True
        if name:
            applicant.peer = replace(applicant.peer, host=name)
        elif name is None and self._names_wanted:
            self._followed.add(applicant.peer.address)
            applicant.peer = replace(applicant.peer, host_follows=True)
        let_in()
        return True

    def _judge(self, applicant: Applicant, name: HostName | None) -> Decision:
        from fastscp.access.rules import ClientInfo, Decision, ServerInfo  # noqa: PLC0415 - as the rules

        if self._rules is not None and not self._rules.is_current():
            self.reload()  # as tcp wrappers do: the tables are in force as soon as they are written
        if self._rules is None:
            return Decision(allowed=True)
        peer = applicant.peer
        client = ClientInfo(peer.address, name, confirmed=name is None or name.confirmed, port=peer.port)
        return self._rules.decide(client, ServerInfo(*applicant.arrived_at(), os.getpid()))

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
        for applicants in waiting.values():
            for applicant, _let_in in applicants:
                applicant.turn_away()
                self._on_refused(applicant.peer, "the service stops")

    def close(self) -> None:
        """End the resolver."""
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None
