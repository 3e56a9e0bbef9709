"""Host access control as configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AccessPolicy:
    """``+ac`` and the two tables of hosts_access(5)."""

    enabled: bool = False
    allow_file: str = "/etc/hosts.allow"
    deny_file: str = "/etc/hosts.deny"
    #: whether the operator named the table: it has to be there then
    allow_named: bool = False
    deny_named: bool = False
    daemon_names: tuple[str, ...] = ("storescp", "fastscp")
