"""Rules read from tables, and what they decide."""

from __future__ import annotations

import os

import pytest

from fastscp.access.options import parse_options
from fastscp.access.policy import AccessPolicy
from fastscp.access.rules import ClientInfo, Decision, ServerInfo, load_rules
from fastscp.errors import UsageError

CLIENT = ClientInfo("10.2.3.4", "ct1.example", port=4711)


@pytest.fixture
def load(tmp_path):
    """Return a function that writes both tables and reads them."""
    def write_and_load(allow="", deny="", **others):
        (tmp_path / "allow").write_text(allow)
        (tmp_path / "deny").write_text(deny)
        return load_rules(AccessPolicy(True, str(tmp_path / "allow"), str(tmp_path / "deny"), **others))

    return write_and_load


def test_first_matching_rule_decides(load, tmp_path):
    rules = load("ALL: 11.\nstorescp: 10.2.\n", "ALL: ALL\n")
    assert rules.decide(CLIENT) == Decision(allowed=True, rule=f"{tmp_path}/allow:2")
    assert rules.decide(ClientInfo("12.0.0.1", "")) == Decision(allowed=False, rule=f"{tmp_path}/deny:1")


def test_without_a_matching_rule_access_is_granted(load):
    assert load("", "ALL: 11.\n").decide(CLIENT) == Decision(allowed=True)


def test_tables_that_are_not_there_are_empty(tmp_path):
    rules = load_rules(AccessPolicy(True, str(tmp_path / "none"), str(tmp_path / "nothing")))
    assert rules.rules == ()
    assert rules.decide(CLIENT).allowed


@pytest.mark.parametrize("named", ["allow", "deny"])
def test_table_that_the_operator_named_has_to_be_there(tmp_path, named):
    policy = AccessPolicy(True, str(tmp_path / "allow"), str(tmp_path / "deny"), **{f"{named}_named": True})
    with pytest.raises(UsageError, match=rf"cannot read access rules: .*/{named}: No such file or directory"):
        load_rules(policy)
    (tmp_path / named).write_text("")
    assert load_rules(policy).decide(CLIENT).allowed


def test_table_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "allow").mkdir()
    with pytest.raises(UsageError, match=r"cannot read access rules: .*/allow: Is a directory"):
        load_rules(AccessPolicy(True, str(tmp_path / "allow"), str(tmp_path / "deny")))


@pytest.mark.parametrize(("daemons", "concerned"), [
    ("storescp", True), ("fastscp", True), ("ALL", True), ("sshd fastscp", True), ("sshd", False),
    ("ALL EXCEPT storescp", False), ("ALL EXCEPT fastscp", False), ("ALL EXCEPT sshd", True), ("*scp", True),
])
def test_both_names_of_the_daemon(load, daemons, concerned):
    assert load("", f"{daemons}: ALL\n").decide(CLIENT).allowed is not concerned


def test_other_daemon_names(load):
    assert not load("", "archive: ALL\n", daemon_names=("archive",)).decide(CLIENT).allowed


def test_port_number_instead_of_a_daemon(load):
    rules = load("", "11112: ALL\n")
    assert not rules.decide(CLIENT, ServerInfo(port=11112)).allowed
    assert rules.decide(CLIENT, ServerInfo(port=104)).allowed


def test_name_is_asked_for_when_it_decides(load):
    unnamed = ClientInfo("10.2.3.4")
    assert load("ALL: .example\n", "ALL: ALL\n").decide(unnamed) == Decision(allowed=False, needs_host_name=True)
    assert load("ALL: 10. .example\n", "ALL: ALL\n").decide(unnamed).allowed
    assert load("sshd: .example\nALL: 10.\n", "ALL: ALL\n").decide(unnamed).allowed


def test_name_that_does_not_lead_back_is_no_name(load):
    rules = load("ALL: .example\n", "ALL: ALL\n")
    assert rules.decide(ClientInfo("10.2.3.4", "ct1.example")).allowed
    assert not rules.decide(ClientInfo("10.2.3.4", "ct1.example", confirmed=False)).allowed
    assert not load("", "ALL: PARANOID\n").decide(ClientInfo("10.2.3.4", "ct1.example", confirmed=False)).allowed


# -- commands -------------------------------------------------------------------------------------


def test_expansions(load):
    rules = load("ALL: ALL: spawn echo %a %A %c %d %h %H %n %N %p %r %R %s %u %% %x.\n")
    command, = rules.decide(CLIENT, ServerInfo("10.9.9.9", 104, 77)).commands
    assert command == ("echo 10.2.3.4 10.9.9.9 ct1.example storescp ct1.example 10.9.9.9 ct1.example unknown 77 4711 104 "
                       "storescp@10.9.9.9 unknown % .")


@pytest.mark.parametrize(("client", "expected"), [
    (ClientInfo("10.2.3.4", ""), "10.2.3.4 unknown"),
    (ClientInfo("10.2.3.4", "a.example", confirmed=False), "10.2.3.4 paranoid"),
    (ClientInfo("::ffff:10.2.3.4", "a"), "a a"),
])
def test_expansions_of_names_that_are_not_known(load, client, expected):
    assert load("ALL: ALL: spawn %h %n\n").decide(client).commands == (expected,)


