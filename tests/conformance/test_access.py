"""Access rules beside tcpdmatch(8), which predicts what tcp_wrappers would do."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from fastscp.acceptor.resolver_child import look_up
from fastscp.access.policy import AccessPolicy
from fastscp.access.rules import ClientInfo, ServerInfo, load_rules
from tests.support.servers import FastscpServer, StorescpServer, wait_until

needs_tcpdmatch = pytest.mark.skipif(shutil.which("tcpdmatch") is None, reason="tcpdmatch is not installed")

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


@needs_tcpdmatch
@pytest.mark.parametrize(("rule", "client"), ALLOW, ids=lambda value: repr(value)[1:-1])
def test_rules_of_the_allow_table(rule, client, tmp_path):
    decision = tables(tmp_path, rule + "\n", DENY_ALL).decide(CLIENTS[client])
    assert not decision.needs_host_name
    assert decision.allowed == tcpdmatch(tmp_path, client)


@needs_tcpdmatch
@pytest.mark.parametrize(("rule", "client"), ALLOW, ids=lambda value: repr(value)[1:-1])
def test_rules_of_the_deny_table(rule, client, tmp_path):
    assert tables(tmp_path, "", rule + "\n").decide(CLIENTS[client]).allowed == tcpdmatch(tmp_path, client)


@needs_tcpdmatch
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


@needs_tcpdmatch
@pytest.mark.parametrize("server", ["127.0.0.1", "10.9.9.9"])
def test_server_endpoint(server, tmp_path):
    rules = tables(tmp_path, "storescp@10.9.: ALL\n", DENY_ALL)
    ours = rules.decide(CLIENTS[ADDRESS], ServerInfo(server, 104)).allowed
    assert ours == tcpdmatch(tmp_path, ADDRESS, f"storescp@{server}")


@needs_tcpdmatch
@pytest.mark.parametrize("client", [ADDRESS, "10.0.3.4", "127.0.0.1"])
@pytest.mark.parametrize("rule", ["ALL: {}", "ALL: ALL EXCEPT {}", "ALL: {}.not.there"])
def test_patterns_from_a_file(rule, client, tmp_path):
    patterns = tmp_path / "patterns"
    patterns.write_text("10.0.3.0/24  127.\n10.2.3.5\n")
    ours = tables(tmp_path, rule.format(patterns) + "\n", DENY_ALL).decide(CLIENTS[client]).allowed
    assert ours == tcpdmatch(tmp_path, client)


# -- the running service --------------------------------------------------------------------------

needs_client = pytest.mark.skipif(shutil.which("echoscu") is None, reason="DCMTK is not installed")


def echo(port, address="127.0.0.1"):
    return subprocess.run(["echoscu", address, str(port)], capture_output=True, timeout=60, check=False).returncode == 0


def service(tmp_path, allow, deny, *options):
    (tmp_path / "allow").write_text(allow)
    (tmp_path / "deny").write_text(deny)
    return FastscpServer(["-od", tmp_path, "--workers", "1", "--hosts-allow", tmp_path / "allow",
                          "--hosts-deny", tmp_path / "deny", *options])


@needs_client
@pytest.mark.parametrize("flag", ["+ac", "--access-control"])
@pytest.mark.parametrize("lookup", [[], ["-dhl"], ["--disable-host-lookup"]])
@pytest.mark.parametrize(("allow", "admitted"), [
    ("storescp: 127.0.0.1\n", True), ("fastscp: 127.\n", True), ("sshd: ALL\n", False), ("ALL: 10.\n", False),
])
def test_service_by_address(tmp_path, flag, lookup, allow, admitted):
    with service(tmp_path, allow, DENY_ALL, flag, *lookup) as server:
        assert echo(server.port) is admitted
        if not admitted:
            wait_until(lambda: b"access denied to" in server.log(), "a log line")
            assert f"by {tmp_path}/deny:1".encode() in server.log()


@needs_client
@pytest.mark.parametrize(("lookup", "known"), [([], True), (["-dhl"], False)])
def test_names_are_known_unless_lookups_are_disabled(tmp_path, lookup, known):
    if not look_up("127.0.0.1")[0]:
        pytest.skip("127.0.0.1 has no name here")
    with service(tmp_path, "ALL: KNOWN\n", DENY_ALL, "+ac", *lookup) as server:
        assert echo(server.port) is known
    with service(tmp_path, "", "ALL: UNKNOWN\n", "+ac", *lookup) as server:
        assert echo(server.port) is known


@needs_client
@pytest.mark.parametrize("options", [["-ac"], ["--access-full"], []])
def test_without_access_control_the_rules_are_not_read(tmp_path, options):
    (tmp_path / "deny").write_text(DENY_ALL)
    with FastscpServer(["-od", tmp_path, "--workers", "1", *options]) as server:
        assert echo(server.port)


@needs_client
def test_tables_count_as_soon_as_they_are_written(tmp_path):
    with service(tmp_path, "", "", "+ac", "-dhl") as server:
        assert echo(server.port)
        (tmp_path / "deny").write_text("ALL: 127.0.0.0/8\n")
        assert not echo(server.port)
        (tmp_path / "allow").write_text("ALL: 127.\n")
        assert echo(server.port)


@needs_client
def test_table_that_cannot_be_read_any_more_keeps_the_old_rules(tmp_path):
    with service(tmp_path, "", DENY_ALL, "+ac", "-dhl") as server:
        assert not echo(server.port)
        (tmp_path / "deny").unlink()
        (tmp_path / "deny").mkdir()
        assert not echo(server.port)
        wait_until(lambda: b"access rules not reloaded" in server.log(), "a log line")


@needs_client
def test_spawned_commands(tmp_path):
    result = tmp_path / "result"
    rule = f"ALL: 127.: spawn (echo %a %d; ls -l /proc/self/fd) >{result}.new 2>&1; mv {result}.new {result}\n"
    with service(tmp_path, rule, DENY_ALL, "+ac", "-dhl") as server:
        assert echo(server.port)
        wait_until(result.exists, "result of the command")
        text = result.read_text()
        assert text.startswith("127.0.0.1 storescp\n")
        assert "socket:" not in text


@needs_client
def test_twist_is_refused_with_a_message(tmp_path):
    with service(tmp_path, "ALL: ALL: twist /bin/echo 421 go away\n", "", "+ac", "-dhl") as server:
        assert not echo(server.port)
        assert b"option 'twist' is not possible" in server.log()


@needs_client
def test_server_address_of_the_service(tmp_path):
    with service(tmp_path, "storescp@127.0.0.2: ALL\n", DENY_ALL, "+ac", "-dhl") as server:
        assert echo(server.port, "127.0.0.2")
        assert not echo(server.port, "127.0.0.1")


MOUNT = 'mount --bind "$1" /etc/hosts.allow && mount --bind "$2" /etc/hosts.deny && shift 2 && exec storescp "$@"'


def can_mount(tmp_path):
    """Tell whether a process can have its own /etc/hosts.allow here."""
    (tmp_path / "empty").touch()
    command = ["unshare", "-m", "sh", "-c", MOUNT.replace("exec storescp", "exec true"), "sh"]
    if shutil.which("unshare") is None or not all(os.path.exists(f"/etc/hosts.{name}") for name in ("allow", "deny")):
        return False
    return subprocess.run([*command, tmp_path / "empty", tmp_path / "empty"], capture_output=True, check=False).returncode == 0


class WrappedStorescp(StorescpServer):
    """The real storescp with tables of its own."""

    def __init__(self, directory, *options):
        self.directory = directory
        super().__init__(["-od", directory, "+ac", *options])

    def command(self):
        super().command()
        return ["unshare", "-m", "sh", "-c", MOUNT, "sh", f"{self.directory}/allow", f"{self.directory}/deny"]


@pytest.mark.oracle
@pytest.mark.parametrize(("allow", "deny"), [
    ("storescp: 127.0.0.1\n", DENY_ALL), ("ALL: 10.\n", DENY_ALL), ("sshd: ALL\n", DENY_ALL), ("", "ALL EXCEPT storescp: ALL\n"),
    ("ALL: KNOWN\n", DENY_ALL), ("", "ALL: UNKNOWN\n"), ("ALL: LOCAL\n", DENY_ALL), ("ALL: PARANOID\n", DENY_ALL),
    ("ALL: localhost\n", DENY_ALL), ("ALL: ALL: nonsense\n", ""), ("ALL: ALL: deny\n", ""), ("", "ALL: ALL: allow\n"),
    ("ALL: UNKNOWN@ALL\n", DENY_ALL), ("ALL: ALL: spawn true\n", DENY_ALL),
])
@pytest.mark.parametrize("options", [[], ["-dhl"]])
def test_service_admits_whom_storescp_admits(tmp_path, allow, deny, options):
    if not can_mount(tmp_path):
        pytest.skip("no mount namespaces here")
    with service(tmp_path, allow, deny, "+ac", *options) as ours, WrappedStorescp(tmp_path, *options) as theirs:
        assert echo(ours.port) == echo(theirs.port)
