"""The service from the acceptor process's point of view: nothing forks, nobody connects, no time passes by itself."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import signal
import socket

import pytest

from fastscp.acceptor.policy import AcceptorPolicy
from fastscp.acceptor.process import AcceptorProcess
from fastscp.acceptor.resolver import HostName
from fastscp.access.policy import AccessPolicy
from fastscp.errors import UsageError
from fastscp.process import fdpass, packets
from fastscp.process.loop import IN
from fastscp.proxy.policy import proxy_policy
from tests.support.fake_processes import (
    FakeChildren,
    FakeListener,
    FakeProcesses,
    FakeResolver,
    FakeSocket,
    pump,
)
from tests.support.fakes import FakeLoop


class Service:
    """An acceptor process and the world around it."""

    def __init__(self, *, resolver=None, watchdog_s=None, predecessor=None, listener=None, start_program=None, **policy) -> None:
        self.loop = FakeLoop()
        self.processes = FakeProcesses()
        self.far = FakeChildren()
        self.listener = listener or FakeListener()
        self.told: list[tuple[str, ...]] = []
        self.resolver = resolver
        self.process = AcceptorProcess(
            AcceptorPolicy(**{"workers": 2, "drain_timeout_s": 30.0, **policy}), [self.listener], self.far.children,
            resolver=resolver, watchdog_s=watchdog_s, predecessor=predecessor, start_program=start_program, loop=self.loop, processes=self.processes, clock=lambda: self.loop.now,
            notify=lambda *assignments: self.told.append(assignments) is None)

    @property
    def listening(self) -> bool:
        return self.listener.descriptor in self.loop

    @property
    def coordinator(self):
        return self.far.coordinators[-1]

    def start(self, *, ready=True, up=True):
        self.process.start()
        if ready:
            self.coordinator.say("ready")
            pump(self.loop)
        if ready and up:
            for worker in self.far.workers:
                worker.say("up")
            pump(self.loop)
            self.coordinator.hear()
            for worker in self.far.workers:
                worker.hear()
        return self

    def connect(self, address="192.0.2.7"):
        """Have a peer connect; return our end of the connection."""
        ours, _ = socket.socketpair()
        return self.arrive((ours, (address, 40000)))

    def arrive(self, outcome):
        self.listener.queue.append(outcome)
        self.loop.fire(self.listener.descriptor, IN)
        return outcome[0] if isinstance(outcome, tuple) else None

    def work_off(self, index, number):
        """Have a worker take a connection and finish it."""
        worker = self.far.workers[index]
        worker.say("taken", number=number)
        worker.say("finished", number=number)
        pump(self.loop)

    def end(self, title, exit_code=0):
        """Have the latest child of that title end."""
        ends = self.far.coordinators if title == "coordinator" else [
            end for end, start in zip(self.far.workers, self.far.starts, strict=True) if f"worker {start.index + 1}" == title]
        ends[-1].die()
        self.processes.latest(title).exit_code = exit_code
        pump(self.loop)
        self.loop.send_signal(signal.SIGCHLD)


@pytest.fixture
def service():
    made = []

    def make(**options):
        made.append(Service(**options))
        return made[-1]

    yield make
    for each in made:
        each.far.close()


# -- start ----------------------------------------------------------------------------------------


def test_workers_start_when_the_coordinator_has_recovered(service):
    running = service().start(ready=False)
    assert running.processes.titles == ["coordinator"]
    running.coordinator.say("ready")
    pump(running.loop)
    assert running.processes.titles == ["coordinator", "worker 1", "worker 2"]
    assert [start.index for start in running.far.starts] == [0, 1]


def test_service_manager_is_told_when_every_worker_is_up_and_only_once(service):
    running = service().start(up=False)
    running.far.workers[0].say("up")
    pump(running.loop)
    assert running.told == []
    running.far.workers[1].say("up")
    pump(running.loop)
    assert running.told == [("READY=1", "STATUS=receiving with 2 workers", f"MAINPID={os.getpid()}")]
    running.end("worker 2", -signal.SIGKILL)
    running.loop.advance(0)
    running.far.workers[2].say("up")
    pump(running.loop)
    assert len(running.told) == 1


def test_nobody_is_let_in_before_there_are_workers(service):
    running = service().start(ready=False)
    assert not running.listening
    running.coordinator.say("ready")
    pump(running.loop)
    assert running.listening


def test_coordinator_that_cannot_start_ends_the_service(service, caplog):
    running = service().start(ready=False)
    running.end("coordinator", 1)
    assert running.loop.stopped
    assert running.process.finish() == 1
    assert "the coordinator could not start, giving up" in caplog.messages
    assert running.processes.titles == ["coordinator"]


def test_rules_that_cannot_be_read_end_the_start_before_the_first_child(service, tmp_path):
    running = service(access=AccessPolicy(enabled=True, allow_file=str(tmp_path)))
    with pytest.raises(UsageError):
        running.process.start()
    assert running.processes.started == []


def test_second_coordinator_that_is_ready_starts_no_further_workers(service):
    running = service().start()
    running.end("coordinator", 1)
    running.loop.advance(0)
    running.coordinator.say("ready")
    pump(running.loop)
    assert running.processes.titles == ["coordinator", "worker 1", "worker 2", "coordinator"]


def test_second_coordinator_that_is_ready_while_every_worker_waits_for_its_turn_starts_none_twice(service):
    running = service(workers=1).start()
    for _ in range(4):
        running.end("worker 1", 1)
        running.loop.advance(0.5)
    running.end("worker 1", 1)  # the next one comes after 1.6 s
    running.end("coordinator", 1)
    running.loop.advance(0)
    running.coordinator.say("ready")
    pump(running.loop)
    running.loop.advance(5)
    assert len(running.process._pool.slots) == 1


# -- children and what they inherit ---------------------------------------------------------------


def test_child_closes_everything_that_is_not_its_own(service):
    resolver = FakeResolver()
    running = service(resolver=resolver, connections_per_worker=1).start(up=False)
    resolver.known["192.0.2.1"] = ""
    waiting_for_worker = running.connect("192.0.2.1")
    waiting_for_name = running.connect("192.0.2.2")
    running.end("worker 1", 1)
    running.loop.advance(0)
    closed = running.processes.latest("worker 1").closes
    assert running.loop in closed
    assert running.listener in closed
    assert resolver.channel in closed
    assert waiting_for_worker in closed
    assert waiting_for_name in closed
    supervisor, pool = running.process._supervisor, running.process._pool
    assert supervisor.coordination.channel in closed
    assert all(slot.channel in closed for slot in pool.slots.values())


# -- accepting ------------------------------------------------------------------------------------


def test_connection_goes_to_a_worker(service):
    running = service().start()
    sock = running.connect("::ffff:192.0.2.7")
    assert running.far.workers[0].hear() == [{"kind": "connection", "number": 1, "address": "192.0.2.7", "port": 40000,
                                              "host": "", "host_follows": False, "proxied": False,
                                               "descriptor": True}]
    assert not sock.getblocking()
    running.work_off(0, 1)
    assert sock.fileno() == -1


def test_limit_of_associations_is_kept_exactly(service):
    running = service(max_associations=2).start()
    running.connect()
    assert running.listening
    running.connect()
    assert not running.listening
    running.work_off(0, 1)
    assert running.listening
    running.connect()
    assert not running.listening


def test_as_many_connections_as_the_workers_have_descriptors_for(service):
    running = service(connections_per_worker=1).start()
    running.connect()
    assert running.listening
    running.connect()
    assert not running.listening
    running.work_off(1, 2)
    assert running.listening


def test_connection_that_waits_for_its_name_counts(service, tmp_path):
    resolver = FakeResolver()
    (tmp_path / "deny").write_text("ALL: .evil.example\n")
    access = AccessPolicy(enabled=True, allow_file=str(tmp_path / "allow"), deny_file=str(tmp_path / "deny"))
    running = service(max_associations=1, resolver=resolver, access=access).start()
    running.arrive((socket.socket(), ("192.0.2.7", 40000)))
    assert not running.listening
    resolver.answer(running.loop, "192.0.2.7", "pacs.example")
    assert running.far.workers[0].hear()[0]["host"] == "pacs.example"
    assert not running.listening
    running.work_off(0, 1)
    assert running.listening


def test_name_that_is_wanted_follows_to_everybody(service):
    resolver = FakeResolver()
    running = service(workers=1, resolver=resolver, names_wanted=True).start()
    running.connect("192.0.2.7")
    assert running.far.workers[0].hear()[0]["host_follows"]
    running.coordinator.hear()
    resolver.answer(running.loop, "192.0.2.7", "pacs.example")
    told = {"kind": "host", "address": "192.0.2.7", "host": "pacs.example"}
    assert running.far.workers[0].hear() == [told]
    assert running.coordinator.hear() == [told]
    untaken = running.process._pool.slots.popitem()[1].untaken.popitem()[1]
    assert untaken.peer.name == "pacs.example"


def test_connection_that_died_in_the_queue_is_nothing_to_stop_for(service, caplog):
    caplog.set_level(logging.INFO)
    running = service().start()
    running.arrive(ConnectionAbortedError(errno.ECONNABORTED, "aborted"))
    assert running.listening
    assert "connection lost before it was accepted: [Errno 103] aborted" in caplog.messages


def test_nothing_to_accept_after_all(service):
    running = service().start()
    running.loop.fire(running.listener.descriptor, IN)
    assert running.listening


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_accepting_pauses_when_the_system_has_nothing_to_give(service, number):
    running = service().start()
    running.arrive(OSError(number, "no more"))
    assert not running.listening
    running.loop.advance(0.05)
    assert not running.listening
    running.loop.advance(0.06)
    assert running.listening


def test_want_of_descriptors_is_logged_once_until_it_is_over(service, caplog):
    running = service().start()
    for _ in range(5):
        running.arrive(OSError(errno.EMFILE, "no more"))
        running.loop.advance(0.2)
    assert caplog.text.count("cannot accept") == 1
    running.connect()
    running.arrive(OSError(errno.EMFILE, "no more"))
    assert caplog.text.count("cannot accept") == 2


def test_acceptor_process_takes_no_more_than_it_has_descriptors_for(service):
    running = service(connections_held=2).start()
    running.connect()
    running.connect()
    assert not running.listening
    running.far.workers[0].hear()
    running.far.workers[0].say("taken", number=1)
    pump(running.loop)
    assert running.listening


def test_pause_does_not_outlast_the_limit_nor_open_what_is_full(service):
    running = service(max_associations=1).start()
    running.connect()
    running.far.workers[0].hear()
    running.far.workers[0].say("taken", number=1)
    pump(running.loop)
    running.process._listening._accept_failed(OSError(errno.EMFILE, "no more"))
    running.loop.advance(1)
    assert not running.listening
    running.far.workers[0].say("finished", number=1)
    pump(running.loop)
    assert running.listening


# -- dying children -------------------------------------------------------------------------------


def test_without_a_worker_nobody_is_let_in_until_there_is_one_again(service):
    running = service(workers=1).start()
    running.end("worker 1", -signal.SIGSEGV)
    assert not running.listening
    running.loop.advance(0)
    assert running.listening
    running.connect()
    assert running.far.workers[1].kinds() == ["event_channel"]
    running.far.workers[1].say("up")
    pump(running.loop)
    assert running.far.workers[1].kinds() == ["connection"]


def test_one_worker_of_two_dies_and_listening_goes_on(service):
    running = service().start()
    running.connect()
    running.end("worker 1", -signal.SIGKILL)
    assert running.listening
    assert running.far.workers[1].kinds() == ["connection"]  # the dead one had not taken it


# -- drain ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_ends_the_workers_then_the_coordinator_then_the_service(service, number):
    running = service().start()
    running.loop.send_signal(number)
    assert running.told[-1] == ("STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000")  # 30 s for associations, 30 s for hooks
    assert not running.listening
    assert running.listener.fileno() == -1
    assert [worker.kinds() for worker in running.far.workers] == [["drain"], ["drain"]]
    assert running.coordinator.kinds() == []
    running.end("worker 1")
    assert running.coordinator.kinds() == []
    running.end("worker 2")
    assert running.coordinator.kinds() == ["drain"]
    assert not running.loop.stopped
    running.end("coordinator")
    assert running.loop.stopped
    assert running.process.finish() == 0
    assert running.processes.titles == ["coordinator", "worker 1", "worker 2"]
    assert running.processes.killed == []


def test_drain_refuses_who_still_waits(service):
    resolver = FakeResolver()
    resolver.known["192.0.2.1"] = ""
    running = service(resolver=resolver).start(up=False)
    for_worker, for_name = running.connect("192.0.2.1"), running.connect("192.0.2.2")
    running.loop.send_signal(signal.SIGTERM)
    assert for_worker.fileno() == -1
    assert for_name.fileno() == -1
    resolver.answer(running.loop, "192.0.2.2", "late.example")
    assert "connection" not in running.far.workers[0].kinds()


def test_worker_that_dies_while_draining_is_not_replaced(service):
    running = service().start()
    running.loop.send_signal(signal.SIGTERM)
    running.end("worker 1", -signal.SIGKILL)
    running.end("worker 2")
    running.loop.advance(29)
    assert running.processes.titles == ["coordinator", "worker 1", "worker 2"]
    assert running.coordinator.kinds() == ["drain"]


def test_workers_that_do_not_end_within_the_drain_are_killed_and_the_hooks_run_all_the_same(service):
    running = service(drain_timeout_s=30.0).start()
    running.loop.send_signal(signal.SIGTERM)
    running.loop.advance(30.9)
    assert running.processes.killed == []
    running.loop.advance(0.2)
    assert sorted(running.processes.killed) == [(1001, signal.SIGKILL), (1002, signal.SIGKILL)]
    running.end("worker 1", -signal.SIGKILL)
    running.end("worker 2", -signal.SIGKILL)
    assert running.coordinator.kinds() == ["drain"]


def test_service_that_does_not_stop_at_once_is_killed(service):
    running = service(drain_timeout_s=600.0).start()
    running.loop.send_signal(signal.SIGTERM)
    running.loop.send_signal(signal.SIGTERM)
    running.loop.advance(4.9)
    assert running.processes.killed == []
    running.loop.advance(0.2)
    assert sorted(running.processes.killed) == [(1000, signal.SIGKILL), (1001, signal.SIGKILL), (1002, signal.SIGKILL)]


def test_service_manager_gets_a_sign_of_life_twice_in_the_time_it_waits(service):
    running = service(watchdog_s=10.0).start()
    running.loop.advance(10.0)
    assert running.told.count(("WATCHDOG=1",)) == 3


def test_nobody_who_does_not_want_a_sign_of_life_gets_one(service):
    running = service().start()
    running.loop.advance(100.0)
    assert ("WATCHDOG=1",) not in running.told


def test_process_that_hangs_is_killed_and_one_that_lives_is_not(service, caplog):
    running = service(hang_timeout_s=5.0).start()
    hearts = running.far.heartbeats
    for _ in range(20):
        for heart in hearts:
            heart.beat()
        running.loop.advance(0.5)
    assert running.processes.killed == []
    for _ in range(11):
        for heart in (hearts[0], hearts[2]):
            heart.beat()
        running.loop.advance(0.5)
    assert running.processes.killed == [(1001, signal.SIGKILL)]
    assert "worker 1 does not come round (process 1001), killing it" in caplog.messages


def test_names_that_a_hanging_resolver_does_not_find_are_done_without(service):
    resolver = FakeResolver()
    running = service(resolver=resolver, names_wanted=True).start()
    running.connect("192.0.2.2")
    resolver.answers.append(("192.0.2.2", HostName()))
    running.loop.advance(0.5)
    assert "host" not in running.far.workers[0].kinds()
    resolver.hangs = True
    running.loop.advance(0.3)
    assert "host" in running.far.workers[0].kinds()


def test_coordinator_whose_hooks_do_not_end_is_stopped_after_the_same_time_again(service):
    running = service(drain_timeout_s=30.0).start()
    running.loop.send_signal(signal.SIGTERM)
    running.loop.advance(20)
    running.end("worker 1")
    running.end("worker 2")
    assert running.coordinator.kinds() == ["drain"]
    running.loop.advance(29.9)
    assert running.coordinator.kinds() == []
    running.loop.advance(0.2)
    assert running.coordinator.kinds() == ["stop"]
    running.end("coordinator")
    assert running.loop.stopped


def test_second_signal_stops_at_once(service):
    running = service(drain_timeout_s=600.0).start()
    running.loop.send_signal(signal.SIGTERM)
    running.loop.send_signal(signal.SIGINT)
    assert [worker.kinds() for worker in running.far.workers] == [["drain", "stop"]] * 2
    assert running.coordinator.kinds() == []
    running.end("worker 1")
    running.end("worker 2")
    assert running.coordinator.kinds() == ["stop"]
    running.end("coordinator")
    assert running.loop.stopped
    assert running.process.finish() == 0


def test_second_signal_while_hooks_run_stops_the_coordinator(service):
    running = service(drain_timeout_s=600.0).start()
    running.loop.send_signal(signal.SIGTERM)
    running.end("worker 1")
    running.end("worker 2")
    running.loop.send_signal(signal.SIGTERM)
    assert running.coordinator.kinds() == ["drain", "stop"]
    running.loop.advance(5)
    assert running.processes.killed == [(1000, signal.SIGKILL)]


def test_drain_before_the_coordinator_is_ready_starts_no_workers(service):
    running = service().start(ready=False)
    running.loop.send_signal(signal.SIGTERM)
    assert running.coordinator.kinds() == ["drain"]
    running.coordinator.say("ready")
    pump(running.loop)
    running.end("coordinator")
    assert running.processes.titles == ["coordinator"]
    assert running.loop.stopped
    assert running.process.finish() == 0


def test_drain_during_a_pause_of_accepting_opens_nothing_again(service):
    running = service().start()
    running.arrive(OSError(errno.EMFILE, "no more"))
    running.loop.send_signal(signal.SIGTERM)
    running.loop.advance(1)
    assert not running.listening


def test_end_of_the_service_gives_everything_back(service):
    resolver = FakeResolver()
    resolver.known["192.0.2.1"] = ""
    running = service(resolver=resolver).start(up=False)
    waiting = running.connect("192.0.2.1")
    assert running.process.finish() == 1  # nobody told it to stop
    assert waiting.fileno() == -1
    assert running.loop.closed
    assert resolver.closed


def test_run_is_start_loop_and_finish(service):
    running = service()
    assert running.process.run() == 1
    assert running.processes.titles == ["coordinator"]
    assert running.loop.closed


# -- reload ---------------------------------------------------------------------------------------


def test_reload_reaches_everybody_and_the_service_manager(service, tmp_path):
    deny = tmp_path / "deny"
    deny.write_text("")
    running = service(access=AccessPolicy(enabled=True, allow_file=str(tmp_path / "none"), deny_file=str(deny))).start()
    running.told.clear()
    running.loop.send_signal(signal.SIGHUP)
    assert running.coordinator.kinds() == ["reload", "worker"]
    assert running.told == [("RELOADING=1",)]
    assert running.listening


class Renewed:
    """Follows the workers of a service through a renewal."""

    def __init__(self, running):
        self.running = running

    def come_up(self, number):
        self.running.far.workers[number].say("up")
        pump(self.running.loop)

    def kinds(self, number):
        return [kind for kind in self.running.far.workers[number].kinds() if kind != "event_channel"]

    def end(self, number, exit_code=0):
        """Have the worker that was started as that end."""
        self.running.far.workers[number].die()
        child = [child for child in self.running.processes.started if child.title.startswith("worker")][number]
        child.exit_code = exit_code
        self.running.loop.send_signal(signal.SIGCHLD)


def test_workers_are_replaced_one_by_one_and_go_on_with_what_they_have(service):
    running = service().start()
    workers = Renewed(running)
    running.connect()
    running.far.workers[0].hear()
    running.far.workers[0].say("taken", number=1)
    pump(running.loop)
    running.loop.send_signal(signal.SIGHUP)
    assert [start.index for start in running.far.starts] == [0, 1, 0]
    assert workers.kinds(0) == []  # there is nobody yet to take its place
    workers.come_up(2)
    assert workers.kinds(0) == ["retire"]
    assert [start.index for start in running.far.starts] == [0, 1, 0, 1]
    assert workers.kinds(1) == []
    assert running.told[-1] == ("RELOADING=1",)
    workers.come_up(3)
    assert workers.kinds(1) == ["retire"]
    assert running.told[-1] == ("READY=1",)
    workers.end(1)
    running.connect()
    running.connect()
    assert (workers.kinds(2), workers.kinds(3)) == (["connection"], ["connection"])
    assert workers.kinds(0) == []
    running.far.workers[0].say("finished", number=1)
    pump(running.loop)
    workers.end(0)
    running.loop.advance(60)
    assert len(running.far.workers) == 4


def test_worker_that_dies_before_it_is_up_does_not_end_the_renewal(service):
    running = service(workers=1).start()
    workers = Renewed(running)
    running.loop.send_signal(signal.SIGHUP)
    workers.end(1, -signal.SIGKILL)
    running.loop.advance(1)
    assert workers.kinds(0) == []
    workers.come_up(2)
    assert workers.kinds(0) == ["retire"]


def test_worker_that_dies_before_it_retires_is_replaced_once(service):
    running = service(workers=1).start()
    workers = Renewed(running)
    running.loop.send_signal(signal.SIGHUP)
    workers.end(0, -signal.SIGKILL)
    workers.come_up(1)
    running.loop.advance(60)
    assert len(running.far.workers) == 2
    assert running.told[-1] == ("READY=1",)


def test_second_reload_replaces_those_of_the_first(service):
    running = service(workers=1).start()
    workers = Renewed(running)
    running.loop.send_signal(signal.SIGHUP)
    running.loop.send_signal(signal.SIGHUP)
    workers.come_up(1)
    workers.come_up(2)
    assert (workers.kinds(0), workers.kinds(1), workers.kinds(2)) == (["retire"], ["retire"], [])


def test_drain_ends_a_renewal(service):
    running = service(workers=1).start()
    workers = Renewed(running)
    running.loop.send_signal(signal.SIGHUP)
    running.loop.send_signal(signal.SIGTERM)
    workers.come_up(1)
    assert (workers.kinds(0), workers.kinds(1)) == (["drain"], ["drain"])


def test_renewal_goes_on_when_there_is_a_process_again(service, caplog):
    running = service(workers=1).start()
    running.processes.refusals = 2
    running.loop.send_signal(signal.SIGHUP)
    assert len(running.far.workers) == 1
    running.loop.advance(0.5)
    assert len(running.far.workers) == 2
    assert "cannot start a process" in caplog.text


def test_worker_whose_channel_is_full_retires_when_it_reads(service):
    running = service(workers=1).start()
    workers = Renewed(running)
    slot = next(iter(running.process._pool.slots.values()))
    with pytest.raises(BlockingIOError):  # noqa: PT012 - which send fills the channel is open
        while True:
            slot.channel.send(b'{"kind":"drain"}')
    running.loop.send_signal(signal.SIGHUP)
    workers.come_up(1)
    assert "retire" not in workers.kinds(0)
    running.loop.advance(0.1)
    assert workers.kinds(0) == ["retire"]


# -- access rules ---------------------------------------------------------------------------------


@pytest.fixture
def closed_shop(tmp_path):
    deny = tmp_path / "deny"
    deny.write_text("ALL: 192.0.2.66\nALL: .evil.example\n")
    return AccessPolicy(enabled=True, allow_file=str(tmp_path / "none"), deny_file=str(deny))


def test_refused_connection_makes_room_at_once(service, closed_shop):
    running = service(max_associations=1, access=closed_shop).start()
    sock = running.arrive((FakeSocket(), ("192.0.2.66", 1)))
    assert sock.closed
    assert running.listening


def test_connection_refused_by_its_name_makes_room(service, closed_shop):
    resolver = FakeResolver()
    running = service(max_associations=1, access=closed_shop, resolver=resolver).start()
    sock = running.arrive((FakeSocket(), ("192.0.2.7", 1)))
    assert not running.listening
    resolver.answer(running.loop, "192.0.2.7", "host.evil.example")
    assert sock.closed
    assert running.listening


# -- what is told -----------------------------------------------------------------------------------


def fill(channel):
    """Send until nothing more goes."""
    while True:
        try:
            channel.send(b"{}" * 500)
        except BlockingIOError:
            return


def told_notes(running):
    """Return what the coordinator can read in the acceptor process's event channel."""
    heard = []
    while True:
        try:
            heard.append(json.loads(running.acceptor_channel.recv(65536)))
        except BlockingIOError:
            return heard


