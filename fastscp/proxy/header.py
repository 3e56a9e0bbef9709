r"""The header in front of a connection that a balancer passes on, versions 1 and 2.

    version 1     PROXY TCP4 192.0.2.7 198.51.100.1 40000 104\r\n
                  PROXY UNKNOWN\r\n
    version 2     0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A    signature
                  21                                     version 2, command: 0 LOCAL, 1 PROXY
                  11                                     family: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix; 1 stream, 2 datagram
                  00 0C                                  so many octets follow
                  C0 00 02 07 C6 33 64 01 9C 40 00 68    source, destination, source port, destination port
                  ...                                    TLVs, which are passed over

Strategy: ``HeaderReader`` is shown what has come and says how much of it is the header's: never an octet more, so that
what is behind it (a PDU, a TLS hello) can stay where it is. It takes whatever belongs to the header for certain, however
short the pieces.

Invariants: version 1 is at most 107 octets, version 2 is 16 and as many as it says; of the latter no more is kept than
the addresses. A header is complete, or it is a ``HeaderError`` as soon as no octet can mend it. Nothing is asked of the
addresses but that they are some: whoever may send a header is believed.

Source: The PROXY protocol, versions 1 & 2, haproxy, 2020/03/05: §2.1, §2.2
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from fastscp.errors import FastscpError

_FIRST = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE = 107  #: octets of version 1 with its CR LF (§2.1)
_FIXED = 16  #: octets of version 2 in front of what its length counts
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESSES = {0x10: 12, 0x20: 36, 0x30: 216}  #: octets of addresses and ports, by family (§2.2)
_LONGEST_KEPT = _FIXED + max(_ADDRESSES.values())
_INET, _INET6 = 0x10, 0x20
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class HeaderError(FastscpError):
    """What came is no header of the PROXY protocol; the text says why, fit for a log line."""


@dataclass(frozen=True)
class Header:
    """Whose connection it is: ``source`` is address and port; None leaves it at the balancer's own (LOCAL, UNKNOWN)."""

    source: tuple[str, int] | None


class HeaderReader:
    """Reads one header. ``header`` is there once it is complete."""

    __slots__ = ("_kept", "_taken", "_total", "header")

    def __init__(self) -> None:
        self.header: Header | None = None
        self._kept = bytearray()  #: of the header, as much as is of interest
        self._taken = 0  #: octets of it that have come
        self._total = 0  #: octets of it, where they are known (version 2)

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return self._taken > 0

    def receive(self, octets: bytes | memoryview) -> int:
        """Return how many of ``octets``, which come next, are the header's. Raises HeaderError."""
        there = bytes(octets)
        taken = 0
        while taken < len(there) and self.header is None:
            taken += self._step(there[taken:])
        return taken

    def _step(self, octets: bytes) -> int:
        """Take at least one octet, and none that may not be the header's."""
        if self._total:
            return self._take(octets[: self._total - self._taken])
        begin = bytes(self._kept) + octets[: _FIXED - len(self._kept)]
        if _SIGNATURE.startswith(begin[: len(_SIGNATURE)]):
            return self._take(octets[: _FIXED - self._taken])
        if not _FIRST.startswith(begin[: len(_FIRST)]):
            raise HeaderError("it does not begin with a header of the PROXY protocol")
        end = octets.find(b"\n", 0, LONGEST_LINE - self._taken) + 1
        return self._take(octets[: end or LONGEST_LINE - self._taken])

    def _take(self, octets: bytes) -> int:
        self._kept += octets[: _LONGEST_KEPT - len(self._kept)]
        self._taken += len(octets)
        if self._kept[:1] == b"P":
            self._follow_line()
        elif self._total or self._taken == _FIXED:
            self._follow_binary()
        return len(octets)

    def _follow_line(self) -> None:
        """End the line of version 1, if this is its end."""
        if self._kept.endswith(b"\n"):
            self.header = _line(bytes(self._kept))
        elif self._taken == LONGEST_LINE:
            raise HeaderError(f"its PROXY line does not end within {LONGEST_LINE} octets")

    def _follow_binary(self) -> None:
        """Judge the fixed part of version 2 as soon as it is there, and end with its last octet."""
        if not self._total:
            self._total = _FIXED + _checked_length(self._kept)
        if self._taken == self._total:
            self.header = _binary(bytes(self._kept))


def _line(line: bytes) -> Header:
    """Read a whole line of version 1 (§2.1)."""
    if not line.endswith(b"\r\n"):
        raise HeaderError("its PROXY line does not end with CR LF")
    try:
        words = line[:-2].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise HeaderError("its PROXY line is not ASCII") from error
    if words[1] == "UNKNOWN":  # whatever else is in the line is to be ignored
        return Header(None)
    if len(words) != 6 or words[1] not in {"TCP4", "TCP6"}:
        raise HeaderError("its PROXY line is not in order")
    version = 4 if words[1] == "TCP4" else 6
    source, _ = _address(words[2], version), _address(words[3], version)
    port, _ = _port(words[4]), _port(words[5])
    return Header((source, port))


def _address(text: str, version: int) -> str:
    try:
        address: _IPAddress = ipaddress.IPv4Address(text) if version == 4 else ipaddress.IPv6Address(text)
    except ValueError as error:
        raise HeaderError("there is no address where one has to be in its PROXY line") from error
    if "%" in text:
        raise HeaderError("there is no address where one has to be in its PROXY line")
    return _shown(address)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise HeaderError("there is no port where one has to be in its PROXY line")
    return int(text)


def _checked_length(fixed: bytearray) -> int:
    """Return how many octets follow the fixed part, which is judged (§2.2)."""
    command, family, length = fixed[12], fixed[13], int.from_bytes(fixed[14:16], "big")
    if command not in {_LOCAL, _PROXY}:
        raise HeaderError(f"its header has version and command {command:02X}H")
    if command == _LOCAL:
        return length
    if family & 0xF0 > max(_ADDRESSES) or family & 0x0F > 2:
        raise HeaderError(f"its header has family and protocol {family:02X}H")
    if length < _ADDRESSES.get(family & 0xF0, 0):
        raise HeaderError(f"its header has {length} octets for addresses of family {family >> 4}")
    return length


def _binary(kept: bytes) -> Header:
    """Read a whole header of version 2, of which the addresses are kept."""
    if kept[12] == _LOCAL:
        return Header(None)
    family = kept[13] & 0xF0
    if family == _INET:
        return Header((_shown(ipaddress.IPv4Address(kept[16:20])), int.from_bytes(kept[24:26], "big")))
    if family == _INET6:
        return Header((_shown(ipaddress.IPv6Address(kept[16:32])), int.from_bytes(kept[48:50], "big")))
    return Header(None)  # of a Unix socket, or unspecified


def _shown(address: _IPAddress) -> str:
    """Return an address as the rest of the service has it: IPv4 where it is that (RFC 4291 §2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
