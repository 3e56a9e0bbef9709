"""Rules per sender: which section of the configuration file an association is served by. Pure.

The sections are asked in their order; of each all conditions that are there must hold, and the first that fits decides.
``Config.by_sender`` has a whole configuration for each by its name, made as that of the service is.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refusal(enum.Enum):
    """Why nobody serves an association."""

    CALLED = "no section accepts the called AE title"
    CALLING = "no section accepts the calling AE title"
    NETWORK = "no section accepts the address"


@dataclass(frozen=True)
class Conditions:
    """What a section asks for; None: nothing."""

    calling: tuple[str, ...] | None = None  #: shell patterns; case counts
    called: tuple[str, ...] | None = None
    networks: tuple[Network, ...] | None = None

    def of_titles(self, calling: str, called: str) -> tuple[bool, bool]:
        """Tell whether the calling title fits, and the called one."""
        return _fits(calling, self.calling), _fits(called, self.called)

    def of_address(self, address: str) -> bool:
        """Tell whether an address is in one of the networks."""
        if self.networks is None:
            return True
        try:
            peer: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self.networks)


def _fits(title: str, patterns: Sequence[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(title, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Sender:
    """A section."""

    name: str
    conditions: Conditions
    accept: bool = True
    max_associations: int | None = None


@dataclass(frozen=True)
class Senders:
    """All sections, and what becomes of associations that none fits."""

    sections: tuple[Sender, ...] = ()
    accepts_unmatched: bool = True

    def __bool__(self) -> bool:
        """Whether there is anything to decide."""
        return bool(self.sections) or not self.accepts_unmatched

    def choose(self, calling: str, called: str, address: str) -> Sender | Refusal | None:
        """Return the section of an association, why it is refused, or None: it is served as if there were no sections."""
        seen: set[Refusal] = set()
        for section in self.sections:
            conditions = section.conditions
            calling_fits, called_fits = conditions.of_titles(calling, called)
            address_fits = conditions.of_address(address)
            if calling_fits and called_fits and address_fits:
                return section if section.accept else _reason_of(conditions)
            if section.accept:
                if calling_fits and address_fits:
                    seen.add(Refusal.CALLED)
                elif calling_fits and called_fits:
                    seen.add(Refusal.NETWORK)
        if self.accepts_unmatched:
            return None
        return next((reason for reason in (Refusal.CALLED, Refusal.NETWORK) if reason in seen), Refusal.CALLING)


def _reason_of(conditions: Conditions) -> Refusal:
    """Return why a section that accepts nobody refuses: for the first condition that it has."""
    if conditions.calling is not None:
        return Refusal.CALLING
    if conditions.called is not None:
        return Refusal.CALLED
    return Refusal.CALLING if conditions.networks is None else Refusal.NETWORK
