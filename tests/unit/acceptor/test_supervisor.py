"""Children that die, are slow, deaf or late; and those that take their place."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket

import pytest

from fastscp.acceptor import supervisor as module
from fastscp.acceptor.backoff import Backoff, describe_exit
from fastscp.acceptor.pool import AcceptedConnection, Pool
from fastscp.acceptor.supervisor import Supervisor, tell
from fastscp.net.peer import Peer
from fastscp.process import fdpass
from tests.support.fake_processes import FakeChildren, FakeProcesses, FarEnd, pump
from tests.support.fakes import FakeLoop


class Family:
    """A supervisor, its pool, and the far ends of everything it started."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.processes = FakeProcesses()
        self.far = FakeChildren()
        self.changes = 0
        self.ready = 0
        self.failures = 0
        self.pool = Pool(self._changed, None, lambda: self.loop.now)
        self.supervisor = Supervisor(
            self.far.children, self.processes, self.loop, self.pool, list, on_ready=self._ready,
            on_start_failure=self._failed, clock=lambda: self.loop.now)

    def _changed(self):
        self.changes += 1

    def _ready(self):
        self.ready += 1

    def _failed(self):
        self.failures += 1

    def start(self, workers=1):
        self.supervisor.start_coordinator()
        self.far.coordinators[0].say("ready")
        for index in range(workers):
            self.supervisor.start_worker(index)
            self.far.workers[index].say("up")
        pump(self.loop)
        for end in (*self.far.coordinators, *self.far.workers):
            end.hear()
        return self

    def connect(self):
        sock, _ = socket.socketpair()
        self.pool.submit(AcceptedConnection(sock, Peer("192.0.2.7", 1)))
        return sock

    def end(self, title, exit_code=0, *, far_end=None):
        if far_end is not None:
            far_end.die()
        self.processes.latest(title).exit_code = exit_code
        self.supervisor.reap()


@pytest.fixture
def family():
    made = Family()
    yield made
    made.far.close()


def fill(channel):
    """Send until nothing more goes."""
    while True:
        try:
            channel.send(b"{}" * 500)
        except BlockingIOError:
            return


def empty(channel):
    """Receive until nothing more comes."""
    while True:
        try:
            channel.recv(100_000)
        except BlockingIOError:
            return


# -- back-off -------------------------------------------------------------------------------------


def test_first_death_is_replaced_at_once_and_further_young_ones_ever_more_slowly():
    backoff = Backoff()
    assert [backoff.delay_s(0.1) for _ in range(5)] == [0.0, 0.2, 0.4, 0.8, 1.6]


def test_delay_has_a_limit():
    backoff = Backoff()
    assert {backoff.delay_s(0.1) for _ in range(5000)} >= {12.8, 25.6, 30.0}  # nights of deaths
    assert backoff.delay_s(0.1) == 30.0


def test_child_that_is_killed_again_and_again_is_back_within_two_seconds(family):
    family.start()
    for _ in range(12):
        before = len(family.far.workers)
        family.end("worker 1", -signal.SIGKILL, far_end=family.far.workers[-1])
        family.loop.advance(0.5)
        assert len(family.far.workers) == before + 1


def test_child_that_lived_starts_from_anew():
    backoff = Backoff()
    for _ in range(5):
        backoff.delay_s(1.99)
    assert backoff.delay_s(2.0) == 0.0
    assert [backoff.delay_s(0.1) for _ in range(2)] == [0.0, 0.2]


# -- starting -------------------------------------------------------------------------------------


def test_worker_and_coordinator_get_the_two_ends_of_a_channel(family):
    family.start(0)
    family.supervisor.start_worker(0)
    (to_coordinator,) = family.far.coordinators[0].hear()
    assert to_coordinator == {"kind": "worker", "name": "worker 1 (1001)", "descriptor": True}
    assert family.far.workers[0].hear() == [{"kind": "event_channel", "number": 1, "descriptor": True}]


def test_child_is_not_told_of_the_service_manager(family, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "hide_from_children", lambda: seen.append(len(family.far.starts)))
    family.supervisor.start_worker(0)
    assert seen == [0]  # before it ran


def test_titles_of_processes(family):
    family.start(2)
    assert family.processes.titles == ["coordinator", "worker 1", "worker 2"]
    assert family.supervisor.children == 3


