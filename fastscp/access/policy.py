"""Host access control as configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AccessPolicy:
    """``+ac`` and the two tables of hosts_access(5)."""

    enabled: bool = False
    allow_file: str = "/etc/hosts.allow"
    deny_file: str = "/etc/hosts.deny"
    daemon_names: tuple[str, ...] = ("storescp", "fastscp")
