"""A reload in the coordinator: what is opened again, who hears of other rules, and when."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.coordinator.reloading import Reloading
from fastscp.coordinator.rules import AllRules, encoded_rules
from fastscp.errors import ProcessError
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, StudyPolicy


class Log:
    """Is opened again, and so often."""

    def __init__(self) -> None:
        self.reopened = 0

    def reopen(self) -> None:
        self.reopened += 1


class User:
    """Keeps what it is told."""

    def __init__(self, heard: list[Any]) -> None:
        self._heard = heard

    def use(self, rules: AllRules) -> None:
        self._heard.append(rules)


def memory(config: Config) -> int:
    """Return a descriptor of the rules, which stands behind them as one does that was just written."""
    descriptor = os.memfd_create("rules")
    os.write(descriptor, encoded_rules(config))
    return descriptor


def test_without_rules_only_files_are_opened_again() -> None:
    log, heard = Log(), []
    Reloading(log, lambda: heard.append("changed"), User(heard)).take(None)  # type: ignore[arg-type]
    assert (log.reopened, heard) == (1, [])


def test_everybody_hears_of_other_rules_and_then_a_round_is_made(tmp_path: Path) -> None:
    heard: list[Any] = []
    done = tmp_path / "a" / "done"
    config = Config(store=StorePolicy(str(tmp_path)), study=StudyPolicy(completed_directory=str(done)),
                    hooks=HookPolicy(on_end_of_study="other #p"))
    descriptor = memory(config)
    Reloading(None, lambda: heard.append("changed"), User(heard), None, User(heard)).take(descriptor)
    first, second, changed = heard
    assert first is second
    assert first.of("").hooks.on_end_of_study == "other #p"
    assert changed == "changed"
    assert done.is_dir()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_nobody_hears_of_rules_whose_directory_cannot_be_made(tmp_path: Path) -> None:
    heard: list[Any] = []
    (tmp_path / "file").write_bytes(b"")
    config = Config(store=StorePolicy(str(tmp_path)), study=StudyPolicy(completed_directory=str(tmp_path / "file" / "done")))
    with pytest.raises(ProcessError, match="cannot be used"):
        Reloading(None, lambda: heard.append("changed"), User(heard)).take(memory(config))
    with pytest.raises(ProcessError, match="is the output directory"):
        Reloading(None, lambda: heard.append("changed"), User(heard)).take(
            memory(replace(config, study=StudyPolicy(completed_directory=str(tmp_path)))))
    assert heard == []