def test_child_keeps_its_own_end_and_closes_ours(family):
    family.start(1)
    far = family.far.workers[0]
    ours = family.pool.slots[1001].channel
    assert ours in family.processes.latest("worker 1").closes
    ours.send(b'{"kind":"drain"}')
    assert far.kinds() == ["drain"]


def test_worker_without_a_process_leaves_no_descriptor(family):
    family.start(0)
    gc.collect()  # sockets that earlier tests left
    before = len(os.listdir("/proc/self/fd"))
    family.processes.refusals = 1
    with pytest.raises(BlockingIOError):
        family.supervisor.start_worker(0)
    assert len(os.listdir("/proc/self/fd")) == before
    assert family.pool.slots == {}


def test_event_channel_is_tried_again_when_no_descriptor_is_left(family, monkeypatch, caplog):
    family.start(0)
    make_pair, made = fdpass.channel_pair, []

    def channel_pair():
        made.append(len(made) + 1)
        if made[-1] == 2:  # the first one is the control channel
            raise OSError(errno.EMFILE, "Too many open files")
        return make_pair()

    monkeypatch.setattr(fdpass, "channel_pair", channel_pair)
    family.supervisor.start_worker(0)
    assert family.far.workers[0].kinds() == []
    assert "no event channel for worker 1" in caplog.text
    family.loop.advance(0.05)
    assert family.far.workers[0].kinds() == ["event_channel"]


def test_event_channel_is_tried_again_when_the_coordinator_is_busy(family):
    family.start(0)
    fill(family.supervisor.coordination.channel)
    family.supervisor.start_worker(0)
    assert family.far.workers[0].kinds() == []
    empty(family.far.coordinators[0].channel)
    family.loop.advance(0.05)
    assert family.far.workers[0].kinds() == ["event_channel"]


def test_worker_that_died_meanwhile_gets_no_event_channel(family):
    family.start(0)
    fill(family.supervisor.coordination.channel)
    family.supervisor.start_worker(0)
    family.supervisor.drain()
    family.end("worker 1", far_end=family.far.workers[0])
    family.loop.advance(1)
    assert family.pool.slots == {}


# -- dying workers --------------------------------------------------------------------------------


def test_dead_worker_is_replaced_by_one_that_knows_its_pid(family, caplog):
    family.start(2)
    family.end("worker 2", -signal.SIGKILL, far_end=family.far.workers[1])
    family.loop.advance(0)
    assert family.processes.titles[3:] == ["worker 2"]
    start = family.far.starts[-1]
    assert (start.index, start.predecessor) == (1, 1002)
    assert family.far.starts[0].predecessor == 0
    assert "worker 2 ended (signal SIGKILL), 0 associations lost, starting another" in caplog.messages


def test_worker_that_keeps_dying_is_replaced_slowly_and_one_that_lived_at_once(family):
    family.start()
    family.end("worker 1", 1)
    family.loop.advance(0)
    family.end("worker 1", 1)
    family.loop.advance(0.19)
    assert len(family.far.workers) == 2
    family.loop.advance(0.02)
    assert len(family.far.workers) == 3
    family.loop.advance(2)
    family.end("worker 1", 1)
    family.loop.advance(0)
    assert len(family.far.workers) == 4


def test_back_off_of_one_worker_is_not_the_others(family):
    family.start(2)
    for _ in range(3):
        family.end("worker 1", 1)
        family.loop.advance(1)
    family.end("worker 2", 1)
    family.loop.advance(0)
    assert family.processes.titles[-1] == "worker 2"


def test_two_workers_that_die_at_once_are_both_replaced(family):
    family.start(2)
    family.processes.latest("worker 1").exit_code = -signal.SIGKILL
    family.end("worker 2", -signal.SIGKILL)
    family.loop.advance(0)
    assert sorted(family.processes.titles[3:]) == ["worker 1", "worker 2"]
    assert len(family.pool.slots) == 2


def test_replacement_is_tried_again_when_there_is_no_process(family, caplog):
    family.start()
    family.processes.refusals = 3
    family.end("worker 1", 1)
    family.loop.advance(10)
    assert family.processes.titles == ["coordinator", "worker 1", "worker 1"]
    assert caplog.text.count("cannot start a process") == 3