@pytest.fixture
def watched_shop(service, tmp_path):
    """A service that refuses 192.0.2.66 and whose events somebody reads."""
    deny = tmp_path / "deny"
    deny.write_text("ALL: 192.0.2.66\n")
    running = service(tells_events=True,
                      access=AccessPolicy(enabled=True, allow_file=str(tmp_path / "none"), deny_file=str(deny)))
    running.process.start()
    running.coordinator.say("ready")
    pump(running.loop)
    octets, descriptor = fdpass.receive(running.coordinator.channel)
    assert json.loads(octets) == {"kind": "worker", "name": "acceptor"}
    running.acceptor_channel = socket.socket(fileno=descriptor)
    running.acceptor_channel.setblocking(False)
    for worker in running.far.workers:
        worker.say("up")
    pump(running.loop)
    return running


def test_refused_connection_is_an_event(watched_shop):
    watched_shop.arrive((FakeSocket(), ("192.0.2.66", 40000)))
    ((note),) = told_notes(watched_shop)
    assert (note["kind"], note["peer"], note["port"]) == ("turned_away", "192.0.2.66", 40000)
    assert note["reason"].startswith("access denied by ")


def test_children_do_not_keep_the_channel_of_notices(watched_shop):
    watched_shop.end("worker 1", -9)
    closed = watched_shop.processes.latest("worker 1").closes
    assert any(sock in closed for sock in watched_shop.process._notices.sockets())


