"""Who is let in, who waits, who is refused; no command is started and no name is looked up."""

from __future__ import annotations

import os

import pytest

from fastscp.acceptor.admission import Admission, Claim
from fastscp.acceptor.pool import AcceptedConnection
from fastscp.acceptor.resolver import HostName
from fastscp.access.policy import AccessPolicy
from fastscp.errors import UsageError
from fastscp.net.peer import Peer
from tests.support.fake_processes import FakeResolver, FakeSocket
from tests.support.fakes import FakeLoop

#: a table that has to know everybody's name
BY_NAME = "ALL: .evil.example\n"


class Command:
    """A command of a rule that runs until it is told to end."""

    def __init__(self, text):
        self.text = text
        self.exit_code = None

    def poll(self):
        return self.exit_code


class Door:
    """An admission, and what came out of it."""

    def __init__(self, directory, *, rules=None, resolver=None, names_wanted=False):
        self.deny = directory / "deny"
        if rules is not None:
            self.deny.write_text(rules)
        access = AccessPolicy(enabled=rules is not None, allow_file=str(directory / "allow"), deny_file=str(self.deny))
        self.loop = FakeLoop()
        self.resolver = resolver
        self.let_in = []
        self.refused = []
        self.commands = []
        self.no_process = False
        self.names = []
        self.admission = Admission(access, self.loop, self.let_in.append, self.refuse, resolver=resolver,
                                   on_name=lambda address, name: self.names.append((address, name)),
                                   names_wanted=names_wanted, start_command=self.start_command)

    def refuse(self, peer, reason):
        self.refused.append((peer.name, reason))

    def start_command(self, text):
        if self.no_process:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.commands.append(Command(text))
        return self.commands[-1]

    def arrive(self, address="192.0.2.7", **fields):
        connection = AcceptedConnection(FakeSocket(**fields), Peer(address, 40000))
        self.admission.admit(connection)
        return connection


@pytest.fixture
def door(tmp_path):
    def make(**options):
        made = Door(tmp_path, **options)
        made.admission.start()
        return made

    return make


def test_without_rules_and_names_everybody_is_let_in_at_once(door):
    open_door = door()
    connection = open_door.arrive()
    assert open_door.let_in == [connection]
    assert connection.peer == Peer("192.0.2.7", 40000)
    assert open_door.loop.masks == {}


def test_connection_waits_for_its_name_when_a_rule_needs_it(door):
    resolver = FakeResolver()
    waiting = door(resolver=resolver, rules=BY_NAME)
    first, second, other = waiting.arrive(), waiting.arrive(), waiting.arrive("192.0.2.8")
    assert waiting.let_in == []
    assert waiting.admission.pending_count == 3
    resolver.answer(waiting.loop, "192.0.2.7", "pacs.example")
    assert waiting.let_in == [first, second]
    assert first.peer.host == second.peer.host == "pacs.example"
    assert waiting.admission.pending_count == 1
    resolver.answer(waiting.loop, "192.0.2.8")
    assert waiting.let_in[-1] is other
    assert other.peer.name == "192.0.2.8"
    assert waiting.names == []


def test_rules_without_names_look_up_none(door):
    resolver = FakeResolver()
    closed = door(resolver=resolver, rules="ALL: 10.0.0.0/8\n")
    friend = closed.arrive()
    assert closed.arrive("10.2.3.4").sock.closed
    assert closed.let_in == [friend]
    assert friend.peer == Peer("192.0.2.7", 40000)
    assert resolver.asked == []


def test_rule_whose_command_is_told_the_name_needs_it(door):
    resolver = FakeResolver()
    logged = door(resolver=resolver, rules="ALL: ALL: spawn echo %h: allow\n")
    connection = logged.arrive()
    assert (logged.let_in, logged.commands) == ([], [])
    resolver.answer(logged.loop, "192.0.2.7", "pacs.example")
    assert logged.let_in == [connection]
    assert [command.text for command in logged.commands] == ["echo pacs.example"]


def test_name_that_others_want_follows_the_connection(door):
    resolver = FakeResolver()
    open_door = door(resolver=resolver, names_wanted=True)
    first, second = open_door.arrive(), open_door.arrive()
    assert open_door.let_in == [first, second]
    assert first.peer == Peer("192.0.2.7", 40000, host_follows=True)
    assert open_door.admission.pending_count == 0
    assert open_door.admission.names_to_come
    resolver.answer(open_door.loop, "192.0.2.7", "pacs.example")
    assert open_door.names == [("192.0.2.7", "pacs.example")]
    assert not open_door.admission.names_to_come
    resolver.answer(open_door.loop, "192.0.2.7", "pacs.example")
    assert len(open_door.names) == 1


