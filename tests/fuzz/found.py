"""What fuzzing found, made small; each is run with the seeds for ever. name of the target -> (why it was wrong, octets)."""

from __future__ import annotations

from fastscp.ul.encode import encode_data
from tests.corpus import wire

_COMMAND = encode_data(3, 3, wire.store_command())
FOUND: dict[str, list[tuple[str, bytes]]] = {
    "pdus": [],
    "negotiation": [],
    "commands": [],
    "datasets": [],
    "proxies": [],
    "lane": [
        # the lane waited for the rest of a message that had broken a rule already: the peer was told only when all of it was there
        ("length of a PDV that does not fit its PDU", b"\1" + _COMMAND + bytes.fromhex("0400 00000550 00000600 0302")),
        ("another context, in a fragment that is cut off", b"\1" + _COMMAND + bytes.fromhex("0400 00000550 0000054C 0502 00")),
        ("a PDU of no type, of which few octets are there", b"\1" + _COMMAND + bytes.fromhex("2000 00000010")),
    ],
}