def test_late_records_of_a_dead_worker_count(family, caplog):
    """What it said last is read before what it had not taken goes to another."""
    family.start(1)
    taken, finished, untaken = family.connect(), family.connect(), family.connect()
    worker = family.far.workers[0]
    worker.say("taken", number=1)
    worker.say("taken", number=2)
    worker.say("finished", number=2)
    family.end("worker 1", -signal.SIGKILL, far_end=worker)
    assert taken.fileno() == -1
    assert finished.fileno() == -1
    assert untaken.fileno() >= 0
    assert "1 associations lost" in caplog.text
    family.loop.advance(0)
    family.far.workers[1].say("up")
    pump(family.loop)
    assert [packet["number"] for packet in family.far.workers[1].hear() if packet["kind"] == "connection"] == [4]


def test_children_that_live_are_left_alone(family):
    family.start(2)
    family.supervisor.reap()
    assert family.supervisor.children == 3


def test_pool_is_asked_to_look_again_after_a_death(family):
    family.start()
    before = family.changes
    family.end("worker 1", 1)
    assert family.changes > before


def test_event_channel_that_did_not_arrive_is_made_again(family):
    family.start(1)
    number = family.supervisor._event_channels.made
    family.far.workers[0].say("unconnected", number=number)
    pump(family.loop)
    family.loop.advance(0.05)
    assert family.far.coordinators[0].kinds() == ["worker"]
    [packet] = family.far.workers[0].hear()
    assert (packet["kind"], packet["number"]) == ("event_channel", number + 1)


def test_channel_to_a_dead_coordinator_is_made_once(family):
    family.start(1)
    number = family.supervisor._event_channels.made
    family.end("coordinator", -signal.SIGKILL, far_end=family.far.coordinators[0])
    family.loop.advance(0)
    family.far.workers[0].say("unconnected", number=number)  # told late
    pump(family.loop)
    family.loop.advance(1)
    assert family.far.coordinators[1].kinds() == ["worker"]


def test_first_worker_is_tried_again_when_there_is_no_process(family, caplog):
    family.start(0)
    family.processes.refusals = 2
    family.supervisor.launch_worker(0)
    assert len(family.far.workers) == 0
    family.loop.advance(1)
    assert len(family.far.workers) == 1
    assert "cannot start a process" in caplog.text


# -- dying coordinators ---------------------------------------------------------------------------


def test_coordinator_that_was_never_ready_is_given_up(family):
    family.supervisor.start_coordinator()
    family.end("coordinator", 1, far_end=family.far.coordinators[0])
    family.loop.advance(100)
    assert family.failures == 1
    assert len(family.far.coordinators) == 1


def test_coordinator_killed_before_it_was_ready_is_replaced(family):
    family.supervisor.start_coordinator()
    family.end("coordinator", -signal.SIGKILL, far_end=family.far.coordinators[0])
    family.loop.advance(0)
    assert family.failures == 0
    assert len(family.far.coordinators) == 2


def test_coordinator_that_was_ready_once_is_replaced_and_meets_every_worker(family, caplog):
    family.start(2)
    family.end("coordinator", -signal.SIGABRT, far_end=family.far.coordinators[0])
    assert "coordinator ended (signal SIGABRT), starting another" in caplog.messages
    family.loop.advance(0)
    assert family.far.coordinators[1].kinds() == ["worker", "worker"]
    assert [worker.kinds() for worker in family.far.workers] == [["event_channel"], ["event_channel"]]
    family.end("coordinator", 1, far_end=family.far.coordinators[1])  # not ready yet, but the service is at work
    assert family.failures == 0
    family.loop.advance(0.2)
    assert len(family.far.coordinators) == 3


def test_ready_is_told_each_time(family):
    family.start()
    assert family.ready == 1
    family.end("coordinator", 1, far_end=family.far.coordinators[0])
    family.loop.advance(0)
    family.far.coordinators[1].say("ready")
    pump(family.loop)
    assert family.ready == 2


