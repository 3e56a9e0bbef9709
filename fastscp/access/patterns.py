"""Patterns of hosts_access(5) and how they match.

A client is known by its numeric address and, where it was looked up, its host name. Names cost a lookup, so
they are asked for only when the outcome depends on one: ``NameNeededError`` says that one is missing.

``ALL``, ``KNOWN``, ``UNKNOWN``, ``LOCAL``, ``PARANOID``, ``.domain``, ``net.``, ``net/mask``, ``net/length``,
``[ipv6]``, ``[ipv6]/length``, ``*`` and ``?``, ``/file``. Case does not count. What is malformed never matches.

Source: hosts_access(5) of Debian's tcp_wrappers 7.6.q; details compared with its tcpdmatch(8)
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

#: what stands for a name that is not known, and for one that does not lead back to its address
UNKNOWN = "unknown"
PARANOID = "paranoid"

_MAPPED = "::ffff:"
_MOST_NESTED_FILES = 8
_ADDRESS_CHARACTERS = frozenset("0123456789./")


class NameNeededError(Exception):
    """The outcome depends on the client's host name, which has not been looked up."""


@dataclass(frozen=True)
class HostInfo:
    """One end of a connection, as patterns see it.

    ``name`` is a host name, ``UNKNOWN``, ``PARANOID``, or None when it has not been looked up.
    """

    address: str = UNKNOWN
    name: str | None = UNKNOWN

    def needed_name(self) -> str:
        """Return the name. Raises NameNeededError when there is none yet."""
        if self.name is None:
            raise NameNeededError
        return self.name


@dataclass(frozen=True)
class HostFiles:
    """Contents of the files that ``/file`` patterns name: path to patterns."""

    patterns: dict[str, tuple[str, ...]] = field(default_factory=dict)


def comparable_address(address: str) -> str:
    """Return an address in the form patterns are compared with: no scope, IPv4 as IPv4."""
    address = address.partition("%")[0].lower()
    if address.startswith(_MAPPED) and "." in address:
        return address.removeprefix(_MAPPED)
    return address


def match_host(pattern: str, host: HostInfo, files: HostFiles, depth: int = 0) -> bool:
    """Tell whether a host pattern matches. Raises NameNeededError."""
    keyword = pattern.upper()
    if pattern.startswith("@"):
        return False  # netgroups: there is no NIS here; the reader of the rules warns
    if pattern.startswith("/"):
        inner = files.patterns.get(pattern, ()) if depth < _MOST_NESTED_FILES else ()
        return any(match_host(token, host, files, depth + 1) for token in inner)
    if keyword == "KNOWN":
        return host.address != UNKNOWN and _is_known(host.needed_name())
    if keyword == "LOCAL":
        name = host.needed_name()
        return "." not in name and _is_known(name)
    if "/" in pattern:
        return _match_net(pattern, comparable_address(host.address))
    return match_text(pattern, comparable_address(host.address)) or (
        not _ADDRESS_CHARACTERS.issuperset(pattern)
        and not pattern.startswith("[")
        and match_text(pattern, host.needed_name())
    )


def match_text(pattern: str, text: str) -> bool:
    """Tell whether a pattern matches an address, a host name or a daemon name."""
    pattern, text = pattern.lower(), text.lower()
    if pattern.startswith("."):
        return len(text) > len(pattern) and text.endswith(pattern)
    if pattern == "all":
        return True
    if pattern == "known":
        return text != UNKNOWN
    if pattern.endswith("."):
        return text.startswith(pattern)
    if pattern.startswith("[") and pattern.endswith("]"):
        return _match_ipv6(pattern[1:-1], text)
    if "*" in pattern or "?" in pattern:
        return _wildcards(pattern).fullmatch(text) is not None
    return pattern == text


def is_malformed(pattern: str) -> bool:
    """Tell whether a host pattern can never match because of how it is written."""
    if pattern.startswith(("/", "@")):
        return False
    net, slash, mask = pattern.partition("/")
    if slash:
        return _network(net, mask) is None
    return pattern.startswith("[") and pattern.endswith("]") and "*" not in pattern and _ipv6(pattern[1:-1]) is None


def _is_known(name: str) -> bool:
    return name not in {UNKNOWN, PARANOID}


@lru_cache(maxsize=256)
def _wildcards(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern), re.DOTALL)


def _ipv6(text: str) -> ipaddress.IPv6Address | None:
    try:
        return ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return None


def _match_ipv6(pattern: str, address: str) -> bool:
    wanted = _ipv6(pattern)
    return wanted is not None and wanted == _ipv6(address)


def _match_net(pattern: str, address: str) -> bool:
    net, _, mask = pattern.partition("/")
    network = _network(net, mask)
    if network is None:
        return False
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    version, base, bits = network
    return number.version == version and int(number) & bits == base


@lru_cache(maxsize=1024)
def _network(net: str, mask: str) -> tuple[int, int, int] | None:
    """Return IP version, network number and mask, None when it is malformed.

    The host bits of an IPv4 network count (``10.0.0.1/8`` matches nothing), those of an IPv6 one do not;
    an IPv4 mask of 0 or of 32 ones is none: so it is in tcp_wrappers.
    """
    if net.startswith("[") and net.endswith("]"):
        address = _ipv6(net[1:-1])
        if address is None or not mask.isdecimal() or int(mask) > 128:
            return None
        bits = (1 << 128) - (1 << (128 - int(mask)))
        return 6, int(address) & bits, bits
    try:
        base = int(ipaddress.IPv4Address(net))
        if mask.isdecimal():
            length = int(mask)
            return (4, base, (1 << 32) - (1 << (32 - length))) if 1 <= length <= 32 else None
        bits = int(ipaddress.IPv4Address(mask))
    except ValueError:
        return None
    return (4, base, bits) if bits != 0xFFFFFFFF else None