def test_next_coordinator_gets_a_channel_for_notices(watched_shop):
    watched_shop.end("coordinator", -9)
    watched_shop.loop.advance(0)
    watched_shop.arrive((FakeSocket(), ("192.0.2.66", 40000)))
    watched_shop.coordinator.say("ready")
    pump(watched_shop.loop)
    assert any(packet.get("name") == "acceptor" for packet in watched_shop.coordinator.hear())


def test_without_a_reader_of_events_the_coordinator_gets_no_channel_for_them(service):
    running = service()
    running.process.start()
    running.coordinator.say("ready")
    pump(running.loop)
    assert [packet["name"] for packet in running.coordinator.hear()] == ["worker 1 (1001)", "worker 2 (1002)"]


def test_connections_that_no_worker_took_are_told_of_at_the_end(watched_shop):
    for worker in watched_shop.far.workers:
        fill(worker.channel)
    for slot in watched_shop.process._pool.slots.values():
        fill(slot.channel)
    watched_shop.arrive((FakeSocket(), ("192.0.2.8", 40000)))
    watched_shop.loop.send_signal(signal.SIGTERM)
    assert [(note["peer"], note["reason"]) for note in told_notes(watched_shop)] == [("192.0.2.8", "the service stops")]


def test_drain_stop_and_end_say_so(service, caplog):
    caplog.set_level(logging.INFO)
    running = service(drain_timeout_s=30).start()
    running.connect()
    running.far.workers[0].say("taken", number=1)
    pump(running.loop)
    running.loop.send_signal(signal.SIGTERM)
    running.loop.send_signal(signal.SIGTERM)
    running.loop.send_signal(signal.SIGTERM)
    for title in ("worker 1", "worker 2", "coordinator"):
        running.end(title)
    running.process.finish()
    assert caplog.messages == ["draining: no further connections, 1 may end within 30 seconds", "stopping at once", "stopped"]


