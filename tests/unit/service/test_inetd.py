"""One association: the socket that was handed over, and the coordinator beside it. Nothing forks."""

from __future__ import annotations

import os
import socket

import pytest

from fastscp.errors import ProcessError
from fastscp.net.peer import Peer
from fastscp.process import fdpass
from fastscp.service import inetd as module
from fastscp.service.inetd import CoordinatorChild, peer_of, take_stdin
from tests.support.fake_processes import FakeProcesses, FakeSocket, FarEnd, pump
from tests.support.fakes import FakeLoop

# -- the socket -----------------------------------------------------------------------------------


def test_socket_is_taken_off_descriptor_0_and_nothing_is_left_there():
    ours, theirs = socket.socketpair()
    stdin = ours.detach()
    taken = take_stdin(stdin)
    taken.send(b"x")
    assert theirs.recv(1) == b"x"
    assert not os.get_inheritable(taken.fileno())
    assert os.path.samestat(os.fstat(stdin), os.stat(os.devnull))
    taken.close()
    assert theirs.recv(1) == b""  # no copy was kept
    theirs.close()
    os.close(stdin)


def test_standard_input_that_is_no_socket():
    null = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(ProcessError, match="standard input is not a socket: start this from a super server"):
        take_stdin(null)
    os.close(null)


class HandedOver(FakeSocket):
    """A socket as a super server hands it over."""

    def __init__(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, *, listens=0, peer=("192.0.2.7", 40000)):
        super().__init__()
        self.family = family
        self.type = kind
        self.listens = listens
        self.peer = peer

    def getsockopt(self, level, option):
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return self.listens

    def getpeername(self):
        if self.peer is None:
            raise OSError(107, "Transport endpoint is not connected")
        return self.peer


def test_peer_of_a_connection():
    assert peer_of(HandedOver()) == Peer("192.0.2.7", 40000)
    assert peer_of(HandedOver(socket.AF_INET6, peer=("::ffff:192.0.2.7", 40000, 0, 0))) == Peer("192.0.2.7", 40000)


@pytest.mark.parametrize(("handed_over", "words"), [
    (HandedOver(socket.AF_UNIX), "not a TCP socket"),
    (HandedOver(kind=socket.SOCK_DGRAM), "not a TCP socket"),
    (HandedOver(listens=1), "a listening one"),
    (HandedOver(peer=None), "has no peer: Transport endpoint is not connected"),
])
def test_sockets_that_are_no_connection(handed_over, words):
    with pytest.raises(ProcessError, match=words):
        peer_of(handed_over)


# -- the coordinator ------------------------------------------------------------------------------


class Beside:
    """A coordinator child and its far end."""

    def __init__(self):
        self.processes = FakeProcesses()
        self.connection = FakeSocket()
        self.loop = FakeLoop()
        self.channels = []
        self.child = CoordinatorChild(self.run, self.processes, self.connection)

    def run(self, control):
        self.far = FarEnd(control)
        return 0

    @property
    def started(self):
        return self.processes.started[0]


@pytest.fixture
def beside():
    made = Beside()
    yield made
    made.far.die()
    for descriptor in made.channels:
        os.close(descriptor)


def test_coordinator_does_not_hold_the_peers_socket_nor_our_end(beside):
    assert beside.started.title == beside.started.name == "coordinator"
    assert beside.started.closes == [beside.connection, beside.child._control]


def test_association_waits_until_the_coordinator_has_recovered(beside):
    beside.far.say("ready")
    beside.child.wait_ready(0)


def test_coordinator_that_is_silent_or_dead_ends_the_start(beside):
    with pytest.raises(ProcessError, match="the coordinator could not start"):
        beside.child.wait_ready(0)
    beside.far.die()
    with pytest.raises(ProcessError, match="the coordinator could not start"):
        beside.child.wait_ready(0)


