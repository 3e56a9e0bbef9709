from __future__ import annotations

import pytest

from fastscp.net.peer import Peer, peer_at


def test_a_peer_is_called_by_its_host_name_where_it_is_known() -> None:
    assert Peer("10.0.0.1", 1, "ct1").name == "ct1"
    assert Peer("10.0.0.1", 1).name == "10.0.0.1"


@pytest.mark.parametrize(("address", "shown"), [
    (("10.1.2.3", 104), "10.1.2.3"), (("::ffff:10.1.2.3", 104, 0, 0), "10.1.2.3"), (("::FFFF:10.1.2.3", 104), "10.1.2.3"),
    (("fe80::1%eth0", 104, 0, 2), "fe80::1%eth0"), (("::ffff:0:1", 104), "::ffff:0:1"),
])
def test_an_ipv4_peer_of_a_dual_stack_socket_is_shown_as_ipv4(address: tuple[object, ...], shown: str) -> None:
    assert peer_at(address) == Peer(shown, 104)