def test_reload_says_so(service, caplog):
    caplog.set_level(logging.INFO)
    service().start().loop.send_signal(signal.SIGHUP)
    assert caplog.messages == ["reloading configuration, access rules, certificates and the event log"]


def test_certificates_that_cannot_be_read_are_told_once(service, caplog):
    def reload():
        raise UsageError("no such certificate")

    running = service()
    running.process._children = dataclasses.replace(running.far.children, reload=reload)
    running.start()
    running.loop.send_signal(signal.SIGHUP)
    assert running.coordinator.kinds() == ["reload", "worker"]
    assert caplog.messages == ["not reloaded, what was in force stays: no such certificate"]


def test_rules_that_were_read_again_go_to_the_coordinator(service):
    running = service()
    running.process._children = dataclasses.replace(running.far.children, reload=lambda: b"the rules")
    running.start()
    running.coordinator.hear()
    running.loop.send_signal(signal.SIGHUP)
    octets, descriptor = fdpass.receive(running.coordinator.channel)
    assert packets.decode_order(octets)["kind"] == "reload"
    assert descriptor is not None
    with open(descriptor, "rb") as file:
        file.seek(0)
        assert file.read() == b"the rules"



def proxies(text="10.0.0.0/8"):
    return proxy_policy(text)


def test_connection_of_a_balancer_goes_to_a_worker_past_the_rules(service, tmp_path):
    access = AccessPolicy(enabled=True, allow_file=str(tmp_path / "allow"), deny_file=str(tmp_path / "deny"))
    (tmp_path / "deny").write_text("ALL: ALL\n")
    running = service(proxies=proxies(), access=access).start()
    running.connect("10.1.2.3")
    (packet,) = running.far.workers[0].hear()
    assert (packet["address"], packet["proxied"]) == ("10.1.2.3", True)


