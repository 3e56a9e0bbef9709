"""A child from its first to its last instruction, without a fork: the test is parent and child in turn."""

from __future__ import annotations

import gc
import logging
import os
import signal

import pytest

from fastscp.process import child as module
from fastscp.process.child import SystemProcesses, forget_signals, run_child


class Gone(BaseException):
    """Stands for the end of the process."""


class Belonging:
    def __init__(self, order):
        self.order = order

    def close(self):
        self.order.append("closed")


@pytest.fixture
def order(monkeypatch):
    """What the child does, in order; its title is not this process's."""
    order = []
    monkeypatch.setattr(module, "set_title", lambda title: order.append(f"title {title}"))
    monkeypatch.setattr(module, "forget_signals", lambda: order.append("signals"))
    monkeypatch.setattr(logging, "shutdown", lambda: order.append("log"))
    return order


def be_child(run, order, **options):
    """Run the child's side; return the exit status."""
    statuses = []

    def leave(status):
        statuses.append(status)
        raise Gone

    with pytest.raises(Gone):
        run_child(run, title="worker 1", close=[Belonging(order)], fork=lambda: 0, leave=leave, **options)
    return statuses[0]


def test_parent_gets_the_pid_and_does_nothing_else(order):
    def never():
        raise AssertionError("ran in the parent")

    assert run_child(never, title="worker 1", close=[Belonging(order)], fork=lambda: 4711, leave=never) == 4711
    assert order == []
    assert gc.get_freeze_count() == 0


def test_child_closes_what_belongs_to_others_before_it_runs(order):
    def run():
        order.append("ran")
        return 3

    assert be_child(run, order) == 3
    assert order == ["signals", "closed", "title worker 1", "ran", "log"]


def test_exception_that_nobody_caught_is_logged_and_status_70(order, caplog):
    def fail():
        raise ValueError("a bug")

    assert be_child(fail, order) == 70
    assert [record.getMessage() for record in caplog.records] == ["process ends after an internal error"]
    assert caplog.records[0].exc_info[0] is ValueError
    assert order[-1] == "log"


def test_child_that_cannot_even_close_never_runs_and_never_returns(order, caplog):
    class Broken:
        def close(self):
            raise OSError("no")

    statuses = []

    def leave(status):
        statuses.append(status)
        raise Gone

    with pytest.raises(Gone):
        run_child(lambda: order.append("ran"), title="x", close=[Broken()], name="coordinator", fork=lambda: 0, leave=leave)
    assert statuses == [70]
    assert "ran" not in order
    assert caplog.records[0].getMessage() == "coordinator ends after an internal error"


def test_failed_fork_leaves_nothing_behind(order):
    def no_process():
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        run_child(lambda: 0, title="x", close=[Belonging(order)], fork=no_process)
    assert order == []
    assert gc.get_freeze_count() == 0


@pytest.fixture
def signals():
    """Put the signal handlers of this process back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)}
    every = {number: signal.getsignal(number) for number in signal.valid_signals()}
    reader, writer = os.pipe2(os.O_NONBLOCK)
    yield writer
    signal.set_wakeup_fd(-1)
    for number, handler in every.items():
        if callable(handler):
            signal.signal(number, handler)
    for number, handler in before.items():
        signal.signal(number, handler)
    os.close(reader)
    os.close(writer)


def test_signals_that_the_parent_handles_mean_nothing_to_the_child(signals):
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.set_wakeup_fd(signals)
    forget_signals()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(("status", "exit_code"), [(0, 0), (1 << 8, 1), (signal.SIGKILL, -signal.SIGKILL)])
def test_exit_code_of_a_child(monkeypatch, status, exit_code):
    monkeypatch.setattr(os, "waitpid", lambda pid, _options: (pid, status))
    assert SystemProcesses().poll(4711) == exit_code
    assert SystemProcesses().wait(4711) == exit_code


def test_child_that_lives_has_no_exit_code(monkeypatch):
    monkeypatch.setattr(os, "waitpid", lambda _pid, _options: (0, 0))
    assert SystemProcesses().poll(4711) is None


def test_child_that_somebody_else_collected_has_ended(monkeypatch):
    def nobodys(_pid, _options):
        raise ChildProcessError

    monkeypatch.setattr(os, "waitpid", nobodys)
    assert SystemProcesses().poll(4711) == 0
    assert SystemProcesses().wait(4711) == 0


def test_signal_goes_to_the_child(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda *arguments: sent.append(arguments))
    SystemProcesses().kill(4711, signal.SIGTERM)
    assert sent == [(4711, signal.SIGTERM)]