@pytest.mark.parametrize(("command", "needed"), [("%h", True), ("%n", True), ("%c", True), ("%a", False), ("true", False)])
def test_name_that_a_command_is_told_has_to_be_looked_up(load, command, needed):
    assert load(f"ALL: ALL: spawn {command}\n").decide(ClientInfo("10.2.3.4")).needs_host_name is needed


@pytest.mark.parametrize("name", ["$(reboot)", "a;b", "`id`", "a b", "a'b", 'a"b', "a\nb", "a|b&c", "a\\b", "ä", "a%ab", "a*?[]{}<>#!~^"])
def test_expansions_mean_nothing_to_the_shell(load, name):
    command, = load("ALL: ALL: spawn echo %h; true\n").decide(ClientInfo("10.2.3.4", name)).commands
    text = command.removeprefix("echo ").removesuffix("; true")
    assert len(text) == len(name)
    assert not set(text) - set("abcdefghijklmnopqrstuvwxyz_%!-")


def test_percent_at_the_end_and_doubled(load):
    assert load("ALL: ALL: spawn a%%b%%%a %\n").decide(CLIENT).commands == ("a%b%10.2.3.4 ",)


def test_commands_run_for_refused_clients_too(load):
    decision = load("ALL: 10.: spawn log %a: deny\n").decide(CLIENT)
    assert (decision.allowed, decision.commands) == (False, ("log 10.2.3.4",))


def test_colon_in_a_command(load):
    assert load("ALL: ALL: spawn a\\:b : allow\n", "ALL: ALL\n").decide(CLIENT).commands == ("a:b",)


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "verdict", "commands"), [
    (None, None, ()), ("allow", True, ()), ("DENY", False, ()), (" spawn a b ", None, ("a b",)),
    ("spawn = a: spawn b: allow", True, ("a", "b")), ("severity auth.info: keepalive: linger 5: rfc931 10", None, ()),
])
def test_options(text, verdict, commands):
    options = parse_options(text)
    assert (options.verdict, options.commands, options.warnings) == (verdict, commands, ())


@pytest.mark.parametrize("option", ["user nobody", "group kmem", "nice", "nice -5", "umask 022", "setenv A b", "banners /x"])
def test_options_without_effect_are_warned_of(option):
    options = parse_options(option + ": allow")
    assert options.verdict is True
    assert options.warnings == (f"option '{option.split()[0]}' has no effect",)


@pytest.mark.parametrize(("option", "words"), [
    ("twist /bin/echo", "'twist' is not possible"), ("aclexec /bin/true", "'aclexec' is not possible"),
    ("", "unknown option: (empty)"), ("echo hi", "unknown option: echo hi"), ("spawn", "'spawn' without a command"),
    ("allow yes", "'allow' takes no value"), ("allow: keepalive", "'allow' must be the last one"),
    ("severity loud", "bad severity: loud"), ("linger", "bad value of option 'linger': (none)"),
    ("umask 9", "bad value of option 'umask': 9"), ("setenv", "bad value of option 'setenv'"),
])
def test_mistakes_deny(option, words):
    options = parse_options(option)
    assert options.verdict is False
    assert words in options.warnings[-1]
    assert options.warnings[-1].endswith("; access will be denied")


def test_commands_before_a_mistake_still_run():
    options = parse_options("spawn a: spawn b: nonsense")
    assert (options.verdict, options.commands) == (False, ("a", "b"))


# -- complaints and changes -----------------------------------------------------------------------


def test_complaints_about_our_rules_only(load, tmp_path):
    rules = load("sshd: ALL: twist x\nALL: 10/8\nfastscp: @group\nALL: joe@10.\nno colon\nstorescp: ALL: nonsense\n")
    assert [warning.removeprefix(f"{tmp_path}/allow:") for warning in rules.warnings] == [
        "5: rule without ':' is ignored: no colon",
        "2: malformed pattern '10/8' matches nobody",
        "3: netgroups are not supported, '@group' matches nobody",
        "4: user names are never known, 'joe@10.' matches nobody",
        "6: unknown option: nonsense; access will be denied",
    ]


def test_line_numbers_count_continued_lines(load, tmp_path):
    rules = load("# a \\\nb\n\nALL: \\\n 11. \\\n 10.\nALL: ALL\n")
    assert rules.decide(CLIENT).rule == f"{tmp_path}/allow:4"
    assert rules.decide(ClientInfo("12.1.1.1", "")).rule == f"{tmp_path}/allow:7"


@pytest.mark.parametrize("tail", ["ALL: 10.", "ALL: 10.\\"])
def test_last_line_needs_no_line_end(load, tail):
    assert load(tail, "ALL: ALL").decide(CLIENT).allowed


def test_changes_of_any_file_are_noticed(load, tmp_path):
    patterns = tmp_path / "patterns"
    patterns.write_text("10.")
    rules = load(f"ALL: {patterns} /not/there\n", "ALL: ALL\n")
    assert rules.is_current()
    assert rules.decide(CLIENT).allowed
    patterns.write_text("11.1.")
    assert not rules.is_current()
    rules = load(f"ALL: {patterns}\n", "ALL: ALL\n")
    assert not rules.decide(CLIENT).allowed
    os.unlink(tmp_path / "deny")
    assert not rules.is_current()


def test_table_that_comes_into_being_is_noticed(tmp_path):
    rules = load_rules(AccessPolicy(True, str(tmp_path / "allow"), str(tmp_path / "deny")))
    assert rules.is_current()
    (tmp_path / "deny").write_text("ALL: ALL\n")
    assert not rules.is_current()
