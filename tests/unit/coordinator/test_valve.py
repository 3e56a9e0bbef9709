from __future__ import annotations

import pytest

from fastscp.coordinator.valve import Valve


def test_closes_at_its_limit_and_opens_below_nine_tenths(caplog: pytest.LogCaptureFixture) -> None:
    valve = Valve(20)
    seen = [(waiting, valve.look(waiting), valve.closed) for waiting in (19, 20, 25, 19, 18, 19, 20, 0)]
    assert seen == [(19, False, False), (20, True, True), (25, False, True), (19, False, True), (18, True, False),
                    (19, False, False), (20, True, True), (0, True, False)]
    assert [record.getMessage() for record in caplog.records] == [
        "20 hooks wait, further objects have to wait, too", "18 hooks wait, objects are let in again"] * 1 + [
        "20 hooks wait, further objects have to wait, too", "0 hooks wait, objects are let in again"]


def test_one_is_a_limit_too() -> None:
    valve = Valve(1)
    assert (valve.look(1), valve.look(1), valve.look(0)) == (True, False, True)
    assert not valve.closed
