"""Access rules beside tcpdmatch(8), which predicts what tcp_wrappers would do."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from fastscp.access.policy import AccessPolicy
from fastscp.access.rules import ClientInfo, ServerInfo, load_rules

pytestmark = pytest.mark.skipif(shutil.which("tcpdmatch") is None, reason="tcpdmatch is not installed")

DENY_ALL = "ALL: ALL\n"

#: what tcpdmatch calls a client, and what we know of it: tcpdmatch looks no address up
ADDRESS = "10.2.3.4"
CLIENTS = {
    ADDRESS: ClientInfo(ADDRESS, ""),
    "10.0.3.4": ClientInfo("10.0.3.4", ""),
    "127.0.0.1": ClientInfo("127.0.0.1", ""),
    "fe80::1": ClientInfo("fe80::1", ""),
    "::1": ClientInfo("::1", ""),
    "::ffff:10.2.3.4": ClientInfo("::ffff:10.2.3.4", ""),
    "localhost": ClientInfo("127.0.0.1", "localhost"),
    "unknown": ClientInfo("", ""),
    "paranoid": ClientInfo("", "evil.example", confirmed=False),
}

#: rules of the allow table, nothing else being allowed
ALLOW = [
    # nets
    ("ALL: 10.0.0.1/255.0.0.0", ADDRESS),
    ("ALL: 10.0.0.0/255.0.0.0", ADDRESS),
    ("ALL: 10.0.0.0/255.0.255.0", "10.0.3.4"),
    ("ALL: 10.2.3.9/24", ADDRESS),
    ("ALL: 10.2.3.0/24", ADDRESS),
    ("ALL: 10.2.3.4/32", ADDRESS),
    ("ALL: 10.2.3.4/255.255.255.255", ADDRESS),
    ("ALL: 0.0.0.0/0", ADDRESS),
    ("ALL: 10.2/16", ADDRESS),
    ("ALL: 10.2.3.4/33", ADDRESS),
    ("ALL: 10.0.0.0/08", ADDRESS),
    ("ALL: 10.0.0.0/ 8", ADDRESS),
    ("ALL: 10.2.3.4/255.255.0", ADDRESS),
    ("ALL: nosuch.example/24", ADDRESS),
    ("ALL: 127.0.0.0/8", "localhost"),
    ("ALL: 10.2.3.4/8 10.2.3.4", ADDRESS),
    # addresses and their parts
    ("ALL: 10.", ADDRESS),
    ("ALL: 10", ADDRESS),
    ("ALL: 10.2.3.", ADDRESS),
    ("ALL: 010.2.3.4", ADDRESS),
    ("ALL: .4", ADDRESS),
    ("ALL: .0.0.1", "127.0.0.1"),
    ("ALL: 10.2.3.*", ADDRESS),
    ("ALL: 10.2.?.4", ADDRESS),
    ("ALL: .*.1", "127.0.0.1"),
    ("ALL: 127.*.", "127.0.0.1"),
    ("ALL: *", ADDRESS),
    ("ALL: *", "unknown"),
    ("ALL: U*", "unknown"),
    # IPv6
    ("ALL: [fe80::1]", "fe80::1"),
    ("ALL: [fe80:0::0:1]", "fe80::1"),
    ("ALL: [fe80::]/10", "fe80::1"),
    ("ALL: [fe80::2]/10", "fe80::1"),
    ("ALL: [fe80::1]/128", "fe80::1"),
    ("ALL: [fe80::1]/0", "::1"),
    ("ALL: [fe80::]/200", "fe80::1"),
    ("ALL: fe80::1", "fe80::1"),
    ("ALL: fe80::/10", "fe80::1"),
    ("ALL: fe80:*", "fe80::1"),
    ("ALL: [fe80::*]", "fe80::1"),
    ("ALL: [::ffff:10.0.0.0]/104", ADDRESS),
    ("ALL: 10.2.3.4", "::ffff:10.2.3.4"),
    ("ALL: [127.0.0.1]", "127.0.0.1"),
    ("ALL: [::1]", "::1"),
    ("ALL: ::1", "::1"),
    ("ALL: [::1]:allow", "::1"),
    ("ALL: [::1]/128:deny", "::1"),
    # wildcards and names
    ("ALL: LOCAL", ADDRESS),
    ("ALL: UNKNOWN", ADDRESS),
    ("ALL: unknown", ADDRESS),
    ("ALL: KNOWN", ADDRESS),
    ("ALL: PARANOID", ADDRESS),
    ("ALL: LOCAL", "localhost"),
    ("ALL: KNOWN", "localhost"),
    ("ALL: UNKNOWN", "localhost"),
    ("ALL: localhost", "localhost"),
    ("ALL: LocalHost", "localhost"),
    ("ALL: local*", "localhost"),
    ("ALL: PARANOID", "paranoid"),
    ("ALL: KNOWN", "paranoid"),
    ("ALL: UNKNOWN", "unknown"),
    ("ALL: .example", "paranoid"),
    # lists
    ("ALL EXCEPT storescp: ALL", ADDRESS),
    ("ALL EXCEPT other: ALL", ADDRESS),
    ("ALL: ALL EXCEPT 10.", ADDRESS),
    ("ALL: ALL EXCEPT 10. EXCEPT 10.2.", ADDRESS),
    ("ALL: ALL EXCEPT 10. EXCEPT 10.3.", ADDRESS),
    ("all: all except 11.", ADDRESS),
    ("ALL: ALL EXCEPT", ADDRESS),
    ("ALL: EXCEPT 10.", ADDRESS),
    ("store*: ALL", ADDRESS),
    ("storescp,other: ALL", ADDRESS),
    ("other storescp: ALL", ADDRESS),
    ("sshd: ALL", ADDRESS),
    ("LOCAL: ALL", ADDRESS),
    ("KNOWN: ALL", ADDRESS),
    ("UNKNOWN: ALL", ADDRESS),
    ("104: ALL", ADDRESS),
    ("storescp@127.0.0.1: ALL", ADDRESS),
    ("storescp@ALL: ALL", ADDRESS),
    ("storescp@UNKNOWN: ALL", ADDRESS),
    ("ALL: joe@10.2.3.4", ADDRESS),
    ("ALL: UNKNOWN@10.2.3.4", ADDRESS),
    ("ALL: ALL@10.2.3.4", ADDRESS),
    ("ALL: KNOWN@10.2.3.4", ADDRESS),
    ("ALL: ALL@ALL", ADDRESS),
    ("ALL: @netgroup", ADDRESS),
    # lines
    ("ALL 10.2.3.4", ADDRESS),
    (" ALL: 10.2.3.4", ADDRESS),
    (" # ALL: 10.2.3.4", ADDRESS),
    ("# ALL: 10.2.3.4", ADDRESS),
    ("ALL: \\\n10.2.3.4", ADDRESS),
    ("ALL: 10.2.\\\n3.4", ADDRESS),
    ("# c \\\nALL: 10.2.3.4", ADDRESS),
    ("# c\nALL: 10.2.3.4", ADDRESS),
    ("ALL:", ADDRESS),
    (": ALL", ADDRESS),
    # options
    ("ALL: 10.2.3.4: deny", ADDRESS),
    ("ALL: 10.2.3.4: ALLOW ", ADDRESS),
    ("ALL: 10.2.3.4: spawn echo hi: allow", ADDRESS),
    ("ALL: 10.2.3.4: spawn echo a\\: b: deny", ADDRESS),
    ("ALL: 10.2.3.4: spawn = echo hi", ADDRESS),
    ("ALL: 10.2.3.4: spawn", ADDRESS),
    ("ALL: 10.2.3.4: echo hi", ADDRESS),
    ("ALL: 10.2.3.4: allow: spawn true", ADDRESS),
    ("ALL: 10.2.3.4: ", ADDRESS),
    ("ALL: 10.2.3.4:: allow", ADDRESS),
    ("ALL: 10.2.3.4: allow:", ADDRESS),
    ("ALL: 10.2.3.4: deny yes", ADDRESS),
    ("ALL: 10.2.3.4: keepalive: deny", ADDRESS),
    ("ALL: 10.2.3.4: keepalive yes", ADDRESS),
    ("ALL: 10.2.3.4: severity mail.info", ADDRESS),
    ("ALL: 10.2.3.4: severity = local3.debug", ADDRESS),
    ("ALL: 10.2.3.4: severity info", ADDRESS),
    ("ALL: 10.2.3.4: severity", ADDRESS),
    ("ALL: 10.2.3.4: severity foo.bar", ADDRESS),
    ("ALL: 10.2.3.4: severity mail.foo", ADDRESS),
    ("ALL: 10.2.3.4: linger 5: nice: umask 022: setenv A b: rfc931 5: banners /nonexistent", ADDRESS),
    ("ALL: 10.2.3.4: linger", ADDRESS),
    ("ALL: 10.2.3.4: linger x", ADDRESS),
    ("ALL: 10.2.3.4: linger -1", ADDRESS),
    ("ALL: 10.2.3.4: rfc931", ADDRESS),
    ("ALL: 10.2.3.4: rfc931 x", ADDRESS),
    ("ALL: 10.2.3.4: nice 5", ADDRESS),
    ("ALL: 10.2.3.4: nice x", ADDRESS),
    ("ALL: 10.2.3.4: umask 9", ADDRESS),
    ("ALL: 10.2.3.4: user root.root", ADDRESS),
]


def tcpdmatch(directory, client, daemon="storescp"):
    """Return whether tcp_wrappers would grant access by the tables in ``directory``."""
    done = subprocess.run(["tcpdmatch", "-d", daemon, client], cwd=directory, capture_output=True, text=True, check=False)
    (verdict,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("access:"))
    assert verdict in {"granted", "denied"}
    return verdict == "granted"


def tables(directory, allow, deny):
    (directory / "hosts.allow").write_text(allow)
    (directory / "hosts.deny").write_text(deny)
    return load_rules(AccessPolicy(
        enabled=True, allow_file=str(directory / "hosts.allow"), deny_file=str(directory / "hosts.deny")))


@pytest.mark.parametrize(("rule", "client"), ALLOW, ids=lambda value: repr(value)[1:-1])
def test_rules_of_the_allow_table(rule, client, tmp_path):
    decision = tables(tmp_path, rule + "\n", DENY_ALL).decide(CLIENTS[client])
    assert not decision.needs_host_name
    assert decision.allowed == tcpdmatch(tmp_path, client)


@pytest.mark.parametrize(("rule", "client"), ALLOW, ids=lambda value: repr(value)[1:-1])
def test_rules_of_the_deny_table(rule, client, tmp_path):
    assert tables(tmp_path, "", rule + "\n").decide(CLIENTS[client]).allowed == tcpdmatch(tmp_path, client)


@pytest.mark.parametrize(("allow", "deny"), [
    ("", ""), ("ALL: 10.\n", ""), ("", "ALL: 11.\n"), ("ALL: 11.\nALL: 10.2. : deny\nALL: 10.\n", DENY_ALL),
    ("ALL: 11.\n", "ALL: 10. : allow\nALL: ALL\n"), ("sshd: ALL\n", "in.telnetd: ALL\n"),
])
def test_both_tables(allow, deny, tmp_path):
    assert tables(tmp_path, allow, deny).decide(CLIENTS[ADDRESS]).allowed == tcpdmatch(tmp_path, ADDRESS)


def test_twist_is_refused_where_tcp_wrappers_would_run_it(tmp_path):
    rules = tables(tmp_path, "ALL: 10.: twist /bin/echo no\n", "")
    assert not rules.decide(CLIENTS[ADDRESS]).allowed
    assert "twist" in rules.warnings[0]


@pytest.mark.parametrize("server", ["127.0.0.1", "10.9.9.9"])
def test_server_endpoint(server, tmp_path):
    rules = tables(tmp_path, "storescp@10.9.: ALL\n", DENY_ALL)
    ours = rules.decide(CLIENTS[ADDRESS], ServerInfo(server, 104)).allowed
    assert ours == tcpdmatch(tmp_path, ADDRESS, f"storescp@{server}")


@pytest.mark.parametrize("client", [ADDRESS, "10.0.3.4", "127.0.0.1"])
@pytest.mark.parametrize("rule", ["ALL: {}", "ALL: ALL EXCEPT {}", "ALL: {}.not.there"])
def test_patterns_from_a_file(rule, client, tmp_path):
    patterns = tmp_path / "patterns"
    patterns.write_text("10.0.3.0/24  127.\n10.2.3.5\n")
    ours = tables(tmp_path, rule.format(patterns) + "\n", DENY_ALL).decide(CLIENTS[client]).allowed
    assert ours == tcpdmatch(tmp_path, client)
