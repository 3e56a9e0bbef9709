"""What a gateway of a fleet makes of what the database says. There is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from fastscp.fleet.gateway import ANOTHER_S, Gateway, Terms


class Database:
    """Has nothing to say but whose ``session`` is the latest."""

    since = 0.0

    def __init__(self) -> None:
        self.session = "mine"
        self._asked = ""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Database]:
        yield self

    def execute(self, query: str, _values: Any = ()) -> None:
        self._asked = query

    def fetchone(self) -> tuple[Any, ...] | None:
        return (self.session,) if "RETURNING session" in self._asked else None

    def fetchall(self) -> list[Any]:
        return []


class Hooks:
    room = 0

    def look(self) -> None:
        return

    def leases(self) -> list[Any]:
        return []

    def ended(self) -> list[Any]:
        return []

    def has_hook(self, _sender: str) -> bool:
        return False


class Journal:
    def after(self, _number: int) -> list[Any]:
        return []


class Site:
    def __init__(self) -> None:
        self.now = 100.0
        self.database = Database()
        self.gateway = Gateway(Terms("gw-1", "mine", 60.0), self.database, Journal(), Hooks(), lambda *_: None,  # type: ignore[arg-type]
                               monotonic=lambda: self.now)

    def turns(self, session: str, seconds: float) -> None:
        """Have a turn, and another so much later."""
        self.database.session = session
        self.gateway.turn()
        self.now += seconds
        self.gateway.turn()


def test_another_gateway_of_this_name_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its state directory is a copy."""
    site = Site()
    site.turns("another", ANOTHER_S)
    assert caplog.text.count("another process ships as gw-1") == 1
    site.turns("another", ANOTHER_S)
    assert caplog.text.count("another process ships as gw-1") == 1


def test_the_process_before_that_ends_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.turns("another", ANOTHER_S - 1)
    site.turns("mine", ANOTHER_S)
    site.turns("another", ANOTHER_S - 1)
    assert caplog.text == ""