def test_coordinator_that_says_something_else_first_is_none(beside):
    beside.far.say("drain")
    with pytest.raises(ProcessError, match="the coordinator could not start"):
        beside.child.wait_ready(0)


def test_both_sides_get_their_end_of_the_event_channel(beside):
    beside.child.attach(beside.loop, beside.channels.append)
    packet, descriptor = fdpass.receive(beside.far.channel)
    assert b"association" in packet
    os.write(beside.channels[0], b"{}")
    assert os.read(descriptor, 10) == b"{}"
    os.close(descriptor)


def test_death_of_the_coordinator_ends_the_association(beside, caplog):
    beside.child.attach(beside.loop, beside.channels.append)
    pump(beside.loop)
    assert not beside.loop.stopped
    beside.far.die()
    pump(beside.loop)
    assert beside.loop.stopped
    assert "the coordinator is gone, giving up the association" in caplog.messages


@pytest.mark.parametrize(("exit_code", "status"), [(0, 0), (1, 1), (-9, 9)])
def test_end_waits_for_the_coordinator_and_has_its_status(beside, exit_code, status):
    beside.started.exit_code = exit_code
    assert beside.child.finish() == status
    assert beside.far.kinds() == ["drain", "end of file"]


def test_coordinator_that_ended_first_is_collected_all_the_same(beside):
    beside.far.die()
    beside.started.exit_code = 70
    assert beside.child.finish() == 70


# -- all of it ------------------------------------------------------------------------------------


class OneWorker:
    """Stands in for the worker of this process."""

    renounced = 0
    made: list[OneWorker] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, channel, config, settings, *, only_one):
        assert channel is None
        assert only_one
        self.loop = FakeLoop()
        self.adopted = []
        self.reporter = self
        self.event_channels = []
        self.made.append(self)

    def attach(self, descriptor):
        self.event_channels.append(socket.socket(fileno=descriptor))

    def adopt(self, number, sock, peer):
        self.adopted.append((number, sock, peer))

    def run(self):
        return 0 if self.adopted or self.loop.stopped else 5


@pytest.fixture
def one_worker(monkeypatch):
    """Put everything that would touch this very process out of the way."""
    OneWorker.made.clear()
    handed_over = HandedOver()
    monkeypatch.setattr(module, "Worker", OneWorker)
    monkeypatch.setattr(module, "adopt_connection", lambda: handed_over)
    monkeypatch.setattr(module, "tune", lambda sock: None)
    monkeypatch.setattr(module, "set_title", lambda title: None)
    OneWorker.renounced = 0

    def renounce():
        OneWorker.renounced += 1

    monkeypatch.setattr(module, "renounce_new_privileges", renounce)
    return handed_over


def test_association_is_given_to_the_worker_of_this_process(one_worker):
    from fastscp.config import Config
    from fastscp.worker.process import WorkerSettings

    assert module.serve_descriptor(Config(), WorkerSettings()) == 0
    assert OneWorker.made[0].adopted == [(1, one_worker, Peer("192.0.2.7", 40000))]
    assert not OneWorker.made[0].loop.stopped
    assert OneWorker.renounced == 1


def test_association_that_is_refused_ends_the_process(one_worker, tmp_path):
    from fastscp.access.policy import AccessPolicy
    from fastscp.config import Config
    from fastscp.config.network import NetworkPolicy
    from fastscp.worker.process import WorkerSettings

    (tmp_path / "deny").write_text("ALL: ALL\n")
    config = Config(network=NetworkPolicy(lookup_hosts=False),
                    access=AccessPolicy(enabled=True, allow_file=str(tmp_path / "no"), deny_file=str(tmp_path / "deny")))
    assert module.serve_descriptor(config, WorkerSettings()) == 0
    assert one_worker.closed
    assert OneWorker.made[0].adopted == []
    assert OneWorker.made[0].loop.stopped
    assert OneWorker.renounced == 0  # commands of the rules may need privileges
