"""Names of ciphersuites and what they tell."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from fastscp.tls.ciphers import SUITES, available_suites, by_strength, find_suite


def test_names_are_those_of_openssl():
    """``openssl ciphers -stdname`` lists the same pairs."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    lines = subprocess.run(["openssl", "ciphers", "-stdname", "ALL:eNULL:@SECLEVEL=0"], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    pairs = {line.split()[0]: line.split()[2] for line in lines}
    checked = [suite for suite in SUITES if suite.name in pairs]
    assert len(checked) > 50
    assert all(pairs[suite.name] == suite.openssl_name for suite in checked)


@pytest.mark.parametrize(("name", "exchange", "bits", "encrypts", "sha1", "cbc"), [
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE", 256, True, False, False),
    ("TLS_DHE_DSS_WITH_AES_128_CBC_SHA256", "DHE", 128, True, False, True),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", "RSA", 128, True, True, True),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE", 256, True, False, False),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "RSA", 112, True, True, True),
    ("TLS_RSA_WITH_NULL_SHA", "RSA", 0, False, True, False),
    ("TLS_RSA_WITH_NULL_SHA256", "RSA", 0, False, False, False),
])
def test_properties(name, exchange, bits, encrypts, sha1, cbc):
    suite = find_suite(name)
    assert (suite.key_exchange, suite.key_bits, suite.encrypts, suite.sha1, suite.cbc) == (exchange, bits, encrypts, sha1, cbc)


@pytest.mark.parametrize("name", ["TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", "aes128-sha", "tls_rsa_with_aes_128_cbc_sha"])
def test_suites_are_found_by_either_name(name):
    assert find_suite(name).openssl_name == "AES128-SHA"


@pytest.mark.parametrize("name", ["", "ALL", "AES", "TLS_AES_256_GCM_SHA384", "PSK-AES128-GCM-SHA256", "ADH-AES128-SHA"])
def test_what_is_no_suite_of_ours(name):
    assert find_suite(name) is None


def test_strongest_first():
    order = sorted(SUITES, key=by_strength)
    assert order == list(SUITES)
    exchanges = [suite.key_exchange for suite in order if suite.encrypts]
    assert exchanges == sorted(exchanges, key=["ECDHE", "DHE", "RSA"].index)
    assert not order[-1].encrypts


def test_names_are_unique():
    names = [name for suite in SUITES for name in suite]
    assert len(names) == len(set(names))


def test_available_suites_are_in_our_order():
    available = available_suites()
    assert available == sorted(available, key=by_strength)
    assert find_suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") in available
