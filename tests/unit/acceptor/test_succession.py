"""Two acceptor processes, one of which takes over from the other: nothing forks, nobody connects, no time passes by itself."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import socket

import pytest

from fastscp.acceptor.policy import Bequest
from fastscp.acceptor.predecessor import Predecessor
from fastscp.errors import ProcessError
from fastscp.process import fdpass, succession
from tests.support.fake_processes import FakeListener, pump
from tests.unit.acceptor.test_process import Service


class Pair:
    """The old service, and the new one as soon as it was started."""

    def __init__(self, monkeypatch, **policy) -> None:
        self.policy = policy
        self.new: Service | None = None
        self.channel: socket.socket | None = None
        self.refuse: OSError | None = None
        self.listening_socket = socket.create_server(("127.0.0.1", 0))
        monkeypatch.setattr(succession, "start_program", lambda _channel: None)
        self.old = Service(listener=FakeListenerOf(self.listening_socket), start_program=self._start_program, **policy)

    def _start_program(self, channel):
        if self.refuse is not None:
            raise self.refuse
        self.channel = channel.dup()
        self.channel.setblocking(False)
        return self.old.processes.start(lambda: 0, title="new", close=())

    def start(self):
        self.old.start()
        self.old.told.clear()
        return self

    def begin(self):
        """Have the new program started, as far as its first instruction."""
        self.old.loop.send_signal(signal.SIGUSR2)
        return self

    def run_new(self, *, up=True):
        predecessor = Predecessor(self.channel)
        self.new = Service(predecessor=predecessor, listener=FakeListenerOf(predecessor.inheritance.bequest.listeners[0]),
                           **self.policy)
        self.new.process.start()
        if up:
            for worker in self.new.far.workers:
                worker.say("up")
        self.go_on()
        return self

    def go_on(self):
        """Let both read what the other one says."""
        for _ in range(5):
            for service in (self.old, self.new):
                if service is not None:
                    pump(service.loop)

    def hand_over(self, hooks=()):
        """Have the old coordinator give up the state."""
        self.old.coordinator.say("handed_over", hooks=list(hooks))
        self.go_on()
        return self

    def recover(self):
        """Have the new coordinator tell that it has recovered."""
        self.new.coordinator.say("ready")
        self.go_on()
        return self

    def whole(self, hooks=()):
        """Go all the way."""
        return self.begin().run_new().hand_over(hooks).recover()

    def end_new(self, exit_code=-signal.SIGKILL):
        """Have the new program end."""
        if self.channel is not None and self.new is None:
            self.channel.close()
        if self.new is not None:
            self.new.process._succession.close()
            self.new.process._supervisor.coordination.close()
            self.new = None
        self.old.processes.latest("new").exit_code = exit_code
        self.old.loop.send_signal(signal.SIGCHLD)
        self.old.loop.advance(0)
        self.go_on()

    def close(self):
        for service in (self.old, self.new):
            if service is not None:
                service.far.close()
        self.listening_socket.close()


class FakeListenerOf(FakeListener):
    """Has the descriptor of a real listening socket, and a queue of its own."""

    def __init__(self, sock):
        super().__init__(sock.fileno())
        self.sock = sock


@pytest.fixture
def pair(monkeypatch):
    made = []

    def make(**policy):
        made.append(Pair(monkeypatch, **policy))
        return made[-1]

    yield make
    for each in made:
        each.close()


def assignments(service):
    return [line for told in service.told for line in told if not line.startswith("STATUS")]


# -- the way ------------------------------------------------------------------------------------------


def test_exactly_one_of_both_accepts_at_every_step(pair):
    both = pair().start()
    assert both.old.listening
    both.begin().run_new(up=False)
    assert (both.old.listening, both.new.listening) == (True, False)
    assert both.new.processes.titles == ["worker 1", "worker 2"]  # the state is not free
    assert both.old.coordinator.kinds() == []
    for worker in both.new.far.workers:
        worker.say("up")
    both.go_on()
    assert both.old.coordinator.kinds() == ["hand_over"]
    assert (both.old.listening, both.new.listening) == (True, False)
    both.hand_over()
    assert both.new.processes.titles[2:] == ["coordinator"]
    assert (both.old.listening, both.new.listening) == (True, False)
    both.recover()
    assert (both.old.listening, both.new.listening) == (False, True)


def test_service_manager_is_told_by_whom_it_believes(pair):
    both = pair().start()
    both.begin()
    assert assignments(both.old) == ["RELOADING=1"]
    both.run_new().hand_over()
    assert assignments(both.new) == []
    both.recover()
    new_pid = both.old.processes.latest("new").pid
    assert assignments(both.old) == ["RELOADING=1", f"MAINPID={new_pid}"]
    assert assignments(both.new) == ["READY=1", f"MAINPID={os.getpid()}"]
    both.old.loop.send_signal(signal.SIGTERM)
    assert "STOPPING=1" not in assignments(both.old)


def test_signs_of_life_come_from_whoever_serves(pair):
    both = pair(watchdog_s=2.0).start().whole()
    both.old.told.clear()
    both.new.told.clear()
    both.old.loop.advance(1)
    both.new.loop.advance(1)
    assert "WATCHDOG=1" not in assignments(both.old)
    assert "WATCHDOG=1" in assignments(both.new)


def packets_in(channel):
    """Return the kinds of what is in a channel, and the descriptors that came, all open."""
    kinds, descriptors = [], []
    while True:
        try:
            octets, descriptor = fdpass.receive(channel)
        except BlockingIOError:
            return kinds, descriptors
        if not octets:
            return [*kinds, "end of file"], descriptors
        kinds.append(json.loads(octets)["kind"])
        if descriptor is not None:
            descriptors.append(descriptor)


def guest_of(coordinator):
    """Return the channel by which a coordinator hears the predecessor: the first thing that it is told."""
    kinds, descriptors = packets_in(coordinator.channel)
    assert kinds[0] == "guest"
    guest = socket.socket(fileno=descriptors.pop(0))
    guest.setblocking(False)
    for descriptor in descriptors:
        os.close(descriptor)
    return guest


def test_coordinator_of_the_new_one_hears_of_the_guest_first_and_from_it_of_hooks_before_workers(pair):
    both = pair(workers=1).start().begin().run_new().hand_over([4, 7])
    with guest_of(both.new.coordinator) as guest:
        assert packets_in(guest) == ([], [])  # it has not recovered
        both.recover()
        kinds, descriptors = packets_in(guest)
        assert kinds == ["lent", "worker"]
        os.close(descriptors[0])
        assert both.old.far.workers[0].kinds() == ["event_channel", "retire"]
        both.old.far.coordinators[0].say("hook_ended", number=4, status=2)
        both.go_on()
        assert json.loads(guest.recv(4096)) == {"kind": "hook_ended", "number": 4, "status": 2}
        both.old.end("coordinator")  # with a hook whose end nobody will know
        assert json.loads(guest.recv(4096)) == {"kind": "hook_ended", "number": 7, "status": None}


def test_worker_that_misses_its_coordinator_gets_one_channel_to_the_next_one(pair):
    """It says so as soon as the old coordinator is gone, and the new one has not recovered."""
    both = pair(workers=1).start().begin().run_new()
    slot = next(iter(both.old.process._pool.slots.values()))
    both.hand_over()
    both.old.far.workers[0].say("unconnected", number=slot.event_channel)
    both.go_on()
    both.old.loop.advance(1)
    assert both.old.far.workers[0].kinds() == []
    with guest_of(both.new.coordinator) as guest:
        both.recover()
        both.old.loop.advance(1)
        kinds, descriptors = packets_in(guest)
        assert kinds == ["lent", "worker"]
        os.close(descriptors[0])


def test_end_of_a_hook_while_nobody_has_the_state_is_told_once(pair):
    both = pair(workers=1).start().begin().run_new().hand_over([4, 7])
    both.old.coordinator.say("hook_ended", number=4, status=2)
    both.go_on()
    with guest_of(both.new.coordinator) as guest:
        both.recover()
        assert json.loads(guest.recv(4096)) == {"kind": "lent", "hooks": [[4, 2], [7, None]]}
    both.new.end("coordinator", -signal.SIGKILL)
    both.new.loop.advance(0)
    with guest_of(both.new.coordinator) as guest:
        both.recover()
        assert json.loads(guest.recv(4096)) == {"kind": "lent", "hooks": [[7, None]]}


def test_worker_goes_when_no_connection_waits(pair):
    both = pair(workers=1).start().begin().run_new().hand_over()
    both.old.connect()
    both.recover()
    worker = both.old.far.workers[0]
    assert "retire" not in worker.kinds()
    worker.say("taken", number=1)
    both.go_on()
    assert "retire" in worker.kinds()
    assert not both.old.loop.stopped
    worker.say("finished", number=1)
    both.go_on()
    both.old.end("worker 1")
    both.old.end("coordinator")
    assert both.old.loop.stopped
    assert both.old.process.finish() == 0


def test_old_process_stays_as_long_as_its_coordinator_sees_hooks_end(pair):
    both = pair(workers=1).start().whole([4])
    both.old.end("worker 1")
    assert not both.old.loop.stopped
    both.old.coordinator.say("hook_ended", number=4, status=2)
    both.go_on()
    both.old.end("coordinator")
    assert both.old.loop.stopped


def test_worker_that_dies_after_its_turn_is_not_replaced(pair):
    both = pair(workers=2).start().whole()
    both.old.end("worker 1", -signal.SIGKILL)
    both.old.loop.advance(5)
    assert both.old.processes.titles.count("worker 1") == 1


def test_limit_on_associations_is_one_for_both(pair):
    both = pair(workers=1, max_associations=1).start().begin().run_new().hand_over()
    both.old.connect()
    worker = both.old.far.workers[0]
    worker.say("taken", number=1)
    both.go_on()
    both.recover()
    assert not both.new.listening
    worker.say("finished", number=1)
    both.go_on()
    assert both.new.listening


def test_second_request_is_refused_at_every_stage(pair, caplog):
    both = pair().start().begin()
    both.begin()
    both.run_new().hand_over().recover()
    both.begin()
    assert sum("another program takes over already" in message for message in caplog.messages) == 2
    assert both.old.processes.titles.count("new") == 1


def test_process_1_cannot_be_followed(pair, caplog, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    both = pair().start().begin()
    assert "new" not in both.old.processes.titles
    assert "process 1" in caplog.text
    assert both.old.listening


def test_program_that_cannot_be_executed(pair, caplog):
    both = pair().start()
    both.refuse = FileNotFoundError(2, "No such file or directory")
    both.begin()
    assert "cannot start the installed program" in caplog.text
    assert assignments(both.old) == []
    both.refuse = None
    both.whole()
    assert both.new.listening


# -- failures -----------------------------------------------------------------------------------------


def steps(both):
    yield "started", both.begin
    yield "prepared", both.run_new
    yield "taking", lambda: both.hand_over([4])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_new_program_that_ends_early_changes_nothing(pair, caplog, count):
    both = pair(workers=1).start()
    for _, step in list(steps(both))[:count]:
        step()
    both.end_new(1)
    assert "the new program did not take over (exit status 1), going on" in caplog.messages
    assert both.old.listening
    assert assignments(both.old) == ["RELOADING=1", "READY=1", f"MAINPID={os.getpid()}"]
    assert both.old.processes.titles.count("worker 1") == 1
    if count == 2:  # it gives up the state when it is asked to, and there is nobody to take it
        both.hand_over([4])
        both.old.loop.advance(0)
    assert both.old.processes.titles.count("coordinator") == (1 if count == 1 else 2)
    if count > 1:
        assert both.old.coordinator.hear()[0] == {"kind": "lent", "hooks": [[4, None]]}
    both.whole()  # and again
    assert both.new.listening


def test_coordinator_of_a_program_that_failed_is_stopped(pair):
    both = pair(workers=1).start().begin().run_new().hand_over()
    with guest_of(both.new.coordinator) as guest:
        both.end_new()
        assert packets_in(guest) == (["stop", "end of file"], [])


def test_new_program_that_ends_after_its_begin_gives_the_turn_back(pair, caplog):
    both = pair(workers=2).start().whole()
    assert not both.old.listening
    both.end_new()
    assert "serving again in its place" in caplog.messages
    assert both.old.processes.titles.count("worker 1") == 2
    assert both.old.processes.titles.count("coordinator") == 2
    for worker in both.old.far.workers[2:]:
        worker.say("up")
    both.go_on()
    assert both.old.listening
    assert assignments(both.old)[-2:] == ["READY=1", f"MAINPID={os.getpid()}"]
    both.old.end("worker 1")
    assert not both.old.loop.stopped


@pytest.mark.parametrize(("step", "limit_s"), [(1, 300.0), (2, 30.0), (3, 30.0)])
def test_new_program_that_hangs_is_killed(pair, caplog, step, limit_s):
    both = pair(workers=1, hang_timeout_s=30.0).start()
    for _, take in list(steps(both))[:step]:
        take()
    both.old.loop.advance(limit_s - 1)
    kill = both.old.processes.latest("new").pid, signal.SIGKILL
    assert kill not in both.old.processes.killed
    both.old.loop.advance(2)
    assert kill in both.old.processes.killed
    assert "the new program is not ready in time" in caplog.text


def test_coordinator_that_cannot_give_up_its_state_keeps_it(pair, caplog):
    both = pair(workers=1).start().begin().run_new()
    both.old.coordinator.say("unable")
    both.go_on()
    assert "cannot give up its state now" in caplog.text
    assert both.new.loop.stopped or both.new.far.workers[0].kinds()[-1] == "stop"
    both.end_new(0)
    assert both.old.listening
    assert both.old.processes.titles.count("coordinator") == 1


def test_coordinator_that_dies_when_it_is_to_give_up_its_state_has_given_it_up(pair):
    both = pair(workers=1).start().begin().run_new()
    both.old.end("coordinator", -signal.SIGKILL)
    both.go_on()
    assert both.new.processes.titles[1:] == ["coordinator"]
    both.recover()
    assert both.new.listening
    both.old.loop.advance(5)
    assert both.old.processes.titles.count("coordinator") == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_old_process_that_dies_early_is_replaced_at_once(pair, caplog, count):
    both = pair(workers=1).start()
    for _, step in list(steps(both))[:count]:
        step()
    both.old.process._succession._successor._channel.close()
    both.old.loop.masks.clear()
    if count == 1:
        both.run_new()
    pump(both.new.loop)
    both.new.coordinator.say("ready")
    pump(both.new.loop)
    assert "the process to take over from is gone" in caplog.messages
    assert both.new.processes.titles.count("coordinator") == 1
    assert both.new.listening


def test_other_coordinator_of_the_new_one_is_used_by_the_old_one_as_well(pair):
    both = pair(workers=1).start().whole([4])
    both.old.far.workers[0].hear()
    both.new.end("coordinator", -signal.SIGKILL)
    both.new.loop.advance(0)
    with guest_of(both.new.coordinator) as guest:
        both.recover()
        assert "event_channel" in both.old.far.workers[0].kinds()
        kinds, descriptors = packets_in(guest)
        assert kinds == ["lent", "worker"]
        os.close(descriptors[0])


# -- signals meanwhile --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_drain_before_the_new_one_serves_ends_both(pair, count):
    both = pair(workers=1).start()
    for _, step in list(steps(both))[:count]:
        step()
    both.old.loop.send_signal(signal.SIGTERM)
    if count == 1:
        both.run_new()
    both.go_on()
    assert both.old.far.workers[0].kinds()[-1] == "drain"
    assert both.new.far.workers[0].kinds()[-1] == "stop"
    assert not both.new.listening
    if count == 3:  # its workers have something to tell yet
        both.old.loop.advance(0)
        assert both.old.processes.titles.count("coordinator") == 2


def test_drain_of_the_new_one_is_one_of_both_and_waits_for_the_old_one(pair):
    both = pair(workers=1).start().whole()
    both.new.coordinator.hear()
    both.new.loop.send_signal(signal.SIGTERM)
    both.go_on()
    assert both.old.far.workers[0].kinds()[-1] == "drain"
    both.new.end("worker 1")
    assert both.new.coordinator.kinds() == []  # the old one's worker may have something to tell
    both.old.end("worker 1")
    both.old.end("coordinator")
    assert both.old.loop.stopped
    both.old.process.finish()
    pump(both.new.loop)
    assert both.new.coordinator.kinds() == ["drain"]
    both.new.end("coordinator")
    assert both.new.loop.stopped


def test_old_process_that_hangs_is_not_waited_for_for_ever(pair):
    both = pair(workers=1, drain_timeout_s=30.0).start().whole()
    both.new.coordinator.hear()
    both.new.loop.send_signal(signal.SIGTERM)
    both.new.end("worker 1")
    both.new.loop.advance(32)
    assert both.new.coordinator.kinds() == ["drain"]


def test_second_sigterm_of_the_new_one_stops_the_old_one_too(pair):
    both = pair(workers=1).start().whole()
    both.new.loop.send_signal(signal.SIGTERM)
    both.new.loop.send_signal(signal.SIGTERM)
    both.go_on()
    assert both.old.far.workers[0].kinds()[-1] == "stop"


def test_new_one_told_to_end_before_it_serves_leaves_the_state_alone(pair):
    both = pair(workers=1).start().begin().run_new().hand_over()
    both.new.coordinator.hear()
    both.new.loop.send_signal(signal.SIGTERM)
    assert both.new.far.workers[0].kinds() == ["event_channel", "drain", "stop"]
    both.new.end("worker 1")
    assert both.new.coordinator.kinds() == ["stop"]  # no drain: that would end the studies


def test_reload_goes_to_the_new_one_as_well(pair, caplog):
    caplog.set_level(logging.INFO)
    both = pair(workers=1).start().begin().run_new()
    both.old.loop.send_signal(signal.SIGHUP)
    both.go_on()
    assert both.new.processes.titles.count("worker 1") == 2
    assert assignments(both.new) == []
    both.hand_over().recover()
    caplog.clear()
    both.old.loop.send_signal(signal.SIGHUP)
    assert caplog.messages == ["nothing to reload: another process has taken over"]


def test_new_one_cannot_be_followed_before_the_old_one_has_gone(pair, caplog):
    both = pair(workers=1).start().whole()
    both.new.loop.send_signal(signal.SIGUSR2)
    assert "no other program can take over yet" in caplog.text
    assert "new" not in both.new.processes.titles


def test_service_that_goes_down_or_has_not_started_is_not_followed(pair, caplog):
    both = pair()
    both.old.process.start()
    both.begin()
    assert "about to start" in caplog.text
    both.old.coordinator.say("ready")
    both.go_on()
    both.old.loop.send_signal(signal.SIGTERM)
    both.begin()
    assert "about to end" in caplog.text
    assert "new" not in both.old.processes.titles


# -- inheriting ---------------------------------------------------------------------------------------


def inherit(*sent):
    """Have a process inherit what is in its channel."""
    ours, theirs = fdpass.channel_pair()
    for packet, descriptor in sent:
        if descriptor is None:
            ours.send(succession.encode(packet))
        else:
            fdpass.send_with_descriptor(ours, succession.encode(packet), descriptor)
    try:
        return Predecessor(theirs)
    finally:
        ours.close()


def test_what_is_left_is_inherited(monkeypatch):
    """Descriptors of the two ends are different ones of the same files."""
    files = [os.memfd_create(name) for name in ("key", "hosts", "titles", "sections")]
    both = Pair(monkeypatch)
    children = both.old.process._children
    both.old.process._children = dataclasses.replace(children, bequest=Bequest((), "secret", *files))
    both.start().begin()
    bequest = Predecessor(both.channel).inheritance.bequest
    found = [bequest.key, bequest.hosts, bequest.titles, bequest.sections]
    assert bequest.password == "secret"
    assert [os.fstat(descriptor).st_ino for descriptor in found] == [os.fstat(file).st_ino for file in files]
    for descriptor in (*found, *files):
        os.close(descriptor)
    both.close()


def begin(items, protocol=succession.PROTOCOL):
    return {"kind": "inherit", "protocol": protocol, "pid": 17, "items": items, "password": "secret"}, None


def test_what_is_inherited(pair):
    both = pair().start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = inherit(begin(4), ({"kind": "key"}, 0), ({"kind": "listener"}, listener.fileno()), ({"kind": "place", "of": "titles"}, 0),
                        ({"kind": "place", "of": "hosts"}, 0)).inheritance
        assert there.pid == 17
        assert there.bequest.password == "secret"
        assert [sock.getsockname() for sock in there.bequest.listeners] == [listener.getsockname()]
        assert not there.bequest.listeners[0].getblocking()
        there.bequest.listeners[0].close()
        descriptors = {there.bequest.key, there.bequest.hosts, there.bequest.titles}
        assert len(descriptors - {None}) == 3
        for descriptor in descriptors:
            os.close(descriptor)
    assert both.old.listening


@pytest.mark.parametrize(("sent", "reason"), [
    ([], "has left nothing"), ([begin(0, protocol=0)], "of another kind"), ([({"kind": "serve"}, None)], "of another kind"),
    ([begin(0)], "no socket to listen on"), ([begin(1)], "has left nothing"), ([begin(1), ({"kind": "listener"}, None)], "missing"),
])
def test_what_cannot_be_inherited(sent, reason):
    with pytest.raises(ProcessError, match=reason):
        inherit(*sent)
