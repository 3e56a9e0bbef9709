"""Admits accepted connections: host names and access rules, before any worker sees the socket.

Strategy: a connection whose host name is wanted waits here, without blocking anybody, until the resolver
answers or gives up; then the access rules decide.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from fastscp.config import Config
from fastscp.errors import FastscpError
from fastscp.log.names import NETWORK
from fastscp.proc.loop import IN, Loop
from fastscp.proc.pool import Connection

if TYPE_CHECKING:
    from fastscp.access.rules import Rules
    from fastscp.proc.resolver import Resolver

_log = logging.getLogger(NETWORK)


class Admission:
    """Stands between accept(2) and the pool."""

    def __init__(self, config: Config, loop: Loop, submit: Callable[[Connection], None]) -> None:
        self._config = config
        self._loop = loop
        self._submit = submit
        self._waiting: dict[str, list[Connection]] = {}
        self._resolver: Resolver | None = None
        self._rules: Rules | None = None

    def start(self) -> None:
        """Read the rules and start the resolver, where they are wanted. Raises UsageError for bad rules."""
        network = self._config.network
        if self._config.access.enabled:
            self._load_rules()
        if network.lookup_hosts and (self._config.access.enabled or self._config.needs_coordinator):
            from fastscp.proc.resolver import Resolver  # noqa: PLC0415 - most set-ups look nothing up

            self._resolver = Resolver()
            self._loop.register(self._resolver.fileno(), IN, lambda _mask: self._answers())

    def _load_rules(self) -> None:
        from fastscp.access.rules import load_rules  # noqa: PLC0415 - most set-ups have no rules

        self._rules = load_rules(self._config.access)

    @property
    def pending_count(self) -> int:
        """Connections that wait for a host name."""
        return sum(map(len, self._waiting.values()))

    def inherited_sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        for connections in self._waiting.values():
            for connection in connections:
                yield connection.sock

    def admit(self, connection: Connection) -> None:
        """Let a connection in, refuse it, or keep it until its host name is known."""
        resolver = self._resolver
        if resolver is None:
            self._decide(connection)
            return
        address = connection.peer.address
        answer = resolver.request(address)
        if answer is None:
            self._waiting.setdefault(address, []).append(connection)
        else:
            self._decide(_named(connection, answer))

    def _answers(self) -> None:
        if self._resolver is None:
            return
        for address, name in self._resolver.on_readable():
            for connection in self._waiting.pop(address, []):
                self._decide(_named(connection, name))

    def _decide(self, connection: Connection) -> None:
        self._submit(connection)

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
        for connections in self._waiting.values():
            for connection in connections:
                connection.sock.close()
        self._waiting.clear()

    def close(self) -> None:
        """End the resolver."""
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None


def _named(connection: Connection, name: str | None) -> Connection:
    return Connection(connection.sock, replace(connection.peer, host=name or ""))
