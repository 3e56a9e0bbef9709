"""The networks of the balancers."""

from __future__ import annotations

import pytest

from fastscp.errors import UsageError
from fastscp.proxy.policy import ProxyPolicy, proxy_policy


def test_networks_and_single_addresses_of_both_families():
    policy = proxy_policy("10.1.0.0/16, 192.0.2.1,2001:db8::/32")
    assert [address for address in ("10.1.2.3", "10.2.0.1", "192.0.2.1", "192.0.2.2", "2001:db8:1::7", "2001:db9::1", "::ffff:10.1.2.3")
            if policy.speaks(address)] == ["10.1.2.3", "192.0.2.1", "2001:db8:1::7"]


def test_address_with_a_scope_is_of_its_network():
    assert proxy_policy("fe80::/10").speaks("fe80::1%eth0")


def test_what_is_no_address_is_of_no_network():
    assert not proxy_policy("0.0.0.0/0").speaks("")


def test_without_networks_there_are_no_balancers():
    assert not ProxyPolicy()
    assert not ProxyPolicy().speaks("127.0.0.1")
    assert proxy_policy("127.0.0.1")


@pytest.mark.parametrize("text", ["", "10.1.0.0/33", "10.1.2.3/16", "localhost", "10.0.0.0/8,", "10.0.0.0/8 10.1.0.0/16"])
def test_bad_networks_end_the_start(text):
    with pytest.raises(UsageError, match="--proxy-protocol"):
        proxy_policy(text)
