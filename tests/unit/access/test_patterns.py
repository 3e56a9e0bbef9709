"""Patterns of hosts_access(5) against addresses and names."""

from __future__ import annotations

import pytest

from fastscp.access.patterns import (
    PARANOID,
    UNKNOWN,
    HostFiles,
    HostInfo,
    NameNeededError,
    comparable_address,
    is_malformed,
    match_host,
    match_text,
)

HOST = HostInfo("10.2.3.4", "ct1.radiology.example")


@pytest.mark.parametrize("pattern", [
    "ALL", "all", "10.2.3.4", "10.", "10.2.3.", "10.2.0.0/16", "10.0.0.0/255.0.0.0", "10.2.3.*", "10.?.3.4", "*",
    ".example", ".radiology.example", ".EXAMPLE", "ct1.radiology.example", "CT1.*", "ct?.*.example", "KNOWN",
])
def test_patterns_that_match(pattern):
    assert match_host(pattern, HOST, HostFiles())


@pytest.mark.parametrize("pattern", [
    "UNKNOWN", "PARANOID", "LOCAL", "10.2.3.5", "1.", "11.", "10.3.0.0/16", "10.2.3.4/0", "10.2.3.1/24", "ct1",
    "radiology.example", "example", ".xample", "ct1.radiology.example.", "*.org", "[fe80::1]", "[::]/0", "@group",
])
def test_patterns_that_do_not(pattern):
    assert not match_host(pattern, HOST, HostFiles())


@pytest.mark.parametrize(("name", "matching"), [
    ("box", {"KNOWN", "LOCAL", "box"}),
    ("box.example", {"KNOWN", "box.example", ".example"}),
    (UNKNOWN, {"UNKNOWN"}),
    (PARANOID, {"PARANOID"}),
])
def test_keywords_about_names(name, matching):
    patterns = {"KNOWN", "LOCAL", "UNKNOWN", "PARANOID", "box", "box.example", ".example"}
    assert {pattern for pattern in patterns if match_host(pattern, HostInfo("10.2.3.4", name), HostFiles())} == matching


@pytest.mark.parametrize(("pattern", "needed"), [
    ("ALL", False), ("10.", False), ("11.", False), ("10.0.0.0/8", False), ("[fe80::]/10", False), ("10.2.3.*", False),
    ("1.2.3.4", False), ("KNOWN", True), ("LOCAL", True), ("UNKNOWN", True), ("PARANOID", True), (".example", True),
    ("box", True), ("*.example", True),
])
def test_names_are_asked_for_only_when_they_decide(pattern, needed):
    host = HostInfo("10.2.3.4", None)
    if needed:
        with pytest.raises(NameNeededError):
            match_host(pattern, host, HostFiles())
    else:
        assert match_host(pattern, host, HostFiles()) in (True, False)


@pytest.mark.parametrize(("pattern", "address", "expected"), [
    ("[fe80::]/10", "fe80::1%eth0", True), ("[fe80::1]", "fe80::1", True), ("[FE80:0:0::1]", "fe80::1", True),
    ("[2001:db8::]/32", "2001:db8:1::1", True), ("[2001:db8::]/32", "2001:db9::1", False),
    ("[2001:db8::1]/129", "2001:db8::1", False), ("[nonsense]/10", "fe80::1", False), ("[fe80::]/", "fe80::1", False),
    ("10.0.0.0/8", "::ffff:10.1.2.3", True), ("10.1.2.3", "::FFFF:10.1.2.3", True), ("[::]/0", "10.1.2.3", False),
])
def test_ipv6(pattern, address, expected):
    assert match_host(pattern, HostInfo(address, UNKNOWN), HostFiles()) is expected


def test_files_name_files_but_not_for_ever():
    files = HostFiles({"/a": ("11.", "/b"), "/b": ("10.2.",), "/c": ("/c",)})
    assert match_host("/a", HOST, files)
    assert not match_host("/c", HOST, files)
    assert not match_host("/not/there", HOST, files)


@pytest.mark.parametrize(("pattern", "expected"), [
    ("10.0.0.0/8", False), ("10.0.0.0/255.0.0.0", False), ("[fe80::]/10", False), ("[::1]", False), ("/file", False),
    ("host", False), ("*.example", False),
    ("10.0.0.0/0", True), ("10.0.0.0/33", True), ("10.0.0.0/255.255.255.255", True), ("10/8", True), ("host/8", True),
    ("[fe80::]/129", True), ("[fe80::/10", True), ("[junk]", True), ("fe80::/10", True),
])
def test_malformed(pattern, expected):
    assert is_malformed(pattern) is expected


@pytest.mark.parametrize(("text", "expected"), [
    ("storescp", True), ("STORESCP", True), ("store*", True), ("ALL", True), ("KNOWN", True), ("stores", False),
    ("scp", False), ("storescp.", False),
])
def test_daemon_names(text, expected):
    assert match_text(text, "storescp") is expected


def test_comparable_address():
    assert [comparable_address(text) for text in ("10.1.2.3", "::ffff:10.1.2.3", "FE80::1%2", "::ffff:0:1")] == [
        "10.1.2.3", "10.1.2.3", "fe80::1", "::ffff:0:1"]
