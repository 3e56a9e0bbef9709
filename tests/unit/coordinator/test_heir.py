"""Who waits for the state of a coordinator without an acceptor process gets it soon, and nobody else makes it leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.coordinator import heir
from fastscp.coordinator.heir import LAST_WORDS_S, LOOK_S, Heir
from fastscp.coordinator.state import SqliteState
from tests.support.fakes import FakeLoop


def test_state_is_left_soon_after_somebody_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Path] = []
    waits = False

    def is_waited_for(path: Path) -> bool:
        asked.append(path)
        return waits

    monkeypatch.setattr(heir, "is_waited_for", is_waited_for)
    loop, stops = FakeLoop(), []
    Heir(loop, SqliteState(tmp_path), lambda: stops.append(loop.now)).look()  # type: ignore[arg-type]
    loop.advance(10 * LOOK_S)
    assert set(asked) == {tmp_path}
    assert len(asked) >= 10
    assert caplog.messages == []
    waits = True
    begin = loop.now
    loop.advance(LOOK_S)
    assert stops == []
    loop.advance(LAST_WORDS_S)
    assert len(stops) == 1
    assert stops[0] - begin <= LOOK_S + LAST_WORDS_S + 0.001
    loop.advance(60)
    assert len(stops) == 1
    assert caplog.messages == ["another service waits for the state, it gets it"]


def test_state_in_memory_is_of_use_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heir, "is_waited_for", lambda _: True)
    loop, stops = FakeLoop(), []
    Heir(loop, SqliteState(None), lambda: stops.append(loop.now)).look()  # type: ignore[arg-type]
    loop.advance(60)
    assert stops == []
