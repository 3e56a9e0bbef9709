"""A reload, as the coordinator sees it: files are opened again, and other rules hold from here on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fastscp.coordinator.event_readers import Reader
from fastscp.coordinator.rules import AllRules, decoded_rules
from fastscp.coordinator.state_directory import make_completed_directory


class User(Protocol):
    """Whoever goes by rules."""

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on."""


class Reloading:
    """``changed`` is called when there are other rules; ``users`` go by them, None is nobody."""

    def __init__(self, event_log: Reader | None, changed: Callable[[], None], *users: User | None) -> None:
        self._event_log = event_log
        self._changed = changed
        self._users = users

    def take(self, descriptor: int | None) -> None:
        """Open the event log again; ``descriptor`` is memory with the rules, None when they stay."""
        if self._event_log is not None:
            self._event_log.reopen()
        if descriptor is None:
            return
        with open(descriptor, "rb") as file:
            file.seek(0)
            rules = decoded_rules(file.read())
        for own in rules.by_sender.values():
            if own.study.completed_directory is not None:
                make_completed_directory(own.study.completed_directory, own.output_directory)
        for user in self._users:
            if user is not None:
                user.use(rules)
        self._changed()
