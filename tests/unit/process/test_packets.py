from __future__ import annotations

import pytest

from fastscp.errors import ProcessError
from fastscp.process import packets
from fastscp.process.fdpass import PACKET_OCTETS


def test_connection_carries_its_peer() -> None:
    packet: packets.NewConnection = {"kind": "connection", "number": 0xFFFFFFFF, "address": "fe80::1%eth0", "port": 65535,
                                  "host": "ä b"}
    assert packets.decode_order(packets.encode(packet)) == packet


@pytest.mark.parametrize("octets", [b"", b"Q\0\0\0\1", b"[]", b'{"number":1}', b'{"kind":"up"'])
@pytest.mark.parametrize("decode", [packets.decode_order, packets.decode_news, packets.decode_control,
                                    packets.decode_worker, packets.decode_coordinator])
def test_bad_packets_are_bugs(octets: bytes, decode: object) -> None:
    with pytest.raises(ProcessError):
        decode(octets)  # type: ignore[operator]


def test_a_packet_that_no_receiver_would_take_whole_is_refused() -> None:
    order: packets.Worker = {"kind": "worker", "name": "x" * PACKET_OCTETS}
    with pytest.raises(ProcessError, match="octets"):
        packets.encode(order)


def test_what_cannot_be_said_in_json_is_refused() -> None:
    with pytest.raises(ProcessError, match="cannot be encoded"):
        packets.encode({"kind": "worker", "name": object()})  # type: ignore[typeddict-item]


def test_strings_of_peers_are_bounded() -> None:
    assert packets.bounded("x" * 5000) == "x" * packets.MAXIMUM_STRING
    assert packets.bounded("short") == "short"
