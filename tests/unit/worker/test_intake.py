from __future__ import annotations

from fastscp.worker.intake import HOOKS, PACKETS, Intake
from tests.support.fakes import FakeLoop


def test_who_waits_goes_on_in_the_next_round_once() -> None:
    loop = FakeLoop()
    intake = Intake(loop, 100_000)  # type: ignore[arg-type]
    went_on: list[str] = []
    intake.hold(HOOKS)
    for name in ("a", "b", "c"):
        intake.wait(name, lambda name=name: went_on.append(name))  # type: ignore[misc]
    intake.forget("b")
    intake.forget("nobody")
    intake.release(HOOKS)
    assert went_on == []
    loop.next_round()
    assert went_on == ["a", "c"]
    intake.hold(HOOKS)
    intake.release(HOOKS)
    assert loop.next_round() == 0


def test_two_reasons_have_to_go() -> None:
    intake = Intake(FakeLoop(), 100_000)  # type: ignore[arg-type]
    intake.release(HOOKS)
    assert not intake.held
    intake.hold(HOOKS)
    intake.hold(PACKETS)
    intake.hold(PACKETS)
    intake.release(PACKETS)
    assert intake.held
    intake.release(HOOKS)
    assert not intake.held


def test_little_is_read_at_once_while_objects_wait() -> None:
    intake = Intake(FakeLoop(), 100_000)  # type: ignore[arg-type]
    assert len(intake.buffer) == 100_000
    intake.hold(HOOKS)
    assert len(intake.buffer) == 16_384
    intake.buffer[0] = 7
    intake.release(HOOKS)
    assert len(intake.buffer) == 100_000
    assert intake.buffer[0] == 7, "it is the same memory"