def test_connection_of_somebody_else_is_judged_at_the_door(service, tmp_path):
    access = AccessPolicy(enabled=True, allow_file=str(tmp_path / "allow"), deny_file=str(tmp_path / "deny"))
    (tmp_path / "deny").write_text("ALL: ALL\n")
    running = service(proxies=proxies(), access=access).start()
    sock = running.arrive((FakeSocket(), ("192.0.2.7", 40000)))
    assert sock.closed
    assert [packet for worker in running.far.workers for packet in worker.hear()] == []


@pytest.mark.parametrize(("address", "allowed"), [("192.0.2.7", True), ("192.0.2.8", False)])
def test_claim_of_a_worker_is_answered(service, tmp_path, address, allowed):
    access = AccessPolicy(enabled=True, allow_file=str(tmp_path / "allow"), deny_file=str(tmp_path / "deny"))
    (tmp_path / "deny").write_text("ALL: 192.0.2.8\n")
    running = service(proxies=proxies(), access=access).start()
    running.connect("10.1.2.3")
    worker = running.far.workers[0]
    worker.hear()
    worker.say("claim", number=1, address=address, port=40000, server_address="10.0.0.1", server_port=104)
    pump(running.loop)
    assert worker.hear() == [{"kind": "verdict", "number": 1, "allowed": allowed, "address": address, "host": "",
                              "host_follows": False}]
