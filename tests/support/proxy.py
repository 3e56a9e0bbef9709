"""Headers of the PROXY protocol, made by hand: nothing of the code that reads them is used."""

from __future__ import annotations

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version_1(source: str = "192.0.2.7", port: int = 40000, destination: str = "198.51.100.1") -> bytes:
    """A line of version 1."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {port} 104\r\n".encode()


def version_2(source: str = "192.0.2.7", port: int = 40000, destination: str = "198.51.100.1", tlvs: bytes = b"") -> bytes:
    """A header of version 2."""
    addresses = [ipaddress.ip_address(text).packed for text in (source, destination)]
    return binary(0x21, 0x21 if ":" in source else 0x11, b"".join(addresses) + struct.pack(">HH", port, 104) + tlvs)


def binary(command: int, family: int, rest: bytes = b"") -> bytes:
    """A header of version 2 of which nothing needs to be right."""
    return SIGNATURE + bytes((command, family)) + struct.pack(">H", len(rest)) + rest


def tlv(kind: int, value: bytes) -> bytes:
    """One of the fields behind the addresses."""
    return struct.pack(">BH", kind, len(value)) + value