def test_rule_that_needs_the_name_holds_nobody_else_up(door):
    resolver = FakeResolver()
    mixed = door(resolver=resolver, rules="ALL: 10.0.0.0/8\nALL: .evil.example\n", names_wanted=True)
    assert mixed.arrive("10.2.3.4").sock.closed
    waits = mixed.arrive()
    assert mixed.let_in == []
    resolver.answer(mixed.loop, "192.0.2.7", "pacs.example")
    assert mixed.let_in == [waits]
    assert waits.peer == Peer("192.0.2.7", 40000, "pacs.example")
    assert mixed.names == []


def test_name_that_is_known_is_not_waited_for(door):
    resolver = FakeResolver()
    resolver.known["192.0.2.7"] = HostName("pacs.example")
    for options in ({"names_wanted": True}, {"rules": BY_NAME}):
        known = door(resolver=resolver, **options)
        assert known.let_in == [known.arrive()]
        assert known.let_in[0].peer == Peer("192.0.2.7", 40000, "pacs.example")


def test_answer_that_nobody_waits_for(door):
    resolver = FakeResolver()
    quiet = door(resolver=resolver)
    resolver.answer(quiet.loop, "192.0.2.7", "pacs.example")
    assert quiet.let_in == []


def test_refused_connection_is_closed_logged_and_told(door, caplog):
    closed = door(rules="ALL: 192.0.2.66\n")
    connection = closed.arrive("192.0.2.66")
    assert connection.sock.closed
    assert closed.refused == [("192.0.2.66", f"access denied by {closed.deny}:1")]
    assert closed.let_in == []
    assert caplog.messages == [f"access denied to 192.0.2.66 by {closed.deny}:1"]
    friend = closed.arrive("192.0.2.7")
    assert closed.let_in == [friend]
    assert len(closed.refused) == 1


def test_name_decides_and_is_logged(door, caplog):
    resolver = FakeResolver()
    closed = door(rules="ALL: .evil.example\n", resolver=resolver)
    connection = closed.arrive()
    resolver.answer(closed.loop, "192.0.2.7", "host.evil.example")
    assert connection.sock.closed
    assert closed.refused == [("host.evil.example", f"access denied by {closed.deny}:1")]
    assert caplog.messages[0].startswith("access denied to host.evil.example by ")


def test_name_that_does_not_lead_back_is_paranoid(door):
    resolver = FakeResolver()
    closed = door(rules="ALL: PARANOID\n", resolver=resolver)
    liar, friend = closed.arrive("192.0.2.7"), closed.arrive("192.0.2.8")
    resolver.answer(closed.loop, "192.0.2.7", "trust.example", confirmed=False)
    resolver.answer(closed.loop, "192.0.2.8", "trust.example")
    assert closed.let_in == [friend]
    assert liar.sock.closed


def test_rule_for_the_address_we_were_reached_at(door):
    closed = door(rules="fastscp@192.0.2.1: ALL\n")
    assert closed.arrive(local=("192.0.2.1", 104)).sock.closed
    assert not closed.arrive(local=("192.0.2.2", 104)).sock.closed
    assert closed.arrive(local=("::ffff:192.0.2.1", 104, 0, 0)).sock.closed


def test_commands_of_a_rule_are_started_whoever_is_let_in(door):
    spawning = door(rules="ALL: 192.0.2.7: spawn echo %a %p: allow\nALL: ALL: spawn echo no\n")
    spawning.arrive()
    spawning.arrive("192.0.2.66")
    assert [command.text for command in spawning.commands] == [f"echo 192.0.2.7 {os.getpid()}", "echo no"]
    assert len(spawning.let_in) == 1


def test_command_that_cannot_be_started_changes_nothing(door, caplog):
    spawning = door(rules="ALL: ALL: spawn true: allow\n")
    spawning.no_process = True
    assert spawning.let_in == [spawning.arrive()]
    assert caplog.messages[0].startswith("cannot start the command of an access rule: ")


def test_commands_that_have_ended_are_forgotten(door):
    spawning = door(rules="ALL: ALL: spawn true: allow\n")
    spawning.arrive()
    spawning.arrive()
    spawning.commands[0].exit_code = 0
    spawning.admission.reap()
    assert spawning.admission._commands == [spawning.commands[1]]


def test_table_is_in_force_as_soon_as_it_is_written(door):
    closed = door(rules="")
    assert closed.let_in == [closed.arrive()]
    closed.deny.write_text("ALL: ALL\n")
    assert closed.arrive().sock.closed


def test_reload_reads_the_rules(door, caplog):
    closed = door(rules="")
    closed.deny.write_text("fastscp: @netgroup\n")
    closed.admission.reload()
    assert "netgroups are not supported" in caplog.text


