from __future__ import annotations

import pytest

from fastscp.coordinator.patience import Patience
from fastscp.errors import ProcessError
from fastscp.process import fdpass, packets
from fastscp.process.heartbeat import Heartbeat


def test_whoever_waits_gives_signs_of_life() -> None:
    ours, theirs = fdpass.channel_pair()
    heart, slept = Heartbeat(), []
    with ours, theirs:
        wait = Patience(theirs, heart, slept.append)
        wait(0.5)
        wait(0.5)
    assert slept == [0.5, 0.5]
    assert heart.count == 2


@pytest.mark.parametrize("kind", ["drain", "stop", None])
def test_order_to_end_and_the_end_of_the_parent_end_the_wait(kind: str | None) -> None:
    ours, theirs = fdpass.channel_pair()
    wait = Patience(theirs, None, lambda _seconds: None)
    wait(1)
    if kind is not None:
        ours.send(packets.encode({"kind": kind}))  # type: ignore[typeddict-item]
    ours.close()
    with theirs, pytest.raises(ProcessError, match="told to end"):
        wait(1)


def test_what_else_is_said_is_there_afterwards() -> None:
    ours, theirs = fdpass.channel_pair()
    with ours, theirs:
        ours.send(packets.encode({"kind": "reload"}))
        Patience(theirs, None, lambda _seconds: None)(1)
        assert packets.decode_control(fdpass.receive(theirs)[0]) == {"kind": "reload"}
