"""Security profiles: what is negotiated, what is refused, with OpenSSL libraries of any kind."""

from __future__ import annotations

import logging

import pytest

from fastscp.errors import UsageError
from fastscp.tls import profiles as tls_profiles
from fastscp.tls.ciphers import SUITES, find_suite
from fastscp.tls.profiles import PROFILES, find_profile, list_profiles, select_suites


@pytest.fixture
def openssl(monkeypatch):
    """Return a function that decides what OpenSSL is supposed to have."""
    def without(*names):
        suites = [suite for suite in SUITES if suite.name not in names]
        monkeypatch.setattr(tls_profiles, "available_suites", lambda: suites)

    return without


def names(suites):
    return [suite.name for suite in suites]


def test_all_profiles_of_the_command_line_are_there():
    from fastscp.cli.options import OPTIONS

    flags = {option.long.removeprefix("--profile-") for option in OPTIONS if option.exclusive == "security-profile"}
    assert flags == set(PROFILES)


def test_unknown_profile():
    with pytest.raises(UsageError, match="unknown TLS security profile: x"):
        find_profile("x")


@pytest.mark.parametrize("name", PROFILES)
def test_missing_required_suite_is_refused_never_left_out(openssl, name):
    profile = PROFILES[name]
    for required in profile.required:
        openssl(required)
        with pytest.raises(UsageError, match=f"is not possible: .* has no ciphersuite {required}"):
            select_suites(profile, [])


@pytest.mark.parametrize("name", PROFILES)
def test_everything_required_is_chosen(openssl, name):
    openssl()
    profile = PROFILES[name]
    chosen = names(select_suites(profile, []))
    assert set(profile.required) <= set(chosen) <= {*profile.required, *profile.optional}


def test_missing_optional_suite_is_left_out_with_a_message(openssl, caplog):
    openssl("TLS_RSA_WITH_3DES_EDE_CBC_SHA")
    with caplog.at_level(logging.INFO):
        assert names(select_suites(PROFILES["aes"], [])) == ["TLS_RSA_WITH_AES_128_CBC_SHA"]
    assert "without TLS_RSA_WITH_3DES_EDE_CBC_SHA" in caplog.text
    openssl()
    assert names(select_suites(PROFILES["aes"], []))[-1] == "TLS_RSA_WITH_3DES_EDE_CBC_SHA"


def test_additional_suites_are_sorted_in(openssl):
    openssl()
    chosen = select_suites(PROFILES["bcp195-nd"], ["TLS_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"])
    assert names(chosen)[0] == "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    assert names(chosen)[-1] == "TLS_RSA_WITH_AES_256_GCM_SHA384"


def test_additional_suite_that_is_not_available(openssl):
    openssl("TLS_RSA_WITH_AES_256_GCM_SHA384")
    with pytest.raises(UsageError, match="ciphersuite 'AES256-GCM-SHA384' is not supported by OpenSSL"):
        select_suites(PROFILES["8996"], ["AES256-GCM-SHA384"])


@pytest.mark.parametrize("name", [name for name, profile in PROFILES.items() if name != "null" and profile.extensible])
def test_unencrypted_suites_are_for_the_null_profile(openssl, name):
    openssl()
    with pytest.raises(UsageError, match="unencrypted ciphersuite 'NULL-SHA256' is not permitted"):
        select_suites(PROFILES[name], ["NULL-SHA256"])
    assert find_suite("NULL-SHA256") in select_suites(PROFILES["null"], ["NULL-SHA256"])


@pytest.mark.parametrize("name", ["8996-mod", "bcp195-ex"])
def test_closed_profiles(openssl, name):
    openssl()
    with pytest.raises(UsageError, match="additional ciphersuites are not permitted"):
        select_suites(PROFILES[name], ["AES256-GCM-SHA384"])


def test_suites_of_tls13_are_there_anyway_or_never(openssl):
    openssl()
    assert select_suites(PROFILES["8996"], ["TLS_AES_256_GCM_SHA384"]) == select_suites(PROFILES["8996"], [])
    with pytest.raises(UsageError, match="unknown ciphersuite"):
        select_suites(PROFILES["aes"], ["TLS_AES_256_GCM_SHA384"])


@pytest.mark.parametrize(("suite", "words"), [
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", "not to use key exchange by RSA"),
    ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "not to use key exchange by DHE"),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "not to use CBC mode"),
])
def test_weak_suites_are_warned_of(openssl, caplog, suite, words):
    openssl()
    select_suites(PROFILES["8996"], [suite])
    assert words in caplog.text


def test_list_says_what_is_not_possible(openssl):
    openssl("TLS_RSA_WITH_3DES_EDE_CBC_SHA")
    lines = list_profiles().splitlines()
    place = lines.index("  --profile-basic: Basic TLS Secure Transport Connection Profile (retired)")
    assert "not possible" in lines[place + 1]
    assert sum("not possible" in line for line in lines) == 1
