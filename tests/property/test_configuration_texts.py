"""Whatever stands in an association profile or an access table: an answer or a UsageError, nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.access.policy import AccessPolicy
from fastscp.access.rules import ClientInfo, load_rules
from fastscp.config.profiles import load_profile
from fastscp.errors import UsageError

SETTINGS = settings(max_examples=300, deadline=None)

PROFILE_PIECES = st.sampled_from([
    "[[TransferSyntaxes]]\n", "[[PresentationContexts]]\n", "[[Profiles]]\n", "[[SCPSCURoleSelection]]\n",
    "[[ExtendedNegotiation]]\n", "[U]\n", "[P]\n", "[D]\n", "[R]\n", "TransferSyntax1 = LittleEndianExplicit\n",
    "TransferSyntax2 = 1.2.3\n", "PresentationContext1 = VerificationSOPClass\\U\n", "PresentationContext2 = CTImageStorage\\U\n",
    "Role1 = CTImageStorage\\BOTH\n", "ExtendedNegotiation1 = CTImageStorage\\00ff\n", "PresentationContexts = P\n",
    "SCPSCURoleSelection = R\n", "ExtendedNegotiation = R\n", " ", "\n", "#", "\\", "=", "[", "]", "\0", "\xff", "\r",
])
RULE_PIECES = st.sampled_from([
    "ALL", "storescp", "sshd", ": ", ":", " ", ",", "\n", "\\\n", "\\", "#", "EXCEPT ", "10.", "10.0.0.0/8", "[fe80::]/10",
    "[", "]", "/", "@", "*", "?", ".example", "KNOWN", "UNKNOWN", "LOCAL", "PARANOID", "allow", "deny", "spawn x %a %", "twist y",
    "severity info", "/proc/self/none", "/\0", "user@", "\0", "\xff", "%",
])


def pieces(strategy):
    return st.lists(st.one_of(strategy, st.text(max_size=3)), max_size=30).map("".join)


@SETTINGS
@given(pieces(PROFILE_PIECES))
def test_association_profiles(text):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "f.cfg"
        path.write_bytes(text.encode("utf-8", "replace"))
        try:
            policy = load_profile(str(path), "D")
        except UsageError:
            return
    assert all(rule.transfer_syntaxes for rule in policy.rules.values())


@SETTINGS
@given(pieces(RULE_PIECES), pieces(RULE_PIECES), st.sampled_from(["10.2.3.4", "fe80::1", "", "::ffff:10.1.1.1"]),
       st.sampled_from(["", "box", "ct1.example"]))
def test_access_tables(allow, deny, address, name):
    with tempfile.TemporaryDirectory() as directory:
        for file, text in (("allow", allow), ("deny", deny)):
            (Path(directory) / file).write_bytes(text.encode("utf-8", "replace"))
        try:
            rules = load_rules(AccessPolicy(True, f"{directory}/allow", f"{directory}/deny"))
        except UsageError:  # a /file pattern that names a directory
            return
        unnamed = rules.decide(ClientInfo(address))
        named = rules.decide(ClientInfo(address, name))
        assert not named.needs_host_name
        if not unnamed.needs_host_name:  # then the name makes no difference
            assert (unnamed.allowed, unnamed.rule) == (named.allowed, named.rule)
        assert all("\n" not in command or "\n" in allow + deny for command in named.commands)
