"""What storescp makes sure of before it listens."""

from __future__ import annotations

import os

from fastscp.config.network import NetworkPolicy, ProcessMode
from fastscp.store.policy import StorePolicy

_FIRST_UNPRIVILEGED_PORT = 1024


def complaint(network: NetworkPolicy, store: StorePolicy) -> str:
    """Return the reason why the service cannot start, "" when it can."""
    reason = _port_complaint(network) or _directory_complaint("output", store.output_directory)
    if not reason and store.quarantine is not None:
        reason = _directory_complaint("quarantine", store.quarantine)
    return reason


def _port_complaint(network: NetworkPolicy) -> str:
    if network.mode is ProcessMode.INETD or network.port is None or network.port >= _FIRST_UNPRIVILEGED_PORT:
        return ""
    if os.geteuid() == 0 or network.port >= _first_free_port():
        return ""
    return f"cannot listen on port {network.port}, insufficient privileges"


def _first_free_port() -> int:
    """Return the lowest port that needs no privilege on this machine."""
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="utf-8") as setting:
            return int(setting.read())
    except (OSError, ValueError):
        return _FIRST_UNPRIVILEGED_PORT


def _directory_complaint(purpose: str, directory: str) -> str:
    if not os.path.isdir(directory):
        return f"specified {purpose} directory does not exist"
    if not os.access(directory, os.W_OK):
        return f"specified {purpose} directory is not writeable"
    return ""
