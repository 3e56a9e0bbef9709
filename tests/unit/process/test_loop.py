from __future__ import annotations

import os
import signal
import socket
from types import SimpleNamespace

import pytest

from fastscp.process import loop as loop_module
from fastscp.process.loop import IN, SOON_S, Loop


@pytest.fixture
def loop() -> Loop:
    made = Loop()
    yield made  # type: ignore[misc]
    made.close()


def test_timers_run_in_order_and_cancelled_ones_do_not(loop: Loop) -> None:
    ran: list[str] = []
    loop.call_later(0.02, lambda: ran.append("second"))
    loop.call_later(0.001, lambda: ran.append("first"))
    loop.call_later(0.005, lambda: ran.append("cancelled")).cancel()
    loop.call_later(0.03, loop.stop)
    loop.run()
    assert ran == ["first", "second"]


def test_handler_closed_in_the_same_round_is_not_called(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def handle(mine: int, other: int) -> None:
        called.append(mine)
        if pairs[other][0].fileno() in loop:
            loop.unregister(pairs[other][0].fileno())
        loop.stop()

    for mine, other in ((0, 1), (1, 0)):
        loop.register(pairs[mine][0].fileno(), IN, lambda _mask, mine=mine, other=other: handle(mine, other))
        pairs[mine][1].send(b"x")
    loop.run()
    assert len(called) == 1
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_signals_are_handled_in_the_loop_and_given_back(loop: Loop) -> None:
    seen: list[int] = []

    def handle() -> None:
        seen.append(signal.SIGUSR1)
        loop.stop()

    loop.on_signal(signal.SIGUSR1, handle)
    loop.call_later(0, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    loop.run()
    assert seen == [signal.SIGUSR1]
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_stop_before_run_returns_at_once(loop: Loop) -> None:
    loop.stop()
    loop.run()
    assert loop.now > 0


def test_timers_that_lead_to_timers_let_descriptors_come_in_between(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    ran: list[str] = []

    def tick() -> None:
        ran.append("timer")
        loop.call_at(0.0, tick)  # due at once, again and again

    def ready(_mask: int) -> None:
        ran.append("descriptor")
        loop.stop()

    loop.register(ours.fileno(), IN, ready)
    theirs.send(b"x")
    loop.call_at(0.0, tick)
    loop.call_at(0.0, lambda: ran.append("other"))
    loop.run()
    assert ran == ["timer", "other", "descriptor"]
    ours.close()
    theirs.close()


def test_calls_that_can_wait_have_a_share_of_the_round(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    ours, theirs = socket.socketpair()
    ran: list[str] = []

    def work(name: str, takes_s: float) -> None:
        ran.append(name)
        clock[0] += takes_s

    def ready(_mask: int) -> None:
        ran.append("descriptor")
        if ran.count("descriptor") == 3:
            loop.stop()

    loop.register(ours.fileno(), IN, ready)
    theirs.send(b"x")
    for name, takes_s in (("long", SOON_S), ("short", SOON_S / 3), ("shorter", SOON_S / 4), ("long again", SOON_S)):
        loop.soon(lambda name=name, takes_s=takes_s: work(name, takes_s))  # type: ignore[misc]
    loop.run()
    assert ran == ["descriptor", "long", "descriptor", "short", "shorter", "long again", "descriptor"]
    ours.close()
    theirs.close()


def test_calls_that_are_added_meanwhile_wait_for_the_next_round(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    ran: list[str] = []

    def again() -> None:
        ran.append("soon")
        loop.soon(again)

    def ready(_mask: int) -> None:
        ran.append("descriptor")
        if len(ran) > 3:
            loop.stop()

    loop.register(ours.fileno(), IN, ready)
    theirs.send(b"x")
    loop.soon(again)
    loop.run()
    assert ran[:4] == ["descriptor", "soon", "descriptor", "soon"]
    ours.close()
    theirs.close()
