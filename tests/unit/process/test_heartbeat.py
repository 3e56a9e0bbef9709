from __future__ import annotations

import os

from fastscp.process.heartbeat import BEAT_S, Heartbeat, process_state
from tests.support.fakes import FakeLoop


def test_beats_of_a_child_are_seen_by_its_parent() -> None:
    heart = Heartbeat()
    assert heart.count == 0
    pid = os.fork()
    if not pid:
        try:
            for _ in range(300):
                heart.beat()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert heart.count == 300
    heart.close()


def test_heart_beats_as_long_as_the_loop_comes_round() -> None:
    heart, loop = Heartbeat(), FakeLoop()
    heart.beat_in(loop)
    assert heart.count == 1
    loop.advance(3 * BEAT_S)
    assert heart.count == 4


def test_state_of_a_process() -> None:
    assert process_state(os.getpid()) == "R"
    assert process_state(0) == ""
