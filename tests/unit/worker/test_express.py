"""Which objects have an express lane, and where."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastscp import core
from fastscp.config import Config
from fastscp.config.network import FaultPolicy
from fastscp.dicom.options import OutputOptions
from fastscp.log.names import APPLICATION
from fastscp.store.policy import FileNames, OnDuplicate, StorePolicy, Sync
from fastscp.ul.answers import Answers
from fastscp.worker.express import depot_of, lane_of
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.fake_worker import NEGOTIATION, Bench

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")


def service(tmp_path: Path, **changes: Any) -> Any:
    config = replace(Config(), store=StorePolicy(str(tmp_path)))
    made = Bench(config).context.service
    store = changes.pop("store", None)
    made = replace(made, **changes)
    return made if store is None else replace(made, reception=replace(made.reception, store=replace(made.reception.store, **store)))


def test_plain_storing_has_a_depot(tmp_path: Path) -> None:
    assert depot_of(service(tmp_path)) is not None


@pytest.mark.parametrize("changes", [
    {"store": {"ignore": True}}, {"store": {"file_names": FileNames.TIME}}, {"store": {"extension": "_x"}},
    {"store": {"on_duplicate": OnDuplicate.KEEP}}, {"store": {"sync": Sync.OBJECT}},
    {"faults": FaultPolicy(sleep_after_s=1)}, {"faults": FaultPolicy(abort_during=True)}, {"hooks_first": True},
    {"group": object()}, {"durable": True},
])
def test_whatever_needs_more_has_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert depot_of(service(tmp_path, **changes)) is None


def lane(tmp_path: Path, output: OutputOptions) -> core.Lane | None:
    made = service(tmp_path)
    event = Answers(NEGOTIATION).to(wire.RQ[6:]).event
    made = replace(made, reception=replace(made.reception, output=output))
    return lane_of(depot_of(made), made, None, event, 16384)  # type: ignore[arg-type, return-value]


def test_nothing_is_written_undeflated_that_is_to_be_deflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[int, tuple[str, str]]] = []
    class Seen:
        directory = ""

        def __init__(self, _depot: object, contexts: Any, _describe: object, **_: object) -> None:
            seen.append(contexts)

    monkeypatch.setattr(core, "Lane", Seen)
    lane(tmp_path, OutputOptions())
    lane(tmp_path, OutputOptions(transfer_syntax=ds.DEFLATED))
    lane(tmp_path, OutputOptions(bit_preserving=True))
    assert seen[0]
    assert seen[1] == {}
    assert seen[2] == seen[0]


def test_objects_that_are_written_about_in_the_log_have_none(tmp_path: Path) -> None:
    logger = logging.getLogger(APPLICATION)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        assert lane(tmp_path, OutputOptions()) is None
    finally:
        logger.setLevel(before)
