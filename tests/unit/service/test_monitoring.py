"""Whose file systems the monitor looks at."""

from __future__ import annotations

from fastscp.service.monitoring import places_of
from fastscp.store.policy import StorePolicy


def test_directories_of_sections_count_where_they_are_others() -> None:
    common = StorePolicy("/in", quarantine="/q")
    sections = {"same": common, "ct": StorePolicy("/ct", quarantine="/ctq"), "none": StorePolicy("/in", ignore=True)}
    assert places_of(common, "/s", sections) == {"output": "/in", "quarantine": "/q", "state": "/s", "output of ct": "/ct", "quarantine of ct": "/ctq"}


def test_nothing_is_written_where_objects_are_ignored() -> None:
    assert places_of(StorePolicy("/in", ignore=True), None, {}) == {"state": "/in/.fastscp"}
