from __future__ import annotations

import pytest

from fastscp.metrics.policy import MetricsPolicy


@pytest.mark.parametrize(("text", "address", "port"), [
    ("9100", "127.0.0.1", 9100),
    ("0.0.0.0:9100", "0.0.0.0", 9100),
    ("[::1]:9100", "::1", 9100),
    ("10.0.0.1:1", "10.0.0.1", 1),
])
def test_an_address_and_a_port(text: str, address: str, port: int) -> None:
    policy = MetricsPolicy.of(text)
    assert (policy.address, policy.port) == (address, port)


@pytest.mark.parametrize("text", ["", "0", "65536", "x", "host:9100", "::1:9100", "9100:", ":9100", "127.0.0.1:", "١"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        MetricsPolicy.of(text)


def test_whether_only_this_machine_can_connect() -> None:
    assert MetricsPolicy.of("9100").local
    assert MetricsPolicy.of("[::1]:9100").local
    assert not MetricsPolicy.of("0.0.0.0:9100").local
