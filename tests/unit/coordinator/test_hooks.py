from __future__ import annotations

import errno
import os
import signal

import pytest

from fastscp.coordinator.hooks import KILL_AFTER_S, NOT_STARTED, HookProcesses, HookRunner, _file_actions
from tests.support.fakes import FakeLoop, FakeProcesses

TERM, KILL = signal.SIGTERM, signal.SIGKILL


class Bench:
    def __init__(self, *, jobs: int = 2, timeout_s: float | None = None) -> None:
        self.loop = FakeLoop()
        self.processes = FakeProcesses()
        self.runner = HookRunner(self.loop, self.processes, jobs=jobs, timeout_s=timeout_s)
        self.ended: list[tuple[str, int]] = []

    def start(self, name: str = "hook") -> int:
        self.runner.start(name, ["/bin/sh", "-c", "true"], {"A": "b"},
                          lambda status: self.ended.append((name, status)))
        return max(self.processes.spawned, default=0)

    def end(self, pid: int, status: int = 0) -> None:
        self.processes.end(pid, status)
        self.loop.send_signal(signal.SIGCHLD)


def test_hook_gets_its_arguments_and_variables() -> None:
    bench = Bench()
    pid = bench.start()
    assert bench.processes.spawned[pid] == (["/bin/sh", "-c", "true"], {"A": "b"})


def test_room_is_for_as_many_as_configured() -> None:
    bench = Bench(jobs=2)
    first = bench.start()
    assert bench.runner.has_room
    bench.start()
    assert not bench.runner.has_room
    bench.end(first)
    assert bench.runner.has_room


def test_only_what_ended_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    first, second = bench.start("first"), bench.start("second")
    bench.loop.send_signal(signal.SIGCHLD)
    assert bench.ended == []
    bench.end(second, 7)
    assert bench.ended == [("second", 7)]
    bench.end(first, -9)
    assert bench.ended == [("second", 7), ("first", -9)]
    assert caplog.messages == ["second ended with exit status 7", "first was ended by signal 9"]


def test_hook_started_from_the_end_of_another_is_not_forgotten() -> None:
    bench = Bench(jobs=1)
    bench.runner.start("first", ["true"], {}, lambda _status: bench.start("second"))
    bench.end(501)
    assert bench.processes.running == [502]
    bench.end(502)
    assert bench.ended == [("second", 0)]


def test_hook_past_its_time_is_terminated_then_killed(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(timeout_s=10)
    pid = bench.start()
    bench.loop.advance(9.9)
    assert bench.processes.signals == []
    bench.loop.advance(0.1)
    assert bench.processes.signals == [(pid, TERM)]
    bench.loop.advance(KILL_AFTER_S)
    assert bench.processes.signals == [(pid, TERM), (pid, KILL)]
    bench.end(pid, -9)
    assert bench.ended == [("hook", -9)]
    assert caplog.messages[0] == "hook takes longer than 10 seconds, terminated"


def test_hook_that_ends_in_time_is_never_signalled() -> None:
    bench = Bench(timeout_s=10)
    bench.end(bench.start())
    bench.loop.advance(60)
    assert bench.processes.signals == []
    assert bench.loop.next_timer is None


def test_terminated_hook_takes_its_group_along_and_is_not_killed_later() -> None:
    bench = Bench(timeout_s=10)
    pid = bench.start()
    bench.loop.advance(10)
    bench.end(pid, -15)
    assert bench.processes.signals == [(pid, TERM), (pid, KILL)]
    bench.loop.advance(60)
    assert len(bench.processes.signals) == 2


def test_what_a_hook_leaves_running_is_its_own_business_when_it_ended_in_time() -> None:
    bench = Bench(timeout_s=10)
    bench.end(bench.start(), 1)
    assert bench.processes.signals == []


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file"), ValueError("embedded null byte")])
def test_program_that_cannot_be_started_is_told_from_the_loop(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(jobs=1)
    bench.processes.refuse = error
    bench.start()
    assert bench.ended == []
    assert bench.runner.has_room
    bench.loop.advance(0)
    assert bench.ended == [("hook", NOT_STARTED)]
    assert "cannot be executed: /bin/sh" in caplog.text


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.ENOBUFS,
                                    errno.EINTR])
def test_hook_that_cannot_be_started_for_want_of_something_has_not_begun(number: int) -> None:
    bench = Bench(jobs=1)
    bench.processes.refuse = OSError(number, os.strerror(number))
    assert not bench.runner.start("hook", ["/bin/sh", "-c", "true"], {}, lambda status: bench.ended.append(("hook", status)))
    bench.loop.advance(60)
    assert bench.ended == []
    assert not bench.runner.busy
    bench.processes.refuse = None
    bench.start()
    assert bench.runner.busy


def test_hook_that_was_ended_for_its_time_has_failed_whatever_it_says() -> None:
    bench = Bench(timeout_s=10)
    pid = bench.start()
    bench.loop.advance(10)
    bench.end(pid, 0)
    assert bench.ended == [("hook", -signal.SIGTERM)]


def test_hooks_read_nothing_and_inherit_output() -> None:
    actions = _file_actions(sockets_as_output=True)
    assert actions == [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]


def test_sockets_are_no_output_under_inetd(monkeypatch: pytest.MonkeyPatch) -> None:
    def fstat(descriptor: int) -> os.stat_result:
        if descriptor == 2:
            raise OSError(9, "closed")
        return os.stat_result((0o140777, *[0] * 9))  # a socket

    monkeypatch.setattr(os, "fstat", fstat)
    assert [action[1:3] for action in _file_actions(sockets_as_output=False)] == [
        (0, os.devnull), (1, os.devnull), (2, os.devnull)]
    assert [action[1] for action in _file_actions(sockets_as_output=True)] == [0]


def test_group_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_pid: int, _number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", gone)
    HookProcesses.signal_group(1 << 22, TERM)
