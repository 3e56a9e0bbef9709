"""What storescp makes sure of before it listens."""

from __future__ import annotations

import os

from fastscp.cli.programs import missing_program
from fastscp.config.network import NetworkPolicy, ProcessMode
from fastscp.service.inheritance import inherits_sockets
from fastscp.store.policy import StorePolicy
from fastscp.study.naming import parent_directory
from fastscp.study.policy import HookPolicy, StudyPolicy

_FIRST_UNPRIVILEGED_PORT = 1024
_CAP_NET_BIND_SERVICE = 10


def complaint(network: NetworkPolicy, store: StorePolicy, study: StudyPolicy, hooks: HookPolicy) -> str:
    """Return the reason why the service cannot start, "" when it can."""
    return (_port_complaint(network) or _output_complaint(store) or _quarantine_complaint(store)
            or _prefix_complaint(store, study) or missing_program(hooks))


def _port_complaint(network: NetworkPolicy) -> str:
    if network.mode is ProcessMode.INETD or not network.port or network.port >= _FIRST_UNPRIVILEGED_PORT:
        return ""  # port 0 is any that is free
    if os.geteuid() == 0 or network.port >= _first_free_port() or inherits_sockets() or _may_bind():
        return ""
    return f"cannot listen on port {network.port}, insufficient privileges"


def _may_bind() -> bool:
    """Whether this process has CAP_NET_BIND_SERVICE (capabilities(7))."""
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
            return any(int(line.split()[1], 16) >> _CAP_NET_BIND_SERVICE & 1 for line in status if line.startswith("CapEff:"))
    except (OSError, ValueError, IndexError):
        return True  # bind(2) will tell


def _first_free_port() -> int:
    """Return the lowest port that needs no privilege on this machine."""
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="utf-8") as setting:
            return int(setting.read())
    except (OSError, ValueError):
        return _FIRST_UNPRIVILEGED_PORT


def _output_complaint(store: StorePolicy) -> str:
    """Return what is wrong with the output directory; like storescp ``--ignore`` wants one, but writes nothing there."""
    return _directory_complaint("output", store.output_directory, written=not store.ignore)


def _quarantine_complaint(store: StorePolicy) -> str:
    return "" if store.quarantine is None else _directory_complaint("quarantine", store.quarantine, written=True)


def _directory_complaint(purpose: str, directory: str, *, written: bool) -> str:
    if not os.path.isdir(directory):
        if os.path.lexists(directory):
            return f"specified {purpose} directory is not a directory: {directory}"
        return f"specified {purpose} directory does not exist"
    if written and not os.access(directory, os.W_OK):
        return f"specified {purpose} directory is not writeable"
    return ""


def _prefix_complaint(store: StorePolicy, study: StudyPolicy) -> str:
    """Complain about a prefix like ``a/b`` where there is no ``a``; storescp starts and then refuses every object."""
    parent = parent_directory(study, store.output_directory)
    if os.path.isdir(parent):
        return ""
    return f"prefix {study.prefix} of study directories: directory {parent} does not exist"