def test_worker_started_while_there_is_no_coordinator_is_connected_later(family):
    family.start(0)
    family.end("coordinator", 1, far_end=family.far.coordinators[0])
    family.supervisor.start_worker(0)
    assert family.far.workers[0].kinds() == []
    family.loop.advance(0)
    assert family.far.workers[0].kinds() == ["event_channel"]


def test_order_to_a_coordinator_that_is_gone_is_no_trouble(family, caplog):
    family.supervisor.tell_coordinator({"kind": "reload"})
    family.start()
    family.far.coordinators[0].die()
    family.supervisor.tell_coordinator({"kind": "reload"})
    assert "coordinator did not take the order to reload" in caplog.text


# -- going down -----------------------------------------------------------------------------------


def test_no_worker_is_replaced_while_the_service_goes_down(family, caplog):
    family.start(2)
    family.end("worker 1", 1)  # to be replaced in this very moment
    family.supervisor.drain()
    family.end("worker 2", 1, far_end=family.far.workers[1])
    family.loop.advance(100)
    assert family.processes.titles == ["coordinator", "worker 1", "worker 2"]
    assert "worker 2 ended" not in caplog.text


def test_coordinator_is_replaced_while_workers_drain(family):
    family.start()
    family.supervisor.drain()
    family.end("coordinator", 1, far_end=family.far.coordinators[0])
    family.loop.advance(0)
    assert len(family.far.coordinators) == 2
    assert family.far.workers[0].kinds() == ["drain", "event_channel"]


def test_coordinator_is_not_replaced_when_no_worker_is_left(family):
    family.start()
    family.supervisor.drain()
    family.end("worker 1", far_end=family.far.workers[0])
    family.end("coordinator", 1, far_end=family.far.coordinators[0])
    family.loop.advance(100)
    assert len(family.far.coordinators) == 1
    assert family.supervisor.children == 0


def test_coordinator_that_ends_again_and_again_is_back_within_a_second(family):
    """What it ends by, a disk that cannot be read, may have passed."""
    family.start()
    for count in range(2, 12):
        family.end("coordinator", 1, far_end=family.far.coordinators[-1])
        family.loop.advance(1.0)
        assert len(family.far.coordinators) == count


def test_drain_does_not_wait_for_the_back_off_of_a_coordinator(family):
    family.start()
    for delay_s in (0.0, 0.2, 0.4, 0.8):
        family.end("coordinator", 1, far_end=family.far.coordinators[-1])
        family.loop.advance(delay_s)
    family.end("coordinator", 1, far_end=family.far.coordinators[-1])
    count = len(family.far.coordinators)
    assert count == 5
    family.loop.advance(0.1)  # of 1.6
    family.supervisor.drain()
    family.loop.advance(0)
    assert len(family.far.coordinators) == count + 1
    family.loop.advance(100)  # what was scheduled before starts no second one
    assert len(family.far.coordinators) == count + 1


def test_worker_that_cannot_be_told_is_drained_by_a_signal(family):
    family.start(2)
    fill(family.pool.slots[1001].channel)
    family.supervisor.drain()
    assert family.processes.killed == [(1001, signal.SIGTERM)]
    assert family.far.workers[1].kinds() == ["drain"]


def test_other_orders_are_not_worth_a_signal(family):
    family.start()
    fill(family.pool.slots[1001].channel)
    family.supervisor.tell_workers({"kind": "reload"})
    assert family.processes.killed == []


def test_kill_reaches_every_child_that_lives(family):
    family.start(2)
    family.supervisor.drain()
    family.end("worker 1", far_end=family.far.workers[0])
    family.supervisor.kill_all()
    assert sorted(family.processes.killed) == [(1000, signal.SIGKILL), (1002, signal.SIGKILL)]


# -- words ----------------------------------------------------------------------------------------


def test_tell_says_whether_it_was_taken():
    ours, theirs = fdpass.channel_pair()
    far = FarEnd(theirs)
    theirs.close()
    assert tell(ours, {"kind": "drain"})
    assert far.kinds() == ["drain"]
    far.die()
    assert not tell(ours, {"kind": "drain"})
    ours.close()


@pytest.mark.parametrize(("code", "words"), [(0, "exit status 0"), (70, "exit status 70"), (-9, "signal SIGKILL"), (-40, "signal 40")])
def test_how_a_process_ended(code, words):
    assert describe_exit(code) == words
