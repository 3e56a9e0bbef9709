"""What keeps objects off the express lane: wherever a name may need a decision, the usual way makes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fastscp import core
from fastscp.config import Config
from fastscp.store.own_paths import OwnPaths
from fastscp.store.policy import FileNames, OnDuplicate, StorePolicy
from fastscp.worker.context import ServiceContext
from fastscp.worker.express import depot_of
from tests.support.fake_worker import Bench

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the compiled core was not built")


def context(tmp_path: Path, **store: object) -> ServiceContext:
    return Bench(Config(store=StorePolicy(str(tmp_path), **store))).context.service  # type: ignore[arg-type]


def test_plain_receiving_has_a_depot(tmp_path: Path) -> None:
    assert depot_of(context(tmp_path)) is not None


@pytest.mark.parametrize("rule", [rule for rule in OnDuplicate if rule is not OnDuplicate.REPLACE])
def test_duplicates_are_decided_by_the_usual_way(tmp_path: Path, rule: OnDuplicate) -> None:
    assert depot_of(context(tmp_path, on_duplicate=rule)) is None


@pytest.mark.parametrize("names", [FileNames.TIME, FileNames.UNIQUE])
def test_other_names_are_made_by_the_usual_way(tmp_path: Path, names: FileNames) -> None:
    assert depot_of(context(tmp_path, file_names=names)) is None


def test_names_of_the_service_are_kept_free_by_the_usual_way(tmp_path: Path) -> None:
    service = context(tmp_path)
    for file, lane in (("CT.log", False), ("fastscp.log", True)):
        own = OwnPaths(files=[str(tmp_path / file)])
        assert (depot_of(replace(service, reception=replace(service.reception, own=own))) is not None) is lane
