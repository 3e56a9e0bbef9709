from __future__ import annotations

import pytest

from fastscp.errors import ProcessError
from fastscp.process.control import Kind, Peer, decode, encode


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CONNECTION])
def test_records_without_a_peer(kind: Kind) -> None:
    assert decode(encode(kind, 7)) == (kind, 7, None)


@pytest.mark.parametrize("peer", [Peer("127.0.0.1", 104), Peer("fe80::1%eth0", 65535, "host.example"), Peer("10.0.0.1", 1, "ä b")])
def test_connection_carries_its_peer(peer: Peer) -> None:
    assert decode(encode(Kind.CONNECTION, 0xFFFFFFFF, peer)) == (Kind.CONNECTION, 0xFFFFFFFF, peer)


@pytest.mark.parametrize("packet", [b"", b"C", b"?\0\0\0\1", b"C\0\0\0\1", b"C\0\0\0\1x y z", b"C\0\0\0\1104 \xff"])
def test_bad_records_are_bugs(packet: bytes) -> None:
    with pytest.raises(ProcessError):
        decode(packet)


def test_name_of_a_peer_is_its_host_or_its_address() -> None:
    assert Peer("10.0.0.1", 1, "ct1").name == "ct1"
    assert Peer("10.0.0.1", 1).name == "10.0.0.1"