def test_rules_that_cannot_be_read_leave_the_old_ones_in_force(door, caplog):
    closed = door(rules="ALL: 192.0.2.66\n")
    closed.deny.unlink()
    closed.deny.mkdir()
    closed.admission.reload()
    assert caplog.messages[0].startswith("access rules not reloaded: cannot read access rules")
    assert closed.arrive("192.0.2.66").sock.closed
    assert closed.let_in == [closed.arrive("192.0.2.7")]


def test_reload_without_rules_reads_nothing(door, caplog):
    open_door = door()
    open_door.deny.mkdir()
    open_door.admission.reload()
    assert caplog.messages == []


def test_bad_rules_at_the_start_are_an_error(tmp_path):
    (tmp_path / "allow").mkdir()
    with pytest.raises(UsageError):
        Door(tmp_path, rules="").admission.start()


def test_stop_refuses_who_waits_and_nobody_is_answered_any_more(door):
    resolver = FakeResolver()
    waiting = door(resolver=resolver, rules=BY_NAME)
    connection = waiting.arrive()
    waiting.admission.stop()
    assert connection.sock.closed
    assert waiting.refused == [("192.0.2.7", "the service stops")]
    assert waiting.admission.pending_count == 0
    resolver.answer(waiting.loop, "192.0.2.7", "late.example")
    assert waiting.let_in == []


def test_who_waits_is_known_to_whoever_forks(door):
    resolver = FakeResolver()
    waiting = door(resolver=resolver, rules=BY_NAME)
    connection = waiting.arrive()
    assert list(waiting.admission.inherited_sockets()) == [resolver.channel, connection.sock]


def test_close_ends_the_resolver(door):
    resolver = FakeResolver()
    waiting = door(resolver=resolver)
    waiting.admission.close()
    assert resolver.closed
    assert list(waiting.admission.inherited_sockets()) == []


def test_connection_that_comes_in_while_answers_are_handed_out(door):
    """Serving one connection may bring the next one in; it has to ask for itself."""
    resolver = FakeResolver()
    waiting = door(resolver=resolver, rules=BY_NAME)
    arrived = []

    def submit(connection):
        waiting.let_in.append(connection)
        if not arrived:
            arrived.append(waiting.arrive())

    waiting.admission._submit = submit
    first = waiting.arrive()
    resolver.answer(waiting.loop, "192.0.2.7", "pacs.example")
    assert waiting.let_in == [first]
    assert waiting.admission.pending_count == 1
    resolver.answer(waiting.loop, "192.0.2.7", "pacs.example")
    assert waiting.let_in == [first, *arrived]


def claim(door, address="192.0.2.7", server=("127.0.0.1", 104)):
    """Have a worker tell whose connection a balancer has passed on; return the list of answers."""
    answers = []
    door.admission.judge(Claim(Peer(address, 40000), server, lambda peer, allowed: answers.append((peer, allowed))))
    return answers


def test_claim_is_answered_and_no_connection_submitted(door):
    open_door = door()
    assert claim(open_door) == [(Peer("192.0.2.7", 40000), True)]
    assert open_door.let_in == []


def test_claim_of_a_peer_whom_a_rule_refuses_is_told_of(door):
    closed = door(rules="ALL: 192.0.2.\n")
    ((_, allowed),) = claim(closed)
    assert not allowed
    assert [name for name, _ in closed.refused] == ["192.0.2.7"]
    assert claim(closed, "198.51.100.1")[0][1]


def test_rules_for_a_port_see_where_the_connection_came_in(door):
    closed = door(rules="11112: ALL\n")
    assert [claim(closed, server=("127.0.0.1", port))[0][1] for port in (11112, 104)] == [False, True]


def test_claim_waits_for_the_name_that_a_rule_needs_and_is_no_pending_connection(door):
    resolver = FakeResolver()
    closed = door(rules=BY_NAME, resolver=resolver)
    answers = claim(closed)
    assert (answers, closed.admission.pending_count) == ([], 0)
    resolver.answer(closed.loop, "192.0.2.7", "ct.evil.example")
    assert [allowed for _, allowed in answers] == [False]
    again = claim(closed, "192.0.2.8")
    resolver.answer(closed.loop, "192.0.2.8", "ct.good.example")
    assert again == [(Peer("192.0.2.8", 40000, "ct.good.example"), True)]


def test_claim_does_not_wait_for_a_name_that_nobody_needs_to_decide(door):
    watched = door(resolver=FakeResolver(), names_wanted=True)
    assert claim(watched) == [(Peer("192.0.2.7", 40000, host_follows=True), True)]
    watched.resolver.answer(watched.loop, "192.0.2.7", "ct.example")
    assert watched.names == [("192.0.2.7", "ct.example")]


def test_claim_that_waits_when_the_service_stops_is_refused(door):
    closed = door(rules=BY_NAME, resolver=FakeResolver())
    answers = claim(closed)
    closed.admission.stop()
    assert [allowed for _, allowed in answers] == [False]
