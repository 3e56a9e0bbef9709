"""Whose word about the address of a peer is taken."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fastscp.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ProxyPolicy:
    """``--proxy-protocol``: connections from these networks begin with a header. Without any it is false."""

    networks: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are balancers at all."""
        return bool(self.networks)

    def speaks(self, address: str) -> bool:
        """Tell whether a connection from this numeric address has to begin with a header."""
        try:
            there = ipaddress.ip_address(address)
        except ValueError:  # nothing that accept(2) says of a TCP connection
            return False
        return any(there in network for network in self.networks)


def proxy_policy(text: str) -> ProxyPolicy:
    """Read ``CIDR[,CIDR...]``; an address alone is a network of one. Raises UsageError."""
    networks = []
    for part in text.split(","):
        try:
            networks.append(ipaddress.ip_network(part.strip()))
        except ValueError as error:
            raise UsageError(f"Invalid value for option --proxy-protocol: {error}", option="--proxy-protocol") from error
    return ProxyPolicy(tuple(networks))
